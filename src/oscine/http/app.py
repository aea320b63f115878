"""The routes, put together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from oscine.__about__ import __version__
from oscine.http import health, models, page, speech, voices
from oscine.http.access import AbsoluteTargets, OwnPages
from oscine.http.body import BoundedRequests
from oscine.http.errors import Cors, Unexpected, handle_errors
from oscine.http.observe import Observe
from oscine.http.protocol import most_connections
from oscine.http.schema import ERROR_BODY
from oscine.http.service import Service


def create_app(service: Service) -> FastAPI:
    """The server as an ASGI application; closing it closes the service's studio."""
    settings = service.settings

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, int]]:
        threading.Thread(target=service.readiness.prepare, name="oscine-prepare", daemon=True).start()
        try:
            yield {"most_connections": most_connections(settings.max_requests)}
        finally:
            await asyncio.to_thread(service.end)

    app = FastAPI(
        title="Oscine",
        version=__version__,
        summary="Text to speech in a cloned voice, by OpenAI's speech API.",
        lifespan=lifespan,
        docs_url=None,  # both would load a page's code from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    handle_errors(app)
    for part in (speech.router, voices.keyless, voices.router, models.router, health.router, page.router):
        app.include_router(part)
    # The last that is added is the first that a request meets.
    if not settings.api_keys and "*" not in settings.cors_origins:
        app.add_middleware(OwnPages, host=settings.host, allowed=settings.cors_origins, names=settings.allowed_hosts)
    app.add_middleware(BoundedRequests, max_bytes=int(settings.max_body_mb * 1e6), seconds=settings.body_seconds)
    app.add_middleware(Unexpected)
    if settings.cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type", "x-request-id", *_SDK_HEADERS],
            expose_headers=list(_EXPOSED),
            max_age=3600,
        )
    app.add_middleware(Observe, metrics=service.metrics)
    app.add_middleware(AbsoluteTargets)
    _describe(app, keyed=bool(settings.api_keys))
    return app


_EXPOSED = (
    "x-request-id",
    "server-timing",
    "retry-after",
    "x-oscine-engine",
    "x-oscine-voice",
    "x-oscine-seed",
    "x-oscine-warnings",
)
_SDK_HEADERS = (
    *(f"x-stainless-{part}" for part in ("arch", "lang", "os", "package-version", "runtime", "runtime-version")),
    "x-stainless-retry-count",
    "x-stainless-timeout",
    "x-stainless-async",
    "openai-organization",
    "openai-project",
)
"""Headers that OpenAI's JavaScript SDK sends from a page."""


def _describe(app: FastAPI, *, keyed: bool) -> None:
    """Have `/openapi.json` tell the shape of errors and, where the server is `keyed`, which routes need a key."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {})["Error"] = ERROR_BODY
            for name in ("HTTPValidationError", "ValidationError"):
                components["schemas"].pop(name, None)
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path in schema["paths"].values():
                for operation in path.values():
                    answers = operation["responses"]
                    if answers.pop("422", None) is not None:
                        answers.setdefault("400", _ERROR)
                    for answer in answers.values():
                        _complete(answer)
                    if keyed and "401" in answers:
                        operation["security"] = [{"key": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way to change it


def _complete(answer: dict[str, Any]) -> None:
    """Give the example of an error its nulls again, which the framework leaves out."""
    example = answer.get("content", {}).get("application/json", {}).get("example", {})
    if "error" in example:
        example["error"] = {"message": None, "type": None, "param": None, "code": None, **example["error"]}


_ERROR = {
    "description": "The request is not valid.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}

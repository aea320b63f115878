"""Around every request: its id, its line in the log, its count, and an answer for what nobody thought of."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oscine.errors import OscineError
from oscine.http.errors import UNEXPECTED, error_response
from oscine.http.leaving import STOPPING
from oscine.http.metrics import Metrics

log = logging.getLogger(__name__)

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_QUIET: Final = frozenset({"/health", "/ping", "/metrics", "/v1/test"})
"""Routes that are asked every few seconds: only their failures are logged."""


class Observe:
    """The outermost part of the app."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(Headers(scope=scope).get("x-request-id", ""))
        state: dict[str, Any] = scope.setdefault("state", {})
        facts: dict[str, object] = {}
        state.update(request_id=request_id, facts=facts, started=started)
        status = 0
        method = scope["method"]
        if method == "HEAD":  # is answered as GET (RFC 9110, 9.3.2); the protocol leaves the body out
            scope = {**scope, "method": "GET"}

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:  # by uvicorn, where the time to finish is over
            state["error"] = STOPPING
            if not status:
                await error_response(STOPPING)(scope, receive, sending)
        except Exception as error:
            log.error("unexpected %s", type(error).__name__, exc_info=error, extra={"request_id": request_id})
            state["error"] = UNEXPECTED
            if not status:
                await error_response(UNEXPECTED)(scope, receive, sending)
        finally:
            self._note(scope, method, status, time.perf_counter() - started)

    def _note(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        state = scope["state"]
        route = getattr(scope.get("route"), "path", "none")
        known = method if method in _METHODS else "other"
        self._metrics.requests.labels(known, route, str(status or HTTPStatus.INTERNAL_SERVER_ERROR)).inc()
        error: OscineError | None = state.get("error")
        facts = {"status": status, **state["facts"]}
        if error is not None:
            self._metrics.errors.labels(error.type, error.code or "").inc()
            facts |= {"error": error.type, "code": error.code, "param": error.param}
        if route in _QUIET and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        log.info(
            "request",
            extra={
                "request_id": state["request_id"],
                "method": known,
                "route": route,
                **{name: value for name, value in facts.items() if value is not None},
                "ms": round(seconds * 1000, 1),
            },
        )


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})


def _request_id(given: str) -> str:
    """The client's own, where it is one; else a new one."""
    return given if _ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"

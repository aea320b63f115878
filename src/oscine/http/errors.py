"""OpenAI's error bodies, for whatever goes wrong."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oscine.errors import Busy, OscineError

log = logging.getLogger(__name__)

UNEXPECTED: Final = OscineError("Something unexpected went wrong here; try again, and tell who runs this server.")


_LONGEST_WAIT_S: Final = 60
"""OpenAI's SDKs take a longer `Retry-After` for a mistake."""


class Refused(OscineError):
    """A request that is turned away for how it comes, not for what it asks."""

    def __init__(
        self, status: HTTPStatus, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.http_status = status
        self.type = _type_of(status)
        self.headers = dict(headers or {})


def error_object(error: OscineError) -> dict[str, Any]:
    """`error` of OpenAI's error body."""
    return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}


def error_response(error: OscineError) -> JSONResponse:
    """The answer to a request that failed before its first byte."""
    headers = dict(error.headers) if isinstance(error, Refused) else {}
    if isinstance(error, Busy):
        headers["retry-after"] = str(min(_LONGEST_WAIT_S, math.ceil(error.retry_after)))
    elif error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("retry-after", "10")
    return JSONResponse({"error": error_object(error)}, error.http_status, headers)


class Unexpected:
    """Answers where the app fails in a way that nobody thought of."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; a fault after the answer began is for whoever called."""
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            state = scope["state"]
            log.error("unexpected %s", type(error).__name__, exc_info=error, extra={"request_id": state["request_id"]})
            state["error"] = UNEXPECTED
            await error_response(UNEXPECTED)(scope, receive, send)


class Cors(CORSMiddleware):
    """Lets pages in; what it refuses has OpenAI's body too."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to the question whether a page may send a request."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == HTTPStatus.OK:
            return answer
        refused = error_response(
            Refused(
                HTTPStatus.BAD_REQUEST,
                "A page of this origin may not send this request; list the origin in OSCINE_CORS_ORIGINS, "
                "and send only the methods and headers that Access-Control-Allow-... names.",
                code="origin_not_allowed",
            )
        )
        refused.headers.update(
            {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        )
        return refused


def handle_errors(app: FastAPI) -> None:
    """Let every error of the app, the framework's own ones too, have OpenAI's shape."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, OscineError)
        request.state.error = error
        return error_response(error)

    async def frameworks(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        headers = {"allow": _allowed(request)} if status == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
        refused = Refused(status, _SAID.get(status, f"{status.phrase}."), headers=headers)
        request.state.error = refused
        return error_response(refused)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        place = [str(part) for part in error.errors()[0]["loc"] if part not in ("query", "path", "body", "header")]
        refused = Refused(
            HTTPStatus.BAD_REQUEST, f"{'.'.join(place) or 'The request'} is not valid; see /openapi.json."
        )
        refused.param = place[0] if place else None
        request.state.error = refused
        return error_response(refused)

    app.add_exception_handler(OscineError, ours)
    app.add_exception_handler(HTTPException, frameworks)
    app.add_exception_handler(RequestValidationError, invalid)


_SAID: Final = {
    HTTPStatus.NOT_FOUND: "There is no such route; /openapi.json lists those that are.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This route does not take that method; /openapi.json lists those that it takes.",
}


def _allowed(request: Request) -> str:
    """The methods of a path, over all its routes; the framework names only those of one."""
    methods = [
        method
        for method in ("GET", "POST", "DELETE")
        for route in request.app.router.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    ]
    return ", ".join(dict.fromkeys(["GET", "HEAD", *methods] if "GET" in methods else methods))


def _type_of(status: HTTPStatus) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    if status == HTTPStatus.UNAUTHORIZED:
        return "authentication_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"

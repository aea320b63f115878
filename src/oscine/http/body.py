"""Reading what a client sends: bounded in bytes and in time."""

from __future__ import annotations

import asyncio
import json
import time
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oscine.errors import Cancelled, InvalidRequest
from oscine.http.errors import Refused, error_response
from oscine.http.protocol import HEADER_BYTES

_LARGE: Final = 64 * 1024
"""Bytes from which on a body is parsed in a thread."""
_AT_HAND_S: Final = 0.05
"""Seconds that the rest of an unread body is waited for and dropped; if it is complete then, the connection stays."""
_LINGER_S: Final = 2.0
"""Seconds that more of an unread body is taken and dropped before the connection is closed.

A client that is cut off while it still sends would not read why it was refused.
"""


class BoundedRequests:
    """Refuses headers that are too large, and a body that is too large or comes too slowly, while it is being read."""

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if _size_of_head(scope) > HEADER_BYTES:
            error = Refused(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"Path and headers are larger than {HEADER_BYTES // 1024} KiB; send less of them.",
                headers={"connection": "close"},
            )
            scope["state"]["error"] = error
            await error_response(error)(scope, receive, send)
            return
        declared = headers.get("content-length", "0")
        too_large = len(declared) > 18 or (declared.isdigit() and int(declared) > self._max_bytes)
        whole = "transfer-encoding" not in headers and declared.strip("0") == ""
        deadline = time.monotonic() + self._seconds
        waits = headers.get("expect", "").lower() == "100-continue"
        taken = 0
        closing = False

        async def limited() -> Message:
            nonlocal taken, waits, whole
            if whole:
                return await receive()
            if too_large:
                raise self._refused()
            waits = False
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise Refused(
                    HTTPStatus.REQUEST_TIMEOUT, f"The body did not arrive within {self._seconds:g} s; send it again."
                ) from None
            if message["type"] == "http.disconnect":
                raise Cancelled("The client left before the body was complete.")
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if taken > self._max_bytes:
                    raise self._refused()
            return message

        async def answering(message: Message) -> None:
            """Send the answer, and close the connection where the body was not read to its end.

            A client that was waiting for 100 Continue sends no body any more, so there is nothing to wait for.
            """
            nonlocal closing
            starts = message["type"] == "http.response.start"
            if starts and not whole and (waits or not await _rest(receive, _AT_HAND_S)):
                closing = not waits
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            elif closing and not message.get("more_body"):
                await send({**message, "more_body": True})
                await _rest(receive, _LINGER_S)
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app(scope, limited, answering)

    def _refused(self) -> Refused:
        return Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The body is larger than {self._max_bytes / 1e6:g} MB; send less at once.",
        )


def _size_of_head(scope: Scope) -> int:
    target: int = len(scope["method"]) + len(scope.get("raw_path") or b"") + len(scope["query_string"])
    return target + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


async def _rest(receive: Receive, seconds: float) -> bool:
    """Take and drop what is left of a body for some seconds; returns whether that was all of it."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        return False
    return True


async def json_object(request: Request) -> dict[str, Any]:
    """The request's body. Raises InvalidRequest for what is no JSON object, Refused for one that is too large."""
    body = await request.body()
    try:
        found = json.loads(body) if len(body) < _LARGE else await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError):
        raise InvalidRequest('The body must be a JSON object such as {"input": "Hello."}.') from None
    if not isinstance(found, dict):
        raise InvalidRequest('The body must be a JSON object such as {"input": "Hello."}.')
    return found

"""HTTP/1.1 as uvicorn speaks it, with a time limit for headers and errors that look like all others."""

from __future__ import annotations

import asyncio
import json
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from oscine.errors import InvalidRequest
from oscine.http.errors import error_object

HEADER_S: Final = 20.0
"""So long a client may take for its request line and headers."""
HEADER_BYTES: Final = 32 * 1024
"""So large they may be."""


class Protocol(H11Protocol):
    """A connection."""

    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._wait_for_header()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._header_timer is None and self._between_requests():
            self._wait_for_header()
        super().data_received(data)
        if not self._between_requests():
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        error = InvalidRequest("The request is not valid HTTP/1.1, or its headers are too large.")
        body = json.dumps({"error": error_object(error)}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        start = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        self.transport.write(self.conn.send(start))
        self.transport.write(self.conn.send(h11.Data(data=body)))
        self.transport.write(self.conn.send(h11.EndOfMessage()))
        self.transport.close()

    def _between_requests(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _wait_for_header(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_S, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _too_slow(self) -> None:
        self._header_timer = None
        if self._between_requests() and not self.transport.is_closing():
            self.transport.close()

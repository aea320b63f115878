"""HTTP/1.1 as uvicorn speaks it, with limits on time, size and connections, and errors in OpenAI's shape."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from http import HTTPStatus
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from oscine.errors import InvalidRequest, OscineError
from oscine.http.errors import Refused, error_object

HEADER_S: Final = 20.0
"""Seconds that a client may take to send its request line and headers."""
HEADER_BYTES: Final = 32 * 1024
"""Bytes that the request line and headers may have."""
_FILES_OF_A_PLACE: Final = 2
"""Files that a speech request may have open beside its connection."""
_FILES_OF_OTHERS: Final = 32
"""Files that everything else has open: the log, the listening sockets, what the engine reads."""
_TURNED_AWAY: Final = 16
"""Connections above the limit that are answered with an error at the same time; any more are dropped unanswered."""
_TURN_AWAY_S: Final = 1.0
"""Seconds that such a client may take to read the error before its connection is closed."""
_FULL: Final = Refused(
    HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections are open; try again later.", headers={"retry-after": "5"}
)
_SEND_BUFFER_BYTES: Final = 64 * 1024
"""What the kernel holds for a client that reads slowly; by default that can be megabytes, which is minutes of MP3."""
_WRITE_BUFFER_BYTES: Final = 32 * 1024
"""What may wait for the kernel's buffer before the server stops taking sound from the request's thread."""
_LOOK_S: Final = 0.2
"""Seconds between two looks whether a client that has closed its sending half is still there."""
_SOON_S: Final = 5.0
"""Seconds that the first sound may take for such a client where it speaks HTTP/1.0, and so cannot be asked."""


def most_connections(places: int) -> int:
    """How many connections may be open at once so that `places` speech requests still find the files that they need."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return 10_000
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return 65_536
    return max(files // 2, files - _FILES_OF_OTHERS - _FILES_OF_A_PLACE * places)


class Protocol(H11Protocol):
    """One connection of a client."""

    _header_timer: asyncio.TimerHandle | None = None
    _only_reads = False
    _turned_away = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        connection: socket.socket = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        too_many = len(self.connections) - self.app_state.get("most_connections", len(self.connections))
        if too_many > _TURNED_AWAY:
            self.transport.abort()
        elif too_many > 0:
            self._turned_away = True
            self._refuse(_FULL)
            self.loop.call_later(_TURN_AWAY_S, self.transport.close)
        else:
            self._wait_for_header()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._turned_away:  # taken and dropped: closing with something unread would lose the client its answer
            return
        if self._header_timer is None and self._between_requests():
            self._wait_for_header()
        super().data_received(data)
        if not self._between_requests():
            self._stop_waiting()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio closes the connection where it is not True
        """The client closed its sending half; returns whether it is still answered.

        Most such clients have gone, but some only say that their request is complete, and read on. Which of the two it
        is shows when something is sent: the system of a client that has gone refuses it. Before the first sound that is
        a 100 Continue, which every client of HTTP/1.1 must read and may ignore (RFC 9110, section 15.2). A client of
        HTTP/1.0 cannot be asked, and is given up unless its answer begins soon.
        """
        if self._turned_away or self._between_requests() or self.cycle.more_body:
            return False
        self._only_reads = True
        if not self.cycle.response_started:
            if self.conn.their_http_version == b"1.1":
                interim = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                self.transport.write(self.conn.send(interim) or b"")
            else:
                self.loop.call_later(_SOON_S, self._give_up)
        self.loop.call_later(_LOOK_S, self._look)
        return True

    def on_response_complete(self) -> None:
        """A request was answered."""
        super().on_response_complete()
        if self._only_reads and self._between_requests():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        if self.cycle is not None:  # whoever still answers the request that this was part of
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        self._refuse(InvalidRequest("The request is not valid HTTP/1.1, or its headers are too large."))
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: a server may ignore Upgrade (RFC 9110, section 7.8), and some clients ask everybody for HTTP/2."""

    def _refuse(self, error: OscineError) -> None:
        """Answer without the app."""
        body = json.dumps({"error": error_object(error)}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", f"req_{secrets.token_hex(12)}".encode()),
        ]
        if isinstance(error, Refused):
            headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
        status = HTTPStatus(error.http_status)
        start = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        self.transport.write(self.conn.send(start))
        self.transport.write(self.conn.send(h11.Data(data=body)))
        self.transport.write(self.conn.send(h11.EndOfMessage()))

    def _look(self) -> None:
        """Close the connection if what was sent to a client that only reads was refused; else look again later."""
        if self.transport.is_closing():
            return
        connection: socket.socket = self.transport.get_extra_info("socket")
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self.loop.call_later(_LOOK_S, self._look)

    def _give_up(self) -> None:
        """Close the connection of a client that cannot be asked, unless its answer has begun."""
        if not self.cycle.response_started:
            self.transport.abort()

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

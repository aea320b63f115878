"""HTTP/1.1 as uvicorn speaks it, with a time limit for headers and errors that look like all others."""

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
"""So long a client may take for its request line and headers."""
HEADER_BYTES: Final = 32 * 1024
"""So large they may be."""
_FILES_OF_A_PLACE: Final = 2
"""So many files, beside its connection, a speech request may have open."""
_FILES_OF_OTHERS: Final = 32
"""So many all else has open: the log, the sockets that listen, what the engine reads."""
_TURNED_AWAY: Final = 16
"""So many connections are told at once that there are too many; further ones are dropped without a word."""
_TURN_AWAY_S: Final = 1.0
"""So long one that is told so may take to read it."""
_FULL: Final = Refused(
    HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections are open; try again later.", headers={"retry-after": "5"}
)
_SEND_BUFFER_BYTES: Final = 64 * 1024
"""What the kernel keeps for a client that reads slowly; left to itself it takes megabytes, minutes of an MP3."""
_WRITE_BUFFER_BYTES: Final = 32 * 1024
"""What waits beside it before the sound is made no further."""
_LOOK_S: Final = 0.2
"""So often it is asked whether a client that sends nothing more is still there."""
_SOON_S: Final = 5.0
"""So long the first sound may take for a client that sends nothing more and cannot be asked."""


def most_connections(places: int) -> int:
    """So many connections may be open at once that `places` speech requests still find all the files they need."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return 10_000
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return 65_536
    return max(files // 2, files - _FILES_OF_OTHERS - _FILES_OF_A_PLACE * places)


class Protocol(H11Protocol):
    """A connection."""

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
        if self._turned_away:  # closed while there is something unread, the client would lose the answer
            return
        if self._header_timer is None and self._between_requests():
            self._wait_for_header()
        super().data_received(data)
        if not self._between_requests():
            self._stop_waiting()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio closes the connection where it is not True
        """The client sends nothing more; whether it is still answered.

        It has gone as a rule, but some clients only say that this was all, and read on. Which of the two it is shows
        when something is sent: whoever has gone refuses it. Before the first sound that is a 100 Continue, which every
        client of HTTP/1.1 must read and may ignore (RFC 9110, section 15.2). One of HTTP/1.0 cannot be asked, and has
        to be answered soon.
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
        """Whether what was sent to a client that only reads came back."""
        if self.transport.is_closing():
            return
        connection: socket.socket = self.transport.get_extra_info("socket")
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self.loop.call_later(_LOOK_S, self._look)

    def _give_up(self) -> None:
        """Leave a client that cannot be asked whether it is still there."""
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

"""Runs the server until it is asked to stop."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from prometheus_client import disable_created_metrics

from oscine.errors import NotAvailable
from oscine.http.app import create_app
from oscine.http.protocol import HEADER_BYTES, Protocol
from oscine.http.service import Service
from oscine.synthesis.studio import Studio

log = logging.getLogger(__name__)

_KEEP_ALIVE_S: Final = 75
"""Seconds that a connection may be idle: longer than most clients keep one, so that none finds its own closed."""
_BACKLOG: Final = 128
"""Connections that wait to be accepted; asyncio also accepts so many in one go."""


def serve(studio: Studio, *, host: str, port: int, port_health: int | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; then take no more, finish what is running within the limit, and return.

    Raises NotAvailable where the address cannot be had, InvalidRequest for a setting that cannot be.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which nobody reads
    sockets = listen(host, port, port_health)
    server = Server(studio)
    server.service.readiness.when_loaded = _settle
    try:
        server.run(sockets=sockets)
    finally:
        server.service.end()
    log.info("stopped")


class Server(uvicorn.Server):
    """uvicorn with Oscine's app. A signal asks it to stop and ends the process with 0; a second one hurries it."""

    def __init__(self, studio: Studio) -> None:
        self.service = Service.of(studio)
        super().__init__(
            uvicorn.Config(
                create_app(self.service),
                http=Protocol,
                loop="asyncio",  # the one it was tried with, also where uvloop came with another package
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(studio.settings.drain_seconds)),
                backlog=_BACKLOG,
                h11_max_incomplete_event_size=HEADER_BYTES,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say where: from here on a signal is heeded."""
        await super().startup(sockets=sockets)
        if sockets:
            log.info("listening", extra={"url": url_of(sockets[0]), "engine": self.service.settings.engine})

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is running; from here on the limit counts."""
        if self.service.stop_by is None:
            self.service.stop_by = time.monotonic() + self.service.settings.drain_seconds
        await super().shutdown(sockets=sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Listen to signals while it runs; uvicorn's own way raises them again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; at once when asked twice."""
        self.force_exit = self.should_exit
        if self.force_exit:
            self.service.stop_by = time.monotonic()
        self.should_exit = True


def _settle() -> None:
    """Take all that was loaded out of later garbage collections: one that looks at everything stops the event loop."""
    gc.collect()
    gc.freeze()


def listen(host: str, port: int, port_health: int | None = None) -> list[socket.socket]:
    """The sockets of the server, the first for `port`. Raises NotAvailable."""
    ports = dict.fromkeys(wanted for wanted in (port, port_health) if wanted is not None)
    return [_bind(host, each) for each in ports]


def url_of(listening: socket.socket) -> str:
    """Where a client on this machine reaches it."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise NotAvailable(
            f"The server cannot listen on port {port} ({error.strerror or 'no such address'}); "
            "choose another with --port or --host.",
            param="port",
        ) from None
    return listening

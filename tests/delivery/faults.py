"""A proxy on the way to a server that delays, refuses, stalls and damages what passes."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

Fault = Callable[["Passing"], None]


class Passing(BaseHTTPRequestHandler):
    """A request on its way; a fault may change its `body`, wait, or `answer` it."""

    protocol_version = "HTTP/1.1"
    server: _Server
    body: bytes = b""
    answered = False

    def _pass(self) -> None:
        self.answered = False
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = urlsplit(self.path)
        self.path = target.path + (f"?{target.query}" if target.query else "")
        faults = self.server.faults
        faults.seen.append((self.command, self.path))
        fault = faults.fault
        if fault is not None:
            fault(self)
        if self.answered:
            return
        way = http.client.HTTPConnection("127.0.0.1", faults.target, timeout=60)
        try:
            way.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "proxy-connection"):
                    way.putheader(name, value)
            way.endheaders(self.body)
            answer = way.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        finally:
            way.close()
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() == "etag" and faults.e_tag is not None and "partNumber" not in self.path:
                self.send_header(name, faults.e_tag)
            elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - the names that http.server calls

    def answer(self, status: int, code: str = "") -> None:
        """Answer it instead of the server, as S3 does."""
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode() if code else b""
        self.answered = True
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    faults: Faults

    def handle_error(self, request: object, client_address: object) -> None:
        """Who has left is no error here."""


class Faults:
    """The proxy; `fault` is called with each request that passes."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.fault: Fault | None = None
        self.e_tag: str | None = None
        """What objects are called instead."""
        self.seen: list[tuple[str, str]] = []
        """Method and path of each request."""
        self._server = _Server(("127.0.0.1", 0), Passing)
        self._server.faults = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def times(count: int, fault: Fault) -> Fault:
    """`fault` for the first requests, and none from then on."""
    left = iter(range(count))
    lock = threading.Lock()

    def first(request: Passing) -> None:
        with lock:
            due = next(left, None) is not None
        if due:
            fault(request)

    return first

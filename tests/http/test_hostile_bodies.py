"""Bodies and headers that are too large, too slow, too deep or not what they say: each is refused, and soon."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.echo import echo
from tests.http.apart import apart
from tests.http.conftest import Running, Serve
from tests.http.raw import Answer, ask, connected, head, read, request, speech
from tests.waiting import PATIENCE_S, eventually

MEGABYTE = 1_000_000
JSON = {"Content-Type": "application/json"}


def flood(port: int, target: str, *, chunked: bool) -> Answer:
    """Send 2 GB until it is refused, and read only then, as simple clients do."""
    form = b'--b\r\nContent-Disposition: form-data; name="audio_sample"; filename="a.wav"\r\n\r\n'
    start, kind = (form, "multipart/form-data; boundary=b") if target.endswith("voices") else (b"{", "application/json")
    length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(2_000 * MEGABYTE)}
    with connected(port) as sock:
        sock.sendall(head("POST", target, {"Content-Type": kind, **length}))
        with suppress(ConnectionError):
            sock.sendall(as_chunk(start) if chunked else start)
            for _ in range(2_000 * MEGABYTE // len(PIECE)):
                sock.sendall(as_chunk(PIECE) if chunked else PIECE)
        return read(sock)


def as_chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


PIECE = bytes(256 * 1024)


def test_a_body_of_2_gb_is_refused_readably_and_held_nowhere(tmp_path: Path) -> None:
    with apart(tmp_path) as server:
        assert ask(server.port, speech()).whole
        before = server.most_resident()
        for target, chunked in (("/v1/audio/speech", True), ("/v1/audio/voices", False)):
            answer = flood(server.port, target, chunked=chunked)
            assert answer.status == 413
            assert "16 MB" in answer.error["message"]
            assert answer.headers["connection"] == "close"
        assert server.most_resident() - before < 60 * MEGABYTE
        assert ask(server.port, speech()).whole


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_form_that_never_ends_is_refused_and_leaves_no_file(server: Running) -> None:
    files = open_files()
    assert flood(server.port, "/v1/audio/voices", chunked=True).status == 413
    assert eventually(lambda: open_files() <= files)


def test_a_body_is_refused_before_it_is_sent_where_its_length_says_enough(server: Running) -> None:
    headers = {**JSON, "Content-Length": str(17 * MEGABYTE), "Expect": "100-continue"}
    with connected(server.port) as sock:
        sock.sendall(head("POST", "/v1/audio/speech", headers))
        answer = read(sock)
    assert answer.status == 413
    assert answer.interim == []


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "٣", "1, 2", "+5", "9" * 19, "9" * 400, "", " ", "5;5"])
def test_a_length_that_is_none_is_refused(server: Running, length: str) -> None:
    data = head("POST", "/v1/audio/speech", {**JSON, "Content-Length": "@"}).replace(b"@", length.encode()) + b"{}   "
    assert ask(server.port, data).status in (400, 413)


def test_a_request_that_says_two_things_about_its_length_is_not_taken_for_two(server: Running) -> None:
    """Request smuggling: what is left over must not become a request of its own."""
    smuggled = request("GET", "/v1/models")
    for headers in (
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Content-Length: 2\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
    ):
        data = f"POST /v1/audio/speech HTTP/1.1\r\nHost: t\r\n{headers}\r\n\r\n".encode() + b"0\r\n\r\n" + smuggled
        with connected(server.port) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            with sock.makefile("rb") as file, suppress(ConnectionError):
                said = file.read()
        assert said.startswith(b"HTTP/1.1 4")
        assert said.count(b"HTTP/1.1 200") <= (headers == "Content-Length: 2\r\nTransfer-Encoding: chunked")


def test_a_body_that_comes_too_slowly_is_refused(serve: Serve) -> None:
    server = serve(factories={"echo": echo()}, OSCINE_ENGINE="echo", OSCINE_BODY_SECONDS="1")
    for target in ("/v1/audio/speech", "/v1/audio/voices"):
        kind = "application/json" if target.endswith("speech") else "multipart/form-data; boundary=b"
        with connected(server.port) as sock:
            sock.sendall(head("POST", target, {"Content-Type": kind, "Content-Length": "1000"}))
            sock.sendall(b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n')
            stop = threading.Event()

            def drip(sock: socket.socket = sock, stop: threading.Event = stop) -> None:
                with suppress(OSError):
                    while not stop.wait(0.1):
                        sock.sendall(b"-")

            dripping = threading.Thread(target=drip)
            dripping.start()
            try:
                answer = read(sock)
            finally:
                stop.set()
                dripping.join()
        assert answer.status == 408
        assert answer.error["message"] == "The body did not arrive within 1 s; send it again."
        assert answer.headers["connection"] == "close"
    assert ask(server.port, speech()).whole


def test_a_body_that_comes_slowly_but_in_time_is_taken(server: Running) -> None:
    data = speech()
    with connected(server.port) as sock:
        for at in range(0, len(data), 16):
            sock.sendall(data[at : at + 16])
            time.sleep(0.01)
        assert read(sock).whole


SLOW_HEADERS = "import oscine.http.protocol\noscine.http.protocol.HEADER_S = 1.0"


def used(port: int) -> socket.socket:
    """A connection that one request of was answered; on a machine that stood still the limit may come first."""
    while True:
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        with suppress(ConnectionError):
            sock.sendall(request("GET", "/v1/test"))
        if read(sock).status == 200:
            return sock
        sock.close()


def test_headers_that_come_too_slowly_end_the_connection(tmp_path: Path) -> None:
    with apart(tmp_path, ready=False, program=SLOW_HEADERS) as server:
        address = ("127.0.0.1", server.port)
        socks = [
            socket.create_connection(address, PATIENCE_S),
            used(server.port),
            socket.create_connection(address, PATIENCE_S),
        ]
        try:
            with suppress(ConnectionError):
                socks[0].sendall(b"GET /v1/test HTTP/1.1\r\n")
            socks[1].sendall(b"GET /v1/test HTTP/1.1\r\nX: ")  # the second request of a connection
            started = time.monotonic()
            open_still = {0, 1, 2}
            while open_still and time.monotonic() - started < PATIENCE_S:
                for number in sorted(open_still):
                    with suppress(ConnectionError):
                        if number < 2:
                            socks[number].sendall(b"x")
                    socks[number].settimeout(0.05)
                    try:
                        if not socks[number].recv(100):
                            open_still.discard(number)
                    except TimeoutError:
                        pass
                    except ConnectionError:
                        open_still.discard(number)
            assert not open_still
        finally:
            for sock in socks:
                sock.close()
        assert eventually(lambda: ask(server.port, speech()).whole)


def test_an_idle_connection_is_kept_for_the_next_request(tmp_path: Path) -> None:
    """The limit for headers begins with their first byte, not with the end of the request before."""
    with apart(tmp_path, ready=False, program=SLOW_HEADERS) as server, used(server.port) as sock:
        for _ in range(2):
            time.sleep(1.5)
            sock.sendall(request("GET", "/v1/test"))
            assert read(sock).status == 200


CHUNKED = {"Transfer-Encoding": "chunked"}
HEADERS = {
    "a header of 100 kB": head("GET", "/v1/test", {"X": "y" * 100_000}),
    "ten thousand headers": head("GET", "/v1/test", {f"X-{n}": "y" for n in range(10_000)}),
    "a path of 100 kB": head("GET", "/v1/test?" + "y" * 100_000, {}),
    "a method of 100 kB": head("G" * 100_000, "/v1/test", {}),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "garbage": bytes(range(256)) * 10 + b"\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "no host": b"GET /v1/test HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v1/test HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a folded header": b"GET /v1/test HTTP/1.1\r\nHost: a\r\n\x01bad: 1\r\n\r\n",
    "NUL in a header": b"GET /v1/test HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    "a path with a blank": b"GET /v1/ test HTTP/1.1\r\nHost: a\r\n\r\n",
    "a chunk without a size": head("POST", "/v1/audio/speech", CHUNKED) + b"hello\r\n{}\r\n0\r\n\r\n",
    "a chunk of a huge size": head("POST", "/v1/audio/speech", CHUNKED) + b"f" * 40 + b"\r\n{}\r\n",
}  # fmt: skip


@pytest.mark.parametrize("what", HEADERS)
def test_what_is_no_proper_http_is_refused_in_words(
    server: Running, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        answer = ask(server.port, HEADERS[what])
    assert answer.status in (400, 431)
    assert answer.error["type"] == "invalid_request_error"
    assert answer.headers["x-request-id"].startswith("req_")
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
    assert ask(server.port, request("GET", "/v1/test")).status == 200


def test_garbage_after_an_answer_that_did_not_wait_for_the_body_harms_nobody(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(factories={"echo": echo()}, OSCINE_ENGINE="echo", OSCINE_API_KEYS="secret")
    with caplog.at_level("INFO"), connected(server.port) as sock:
        sock.sendall(head("POST", "/v1/audio/speech", {**JSON, "Transfer-Encoding": "chunked"}))
        answer = read_head(sock)
        assert b" 401 " in answer
        with suppress(ConnectionError):
            sock.sendall(b"no chunk at all\r\n\r\n" * 10)
        with suppress(ConnectionError):
            while sock.recv(1000):
                pass
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
    assert ask(server.port, request("GET", "/v1/test")).status == 200


def read_head(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(1)
    return data

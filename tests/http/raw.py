"""A client that is not polite: bytes on a socket, and what comes back, whole or not."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.waiting import PATIENCE_S


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    """0: the connection was closed without an answer."""
    headers: dict[str, str] = field(default_factory=dict)
    """By names in small letters."""
    body: bytes = b""
    whole: bool = False
    """Whether it ended as HTTP says that a body ends, and not with the connection."""
    interim: list[int] = field(default_factory=list)
    """1xx answers before it."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object, after checking that the body is exactly one."""
        return checked_error(self.headers.get("content-type", ""), self.json)


def checked_error(content_type: str, body: Any) -> dict[str, Any]:
    """`error` of a body that is exactly OpenAI's, with a message that a person can read."""
    assert content_type == "application/json"
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert 10 < len(error["message"]) < 600
    assert error["message"].isprintable()
    assert isinstance(error["type"], str)
    assert error["type"]
    assert error["param"] is None or isinstance(error["param"], str)
    assert error["code"] is None or isinstance(error["code"], str)
    return error


@contextmanager
def connected(port: int, *, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A connection to the server on this machine."""
    with socket.socket() as sock:
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE_S)
        sock.connect(("127.0.0.1", port))
        yield sock


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Request line and headers; nothing is checked or added but Host."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in {"Host": "t", **headers}.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    """A whole request; underscores in names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body or method == "POST":
        named.setdefault("Content-Length", str(len(body)))
        named.setdefault("Content-Type", "application/json")
    return head(method, target, named) + body


def speech(text: str = "Hello.", **fields: object) -> bytes:
    """A whole request for speech, in PCM unless it says otherwise."""
    return request("POST", "/v1/audio/speech", json.dumps({"input": text, "response_format": "pcm", **fields}).encode())


def ask(port: int, data: bytes, *, half_close: bool = False) -> Answer:
    """Send and read one answer."""
    with connected(port) as sock:
        with suppress(ConnectionError):  # refused while it is still being sent; the answer says why
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        return read(sock)


def read(sock: socket.socket) -> Answer:
    """One answer, by Content-Length, by chunks, or until the connection is closed."""
    answer = Answer()
    with sock.makefile("rb") as file, suppress(ConnectionError):
        while True:
            line = file.readline()
            if not line:
                return answer
            status = int(line.split(b" ", 2)[1])
            headers = _headers(file)
            if status >= 200:
                break
            answer.interim.append(status)
        answer.status, answer.headers = status, headers
        if headers.get("transfer-encoding") == "chunked":
            _chunks(file, answer)
        elif status in (204, 304):
            answer.whole = True
        elif "content-length" in headers:
            length = int(headers["content-length"])
            while len(answer.body) < length and (data := file.read(length - len(answer.body))):
                answer.body += data
            answer.whole = len(answer.body) == length
        else:
            answer.body = file.read()
    return answer


def events(body: bytes) -> list[tuple[str, Any]]:
    """Server-sent events as name and data."""
    found = []
    for block in body.decode().split("\n\n"):
        if block:
            lines = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append((lines.get("event", "message"), json.loads(lines["data"])))
    return found


def multipart(*parts: tuple[str, bytes], boundary: str = "b0undary") -> tuple[bytes, str]:
    """A form of parts, each the rest of its Content-Disposition line with further headers, and its content."""
    mark = boundary.encode()
    body = b"".join(
        b"--" + mark + b"\r\nContent-Disposition: form-data; " + head.encode("utf-8", "surrogatepass")
        + b"\r\n\r\n" + content + b"\r\n"
        for head, content in parts
    )  # fmt: skip
    return body + b"--" + mark + b"--\r\n", f"multipart/form-data; boundary={boundary}"


def upload(name: str, data: bytes, *, filename: str = "sample.wav", **fields: str) -> bytes:
    """A whole request that keeps a recording."""
    body, kind = multipart(
        *((f'name="{key}"', value.encode("utf-8", "surrogatepass")) for key, value in {"name": name, **fields}.items()),
        (f'name="audio_sample"; filename="{filename}"\r\nContent-Type: audio/wav', data),
    )
    return request("POST", "/v1/audio/voices", body, Content_Type=kind)


def _headers(file: Any) -> dict[str, str]:
    headers = {}
    while (line := file.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


def _chunks(file: Any, answer: Answer) -> None:
    while line := file.readline():
        size = int(line.split(b";")[0], 16)
        data = file.read(size)
        answer.body += data
        if len(data) < size:
            return
        if file.readline() != b"\r\n":
            return
        if size == 0:
            answer.whole = True
            return

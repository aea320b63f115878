"""Requests as bytes, so that a test says what a program really sends, header by header."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What came back; `headers` have names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def send(url: str, head: str, body: bytes = b"") -> Answer:
    """Send `head` (its lines without Host and Content-Length, which are added) and `body`."""
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    first, *others = [line.strip() for line in head.strip().splitlines()]
    lines = [first, f"Host: {address.netloc}", *others]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("ascii") + body)
        response = http.client.HTTPResponse(connection, method=first.split()[0])
        response.begin()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())

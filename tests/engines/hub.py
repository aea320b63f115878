"""A server that speaks the part of the Hugging Face Hub's HTTP API that a download needs, and programs that use it.

Large files are redirected to another origin, as the Hub does it. `huggingface_hub` reads its settings when it is
imported, so downloads run in a process of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

COMMIT = "c0ffee" + 34 * "0"
TOKEN = "hf_secretsecretsecret"
HERE = Path(__file__).parents[2]


def safetensors(size: int, seed: int = 0) -> bytes:
    """A file of one tensor, `size` bytes of noise."""
    import random

    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(size)


def write(folder: Path, content: dict[str, bytes]) -> Path:
    """The files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@dataclass(frozen=True)
class Asked:
    """A request that the server saw."""

    method: str
    path: str
    start: int
    """The first byte that was asked for."""
    token: str | None


@dataclass
class Hub:
    """Serves `repositories` (name to files) while it is entered."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)
    """Repositories that are not even listed, with the status that is answered."""
    cut: dict[str, int] = field(default_factory=dict)
    """Files that break off after so many bytes, and are refused from then on."""
    changed: set[str] = field(default_factory=set)
    """Files whose last byte arrives as another."""
    claimed: dict[str, int] = field(default_factory=dict)
    """Files that are listed with another size."""
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Hub:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def asked_for(self, name: str, method: str = "GET") -> list[Asked]:
        """The requests for the content of a file."""
        return [each for each in self.asked if each.method == method and each.path.endswith(f"/content/{name}")]

    def is_large(self, file: str) -> bool:
        """Whether it lies outside git."""
        return file.endswith((".safetensors", ".bin", ".pth", ".pt"))

    def etag(self, file: str, data: bytes) -> str:
        """SHA-256 of what lies outside git, SHA-1 of what lies in it."""
        if self.is_large(file):
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    def sent(self, file: str, data: bytes) -> bytes:
        """What arrives when `data` leaves."""
        return data[:-1] + bytes([data[-1] ^ 1]) if file in self.changed else data


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            ranged = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(ranged[1]) if ranged else 0
            path = self.path.partition("?")[0]
            hub.asked.append(Asked(self.command, path, start, self.headers.get("Authorization")))
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path):
                self._list(found[1])
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/(?:main|[0-9a-f]+)/(.+)", path):
                self._resolve(found[1], found[2])
            elif found := re.fullmatch(r"/content/([^/]+/[^/]+)/content/(.+)", path):
                self._give(hub.repositories[found[1]][found[2]], found[2], start)
            else:
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

        def _list(self, name: str) -> None:
            content = hub.repositories.get(name)
            if name in hub.refused:
                self._answer(hub.refused[name], b"", {})
                return
            if content is None:
                self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})
                return
            siblings = [
                {"rfilename": file, "size": hub.claimed.get(file, len(data)), "blobId": hub.etag(file, data)}
                | (
                    {"lfs": {"sha256": hub.etag(file, data), "size": len(data), "pointerSize": 130}}
                    if hub.is_large(file)
                    else {}
                )
                for file, data in content.items()
            ]
            listing = {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
            self._answer(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})

        def _resolve(self, name: str, file: str) -> None:
            if name in hub.gated:
                self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
                return
            data = hub.repositories.get(name, {}).get(file)
            if data is None:
                self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                return
            etag = f'"{hub.etag(file, data)}"'
            told = {"X-Repo-Commit": COMMIT, "ETag": etag}
            if not hub.is_large(file):
                self._answer(200, hub.sent(file, data), told)
                return
            told |= {"X-Linked-Etag": etag, "X-Linked-Size": str(len(data))}
            told["Location"] = f"http://localhost:{hub.port}/content/{name}/content/{file}"
            self._answer(302, b"", told)

        def _give(self, data: bytes, file: str, start: int) -> None:
            if hub.cut.get(file) == 0:
                self._answer(503, b"", {})
                return
            data = hub.sent(file, data)
            told = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
            part = data[start:]
            end = hub.cut.get(file, len(part))
            self._answer(206 if start else 200, part[:end], told, length=len(part))
            if end < len(part):
                hub.cut[file] = 0
                self.close_connection = True

        def _answer(self, status: int, body: bytes, told: dict[str, str], length: int | None = None) -> None:
            self.send_response(status)
            for name, value in told.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def nobody() -> Iterator[int]:
    """A port that nobody listens on, and that nobody is given meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def run(program: str, home: Path, port: int, *arguments: str, **environment: str) -> tuple[Any, str]:
    """What a program printed last, as JSON, and what else it said; the user's cache of the Hub lies in `home`."""
    hf = {
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_ETAG_TIMEOUT": "120",
        "HF_HUB_DOWNLOAD_TIMEOUT": "120",
    }
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("HF_") and "proxy" not in name.lower()
    }
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=kept | hf | environment,
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.stdout, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1]), ran.stderr

"""A server in a process of its own, whose log can be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE_S, until


@dataclass
class Child:
    """A running `oscine serve`."""

    process: subprocess.Popen[bytes]
    written: Path
    url: str = ""

    def raw(self) -> str:
        """All that it wrote on standard error."""
        return self.written.read_text(encoding="utf-8")

    def log(self) -> list[dict[str, Any]]:
        """Its whole lines, each of them an object."""
        return [json.loads(line) for line in self.raw().splitlines(keepends=True) if line.endswith("\n")]

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The one line of a request."""
        until(lambda: any(line.get("request_id") == request_id for line in self.log()))
        (line,) = [line for line in self.log() if line.get("request_id") == request_id]
        return line


@contextmanager
def child(folder: Path, *arguments: str, **settings: str) -> Iterator[Child]:
    """A server on a free port with nothing of the tests' own environment, from when it listens until it ended."""
    kept = {name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL", "PATH", "TMPDIR", "HOME")}
    written = folder / "standard error"
    with written.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "oscine", "serve", "--port", "0", *arguments],
            env={**kept, "OSCINE_VOLUME": str(folder / "volume"), **settings},
            stderr=out,
        )
    found = Child(process, written)
    try:
        until(lambda: '"listening"' in found.raw() or process.poll() is not None)
        assert process.poll() is None, found.raw()
        until(lambda: any(line["event"] == "listening" for line in found.log()))
        found.url = next(line["url"] for line in found.log() if line["event"] == "listening")
        yield found
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()

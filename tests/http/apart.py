"""A server in a process of its own, whose log can be read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.http.raw import ask, request
from tests.waiting import PATIENCE_S, eventually


@dataclass
class Apart:
    """The process, and every line of its log until now."""

    process: subprocess.Popen[bytes]
    folder: Path
    """Its volume."""
    port: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    strange: list[bytes] = field(default_factory=list)
    """Lines on standard error that are no JSON."""
    raw: bytearray = field(default_factory=bytearray)
    """All of standard error."""
    reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The one line of a request."""
        assert eventually(lambda: any(line.get("request_id") == request_id for line in self.log))
        (line,) = [line for line in self.log if line.get("request_id") == request_id]
        return line

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Its exit status, once it has one and all that it said was read."""
        status = self.process.wait(PATIENCE_S)
        assert self.reader is not None
        self.reader.join(PATIENCE_S)
        return status

    def most_resident(self) -> int:
        """Bytes of memory that it held at most."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")))

    def is_up(self) -> bool:
        return ask(self.port, request("GET", "/v1/test")).status == 200

    def is_ready(self) -> bool:
        return ask(self.port, request("GET", "/ping")).status == 200


@contextmanager
def apart(folder: Path, *, ready: bool = True, program: str = "", **names: str) -> Iterator[Apart]:
    """`oscine serve` on a free port; killed at the end if it still runs. `program` runs before it, in its process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OSCINE_", "PORT"))}
    started = [sys.executable, "-c", f"{program}\n{_RUN}"] if program else [sys.executable, "-m", "oscine"]
    process = subprocess.Popen(
        [*started, "serve", "--port", "0"],
        env={**kept, "OSCINE_VOLUME": str(folder), **names},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    found = Apart(process, folder)
    listening = threading.Event()
    found.reader = reader = threading.Thread(target=_follow, args=(found, listening), daemon=True)
    reader.start()
    try:
        assert listening.wait(PATIENCE_S), "the server said nothing"
        assert found.port, found.strange
        assert eventually(found.is_up)
        assert not ready or eventually(found.is_ready)
        yield found
    finally:
        process.kill()
        process.wait()
        reader.join(PATIENCE_S)
        assert process.stderr is not None
        process.stderr.close()


_RUN: Final = "from oscine.cli import main\nmain()\n"


def _follow(found: Apart, listening: threading.Event) -> None:
    assert found.process.stderr is not None
    for line in found.process.stderr:
        found.raw += line
        try:
            said = json.loads(line)
        except ValueError:
            found.strange.append(line)
            continue
        found.log.append(said)
        if said["event"] == "listening":
            found.port = int(said["url"].rsplit(":", 1)[1])
            listening.set()
    listening.set()

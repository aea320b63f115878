"""A server as a user starts it, in a child process, and what the operating system says about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

AS_A_USER: Final = ("-m", "oscine", "serve")
START_S: Final = 60.0


class Server:
    """`python -m oscine serve` on a free port, with an empty data folder. Use it with `with`."""

    def __init__(self, module: Sequence[str] = AS_A_USER) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name, "log")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("OSCINE_", "PORT"))}
        # Files take what the server writes: a pipe would have to be emptied by a process that competes with it.
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *module, "--port", "0"],
                env={**environ, "OSCINE_VOLUME": f"{self._folder.name}/volume"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.pid = self.process.pid
        try:
            self.url = self._listening()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it as a service manager does, and remove what it wrote."""
        self.process.terminate()
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        self._folder.cleanup()

    def health(self) -> dict[str, Any]:
        """What `/health` says."""
        with urllib.request.urlopen(f"{self.url}/health", timeout=START_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def resident_mb(self) -> float:
        """Its resident set."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS"))

    def threads(self) -> int:
        """How many threads it has."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def files(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def cpu_s(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _listening(self) -> str:
        """Wait until it listens and its engine is ready; where it listens."""
        until = time.monotonic() + START_S
        url = ""
        while time.monotonic() < until and self.process.poll() is None:
            if not url:
                events = (_event(line) for line in self._log.read_text(encoding="utf-8").splitlines())
                url = next((event["url"] for event in events if event.get("event") == "listening"), "")
            if url:
                self.url = url
                if self.health()["ready"]:
                    return url
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start: {self._log.read_text(encoding='utf-8')[-500:]}")


def all_cpu_s() -> float:
    """User and system time of all processes of the machine so far."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=4)
    return sum(int(field) for field in fields[1:4]) / os.sysconf("SC_CLK_TCK")


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}

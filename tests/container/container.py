"""What the images hold, and bootstrap.sh as a container starts it: on a volume of its own, with no other settings."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
STARTED: Final = "handler: "
"""What HANDLER says first."""
HANDLER: Final = f"""
import json, os, signal, sys, time

def leave(number, frame):
    print("told to leave", flush=True)
    sys.exit(7)

signal.signal(signal.SIGTERM, leave)
names = ("HF_HOME", "TORCH_HOME", "RUNPOD_LOG_LEVEL", "PYTHONUNBUFFERED", "VIRTUAL_ENV", "PATH")
told = {{"arguments": sys.argv[1:], "pid": os.getpid(), "python": sys.executable}}
told |= {{name: os.environ.get(name) for name in names}}
print({STARTED!r} + json.dumps(told), flush=True)
if "--wait" in sys.argv:
    time.sleep(600)
"""
"""Stands where handler.py does, in tests that are about who starts it and how."""
_OURS: Final = (
    "OSCINE_",
    "BOOTSTRAP_",
    "HF_",
    "TORCH_",
    "RUNPOD_",
    "MODEL_",
    "CHECKPOINTS_",
    "VIRTUAL_ENV",
    "XDG_",
)


def python() -> str:
    """The Python that environments are made of: the one that the tests' own is made of."""
    return os.path.realpath(sys.executable)


def find_uv() -> str:
    """A uv that runs, as scripts/setup-env finds it."""
    found = shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
    assert Path(found).is_file(), "no uv: run scripts/setup-env"
    return found


def copy_app(folder: Path, *, handler: str | None = HANDLER) -> Path:
    """What the images hold in /app, with a handler in the place of the real one; None: the real one."""
    folder.mkdir(parents=True)
    for name in ("bootstrap.sh", "handler.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("src", "requirements", "scripts/container"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    if handler is not None:
        (folder / "handler.py").write_text(handler)
    return folder


def environment(volume: Path, **settings: str) -> dict[str, str]:
    """What a container's processes see, with uv on PATH and the cache that packages came through before."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS) and name != "PYTHONDONTWRITEBYTECODE" and "proxy" not in name.lower()
    }
    return kept | {
        "PATH": f"{Path(find_uv()).parent}:{os.environ['PATH']}",
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
        "OSCINE_VOLUME": str(volume),
        "BOOTSTRAP_PYTHON": python(),
        "BOOTSTRAP_STALE_SECONDS": "5",
        **settings,
    }


def start(app: Path, volume: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run bootstrap.sh to its end."""
    return subprocess.run(
        [app / "bootstrap.sh", *arguments],
        env=environment(volume, **settings),
        capture_output=True,
        text=True,
        timeout=280,
    )


@contextmanager
def starting(app: Path, volume: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """bootstrap.sh while it runs; all that it started is killed in the end."""
    process = subprocess.Popen(
        [app / "bootstrap.sh", *arguments],
        env=environment(volume, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        kill_all(process, volume)
        if process.stdout is not None:
            process.stdout.close()


def kill_all(process: subprocess.Popen[str], volume: Path) -> None:
    """SIGKILL for everything that works on a volume, as at the end of a container."""
    while found := members(volume):
        for number in found:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
    process.wait(100)


def members(volume: Path) -> list[int]:
    """The processes that work on a volume."""
    told = f"OSCINE_VOLUME={volume}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and told in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def wait_until(true: Callable[[], object], process: subprocess.Popen[str], seconds: float = 200) -> None:
    """Wait until something is so; fails when `process` ends before."""
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)

"""Reading and writing files that lie in one folder, checked on real paths; nothing here follows a link out of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

if sys.platform != "win32":
    import fcntl

_LOCK_FILE: Final = ".oscine-lock"
_UNFINISHED: Final = ".oscine-part"
"""Ending of a file that is being written."""
_ABANDONED_S: Final = 600
"""Seconds after which such a file is no longer being written: a recording takes seconds, over a network too."""
_NOT_THROUGH_A_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_PLAIN: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Opening a pipe does not wait for a writer, and Windows does not change line ends."""
_one_writer = threading.Lock()


def real(folder: Path) -> Path | None:
    """The folder's real path; None where there is no such folder."""
    try:
        found = folder.resolve(strict=True)
        return found if found.is_dir() else None
    except (OSError, RuntimeError, ValueError):
        return None


def inside(folder: Path, filename: str) -> Path | None:
    """The real path of a regular file that lies in `folder` (itself a real path); None if a link leads out of it."""
    try:
        found = (folder / filename).resolve(strict=True)
        return found if found.is_relative_to(folder) and found.is_file() else None
    except (OSError, RuntimeError, ValueError):
        return None


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises OSError, without blocking, if a link or a pipe has taken its place."""
    descriptor = os.open(path, os.O_RDONLY | _NOT_THROUGH_A_LINK | _PLAIN)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def publish(folder: Path, filename: str, data: bytes) -> Path:
    """Write `data` beside `folder/filename`, then rename it: at any moment the old file is there, or the new one."""
    beside = folder / f".{secrets.token_hex(8)}{_UNFINISHED}"
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(folder / filename)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync(folder)
    return folder / filename


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keep other threads and processes from writing to `folder`, and remove what a killed process left unfinished.

    The lock of a process that is killed is released at once. On a file system without locks processes are not kept
    apart: files are still whole, and the last one that is written stays.
    """
    with _one_writer:
        descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | _NOT_THROUGH_A_LINK, 0o666)
        try:
            _lock(descriptor)
            _clear(folder)
            yield
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def _clear(folder: Path) -> None:
    """Remove unfinished files that are too old for any machine that shares the folder to be still writing them."""
    for unfinished in folder.glob(f".*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            if unfinished.stat().st_mtime < time.time() - _ABANDONED_S:
                unfinished.unlink()


def _sync(folder: Path) -> None:
    """Make the new name last through a power cut, where the system lets folders be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

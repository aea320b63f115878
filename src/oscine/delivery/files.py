"""Files that are either whole or not there: written beside, then renamed."""

from __future__ import annotations

import errno
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oscine.errors import DeliveryFailed, InvalidRequest, OscineError


def check_target(path: Path, *, param: str = "output") -> None:
    """Find out before anything is spoken whether `path` can be written. Raises InvalidRequest."""
    folder = path.parent
    if path.is_dir():
        raise InvalidRequest(f"{param}: {path} is a folder; name a file in it.", param=param)
    if not folder.is_dir():
        raise InvalidRequest(
            f"{param}: the folder {folder} does not exist; create it or choose another one.", param=param
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidRequest(f"{param}: the folder {folder} cannot be written; choose another one.", param=param)


@contextmanager
def written_whole(path: Path, *, param: str = "output") -> Iterator[Path]:
    """A path beside `path` to write to; on success it takes the place of `path`, else it is removed.

    Raises InvalidRequest where the folder cannot be written, DeliveryFailed when the disk is full or fails.
    """
    check_target(path, param=param)
    _remove_orphans(path)
    beside = path.with_name(f"{_stem(path)}{os.getpid()}-{secrets.token_hex(3)}.part")
    try:
        yield beside
        _settle(beside)
        beside.replace(path)
    except OscineError:
        raise
    except OSError as error:
        raise failed(error, param) from None
    finally:
        beside.unlink(missing_ok=True)


def failed(error: OSError, param: str = "output") -> OscineError:
    """What an error while writing means to a user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DeliveryFailed(
            f"{param}: the disk is full; free some space or choose another place.", param=param, code="disk_full"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InvalidRequest(f"{param}: this place cannot be written; choose another one.", param=param)
    if error.errno == errno.ENAMETOOLONG:
        return InvalidRequest(f"{param}: the file name is too long.", param=param)
    return DeliveryFailed(f"{param}: writing failed ({error.strerror or 'unknown reason'}).", param=param)


def _stem(path: Path) -> str:
    return f".{path.name[:100]}."


def _remove_orphans(path: Path) -> None:
    """Remove what a process that was killed left beside `path`."""
    for left in path.parent.glob(f"{glob.escape(_stem(path))}*-*.part"):
        pid = left.name.removeprefix(_stem(path)).split("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            with suppress(OSError):
                left.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _settle(path: Path) -> None:
    """Make sure that the bytes are on disk before the name points to them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

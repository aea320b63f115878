"""Files that are either whole or not there: written beside, then renamed."""

from __future__ import annotations

import errno
import glob
import os
import platform
import secrets
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

from oscine.errors import DeliveryFailed, InvalidRequest, OscineError

_ABANDONED_S: Final = 86_400.0
"""Seconds after which a file that another machine has not touched is no longer being written by it."""


def check_target(path: Path, *, param: str = "output") -> None:
    """Find out before anything is spoken whether `path` can be written. Raises InvalidRequest.

    Where `param` is the name of a setting, and not somebody's own word for a place, no error tells where that is.
    """
    shown = path.name if param.isupper() else str(path)
    if "\0" in str(path):
        raise InvalidRequest(f"{param}: a file name cannot hold a zero character; choose another name.", param=param)
    mode = _mode(path, param)
    if mode is not None and stat.S_ISDIR(mode):
        raise InvalidRequest(f"{param}: {shown} is a folder; name a file in it.", param=param)
    if mode is not None and not stat.S_ISREG(mode):
        raise InvalidRequest(
            f"{param}: {shown} is no regular file, and would be replaced by one; to write into a device or a pipe,"
            " send standard output there (-o -).",
            param=param,
        )
    folder = _behind_links(path).parent
    place = "" if param.isupper() else f" {folder}"
    mode = _mode(folder, param)
    if mode is None or not stat.S_ISDIR(mode):
        raise InvalidRequest(
            f"{param}: the folder{place} does not exist; create it or choose another one.", param=param
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidRequest(f"{param}: the folder{place} cannot be written; choose another one.", param=param)


@contextmanager
def written_whole(path: Path, *, param: str = "output") -> Iterator[Path]:
    """A path beside `path` to write to; see `written_together`."""
    with written_together((path, param)) as (beside,):
        yield beside


@contextmanager
def written_together(
    *targets: tuple[Path, str], publishing: AbstractContextManager[object] | None = None
) -> Iterator[tuple[Path, ...]]:
    """Paths beside those of `targets` to write to; on success all take their places at the end, else none does.

    A target is a path and the field that it came from. Where it is a link, what it points to is replaced and the link
    stays; permissions stay too. `publishing` is entered while they take their places. Raises InvalidRequest where a
    folder cannot be written, DeliveryFailed when the disk is full or fails; for what happens inside, use `naming`.
    """
    files = [_Beside(path, param) for path, param in targets]
    try:
        for file in files:
            with naming(file.param):
                file.begin()
        yield tuple(file.path for file in files)
        for file in files:
            with naming(file.param):
                file.settle()
        with publishing or nullcontext():
            for file in files:
                with naming(file.param):
                    file.path.replace(file.target)
    finally:
        for file in files:
            with suppress(OSError):
                file.path.unlink(missing_ok=True)


@contextmanager
def naming(param: str) -> Iterator[None]:
    """Say what an error while writing means to a user, and name the field."""
    try:
        yield
    except OSError as error:
        raise failed(error, param) from None


def failed(error: OSError, param: str = "output") -> OscineError:
    """What an error while writing means to a user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DeliveryFailed(
            f"{param}: the disk is full; free some space or choose another place.", param=param, code="disk_full"
        )
    if error.errno == errno.EFBIG:
        return DeliveryFailed(
            f"{param}: the file would be larger than this place allows; choose another place.", param=param
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InvalidRequest(f"{param}: this place cannot be written; choose another one.", param=param)
    if error.errno == errno.ENAMETOOLONG:
        return InvalidRequest(f"{param}: the file name is too long; choose a shorter one.", param=param)
    return DeliveryFailed(
        f"{param}: writing failed ({error.strerror or 'unknown reason'}); choose another place.", param=param
    )


class _Beside:
    """A file in the making, beside the one that it shall replace."""

    def __init__(self, path: Path, param: str) -> None:
        check_target(path, param=param)
        self.param = param
        self.target = target = _behind_links(path)
        self.path = target.with_name(f"{_stem(target)}{_here()}-{os.getpid()}-{secrets.token_hex(3)}.part")
        mode = _mode(target, param)
        self._permissions = None if mode is None else stat.S_IMODE(mode)

    def begin(self) -> None:
        """Make room; what replaces a private file is private from its first byte."""
        _remove_orphans(self.target)
        if self._permissions is not None:
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def settle(self) -> None:
        """Make sure that the bytes are on disk before the name points to them."""
        if self._permissions is not None:
            with suppress(OSError):
                self.path.chmod(self._permissions)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _mode(path: Path, param: str) -> int | None:
    """What kind of file it is; None: it does not exist."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise failed(error, param) from None


def _behind_links(path: Path) -> Path:
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _stem(path: Path) -> str:
    """How a file beside `path` begins; 48 characters are at most 192 bytes, where file systems take 255."""
    return f".{path.name[:48]}."


def _here() -> str:
    """This machine, so that nobody takes the process numbers of another one that shares the folder for its own."""
    return f"{zlib.crc32(platform.node().encode('utf-8', 'replace')):08x}"


def _remove_orphans(path: Path) -> None:
    """Remove what a process that was killed left beside `path`."""
    stem = _stem(path)
    for left in path.parent.glob(f"{glob.escape(stem)}*-*-*.part"):
        machine, _, rest = left.name.removeprefix(stem).partition("-")
        pid = rest.partition("-")[0]
        if not pid.isdigit():
            continue
        with suppress(OSError):
            if (machine == _here() and not _alive(int(pid))) or left.stat().st_mtime < time.time() - _ABANDONED_S:
                left.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True

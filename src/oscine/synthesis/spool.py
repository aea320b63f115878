"""Finished pieces on disk, keyed by content.

A job that was killed goes on where it was, and a corrected line costs one line, because a piece that was spoken before
is read from here. Each piece is one small file that is either whole or not there: written beside, then renamed, with a
checksum.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import struct
import time
import weakref
import zlib
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Final

import numpy as np

from oscine.audio.waveform import Samples
from oscine.errors import DeliveryFailed

log = logging.getLogger(__name__)

_HEADER: Final = struct.Struct("<4sIfII")
"""Magic, sample rate (Hz), scale, number of samples, CRC-32 of the samples."""
_MAGIC: Final = b"OSP1"
_FULL_SCALE: Final = 32767
_QUIETEST: Final = 1e-6
"""Scale of a piece whose peak is below it: 120 dB below full scale nobody hears the difference."""
_STAMP: Final = "last-pruned"
_PRUNE_S: Final = 3600.0
_BINARY: Final = getattr(os, "O_BINARY", 0)
"""Windows changes line ends without it."""
_BEING_WRITTEN_S: Final = 3600.0
"""A file beside its place that is younger may be another process's, which is about to rename it."""


class Spool:
    """A folder of finished pieces, 16-bit with a scale of their own (noise 98 dB below the piece's peak).

    What was not used for `max_age_s` goes, and the oldest go when `max_bytes` are exceeded. Only its owner can read it.
    """

    def __init__(self, folder: Path, *, max_age_s: float, max_bytes: float) -> None:
        self.warning: str | None = None
        """What whoever uses it should know."""
        self._folder = folder
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes

    def usable(self) -> Spool:
        """Try the folder; where it cannot be written, a private one that lasts as long as this object takes its place.

        Raises DeliveryFailed where there is none either.
        """
        try:
            trial = self._folder / f".try.{secrets.token_hex(4)}"
            self._put(trial, b"")
            _remove(trial)
        except OSError:
            try:
                self._folder = Path(mkdtemp(prefix="oscine-"))
            except OSError as error:
                raise _cannot_keep(error) from None
            weakref.finalize(self, rmtree, self._folder, ignore_errors=True)
            self.warning = (
                "The working folder cannot be written, so a job that is stopped will not go on where it was; set"
                " OSCINE_VOLUME to a folder that can be written."
            )
        return self

    def read(self, key: str, sample_rate: int) -> Samples | None:
        """The piece of that key, float32 `[n]`, or None if it is not here whole."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        samples = _unpack(data, sample_rate)
        if samples is None:
            _remove(path)
            return None
        _touch(path)
        return samples

    def write(self, key: str, samples: Samples, sample_rate: int) -> Samples:
        """Keep a piece; returns it as `read` will give it back, so that a resumed file equals an undisturbed one.

        Raises DeliveryFailed when the disk is full or the folder cannot be written.
        """
        data = _pack(samples, sample_rate)
        try:
            self._put(self._path(key), data)
        except OSError as error:
            raise _cannot_keep(error) from None
        kept = _unpack(data, sample_rate)
        assert kept is not None
        return kept

    def seed_for(self, job: str) -> int:
        """The seed that a job had before, else a new one, which is remembered from now on."""
        path = self._note(job)
        try:
            seed = int(json.loads(path.read_text())["seed"])
        except (OSError, ValueError, OverflowError, KeyError, TypeError):
            seed = -1
        if 0 <= seed < 2**63:
            _touch(path)
            return seed
        seed = secrets.randbelow(2**31)
        self.keep_seed(job, seed)
        return seed

    def keep_seed(self, job: str, seed: int) -> None:
        """Remember the seed that a job was done with; never fails."""
        try:
            self._put(self._note(job), json.dumps({"seed": seed}).encode())
        except OSError:
            log.debug("the job's seed could not be remembered")

    def forget_seed(self, job: str) -> None:
        """Remember nothing of a job whose file is gone; never fails."""
        _remove(self._note(job))

    def prune(self) -> None:
        """Remove what is too old or too much, oldest first; never fails. Looks at most once an hour."""
        now = time.time()
        if not self._is_due(now):
            return
        kept: list[tuple[float, int, Path]] = []
        for path in self._files():
            try:
                facts = path.stat()
            except OSError:
                continue
            age = now - facts.st_mtime
            if path.name.startswith(".") and age < _BEING_WRITTEN_S:
                continue
            if age > self._max_age_s:
                _remove(path)
            else:
                kept.append((facts.st_mtime, facts.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self._max_bytes:
                break
            _remove(path)
            total -= size

    def _is_due(self, now: float) -> bool:
        """Whether nobody has looked for an hour; then it is noted that somebody does now."""
        stamp = self._folder / _STAMP
        if not any((self._folder / kind).is_dir() for kind in ("pieces", "jobs")):
            return False
        try:
            if 0 <= now - stamp.stat().st_mtime < _PRUNE_S:
                return False
        except OSError:
            pass
        with suppress(OSError):
            self._put(stamp, b"")
        return True

    def _put(self, path: Path, data: bytes) -> None:
        """Write a file that is whole or not there."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self._folder, *reversed(path.relative_to(self._folder).parents[:-1])):
            (self._folder / folder).mkdir(mode=0o700, exist_ok=True)
        beside = path.with_name(f".{path.name.lstrip('.')}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600), "wb") as out:
                out.write(data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def _files(self) -> Iterator[Path]:
        for folder, _, names in os.walk(self._folder):
            yield from (Path(folder) / name for name in names)

    def _note(self, job: str) -> Path:
        return self._folder / "jobs" / f"{sha256(job.encode('utf-8', 'surrogatepass')).hexdigest()}.json"

    def _path(self, key: str) -> Path:
        if len(key) != 64 or not all(c in "0123456789abcdef" for c in key):
            raise ValueError("a spool key is the hexadecimal form of a SHA-256")
        return self._folder / "pieces" / key[:2] / f"{key}.osp"


def _cannot_keep(error: OSError) -> DeliveryFailed:
    return DeliveryFailed(
        f"Finished pieces cannot be kept in the working folder ({error.strerror or 'write failed'});"
        " free some space or set OSCINE_VOLUME to a folder that can be written.",
        code="spool_failed",
    )


def _pack(samples: Samples, sample_rate: int) -> bytes:
    scale = max(_QUIETEST, float(np.max(np.abs(samples), initial=0.0)))
    body = np.round(samples * np.float32(_FULL_SCALE / scale)).astype("<i2").tobytes()
    return _HEADER.pack(_MAGIC, sample_rate, scale, len(samples), zlib.crc32(body)) + body


def _unpack(data: bytes, sample_rate: int) -> Samples | None:
    if len(data) < _HEADER.size:
        return None
    magic, rate, scale, count, checksum = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size :]
    if magic != _MAGIC or rate != sample_rate or len(body) != 2 * count or zlib.crc32(body) != checksum:
        return None
    samples: Samples = np.frombuffer(body, dtype="<i2").astype(np.float32) * np.float32(scale / _FULL_SCALE)
    return samples


def _touch(path: Path) -> None:
    """Note that it was used; a folder that can only be read keeps its times."""
    with suppress(OSError):
        os.utime(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        log.debug("an old piece could not be removed")

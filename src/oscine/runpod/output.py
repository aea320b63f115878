"""Results on disk, by the name of their session: a job that is repeated finds what was spoken before.

A record is written when the speech is finished and before it is delivered, so that a worker that is killed in between
delivers it at the next attempt.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from oscine.config import Settings
from oscine.delivery.files import naming, written_whole
from oscine.engines.protocol import EngineInfo
from oscine.errors import OscineError
from oscine.runpod.documents import Document

log = logging.getLogger(__name__)

_SWEEP_S: Final = 3_600.0
"""How often old files are looked for."""
_YOUNG_S: Final = 3_600.0
"""What was touched so lately may be in the making, by any worker that shares the volume."""
_STEM: Final = 48
"""Characters of its name that a file in the making has in its own; see `delivery.files`."""
_NO_PART: Final = frozenset({"session_id", "stream", "stream_tail_ms", "stream_crossfade_ms", "action"})
"""Fields of a request that do not change what a file holds."""


@dataclass(frozen=True)
class Record:
    """A finished result."""

    document: Document
    path: Path
    """Where its file is, or was before it was uploaded."""
    s3_key: str | None = None
    """Where its copy is in the object store."""
    e_tag: str | None = None
    """What tells that copy from another that took its name."""


class Output:
    """The folder of results. Any number of jobs may use it; those of one session take turns."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[str, tuple[asyncio.Lock, int]] = {}
        self._swept = 0.0

    @asynccontextmanager
    async def session(self, session: str) -> AsyncIterator[None]:
        """The turn of a session's job."""
        lock, users = self._sessions.get(session, (asyncio.Lock(), 0))
        self._sessions[session] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._sessions[session]
            if users == 1:
                del self._sessions[session]
            else:
                self._sessions[session] = lock, users - 1

    def folder(self, engine: str) -> Path:
        """Where an engine's results lie; it is made. Raises InvalidRequest where that cannot be."""
        folder = self._settings.output_folder(engine)
        with naming("OUTPUT_AUDIO_DIR"):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def recall(self, engine: str, session: str, identity: str, voices: Sequence[str] | None = None) -> Record | None:
        """What was spoken for the same request, if it is still here or in the object store.

        `voices`: the keys of its voices as they are now; None: they cannot be told any more, and what is here holds.
        """
        folder = self._settings.output_folder(engine)
        try:
            found = json.loads(_record(folder, session).read_text("utf-8"))
            document = found["document"]
            path = folder / document["filename"]
            if found["identity"] != identity or path.parent != folder:
                return None
            if voices is not None and found["voices"] is not None and found["voices"] != list(voices):
                return None
            record = Record(document, path, found["s3_key"], found["e_tag"])
            is_here = path.is_file() and path.stat().st_size == found["size"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if record.s3_key is not None or is_here else None

    def forget(self, engine: str, session: str) -> None:
        """Drop the record of what has this name: another file is about to take it. Raises InvalidRequest."""
        with naming("OUTPUT_AUDIO_DIR"):
            _record(self.folder(engine), session).unlink(missing_ok=True)

    def keep(
        self, engine: str, session: str, identity: str, record: Record, voices: Sequence[str] | None = None
    ) -> bool:
        """Remember a result; whether that was possible. Without it, a repeat only takes longer."""
        told = {
            "identity": identity,
            "voices": None if voices is None else list(voices),
            "size": _size(record.path),
            "document": record.document,
            "s3_key": record.s3_key,
            "e_tag": record.e_tag,
        }
        try:
            with written_whole(_record(self.folder(engine), session), param="OUTPUT_AUDIO_DIR") as beside:
                beside.write_text(json.dumps(told), "utf-8")
        except (OscineError, OSError) as error:
            log.warning("a result could not be remembered (%s)", type(error).__name__)
            return False
        return True

    def sweep(self, *, now: float | None = None) -> int:
        """Remove what is older than CLEANUP_DAYS and in nobody's hands; how many files that were."""
        now = time.time() if now is None else now
        if now - self._swept < _SWEEP_S:
            return 0
        self._swept = now
        folders = {self._settings.output_folder(engine) for engine in ("vibevoice", "")}
        return sum(self._sweep(folder, now) for folder in folders)

    def _sweep(self, folder: Path, now: float) -> int:
        removed = 0
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                removed += self._removed(entry, now)
        return removed

    def _removed(self, entry: os.DirEntry[str], now: float) -> bool:
        name = entry.name.lstrip(".")
        if any(name.startswith(session.lstrip(".")[:_STEM]) for session in list(self._sessions)):
            return False
        with suppress(OSError):
            age = now - entry.stat(follow_symlinks=False).st_mtime
            if age > max(_YOUNG_S, self._settings.cleanup_days * 86_400) and entry.is_file(follow_symlinks=False):
                Path(entry.path).unlink()
                return True
        return False


def identity_of(fields: Mapping[str, Any], engine: EngineInfo) -> str:
    """Tells requests apart that ask for different files; the session's name is no part of it."""
    asked = {name: value for name, value in fields.items() if name not in _NO_PART}
    text = json.dumps(
        [engine.name, engine.version, asked], sort_keys=True, ensure_ascii=True, default=str, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()


def session_of(asked: str | None, job_id: object) -> str:
    """The name of a job's file: what was asked for, else the job's own, so that a second attempt finds the first's."""
    if asked is not None:
        return asked
    name = "".join(c for c in str(job_id) if c.isascii() and (c.isalnum() or c in "_-"))[:128]
    return name or hashlib.sha256(os.urandom(16)).hexdigest()[:32]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _record(folder: Path, session: str) -> Path:
    return folder / f"{session}.result.json"

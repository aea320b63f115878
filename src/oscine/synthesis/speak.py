"""From planned pieces to their sound, in order, a bounded number of pieces ahead of the reader."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from oscine.audio.stretch import TimeStretch
from oscine.audio.waveform import Samples
from oscine.engines.protocol import EngineInfo
from oscine.errors import Cancelled
from oscine.synthesis.plan import Piece, Plan
from oscine.synthesis.scheduler import Job, Take, chunks, whole
from oscine.synthesis.spool import Spool

_NOTHING: Final[Samples] = np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class Spoken:
    """The next samples of a piece."""

    piece: Piece
    samples: Samples
    last: bool
    """Nothing more of this piece follows."""
    reused: bool = False
    """It was finished earlier and not spoken again."""


def speak(
    plan: Plan, job: Job, *, spool: Spool | None = None, pieces: Iterable[Piece] | None = None
) -> Iterator[Spoken]:
    """Speak the plan's pieces (or `pieces`, which it made before) in order.

    With `spool`, pieces that were spoken before are read from it and new ones are kept; each piece then comes whole.
    Without, the samples come as the engine makes them. Raises SynthesisFailed, Cancelled, DeliveryFailed.
    """
    upcoming = _Upcoming(plan, job) if pieces is None else _Upcoming(plan, job, iter(pieces))
    window: deque[tuple[Piece, Take | Samples]] = deque()
    ahead = max(2, plan.info.max_lanes)
    try:
        while True:
            while len(window) < ahead and (piece := upcoming.take()) is not None:
                window.append((piece, _start(piece, plan.info, job, spool)))
            if not window:
                if upcoming.ended:
                    return
                upcoming.wait()
                if job.closed:
                    raise Cancelled("The request was cancelled.")
                continue
            piece, source = window[0]
            if isinstance(source, Take) and not source.ready and not upcoming.ended and len(window) < ahead:
                upcoming.wait(source)
                continue
            window.popleft()
            yield from _hear(piece, source, plan, spool)
    finally:
        upcoming.close()


def _start(piece: Piece, info: EngineInfo, job: Job, spool: Spool | None) -> Take | Samples:
    if spool is not None and (samples := spool.read(piece.key, info.sample_rate)) is not None:
        return samples
    return job.submit(piece.utterance)


def _hear(piece: Piece, source: Take | Samples, plan: Plan, spool: Spool | None) -> Iterator[Spoken]:
    rate = plan.info.sample_rate
    stretch = TimeStretch(rate, plan.stretch) if plan.stretch != 1.0 else None
    if not isinstance(source, Take):
        yield _stretched(piece, source, stretch, last=True, reused=True)
        return
    if spool is not None:
        samples = spool.write(piece.key, whole(source), rate)
        _note_silence(plan, len(samples))
        yield _stretched(piece, samples, stretch, last=True)
        return
    heard = 0
    for samples in chunks(source):
        heard += len(samples)
        yield _stretched(piece, samples, stretch, last=False)
    _note_silence(plan, heard)
    yield _stretched(piece, _NOTHING, stretch, last=True)


def _stretched(
    piece: Piece, samples: Samples, stretch: TimeStretch | None, *, last: bool, reused: bool = False
) -> Spoken:
    if stretch is not None:
        samples = stretch.push(samples)
        if last:
            samples = np.concatenate([samples, stretch.finish()])
    return Spoken(piece, samples, last, reused)


def _note_silence(plan: Plan, heard: int) -> None:
    if heard == 0:
        plan.warn(f"The engine {plan.info.name} cannot read a part of the text, which was left out.")


class _Upcoming:
    """The pieces to come.

    Text that is complete is planned as it is asked for; text that is still being written is planned in a thread of its
    own, so that waiting for the writer never keeps finished audio back.
    """

    def __init__(self, plan: Plan, job: Job, pieces: Iterator[Piece] | None = None) -> None:
        self._job = job
        self._pieces = plan.pieces(listener=not job.hold) if pieces is None else pieces
        self._planned: deque[Piece] = deque()
        self._error: BaseException | None = None
        self._closed = False
        self._read_to_end = False
        self._live = plan.live and pieces is None
        if self._live:
            threading.Thread(target=self._follow, name="oscine-text", daemon=True).start()

    @property
    def ended(self) -> bool:
        """No further piece will come."""
        with self._job.changed:
            return self._read_to_end and not self._planned and self._error is None

    def take(self) -> Piece | None:
        """The next piece; None: not yet, or `ended`."""
        if not self._live:
            piece = next(self._pieces, None)
            self._read_to_end = piece is None
            return piece
        with self._job.changed:
            if self._planned:
                self._job.changed.notify_all()
                return self._planned.popleft()
            if self._error is not None:
                raise self._error
            return None

    def wait(self, take: Take | None = None) -> None:
        """Wait until there is a piece, the text has ended, or `take` has something to read."""
        with self._job.changed:
            while not (
                self._planned
                or self._read_to_end
                or self._error
                or self._job.closed
                or (take is not None and take.ready)
            ):
                self._job.changed.wait()

    def close(self) -> None:
        with self._job.changed:
            self._closed = True
            self._job.changed.notify_all()

    def _follow(self) -> None:
        try:
            for piece in self._pieces:
                with self._job.changed:
                    while len(self._planned) >= 2 and not self._closed:
                        self._job.changed.wait()
                    if self._closed:
                        return
                    self._planned.append(piece)
                    self._job.changed.notify_all()
        except BaseException as error:  # handed to the reader, who raises it
            self._error = error
        finally:
            with self._job.changed:
                self._read_to_end = True
                self._job.changed.notify_all()

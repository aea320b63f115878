"""From planned pieces to their sound, in order, a bounded number of pieces ahead of the reader."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from oscine.audio.stretch import TimeStretch
from oscine.audio.waveform import Samples
from oscine.engines.protocol import EngineInfo
from oscine.errors import Cancelled, OscineError, SynthesisFailed
from oscine.synthesis.job import Job, Take, chunks, whole
from oscine.synthesis.plan import Piece, Plan
from oscine.synthesis.spool import Spool

_NOTHING: Final[Samples] = np.zeros(0, np.float32)
_FIRST: Final = 2
"""Pieces that are begun at once for a listener, at most: nothing competes with the first sound for a processor."""
_Started = tuple[Piece, Take | Samples]
"""A piece and where its sound comes from: the engine, or the spool."""


@dataclass(frozen=True, eq=False)
class Spoken:
    """The next samples of a piece."""

    piece: Piece
    samples: Samples
    last: bool
    """Nothing more of this piece follows."""
    reused: bool = False
    """It was finished earlier and not spoken again."""


class Speaking(Iterator[Spoken]):
    """A plan's pieces (or `pieces`, which it made before) being spoken, in order.

    With `spool`, pieces that were spoken before are read from it and new ones are kept; each piece then comes whole.
    Without, the samples come as the engine makes them. What is planned is spoken before an error of the text's writer
    is raised. Raises SynthesisFailed, Cancelled, DeliveryFailed.
    """

    def __init__(
        self, plan: Plan, job: Job, *, spool: Spool | None = None, pieces: Iterable[Piece] | None = None
    ) -> None:
        live = plan.live and pieces is None
        source = plan.pieces(listener=not job.hold) if pieces is None else iter(pieces)
        self._upcoming = (_Live if live else _Upcoming)(source, plan, job, spool)
        self._parts = _parts(self._upcoming, plan, spool)

    def __next__(self) -> Spoken:
        return next(self._parts)

    def go_on(self) -> None:
        """A sound has left: speak as many pieces ahead as there is room for, while the listener hears it."""
        self._upcoming.widen()

    def close(self) -> None:
        """Plan no more; idempotent."""
        self._parts.close()
        self._upcoming.close()


def _parts(upcoming: _Upcoming, plan: Plan, spool: Spool | None) -> Generator[Spoken]:
    try:
        while (started := upcoming.next()) is not None:
            try:
                for spoken in _hear(*started, plan, spool):
                    yield spoken
                    upcoming.widen()
            except SynthesisFailed as error:
                raise SynthesisFailed(f"{error.message} It is {started[0].place}.", code=error.code) from error
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
        yield _stretched(piece, samples, stretch, last=True)
        return
    for samples in chunks(source):
        yield _stretched(piece, samples, stretch, last=False)
    yield _stretched(piece, _NOTHING, stretch, last=True)


def _stretched(
    piece: Piece, samples: Samples, stretch: TimeStretch | None, *, last: bool, reused: bool = False
) -> Spoken:
    if stretch is not None:
        samples = stretch.push(samples)
        if last:
            samples = np.concatenate([samples, stretch.finish()])
    return Spoken(piece, samples, last, reused)


class _Upcoming:
    """The pieces to come, started a bounded number ahead of the reader; planned as there is room for them."""

    def __init__(self, pieces: Iterator[Piece], plan: Plan, job: Job, spool: Spool | None) -> None:
        self._pieces = pieces
        self._info = plan.info
        self._job = job
        self._spool = spool
        self._most = max(2, plan.info.max_lanes)
        self._ahead = self._most if job.hold else min(_FIRST, plan.info.apart)
        self._started: deque[_Started] = deque()
        self._error: BaseException | None = None

    def next(self) -> _Started | None:
        """The next piece; None at the end."""
        self.fill()
        if self._started:
            return self._started.popleft()
        if self._error is not None:
            raise self._error
        return None

    def fill(self) -> None:
        """Start as many pieces as there is room for."""
        while len(self._started) < self._ahead and (piece := self._plan()) is not None:
            self._started.append(self._start(piece))

    def widen(self) -> None:
        """The first sound is out: start as many pieces as there is room for."""
        self._ahead = self._most
        self.fill()

    def close(self) -> None:
        """Plan no more; idempotent."""

    def _plan(self) -> Piece | None:
        """What is wrong with a later part of the text is told when what comes before it was heard."""
        if self._error is None:
            try:
                return next(self._pieces, None)
            except OscineError as error:
                self._error = error
        return None

    def _start(self, piece: Piece) -> _Started:
        return piece, _start(piece, self._info, self._job, self._spool)


class _Live(_Upcoming):
    """Pieces of a text that is still being written, planned and started in a thread of its own.

    Waiting for the writer never keeps finished audio back, and listening never delays what is written meanwhile.
    """

    def __init__(self, pieces: Iterator[Piece], plan: Plan, job: Job, spool: Spool | None) -> None:
        super().__init__(pieces, plan, job, spool)
        self._ended = self._closed = False
        threading.Thread(target=self._follow, name="oscine-text", daemon=True).start()

    def next(self) -> _Started | None:
        with self._job.changed:
            while not (self._started or self._ended or self._job.closed):
                self._job.changed.wait()
            if self._started:
                self._job.changed.notify_all()
                return self._started.popleft()
            if self._job.closed:
                raise Cancelled("The request was cancelled.")
            if self._error is not None:
                raise self._error
            return None

    def fill(self) -> None:
        with self._job.changed:
            self._job.changed.notify_all()

    def close(self) -> None:
        with self._job.changed:
            self._closed = True
            self._job.changed.notify_all()

    def _follow(self) -> None:
        error: BaseException | None = None
        try:
            for piece in self._pieces:
                with self._job.changed:
                    while len(self._started) >= self._ahead and not self._stopped:
                        self._job.changed.wait()
                    if self._stopped:
                        return
                started = self._start(piece)
                with self._job.changed:
                    self._started.append(started)
                    self._job.changed.notify_all()
        except BaseException as caught:  # handed to the reader, who raises it
            error = caught
        finally:
            with self._job.changed:
                self._error, self._ended = error, True
                self._job.changed.notify_all()

    @property
    def _stopped(self) -> bool:
        return self._closed or self._job.closed

"""What a front holds of the scheduler: a job for its request, and a take for each utterance, which the reader reads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Final

import numpy as np

from oscine.audio.waveform import Samples
from oscine.engines.protocol import Lane, Utterance
from oscine.errors import Cancelled, OscineError

if TYPE_CHECKING:
    from oscine.synthesis.scheduler import Scheduler

AHEAD_S: Final = 30.0
"""Seconds of audio that may wait for its reader before the request's lanes pause, and that a listener may have in hand
before others come first."""
FILE_PATIENCE_S: Final = 2.0
"""A file's lanes count as due this long after they were last served."""
CHARS_PER_S: Final = 15.0
"""About how fast people read aloud; tells how long what is not spoken yet will last."""


class Pace(Enum):
    """Who reads: somebody who listens while it is spoken, or a file."""

    LISTENER = "listener"
    FILE = "file"


class Take:
    """One utterance's audio on its way from the engine to the reader."""

    def __init__(self, job: Job, utterance: Utterance) -> None:
        self.utterance = utterance
        self.stats: dict[str, float] = {}
        self._job = job
        self._lane: Lane | None = None
        self._held: list[Samples] = []
        self._ready: deque[Samples] = deque()
        self._waiting_samples = 0
        self._released = False
        self._attempts = 0
        self._suspect = False
        """It was open when the engine broke; until it has shown that it is harmless, it is spoken alone."""
        self._broke = 0
        """How often the engine broke while it was the only one."""
        self._finished = False
        self._error: OscineError | None = None

    @property
    def ready(self) -> bool:
        """Whether `read` would return at once."""
        return bool(self._ready) or self._over or self._job.closed

    def read(self) -> Samples | None:
        """The next samples, float32 `[n]`; None at the end. Waits for them.

        Raises SynthesisFailed when the piece could not be spoken, Cancelled when the job was closed.
        """
        with self._job.changed:
            while not self.ready:
                self._job.changed.wait()
            if self._ready:
                samples = self._ready.popleft()
                self._waiting_samples -= len(samples)
                self._job._was_read(len(samples))
                return samples
            if self._error is not None:
                raise self._error.with_traceback(None)
            if self._finished:
                self._job._retire(self)
                return None
            raise Cancelled("The request was cancelled.")

    @property
    def _over(self) -> bool:
        return self._finished or self._error is not None

    def _deliver(self, samples: Samples) -> None:
        if self._job.hold:
            self._held.append(samples)
        else:
            self._release(samples)

    def _release(self, samples: Samples) -> None:
        self._released = True
        self._ready.append(samples)
        self._waiting_samples += len(samples)

    def _finish(self, stats: dict[str, float]) -> None:
        if self._held:
            self._release(np.concatenate(self._held))
            self._held.clear()
        self.stats = stats
        self._finished = True

    def _again(self, utterance: Utterance) -> None:
        self._held.clear()
        self._lane = None
        self.utterance = utterance

    def _fail(self, error: OscineError) -> None:
        self._held.clear()
        self._error = error
        self._job.changed.notify_all()


class Job:
    """A request's utterances in the scheduler. Close it, or use it with `with`."""

    def __init__(self, scheduler: Scheduler, pace: Pace, hold: bool, label: str) -> None:
        self.pace = pace
        self.hold = hold
        """Samples of an utterance are released when it is finished, so that a failed one can be tried again."""
        self.label = label
        self.changed = threading.Condition(scheduler._lock)
        """Notified whenever something became readable."""
        self.closed = False
        self._scheduler = scheduler
        self._takes: deque[Take] = deque()
        self._arrived = time.monotonic()
        self._served = self._arrived
        self._playing_since: float | None = None
        self._read_samples = 0

    @property
    def ready_since(self) -> float | None:
        """When the engine was ready for this job, on the monotonic clock; None: it is still being loaded."""
        loaded = self._scheduler.loaded_at
        return None if loaded is None else max(loaded, self._arrived)

    def submit(self, utterance: Utterance) -> Take:
        """Queue an utterance; its audio comes in the order of submission. Raises what made the engine unusable."""
        return self._scheduler._submit(self, utterance)

    def close(self) -> None:
        """Forget everything that is not finished and free the lanes; idempotent."""
        self._scheduler._close_job(self)

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _was_read(self, samples: int) -> None:
        if self._playing_since is None:
            self._playing_since = time.monotonic()
        self._read_samples += samples
        self._may_go_on(samples)

    def _retire(self, take: Take) -> None:
        if take in self._takes:
            self._takes.remove(take)
        self._may_go_on(0)

    def _may_go_on(self, samples: int) -> None:
        """Wake the owner where lanes may pause because so much waited for the reader."""
        if self._waiting() + samples > AHEAD_S * self._scheduler.engine.info.sample_rate:
            self._scheduler._wake.notify_all()

    def _next_waiting(self) -> Take | None:
        return next((take for take in self._takes if take._lane is None and not take._over), None)

    def _due(self, take: Take, rate: int) -> float:
        """When the take must be served next, on the monotonic clock; smaller is more urgent.

        A listener's: when this client would run dry, later for what comes after pieces that are not spoken yet.
        """
        if self.pace is Pace.FILE:
            return self._served + FILE_PATIENCE_S
        dry = self._arrived if self._playing_since is None else self._playing_since + self._read_samples / rate
        waiting = self._waiting()
        if waiting:
            dry = max(dry, time.monotonic()) + waiting / rate
        return dry + sum(len(before.utterance.text) for before in self._before(take)) / CHARS_PER_S

    def _patient(self, take: Take, rate: int) -> bool:
        """Whether nobody waits for this very take: it goes into a file, or has time, or is only a look ahead."""
        return (
            self.pace is Pace.FILE
            or next(self._before(take), None) is not None
            or self._due(take, rate) - time.monotonic() > AHEAD_S
        )

    def _before(self, take: Take) -> Iterator[Take]:
        """What has to be spoken to its end before `take` is heard."""
        for other in self._takes:
            if other is take:
                return
            if not other._over:
                yield other

    def _waiting(self) -> int:
        return sum(take._waiting_samples for take in self._takes)

    def _far_ahead(self, take: Take, rate: int) -> bool:
        """Whether so much waits for the reader that the take can wait too; the head never waits for those behind it."""
        head = self._takes[0] if self._takes else take
        waiting = take._waiting_samples if take is head else self._waiting()
        return waiting > AHEAD_S * rate


def whole(take: Take) -> Samples:
    """All samples of a take, float32 `[n]`."""
    parts = list(chunks(take))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def chunks(take: Take) -> Iterator[Samples]:
    """The samples of a take as they come."""
    while (samples := take.read()) is not None:
        yield samples

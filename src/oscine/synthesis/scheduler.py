"""One owner thread per loaded engine: it admits utterances, picks the lanes, and puts what comes back where it belongs.

A front opens a `Job`, submits utterances and reads each one's `Take`. The owner thread is the only caller of the engine
and never waits for a reader: a reader that is slow only makes its own lanes pause.

Order. A listener's lanes go by playout deadline: when would this client run dry? A file's go by when it was last
served, plus some patience, so that new listeners come first and books are not starved. Files leave a part of the lanes
to listeners.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum
from typing import Final

import numpy as np

from oscine.audio.waveform import Samples
from oscine.engines.protocol import Audio, Done, Engine, EngineBroken, Event, Failed, Lane, State, Utterance
from oscine.errors import Busy, Cancelled, NotAvailable, OscineError, SynthesisFailed

log = logging.getLogger(__name__)

STEP_BUDGET_S: Final = 0.05
AHEAD_S: Final = 30.0
"""A request whose reader has this much audio waiting is left out until some of it was taken."""
FILE_PATIENCE_S: Final = 2.0
"""A file's lanes count as due this long after they were last served."""
ATTEMPTS: Final = 3
MAX_RELOADS: Final = 3
"""Reloads in a row, without one finished utterance between them, after which the engine counts as broken."""
_SEED_SPACE: Final = 2**63


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
        self._finished = False
        self._error: OscineError | None = None

    @property
    def ready(self) -> bool:
        """Whether `read` would return at once."""
        return bool(self._ready) or self._finished or self._error is not None or self._job.closed

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
                raise self._error
            if self._finished:
                self._job._retire(self)
                return None
            raise Cancelled("The request was cancelled.")

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
        self._scheduler._wake.notify_all()

    def _retire(self, take: Take) -> None:
        if self._takes and self._takes[0] is take:
            self._takes.popleft()
        self._scheduler._wake.notify_all()

    def _deadline(self, rate: int) -> float:
        """When this job must be served next, on the monotonic clock; smaller is more urgent."""
        if self.pace is Pace.FILE:
            return self._served + FILE_PATIENCE_S
        if self._playing_since is None:
            return self._arrived
        return self._playing_since + (self._read_samples + self._waiting()) / rate

    def _waiting(self) -> int:
        return sum(take._waiting_samples for take in self._takes)

    def _far_ahead(self, take: Take, rate: int) -> bool:
        head = self._takes[0] if self._takes else take
        waiting = take._waiting_samples if take is head else self._waiting()
        if waiting > AHEAD_S * rate:
            return True
        return (
            self.pace is Pace.LISTENER
            and self._playing_since is not None
            and self._deadline(rate) - time.monotonic() > AHEAD_S
        )


class Scheduler:
    """Owns a loaded engine and the thread that calls it."""

    def __init__(
        self, engine: Engine, *, max_jobs: int = 256, on_progress: Callable[[str, float | None], None] | None = None
    ) -> None:
        self.engine = engine
        self._max_jobs = max_jobs
        self._progress = on_progress or (lambda _what, _share: None)
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._jobs: list[Job] = []
        self._open: dict[Lane, Take] = {}
        self._closing = False
        self._loaded = False
        self.loaded_at: float | None = None
        """When the engine was first ready, on the monotonic clock."""
        self._failure: OscineError | None = None
        self._reloads = 0
        self._thread = threading.Thread(target=self._run, name=f"oscine-{engine.info.name}", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether the engine is loaded and working."""
        return self._loaded and self._failure is None

    @property
    def failure(self) -> OscineError | None:
        """Why the engine cannot be used any more."""
        return self._failure

    @property
    def lanes_busy(self) -> int:
        """Lanes that are open now."""
        return len(self._open)

    def job(self, pace: Pace, *, hold: bool = False, label: str = "") -> Job:
        """Take a place in the queue. Raises Busy at once when it is full."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if len(self._jobs) >= self._max_jobs:
                raise Busy("All places in the queue are taken; try again later.", retry_after=self._wait_estimate())
            job = Job(self, pace, hold, label)
            self._jobs.append(job)
            return job

    def close(self) -> None:
        """Stop the owner thread, cancel what is open and free the engine; idempotent."""
        with self._lock:
            self._closing = True
            for job in list(self._jobs):
                self._close_job(job)
            self._wake.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # -- called by readers ---------------------------------------------------------------------------------------------

    def _submit(self, job: Job, utterance: Utterance) -> Take:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if job.closed:
                raise Cancelled("The request was cancelled.")
            take = Take(job, utterance)
            job._takes.append(take)
            self._wake.notify_all()
            return take

    def _close_job(self, job: Job) -> None:
        with self._lock:
            if job.closed:
                return
            job.closed = True
            self._jobs.remove(job)
            for lane, take in self._open.items():
                if take._job is job:
                    lane.stop.set()
            job.changed.notify_all()
            self._wake.notify_all()

    def _wait_estimate(self) -> float:
        return max(1.0, min(30.0, len(self._jobs) / max(1, self.engine.info.max_lanes)))

    # -- the owner thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self.engine.load(self._progress)
            self._loaded = True
            self.loaded_at = time.monotonic()
            while self._turn():
                pass
        except OscineError as error:
            self._fail_all(error)
        except Exception as error:
            log.error("engine %s stopped: %s", self.engine.info.name, type(error).__name__)
            self._fail_all(
                NotAvailable(f"The engine {self.engine.info.name} could not be loaded ({type(error).__name__}).")
            )
        finally:
            for lane in list(self._open):
                self._close_lane(lane)
            self.engine.close()

    def _turn(self) -> bool:
        """Admit, step and hand out once; False when the scheduler was closed."""
        with self._lock:
            self._drop_closed()
            if self._closing:
                return False
            try:
                self._admit()
            except EngineBroken:
                self._recover()
                return True
            lanes = self._pick()
            if not lanes:
                self._wake.wait(AHEAD_S / 30 if self._open else None)
                return True
        try:
            events = self.engine.step(lanes, STEP_BUDGET_S)
        except EngineBroken:
            self._recover()
            return True
        except Exception as error:
            log.error("engine %s failed in step: %s", self.engine.info.name, type(error).__name__)
            self._recover()
            return True
        with self._lock:
            for event in events:
                self._hand_out(event)
        return True

    def _drop_closed(self) -> None:
        for lane, take in list(self._open.items()):
            if take._job.closed:
                self._close_lane(lane)

    def _admit(self) -> None:
        """Open lanes for waiting utterances, the most urgent job first, one utterance a job in turn."""
        rate = self.engine.info.sample_rate
        while True:
            waiting = [(job._deadline(rate), order, job) for order, job in enumerate(self._jobs)]
            for _, _, job in sorted(waiting, key=lambda entry: entry[:2]):
                take = self._next_waiting(job)
                if take is None or job._far_ahead(take, rate) or not self._room_for(job):
                    continue
                capacity = self.engine.capacity(take.utterance)
                if capacity.state is State.NEVER:
                    self._give_up(take, capacity.reason)
                    break
                if capacity.state is State.LATER:
                    return  # smaller utterances of others must not overtake for ever
                if capacity.state is State.NOW:
                    lane = self.engine.open(take.utterance, threading.Event())
                    take._lane = lane
                    take._attempts += 1
                    job._served = time.monotonic()
                    self._open[lane] = take
                    break
            else:
                return

    def _next_waiting(self, job: Job) -> Take | None:
        return next(
            (take for take in job._takes if take._lane is None and not take._finished and take._error is None), None
        )

    def _room_for(self, job: Job) -> bool:
        """Whether the job's kind may take another lane: files leave a quarter of them (at least one) to listeners."""
        lanes = self.engine.info.max_lanes
        if len(self._open) >= lanes:
            return False
        if job.pace is Pace.LISTENER or lanes == 1:
            return True
        for_files = lanes - max(1, lanes // 4)
        return sum(take._job.pace is Pace.FILE for take in self._open.values()) < for_files

    def _pick(self) -> list[Lane]:
        rate = self.engine.info.sample_rate
        eligible = [
            (take._job._deadline(rate), order, lane)
            for order, (lane, take) in enumerate(self._open.items())
            if not take._job._far_ahead(take, rate)
        ]
        return [lane for _, _, lane in sorted(eligible, key=lambda entry: entry[:2])]

    def _hand_out(self, event: Event) -> None:
        take = self._open.get(event.lane)
        if take is None:
            return
        job = take._job
        if isinstance(event, Audio):
            take._deliver(event.samples)
            job._served = time.monotonic()
        elif isinstance(event, Done):
            self._close_lane(event.lane)
            take._finish(dict(event.stats))
            self._reloads = 0
        elif isinstance(event, Failed):
            self._close_lane(event.lane)
            if event.retryable and self._may_retry(take):
                seed = (take.utterance.seed + take._attempts) % _SEED_SPACE
                self._retry(take, replace(take.utterance, seed=seed))
            else:
                self._give_up(take, event.error)
        job.changed.notify_all()

    def _may_retry(self, take: Take) -> bool:
        return not take._released and take._attempts < ATTEMPTS and not take._job.closed

    def _retry(self, take: Take, utterance: Utterance) -> None:
        take._held.clear()
        take._lane = None
        take.utterance = utterance

    def _give_up(self, take: Take, reason: str) -> None:
        take._error = SynthesisFailed(reason)
        take._job.changed.notify_all()

    def _close_lane(self, lane: Lane) -> None:
        self._open.pop(lane, None)
        lane.stop.set()
        self.engine.close_lane(lane)

    def _recover(self) -> None:
        """The engine broke: fail or requeue what is open and load it again."""
        with self._lock:
            for lane, take in list(self._open.items()):
                self._open.pop(lane)
                lane.stop.set()
                if self._may_retry(take):
                    self._retry(take, take.utterance)
                else:
                    self._give_up(take, "The engine broke down while it spoke this piece.")
            self._loaded = False
            self._reloads += 1
        self.engine.close()
        if self._reloads > MAX_RELOADS:
            raise NotAvailable(f"The engine {self.engine.info.name} broke down {self._reloads} times in a row.")
        self.engine.load(self._progress)
        self._loaded = True

    def _fail_all(self, error: OscineError) -> None:
        with self._lock:
            self._failure = error
            for job in self._jobs:
                for take in job._takes:
                    if not take._finished and take._error is None:
                        take._error = error
                job.changed.notify_all()


def whole(take: Take) -> Samples:
    """All samples of a take, float32 `[n]`."""
    parts = list(chunks(take))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def chunks(take: Take) -> Iterator[Samples]:
    """The samples of a take as they come."""
    while (samples := take.read()) is not None:
        yield samples

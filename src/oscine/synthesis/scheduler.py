"""One owner thread per loaded engine: it admits utterances, picks the lanes, and puts what comes back where it belongs.

A front opens a `Job`, submits utterances and reads each one's `Take`. The owner thread is the only caller of the engine
and never waits for a reader: a reader that is slow only makes its own lanes pause.

Who comes next is decided in `oscine.synthesis.order`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from oscine.engines.protocol import Audio, Done, Engine, EngineBroken, Event, Failed, Lane, State, Utterance
from oscine.errors import Busy, Cancelled, EngineFailed, OscineError, SynthesisFailed
from oscine.heap import give_back
from oscine.synthesis.job import Job, Take
from oscine.synthesis.job import Pace as Pace
from oscine.synthesis.order import has_room, lanes_to_step, most_urgent, suspects

log = logging.getLogger(__name__)
logging.getLogger("oscine").addHandler(logging.NullHandler())  # who uses Oscine decides where its log goes

STEP_BUDGET_S: Final = 0.05
REST_S: Final = 1.0
"""Seconds without a job after which memory is given back that was only kept to be quick."""
POLL_S: Final = 0.5
"""How often an engine that has no room now is asked again."""
ATTEMPTS: Final = 3
BREAKS: Final = 2
"""How often a piece may break the engine while it is spoken alone."""
MAX_RELOADS: Final = 3
"""Reloads in a row, without one finished utterance between them, after which the engine counts as broken."""
_SEED_SPACE: Final = 2**63


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
        self._closing = self._unwanted = False
        self._reason: OscineError | None = None
        """Why it was closed, where nobody asked for that."""
        self._loaded = False
        self.loaded_at: float | None = None
        """When the engine was first ready, on the monotonic clock."""
        self.spoken = False
        """Whether it has finished an utterance."""
        self._failure: OscineError | None = None
        self.failed_at: float | None = None
        """When it became unusable, on the monotonic clock."""
        self._reloads = 0
        self._suspicious = False
        """Some takes were open when the engine broke."""
        self._resting = False
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
    def over(self) -> bool:
        """Whether it takes nothing more: it was closed, is being closed, or failed."""
        return self._closing or self._failure is not None

    @property
    def lanes_busy(self) -> int:
        """Lanes that are open now."""
        return len(self._open)

    def wait_loaded(self) -> bool:
        """Wait until the engine is loaded, which is True, or takes nothing more."""
        with self._lock:
            self._wake.wait_for(lambda: self.loaded_at is not None or self.over)
            return self.loaded_at is not None

    def job(self, pace: Pace, *, hold: bool = False, label: str = "") -> Job:
        """Take a place in the queue. Raises Busy at once when it is full, and what made the engine unusable."""
        with self._lock:
            self._check_usable()
            if len(self._jobs) >= self._max_jobs:
                raise Busy("All places in the queue are taken; try again later.", retry_after=self._wait_estimate())
            job = Job(self, pace, hold, label)
            self._jobs.append(job)
            return job

    def close(self, timeout_s: float | None = None, *, reason: OscineError | None = None) -> bool:
        """Stop the owner thread, cancel what is open and free the engine; idempotent.

        Whoever waits is told the `reason`, else Cancelled. Returns whether the thread has ended within the limit: one
        that is inside the engine cannot be stopped from outside, and does not keep the process.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        self._closing = True
        self._reason = self._reason or reason
        if self._lock.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s)):
            try:
                for job in list(self._jobs):
                    if self._reason is not None:
                        _fail_takes(job, self._reason)
                    self._close_job(job)
                self._wake.notify_all()
            finally:
                self._lock.release()
        if threading.current_thread() is not self._thread:
            self._thread.join(None if until is None else max(0.0, until - time.monotonic()))
        return not self._thread.is_alive()

    def let_go(self) -> None:
        """Free the engine when the last job is closed. Waits for nothing: it may be called while objects are freed."""
        self._unwanted = True
        if self._lock.acquire(blocking=False):
            try:
                self._wake.notify_all()
            finally:
                self._lock.release()
        else:
            threading.Thread(target=self._call_awake, name="oscine-let-go", daemon=True).start()

    # -- called by readers ---------------------------------------------------------------------------------------------

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._closing:
            raise self._end().with_traceback(None)

    def _submit(self, job: Job, utterance: Utterance) -> Take:
        with self._lock:
            self._check_usable()
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

    def _call_awake(self) -> None:
        with self._lock:
            self._wake.notify_all()

    # -- the owner thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failure: OscineError | None = None
        try:
            self.engine.load(self._progress)
            with self._lock:
                self._loaded = True
                self.loaded_at = time.monotonic()
                self._wake.notify_all()
            while self._turn():
                pass
        except OscineError as error:
            failure = error
        except Exception as error:
            what = "could not be loaded" if self.loaded_at is None else "broke down and could not be loaded again"
            self._tell(what, error)
            failure = EngineFailed(f"The engine {self.engine.info.name} {what} ({type(error).__name__}).")
        finally:
            self._fail_all(failure or self._end())
            self._free()

    def _turn(self) -> bool:
        """Admit, step and hand out once; False when the scheduler was closed."""
        try:
            with self._lock:
                self._drop_closed()
                self._closing = self._closing or (self._unwanted and not self._jobs)
                if self._closing:
                    return False
                crowded = self._admit()
                lanes = lanes_to_step(self._open, self.engine.info.sample_rate, crowded=crowded)
                if not lanes and not self._time_to_rest(crowded=crowded):
                    return True
            if not lanes:
                give_back()
                return True
            events = self.engine.step(lanes, STEP_BUDGET_S)
        except Exception as error:
            self._tell("broke down", error)
        else:
            with self._lock:
                for event in events:
                    self._hand_out(event)
            return True
        self._recover()  # when the error is gone, whose frames hold the model that broke
        return True

    def _time_to_rest(self, *, crowded: bool) -> bool:
        """Wait until something happens; True when there was no job for a while, once."""
        self._resting = self._resting and not self._jobs
        if self._jobs or self._resting:
            self._wake.wait(POLL_S if crowded else None)
            return False
        self._resting = not self._wake.wait_for(lambda: self._jobs or self._closing or self._unwanted, REST_S)
        return self._resting

    def _drop_closed(self) -> None:
        for lane, take in list(self._open.items()):
            if take._job.closed:
                self._close_lane(lane)

    def _admit(self) -> bool:
        """Open lanes for waiting utterances in their order; whether some had to stay outside."""
        info = self.engine.info
        while True:
            waiting = most_urgent(self._jobs, info.sample_rate)
            broken = suspects(self._jobs, info.sample_rate) if self._suspicious else []
            self._suspicious = bool(broken) or (
                self._suspicious and any(take._suspect for job in self._jobs for take in job._takes if not take._over)
            )
            if broken or (self._suspicious and any(take._suspect for take in self._open.values())):
                if self._open:
                    return bool(waiting)
                waiting = broken
            for take in waiting:
                if not has_room(take, self._open, info.max_lanes, info.sample_rate):
                    continue
                if not self._try_open(take):
                    return True  # smaller utterances of others must not overtake for ever
                break
            else:
                return bool(waiting)

    def _try_open(self, take: Take) -> bool:
        """Open a lane for the take, or give it up; False when the engine has no room now."""
        try:
            capacity = self.engine.capacity(take.utterance)
            if capacity.state is State.LATER:
                return False
            if capacity.state is State.NEVER:
                take._fail(SynthesisFailed(capacity.reason))
                return True
            lane = self.engine.open(take.utterance, threading.Event())
        except EngineBroken:
            self._enter(take, Lane(take.utterance, threading.Event()))
            raise
        except Exception as error:
            self._tell("could not open a lane", error)
            take._fail(SynthesisFailed(f"The engine {self.engine.info.name} could not begin to speak this piece."))
            return True
        self._enter(take, lane)
        return True

    def _enter(self, take: Take, lane: Lane) -> None:
        take._lane = lane
        take._attempts += 1
        take._job._served = time.monotonic()
        self._open[lane] = take

    def _hand_out(self, event: Event) -> None:
        take = self._open.get(event.lane)
        if take is None:
            return
        job = take._job
        if isinstance(event, Audio) and not np.isfinite(event.samples).all():
            event = Failed(event.lane, "The engine made sound that holds no numbers.", retryable=True)
        if isinstance(event, Audio):
            take._deliver(event.samples)
            job._served = time.monotonic()
        elif isinstance(event, Done):
            self._close_lane(event.lane)
            take._finish(dict(event.stats))
            take._suspect = False
            self._reloads = 0
            self.spoken = True
        else:
            self._close_lane(event.lane)
            if event.retryable and self._may_retry(take):
                seed = (take.utterance.seed + take._attempts) % _SEED_SPACE
                take._again(replace(take.utterance, seed=seed))
            else:
                take._fail(SynthesisFailed(event.error))
        job.changed.notify_all()

    def _may_retry(self, take: Take) -> bool:
        tries_left = take._attempts < ATTEMPTS and take._broke < BREAKS
        return tries_left and not take._released and not take._job.closed

    def _close_lane(self, lane: Lane) -> None:
        self._open.pop(lane, None)
        lane.stop.set()
        self.engine.close_lane(lane)

    def _recover(self) -> None:
        """The engine broke: fail or requeue what is open and load it again. Never called with the lock.

        Only a piece that was alone is known to be the cause; where there were several, each is tried alone.
        """
        with self._lock:
            alone = len(self._open) == 1
            for lane, take in self._open.items():
                lane.stop.set()
                take._suspect = self._suspicious = True
                take._broke += alone
                take._attempts -= not alone
                if self._may_retry(take):
                    take._again(take.utterance)
                else:
                    take._fail(SynthesisFailed("The engine broke down while it spoke this piece."))
            self._open.clear()
            self._loaded = False
            self._reloads += 1
        self.engine.close()
        if self._closing:
            return
        if self._reloads > MAX_RELOADS:
            raise EngineFailed(f"The engine {self.engine.info.name} broke down {self._reloads} times in a row.")
        self.engine.load(self._progress)
        self._loaded = True

    def _fail_all(self, error: OscineError) -> None:
        """Nothing will be spoken any more: tell whoever waits."""
        error.__traceback__ = error.__context__ = error.__cause__ = None  # their frames hold what the engine had loaded
        with self._lock:
            self._failure, self.failed_at = error, time.monotonic()
            for job in self._jobs:
                _fail_takes(job, error)
            self._wake.notify_all()

    def _end(self) -> OscineError:
        if not self._closing:
            return EngineFailed(f"The engine {self.engine.info.name} ended by itself; try again.")
        return self._reason or Cancelled("The engine was closed.")

    def _free(self) -> None:
        try:
            with self._lock:
                for lane in list(self._open):
                    self._close_lane(lane)
            self.engine.close()
        except Exception as error:
            self._tell("could not be closed", error)

    def _tell(self, what: str, error: Exception) -> None:
        """One line for the log, and the whole cause for those who look for it."""
        log.error("engine %s %s (%s)", self.engine.info.name, what, type(error).__name__)
        log.debug("engine %s %s", self.engine.info.name, what, exc_info=error)


def _fail_takes(job: Job, error: OscineError) -> None:
    for take in job._takes:
        if not take._over:
            take._fail(error)
    job.changed.notify_all()

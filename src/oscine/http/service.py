"""What the routes share: the speech, the settings, who may ask, how many are asking, and the figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

from oscine.aio import AsyncOscine
from oscine.api import Oscine
from oscine.config import Settings
from oscine.engines.protocol import Engine
from oscine.errors import Busy, OscineError
from oscine.http.access import Keys, RateLimit
from oscine.http.metrics import Metrics
from oscine.request import SpeechRequest
from oscine.synthesis.scheduler import Scheduler
from oscine.synthesis.studio import Studio


class State(Enum):
    """How far an engine is."""

    IDLE = "idle"
    """It is loaded when the first request comes."""
    LOADING = "loading"
    READY = "ok"
    BROKEN = "broken"
    """Something is missing, or it broke down for good."""


class Places:
    """Bounds how many requests are spoken or wait at once. Used by the event loop only."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.active = 0
        self.waiting = 0
        """Those that have no sound yet."""
        self._clock = clock
        self._full_since = 0.0
        self._interval_s = 1.0
        """About how often a place becomes free while all are taken; what else passes says nothing of that."""

    def check(self) -> None:
        """Raises Busy where all places are taken."""
        if self.active >= self.limit:
            raise Busy(
                "All places in the queue are taken; try again later.", retry_after=min(30.0, max(1.0, self._interval_s))
            )

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A place, until the end of the block. Raises Busy."""
        self.check()
        self.active += 1
        if self.active == self.limit:
            self._full_since = self._clock()
        try:
            yield
        finally:
            if self.active == self.limit:
                self._interval_s += 0.2 * (self._clock() - self._full_since - self._interval_s)
            self.active -= 1

    @contextmanager
    def waiting_for_sound(self) -> Iterator[None]:
        """Counts among those that have no sound yet, until the end of the block."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


@dataclass
class Service:
    """The state of one server."""

    settings: Settings
    studio: Studio
    oscine: AsyncOscine
    keys: Keys
    rate_limit: RateLimit
    places: Places
    metrics: Metrics
    started: float = field(default_factory=time.time)
    """Seconds since 1970."""
    engine: Engine | None = None
    """The engine that answers when none is asked for; None until it was looked for."""
    missing: OscineError | None = None
    """Why there is none, or why it cannot be loaded."""
    when_ready: Callable[[], None] = lambda: None
    """Called once, in a thread, when the engine has spoken for the first time."""
    _warm: bool = False

    @classmethod
    def of(cls, studio: Studio) -> Service:
        """A service of a studio. Raises InvalidRequest for a setting that cannot be."""
        settings = studio.settings
        return cls(
            settings=settings,
            studio=studio,
            oscine=AsyncOscine(studio=studio),
            keys=Keys([key.get_secret_value() for key in settings.api_keys]),
            rate_limit=RateLimit(settings.rate_limit),
            places=Places(settings.max_requests),
            metrics=Metrics(),
        )

    def prepare(self) -> None:
        """Construct the engine and, unless the settings say never, begin to load it; slow, once, in a thread."""
        try:
            name = self.studio.registry.select(None, None)
            self.engine = self.studio.registry.get(name)
            if self.settings.preload != "never":
                self.studio.scheduler(name)
                self._warm_up()
        except OscineError as error:
            self.missing = error

    def _warm_up(self) -> None:
        """Speak a word for nobody, so that the first client does not wait for what the first speech loads."""
        request, _ = SpeechRequest.parse({"text": "Ready."})
        with suppress(OscineError), Oscine(studio=self.studio).stream_request(request) as stream:
            for _ in stream:
                pass
        self.when_ready()
        self._warm = True

    def scheduler(self) -> Scheduler | None:
        """The scheduler of the engine that answers when none is asked for; None until it is wanted. Never waits."""
        return self.studio.loaded(self.settings.engine.lower())

    def state(self) -> State:
        """How far that engine is; never waits."""
        scheduler = self.scheduler()
        if scheduler is None:
            if self.missing is not None:
                return State.BROKEN
            return State.IDLE if self.engine is not None and self.settings.preload == "never" else State.LOADING
        if scheduler.failure is not None:
            return State.BROKEN
        ready = scheduler.ready and (self._warm or self.settings.preload == "never")
        return State.READY if ready else State.LOADING

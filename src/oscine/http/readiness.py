"""How far the engine is that answers when none is asked for: what `/ping` and `/health` say, and what gets it there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from oscine.api import Oscine
from oscine.delivery.stream import Stream
from oscine.engines.protocol import Engine
from oscine.errors import Cancelled, EngineFailed, OscineError
from oscine.request import SpeechRequest
from oscine.synthesis.scheduler import Scheduler
from oscine.synthesis.studio import Studio

log = logging.getLogger(__name__)


class State(Enum):
    """How far an engine is."""

    IDLE = "idle"
    """It is loaded when the first request comes."""
    LOADING = "loading"
    READY = "ok"
    BROKEN = "broken"
    """Something is missing, or it broke down."""


class Readiness:
    """Loads an engine and has it speak, and tells how far it is. Only `prepare` is slow; all else never waits."""

    def __init__(self, studio: Studio) -> None:
        self.when_loaded: Callable[[], None] = lambda: None
        """Called once, in the thread of `prepare`, before the server says that it is ready."""
        self._studio = studio
        self._name = studio.settings.engine
        self._lazy = studio.settings.preload == "never"
        self._constructed: Engine | None = None
        self._preparing = True
        self._failure: OscineError | None = None
        self._failed: Scheduler | None = None
        """Where `_failure` happened; None: before there was a scheduler."""

    @property
    def scheduler(self) -> Scheduler | None:
        """The engine's scheduler; None until it is wanted."""
        return self._studio.loaded(self._name)

    @property
    def engine(self) -> Engine | None:
        """The engine; None until it was looked for."""
        return self.scheduler.engine if self.scheduler else self._constructed

    @property
    def problem(self) -> OscineError | None:
        """Why it cannot be used; forgotten when it can be."""
        scheduler = self.scheduler
        if scheduler is None:
            return self._failure
        if scheduler.failure is not None:
            return scheduler.failure
        return self._failure if scheduler is self._failed and not scheduler.spoken else None

    @property
    def state(self) -> State:
        """How far it is: ready when it is loaded and has spoken a word."""
        scheduler = self.scheduler
        if self.problem is not None:
            return State.BROKEN
        if scheduler is None:
            return State.IDLE if self._lazy and self._constructed is not None else State.LOADING
        return State.READY if scheduler.ready and not self._preparing else State.LOADING

    def prepare(self) -> None:
        """Construct the engine and, unless the settings say never, load it and have it speak; once, in a thread."""
        scheduler = None
        try:
            name = self._studio.registry.select(None, None)
            self._constructed = self._studio.registry.get(name)
            if not self._lazy:
                scheduler = self._studio.scheduler(name)
                self._warm_up(scheduler)
        except OscineError as error:
            self._failure, self._failed = error, scheduler
        except Exception as error:
            what = "could not be constructed" if self._constructed is None else "could not speak its first word"
            log.error("engine %s %s (%s)", self._name, what, type(error).__name__)
            log.debug("engine %s %s", self._name, what, exc_info=error)
            self._failure = EngineFailed(f"The engine {self._name} {what} ({type(error).__name__}).")
            self._failed = scheduler
        finally:
            self._preparing = False

    def _warm_up(self, scheduler: Scheduler) -> None:
        """Speak a word for nobody, so that the first client does not wait for what the first speech loads."""
        request, _ = SpeechRequest.parse({"text": "Ready."})
        stream: Stream[bytes] | None = None
        try:
            stream = Oscine(studio=self._studio).stream_request(request)
        except OscineError as error:  # others speak, or there is no voice yet: no fault of the engine
            log.warning("engine %s speaks no first word: %s", self._name, error.message)
        self._settle(scheduler)
        if stream is None:
            return
        with stream, suppress(Cancelled):  # the server ends
            for _ in stream:
                pass

    def _settle(self, scheduler: Scheduler) -> None:
        try:
            if scheduler.wait_loaded():
                self.when_loaded()
        except Exception as error:  # it only makes the server smoother
            log.error("engine %s is ready, but what follows failed (%s)", self._name, type(error).__name__)

"""What the routes share: the speech, the settings, who may ask, how many are asking, and the figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from oscine.aio import AsyncOscine
from oscine.config import Settings
from oscine.errors import Busy
from oscine.http.access import Keys, RateLimit
from oscine.http.metrics import Metrics
from oscine.http.readiness import Readiness
from oscine.synthesis.studio import Studio


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
    readiness: Readiness
    started: float = field(default_factory=time.time)
    """Seconds since 1970."""
    stop_by: float | None = None
    """When all has to be over, on the monotonic clock; None: nobody asked for an end yet."""

    @classmethod
    def of(cls, studio: Studio) -> Service:
        """A service of a studio. Raises InvalidRequest for a setting that cannot be."""
        settings = studio.settings
        studio.rest_s = REST_S  # else each of the requests that go on coming would have a broken engine loaded anew
        places, metrics = Places(settings.max_requests), Metrics()
        metrics.active.set_function(lambda: places.active)
        metrics.queue.set_function(lambda: places.waiting)
        return cls(
            settings=settings,
            studio=studio,
            oscine=AsyncOscine(studio=studio),
            keys=Keys([key.get_secret_value() for key in settings.api_keys]),
            rate_limit=RateLimit(settings.rate_limit),
            places=places,
            metrics=metrics,
            readiness=Readiness(studio),
        )

    def end(self) -> None:
        """Stop the engines for good, in what is left of the time to finish."""
        left_s = self.settings.drain_seconds if self.stop_by is None else self.stop_by - time.monotonic()
        self.studio.end(max(_LEAST_S, left_s))


REST_S: Final = 10.0
"""Seconds before an engine that failed is loaded again; `Retry-After` of such an answer says the same."""
_LEAST_S: Final = 1.0
"""Seconds that freeing an idle engine may take, even where the time to finish is over."""

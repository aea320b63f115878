"""Ending a worker: what it has taken is finished, and nothing more is taken.

The SDK goes on with the polls that are open when it is asked to stop. A job that one of them brings is never begun, and
lost until the platform misses the worker; an idle worker ends only when its polls do, a minute and a half later; and
whoever cancels a job meanwhile is heard only by the one poll that is open.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, Final

log = logging.getLogger(__name__)

_Fetch = Callable[..., Awaitable[Any]]
_LOOK_S: Final = 0.05
"""How often a worker that was asked to stop looks whether its jobs are done."""
_FLOOR_S: Final = 0.5
"""The least time between two questions for jobs to be stopped, where they are answered at once."""


class Drain:
    """Ends the SDK's polls in time. `watch` it before the SDK's loop is started."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._former: Callable[[int, FrameType | None], Any] | None = None

    def watch(self) -> None:
        """Have the SDK poll through this; what it has under another name in another version stays as it is."""
        from runpod.serverless.modules import rp_scale

        ended = {"get_job": self._stopped, "get_stop_signals": self._drained}
        for name, wait in ended.items():
            fetch = getattr(rp_scale, name, None)
            if fetch is not None:
                setattr(rp_scale, name, self._until(wait, fetch))
        scaler = getattr(rp_scale, "JobScaler", None)
        monitor = getattr(scaler, "monitor_stop_signals", None)
        if monitor is not None:
            setattr(scaler, "monitor_stop_signals", self._monitoring(monitor))  # noqa: B010 - mypy takes it for a method

    def begin(self) -> None:
        """Take no more jobs, and end when the last is done; as if the platform had asked."""
        self._asked(signal.SIGTERM, None)

    def _until(self, wait: Callable[[], Awaitable[None]], fetch: _Fetch) -> _Fetch:
        async def fetched(*arguments: Any) -> Any:
            self._listen()
            fetching, waiting = asyncio.ensure_future(fetch(*arguments)), asyncio.ensure_future(wait())
            try:
                await asyncio.wait({fetching, waiting}, return_when=asyncio.FIRST_COMPLETED)
                return fetching.result() if fetching.done() else []
            finally:
                fetching.cancel()
                waiting.cancel()

        return fetched

    def _monitoring(self, monitor: _Fetch) -> _Fetch:
        """The SDK's loop that hears which jobs to stop, for as long as there are any."""
        from runpod.serverless.modules.worker_state import JobsProgress

        async def monitored(scaler: Any, session: Any) -> None:
            await monitor(scaler, session)
            while self._stopping.is_set() and JobsProgress().get_job_count():
                try:
                    stopped = await scaler.stop_signals_fetcher(session)
                    for job in stopped:
                        await scaler.stop_job(job)
                except Exception as error:  # the platform cannot be reached: the jobs go on
                    log.info("the platform does not tell which jobs to stop (%s)", type(error).__name__)
                    stopped = []
                if not stopped and JobsProgress().get_job_count():
                    await asyncio.sleep(_FLOOR_S)

        return monitored

    async def _stopped(self) -> None:
        await self._stopping.wait()

    async def _drained(self) -> None:
        """Until then somebody may want a job to be stopped."""
        from runpod.serverless.modules.worker_state import JobsProgress

        await self._stopping.wait()
        while JobsProgress().get_job_count():  # noqa: ASYNC110 - the SDK tells nobody
            await asyncio.sleep(_LOOK_S)

    def _listen(self) -> None:
        """Hear what asks the SDK to stop, whose own listeners stand when its loop runs."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        former = signal.getsignal(signal.SIGTERM)
        if callable(former):
            self._former = former
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._asked)
            alive = getattr(getattr(former, "__self__", None), "is_alive", None)
            if alive is not None and not alive():  # it was asked when nobody listened here yet
                self._stopping.set()

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self._former is None or self._loop is None:
            return
        self._former(number, frame)
        self._loop.call_soon_threadsafe(self._stopping.set)

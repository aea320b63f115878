"""How far a job is, as the platform shows it while it runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from oscine.runpod.patience import once
from oscine.synthesis.track import Progress

log = logging.getLogger(__name__)

EVERY_S: Final = 5.0
"""Between two reports. Each is a request to the platform; jobs that are shorter make none."""
_LAST_S: Final = 10.0
"""How long a result waits for a report that is on its way."""


class Reporter:
    """Tells the platform how far a job is, every few seconds, for as long as it is entered.

    Reports end before the job's result is sent, so that none of them arrives after it and takes its place. One that is
    on its way is waited for: the platform might read a connection that was given up after the result's.
    """

    def __init__(self, job: Mapping[str, Any], every_s: float = EVERY_S) -> None:
        self._job = job
        self._every_s = every_s
        self._latest: Progress | None = None
        self._pieces = 0
        """At least as many as `_latest` knows of."""
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def told(self, progress: Progress) -> None:
        """Called by the thread that writes the file."""
        self._pieces += 1
        self._latest = progress  # last: the report that is being made takes both, or there is another one

    async def __aenter__(self) -> Reporter:
        if "id" in self._job:
            self._task = asyncio.create_task(self._report())
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._over.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_LAST_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _report(self) -> None:
        while not await self._waited():
            latest, self._latest = self._latest, None
            if latest is None:
                continue
            try:
                await _send(self._job, self._described(latest))
            except Exception as error:  # the job goes on
                log.info("progress could not be told (%s)", type(error).__name__)

    async def _waited(self) -> bool:
        """Wait for the next report's time; whether the job is over instead."""
        try:
            await asyncio.wait_for(self._over.wait(), self._every_s)
        except TimeoutError:
            return False
        return True

    def _described(self, progress: Progress) -> dict[str, Any]:
        factor = progress.elapsed_seconds / progress.audio_seconds if progress.audio_seconds else None
        return {
            "status": "in_progress",
            "chunks": self._pieces,
            "characters": progress.characters,
            "audio_seconds": round(progress.audio_seconds, 2),
            "elapsed_seconds": round(progress.elapsed_seconds, 2),
            "real_time_factor": None if factor is None else round(factor, 4),
            "at": round(time.time(), 3),
        }


async def _send(job: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """As the SDK's `progress_update`, which starts a thread that may still be sending when the job is done."""
    from runpod.http_client import AsyncClientSession
    from runpod.serverless.modules.rp_http import JOB_DONE_URL, send_result

    if "://" not in JOB_DONE_URL:  # somebody tries the handler, and there is no platform
        return
    once.set(True)
    async with AsyncClientSession() as session:
        await send_result(session, {"status": "IN_PROGRESS", "output": dict(told)}, job)

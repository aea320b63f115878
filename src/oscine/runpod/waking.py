"""A worker that does not sleep while there is something to do.

The SDK looks ten times a second whether a poll has brought a job, and once a second whether a busy worker has room for
another: a short job waits for longer than it takes to speak it, and between two of them a paid second goes by. Here
both sleeps end when what they wait for happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

_ALL: Final = asyncio.ALL_COMPLETED
_FIRST: Final = asyncio.FIRST_COMPLETED


class Waking:
    """Stands in the SDK's loop for the module `asyncio`. `watch` it before the loop is started.

    It has all that the module has; only what the loop waits with ends earlier.
    """

    def __init__(self) -> None:
        self._news: asyncio.Event | None = None
        waking = self

        class Queue(asyncio.Queue[Any]):
            """The SDK's jobs; a job that came, that is begun and that is done are news."""

            def _put(self, item: Any) -> None:
                super()._put(item)
                waking._tell()

            def _get(self) -> Any:
                item = super()._get()
                waking._tell()  # until it is taken out, the SDK counts it twice, and may think that there is no room
                return item

            def task_done(self) -> None:
                super().task_done()
                waking._tell()

        self.Queue = Queue

    def watch(self) -> None:
        """Have the SDK's loop wait through this; a version whose loop knows no `asyncio` stays as it is."""
        from runpod.serverless.modules import rp_scale

        if isinstance(getattr(rp_scale, "asyncio", None), ModuleType):
            setattr(rp_scale, "asyncio", self)  # noqa: B010 - the module declares another type

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        """As asyncio's, or until there are news."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(self._next_news().wait(), seconds)
        except TimeoutError:
            return

    async def wait(
        self,
        tasks: Iterable[asyncio.Future[Any]],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as asyncio's
        return_when: str = _ALL,
    ) -> tuple[set[asyncio.Future[Any]], set[asyncio.Future[Any]]]:
        """As asyncio's; where it waits for the first of them for so long, that time is over when there are news."""
        awaited = set(tasks)
        if timeout is None or return_when != _FIRST:
            return await asyncio.wait(awaited, timeout=timeout, return_when=return_when)
        news = asyncio.ensure_future(self._next_news().wait())
        try:
            done, pending = await asyncio.wait({*awaited, news}, timeout=timeout, return_when=_FIRST)
            return done & awaited, pending & awaited
        finally:
            news.cancel()

    def _next_news(self) -> asyncio.Event:
        if self._news is None:
            self._news = asyncio.Event()
        return self._news

    def _tell(self) -> None:
        """Wake everybody who waits now; who comes later waits for the next news."""
        news, self._news = self._news, None
        if news is not None:
            news.set()

"""A platform that cannot be reached for a while.

The SDK gives a result up after three attempts in five seconds, and the job stays as it was for ever; and it asks for
jobs again without a pause, thousands of times a second, each with a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

log = logging.getLogger(__name__)

_Call = Callable[..., Awaitable[Any]]

PATIENCE_S: Final = 600.0
"""How long a result that the platform did not take is sent again."""
_FIRST_S, _LONGEST_S = 0.5, 20.0
"""Between two attempts, at first and at most."""
_ASK_FIRST_S, _ASK_LONGEST_S = 0.2, 5.0
"""The same between two questions for jobs that failed."""
_NO_JOBS_S: Final = 0.5
"""The longest pause after an answer that came at once and had no job: usually the platform holds the question until
there is one."""
_AT_ONCE_S: Final = 0.1
"""A question that is answered within it was not held."""
_JOB: Final = "X-Request-ID"
"""The header in which the SDK names the job that a result belongs to."""
once: ContextVar[bool] = ContextVar("once", default=False)
"""Whether what is sent is of no use later, such as news of a job that goes on."""


class Patience:
    """Tries again what the SDK gives up, and pauses where it does not. `watch` it before the SDK's loop is started."""

    def __init__(self, *, first_s: float = _FIRST_S, patience_s: float = PATIENCE_S) -> None:
        self._first_s = first_s
        self._patience_s = patience_s
        self._in_vain = 0

    def watch(self) -> None:
        """Have the SDK ask and send through this; what another version calls by another name stays as it is."""
        from runpod.serverless.modules import rp_http, rp_scale

        for module, name, through in ((rp_scale, "get_job", self.asking), (rp_http, "_transmit", self.sending)):
            call = getattr(module, name, None)
            if call is not None:
                setattr(module, name, through(call))

    def asking(self, ask: _Call) -> _Call:
        """Asks for jobs; pauses after a question that failed, or that brought nothing at once."""
        from runpod.http_client import TooManyRequests

        async def asked(*arguments: Any) -> Any:
            begin = time.monotonic()
            try:
                jobs = await ask(*arguments)
            except TooManyRequests:  # the SDK pauses by itself
                raise
            except Exception:
                await self._pause(_ASK_LONGEST_S)
                raise
            if jobs or time.monotonic() - begin > _AT_ONCE_S:
                self._in_vain = 0
            else:
                await self._pause(_NO_JOBS_S)
            return jobs

        return asked

    def sending(self, send: _Call) -> _Call:
        """Sends a result or a piece; again where that may help, and what comes later waits."""
        from aiohttp import ClientError

        async def sent(session: Any, *arguments: Any) -> Any:
            end, pause = time.monotonic() + self._patience_s, self._first_s
            headers = getattr(session, "headers", {})
            job = headers.get(_JOB)
            while True:
                try:
                    return await send(session, *arguments)
                except (ClientError, TimeoutError) as error:
                    if once.get() or not _may_pass(error) or time.monotonic() > end:
                        raise
                    log.warning("the platform did not take a result (%s); it is sent again", type(error).__name__)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(_LONGEST_S, 2 * pause)
                if job is not None:
                    headers[_JOB] = job  # all jobs share the session, and another one may have sent meanwhile

        return sent

    async def _pause(self, longest_s: float) -> None:
        seconds = min(longest_s, _ASK_FIRST_S * 2.0 ** min(self._in_vain, 10))
        self._in_vain += 1
        await asyncio.sleep(seconds * random.uniform(0.5, 1.0))


def _may_pass(error: BaseException) -> bool:
    """Whether another attempt may fare better: not where the platform read what it got and refuses it."""
    status = getattr(error, "status", None)
    return status is None or status >= 500 or status in (408, 425, 429)

"""Ends what is done for a client that has gone."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from starlette.types import Message, Receive, Send

from oscine.http.errors import Refused


class ClientLeft(Exception):
    """The client closed its connection."""


class ClientStalled(Exception):
    """The client takes nothing of what is sent."""


STOPPING: Final = Refused(
    HTTPStatus.SERVICE_UNAVAILABLE, "The server is stopping; try again.", code="stopping", headers={"retry-after": "5"}
)
"""What is told to those that are still waiting when a server that was asked to stop stops."""


class UntilLeft:
    """A block that is cancelled when the client goes away, and then raises ClientLeft. Needs a body that was read.

    What is sent with `sending` may wait for the client for `stall_s`, or the block raises ClientStalled.
    """

    def __init__(self, receive: Receive, stall_s: float = 0.0) -> None:
        self._receive = receive
        self._stall_s = stall_s
        self._ended_by: type[Exception] | None = None
        self._since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(stall_s, self._look) if stall_s else None

    async def sending(self, send: Send, message: Message) -> None:
        """Send, and wait while the client is slow."""
        self._since = self._loop.time()
        await send(message)
        self._since = None

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._watch = asyncio.create_task(self._listen())
        return self

    async def last(self, send: Send, message: Message) -> None:
        """Send the end of the answer.

        The watch ends before: a server says `http.disconnect` also of an answer that is complete.
        """
        self._watch.cancel()
        await self.sending(send, message)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._ended_by is not None:
            self._task.uncancel()
            if kind is None or issubclass(kind, asyncio.CancelledError):
                raise self._ended_by from None

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._end(ClientLeft)

    def _look(self) -> None:
        """One timer for all that is sent: setting one for each part would cost more than sending it."""
        waited = 0.0 if self._since is None else self._loop.time() - self._since
        if waited >= self._stall_s:
            self._end(ClientStalled)
        else:
            self._timer = self._loop.call_later(self._stall_s - waited, self._look)

    def _end(self, reason: type[Exception]) -> None:
        if self._ended_by is None:
            self._ended_by = reason
            self._task.cancel()

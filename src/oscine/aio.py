"""Oscine as a library, for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

from oscine.api import Oscine, Speech, Stream, Text
from oscine.audio.waveform import Waveform
from oscine.synthesis.result import Report

T = TypeVar("T")


class AsyncOscine:
    """`Oscine` for asyncio: the same calls, awaited; the event loop is never blocked."""

    def __init__(self, **options: Any) -> None:
        self._oscine = Oscine(**options)

    async def __aenter__(self) -> AsyncOscine:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop the engines; idempotent."""
        await asyncio.to_thread(self._oscine.close)

    async def say(self, text: Text, **options: Any) -> Speech:
        """See `Oscine.say`."""
        return await asyncio.to_thread(self._oscine.say, text, **options)

    async def save(self, text: Text, path: str | Path, **options: Any) -> Report:
        """See `Oscine.save`."""
        return await asyncio.to_thread(self._oscine.save, text, path, **options)

    def stream(self, text: Text, **options: Any) -> AsyncIterator[Waveform]:
        """See `Oscine.stream`. Leaving the loop early frees the engine for others."""
        return _in_thread(lambda: self._oscine.stream(text, **options))

    def stream_bytes(self, text: Text, **options: Any) -> AsyncIterator[bytes]:
        """See `Oscine.stream_bytes`."""
        return _in_thread(lambda: self._oscine.stream_bytes(text, **options))


_AHEAD: Final = 4
"""Pieces that wait for a task that is slow to take them."""


async def _in_thread(start: Callable[[], Stream[T]]) -> AsyncIterator[T]:
    """Run a blocking iterator in a thread of its own.

    It waits while `_AHEAD` items are untaken and is closed when the reader leaves.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[T | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(_AHEAD)
    left = threading.Event()

    def hand_over(item: T | BaseException | None) -> None:
        if not left.is_set():
            loop.call_soon_threadsafe(items.put_nowait, item)

    def run() -> None:
        try:
            with closing(start()) as source:
                for item in source:
                    room.acquire()
                    if left.is_set():
                        return
                    hand_over(item)
            hand_over(None)
        except BaseException as error:  # raised again in the task
            hand_over(error)

    thread = threading.Thread(target=run, name="oscine-stream", daemon=True)
    thread.start()
    try:
        while (item := await items.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            room.release()
            yield item
    finally:
        left.set()
        room.release()

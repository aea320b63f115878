"""Oscine as a library, for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

from oscine.api import Oscine, Stream
from oscine.api import Text as SyncText
from oscine.audio.waveform import Waveform
from oscine.delivery.speech import Speech
from oscine.synthesis.result import Report

T = TypeVar("T")
Text = SyncText | AsyncIterable[str]
"""Text, or an iterator or async iterator of text that is still being written."""


class AsyncOscine:
    """`Oscine` for asyncio: the same calls, awaited; the event loop is never blocked.

    Where a request is wrong, `stream` and `stream_bytes` say so when their first item is asked for.
    """

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
        with _Source(text) as source:
            return await asyncio.to_thread(self._oscine.say, source, **options)

    async def save(self, text: Text, path: str | Path, **options: Any) -> Report:
        """See `Oscine.save`."""
        with _Source(text) as source:
            return await asyncio.to_thread(self._oscine.save, source, path, **options)

    def stream(self, text: Text, **options: Any) -> AsyncIterator[Waveform]:
        """See `Oscine.stream`. Leaving the loop early frees the engine for others."""
        return _in_thread(text, lambda source: self._oscine.stream(source, **options))

    def stream_bytes(self, text: Text, **options: Any) -> AsyncIterator[bytes]:
        """See `Oscine.stream_bytes`."""
        return _in_thread(text, lambda source: self._oscine.stream_bytes(source, **options))


_AHEAD: Final = 4
"""Pieces that wait for a task that is slow to take them."""


class _Source:
    """A text as threads can read it: what an async iterator writes is fetched from its event loop, until it is left."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._loop = asyncio.get_running_loop()
        self._next: Future[str] | None = None
        self._left = False

    def __enter__(self) -> SyncText:
        return self._written(self._text) if isinstance(self._text, AsyncIterable) else self._text

    def __exit__(self, *_: object) -> None:
        self._left = True
        if self._next is not None:
            self._next.cancel()

    def _written(self, text: AsyncIterable[str]) -> Iterator[str]:
        writer = aiter(text)

        async def following() -> str:
            return await anext(writer)

        while not self._left:
            asked: Coroutine[Any, Any, str] = following()
            self._next = asyncio.run_coroutine_threadsafe(asked, self._loop)
            try:
                yield self._next.result()
            except (StopAsyncIteration, CancelledError):
                return


async def _in_thread(text: Text, start: Callable[[SyncText], Stream[T]]) -> AsyncIterator[T]:
    """Run a blocking iterator in a thread of its own.

    It waits while `_AHEAD` items are untaken and is closed when the reader leaves.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[T | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(_AHEAD)
    left = threading.Event()
    started: list[Stream[T]] = []

    def hand_over(item: T | BaseException | None) -> None:
        if not left.is_set():
            loop.call_soon_threadsafe(items.put_nowait, item)

    with _Source(text) as source:

        def run() -> None:
            try:
                with closing(start(source)) as spoken:
                    started.append(spoken)
                    while not left.is_set() and (item := next(spoken, None)) is not None:
                        hand_over(item)
                        room.acquire()
                hand_over(None)
            except BaseException as error:  # raised again in the task
                hand_over(error)

        threading.Thread(target=run, name="oscine-stream", daemon=True).start()
        try:
            while (item := await items.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                room.release()
                yield item
        finally:
            left.set()
            room.release()
            for spoken in started:  # also where its thread waits for a text that may never come
                spoken.close()

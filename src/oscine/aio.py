"""Oscine as a library, for asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import closing
from pathlib import Path
from typing import Final, Generic, TypeVar, Unpack

from oscine.api import Oscine, Saved
from oscine.api import Text as SyncText
from oscine.audio.waveform import Waveform
from oscine.config import Settings
from oscine.delivery.cancel import Cancel
from oscine.delivery.lexicons import Words
from oscine.delivery.speech import Speech
from oscine.delivery.stream import Opening, Stream
from oscine.engines.protocol import EngineInfo
from oscine.errors import Cancelled
from oscine.request import Options, SpeechRequest
from oscine.synthesis.result import Report
from oscine.synthesis.studio import Studio
from oscine.synthesis.track import OnProgress, Progress
from oscine.text.normalise import Rules

T = TypeVar("T")
Text = SyncText | AsyncIterable[str]
"""Text, or an iterator or async iterator of text that is still being written."""


class AsyncOscine:
    """`Oscine` for asyncio: the same calls with the same arguments, awaited; the event loop is never blocked.

    Cancelling the task that waits for a call stops the speech, and a file that is not finished never takes its place.
    Where a request is wrong, `stream` and `stream_bytes` say so when their first item is asked for. Text may also come
    from an async iterator.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        studio: Studio | None = None,
        lexicon: Words | None = None,
        rules: Rules | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._oscine = Oscine(settings=settings, studio=studio, lexicon=lexicon, rules=rules, **options)

    async def __aenter__(self) -> AsyncOscine:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop the engines; idempotent."""
        await asyncio.to_thread(self._oscine.close)

    @property
    def studio(self) -> Studio:
        """The engines, voices and spool that all calls share."""
        return self._oscine.studio

    async def engine(self) -> EngineInfo:
        """See `Oscine.engine`. Finding out may import the engine's packages, so it is awaited here."""
        return await asyncio.to_thread(lambda: self._oscine.engine)

    async def voices(self) -> list[str]:
        """See `Oscine.voices`."""
        return await asyncio.to_thread(self._oscine.voices)

    async def say(
        self, text: Text, *, lexicon: Words | None = None, rules: Rules | None = None, **options: Unpack[Options]
    ) -> Speech:
        """See `Oscine.say`."""
        return await _awaited(
            text,
            lambda source, cancel: self._oscine.say(source, lexicon=lexicon, rules=rules, cancel=cancel, **options),
        )

    async def save(
        self,
        text: Text,
        path: str | Path,
        *,
        captions_path: str | Path | None = None,
        bitrate: int | None = None,
        tags: bool = True,
        title: str | None = None,
        lexicon: Words | None = None,
        rules: Rules | None = None,
        on_progress: OnProgress | None = None,
        **options: Unpack[Options],
    ) -> Report:
        """See `Oscine.save`; `on_progress` is called in another thread."""
        return await _awaited(
            text,
            lambda source, cancel: self._oscine.save(
                source,
                path,
                captions_path=captions_path,
                bitrate=bitrate,
                tags=tags,
                title=title,
                lexicon=lexicon,
                rules=rules,
                on_progress=on_progress,
                cancel=cancel,
                **options,
            ),
        )

    async def save_request(
        self,
        request: SpeechRequest,
        folder: Path,
        name: str,
        *,
        field: str = "output",
        warnings: Iterable[str] = (),
        on_progress: OnProgress | None = None,
    ) -> Saved:
        """See `Oscine.save_request`; `on_progress` is called in another thread."""
        return await _awaited(
            request.text,
            lambda _text, cancel: self._oscine.save_request(
                request, folder, name, field=field, warnings=warnings, on_progress=on_progress, cancel=cancel
            ),
        )

    def stream(
        self, text: Text, *, lexicon: Words | None = None, rules: Rules | None = None, **options: Unpack[Options]
    ) -> AsyncStream[Waveform]:
        """See `Oscine.stream`. Leaving the loop early frees the engine for others."""
        return AsyncStream(text, lambda source: self._oscine.stream(source, lexicon=lexicon, rules=rules, **options))

    def stream_bytes(
        self,
        text: Text,
        *,
        bitrate: int | None = None,
        tags: bool = True,
        title: str | None = None,
        lexicon: Words | None = None,
        rules: Rules | None = None,
        **options: Unpack[Options],
    ) -> AsyncStream[bytes]:
        """See `Oscine.stream_bytes`."""
        return AsyncStream(
            text,
            lambda source: self._oscine.stream_bytes(
                source, bitrate=bitrate, tags=tags, title=title, lexicon=lexicon, rules=rules, **options
            ),
        )

    def stream_fields(self, fields: Mapping[str, object]) -> AsyncStream[bytes]:
        """Like `stream_bytes`, for the fields of a request from outside; one that is not known becomes a warning."""

        def start(_: SyncText) -> Stream[bytes]:
            return self._oscine.stream_request(*SpeechRequest.parse(fields))

        return AsyncStream("", start)

    def stream_request(self, request: SpeechRequest, warnings: Iterable[str] = ()) -> AsyncStream[bytes]:
        """See `Oscine.stream_request`."""
        return AsyncStream("", lambda _text: self._oscine.stream_request(request, warnings))


class AsyncStream(AsyncIterator[T]):
    """Sound that is being made, for `async for`. Close it, or read it to the end: then its lanes are free."""

    def __init__(self, text: Text, start: Callable[[SyncText], Stream[T]]) -> None:
        self._started: list[Stream[T]] = []
        self._items = _in_thread(text, start, self._started)

    @property
    def opening(self) -> Opening | None:
        """What is known before the first sound; None until the request was checked."""
        return self._started[0].opening if self._started else None

    @property
    def report(self) -> Report | None:
        """How it was made, with its warnings and where each sentence is; None until it was read to the end."""
        return self._started[0].report if self._started else None

    @property
    def progress(self) -> Progress:
        """How much was made so far."""
        return self._started[0].progress if self._started else Progress(0, 0.0, 0.0)

    async def __anext__(self) -> T:
        return await anext(self._items)

    async def aclose(self) -> None:
        """Stop speaking; idempotent."""
        await self._items.aclose()


_AHEAD: Final = 4
"""Items that may wait for a task that is slow to take them."""


class _Source:
    """A text that a thread can read; an async iterator's is fetched from its event loop. To be used with `with`.

    Leaving it ends the fetching.
    """

    def __init__(self, text: Text) -> None:
        self._text = text
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._next: Future[str] | None = None
        self._left = False

    def __enter__(self) -> SyncText:
        return self._written(self._text) if isinstance(self._text, AsyncIterable) else self._text

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._left = True
            if self._next is not None:
                self._next.cancel()

    def _written(self, text: AsyncIterable[str]) -> Iterator[str]:
        """What the async iterator gives. Raises Cancelled once it is left, or a text cut short would look complete."""
        writer = aiter(text)

        async def following() -> str:
            return await anext(writer)

        while True:
            with self._lock:
                if self._left or self._loop.is_closed():
                    raise Cancelled("The request was cancelled.")
                self._next = asyncio.run_coroutine_threadsafe(following(), self._loop)
            try:
                part = self._next.result()
            except StopAsyncIteration:
                return
            except CancelledError:
                raise Cancelled("The request was cancelled.") from None
            yield part


async def _awaited(text: Text, call: Callable[[SyncText, Cancel], T]) -> T:
    """Run a blocking call in a thread; it is stopped where the task that waits for it is cancelled."""
    cancel = Cancel()
    with _Source(text) as source:
        try:
            return await asyncio.to_thread(call, source, cancel)
        except asyncio.CancelledError:
            cancel.cancel()
            raise


class _Handed(Generic[T]):
    """A queue from a thread to a task. The event loop is woken only where the task waits: that costs a system call."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: deque[T] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: T) -> None:
        """Called by the thread. Only the reader sets `_waiter`, so that none it has just set is lost."""
        self._items.append(item)
        waiter = self._waiter
        if waiter is not None:
            self._loop.call_soon_threadsafe(_wake, waiter)

    async def get(self) -> T:
        """Called by the one task that reads."""
        while not self._items:
            self._waiter = waiter = self._loop.create_future()
            if not self._items:  # none was put between the two looks
                await waiter
            self._waiter = None
        return self._items.popleft()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _in_thread(
    text: Text, start: Callable[[SyncText], Stream[T]], started: list[Stream[T]]
) -> AsyncGenerator[T, None]:
    """Run a blocking iterator in a thread of its own; `start` makes it there, and it is added to `started`.

    The thread waits while `_AHEAD` items are untaken, and closes the iterator when the reader leaves.
    """
    items: _Handed[T | BaseException | None] = _Handed()
    room = threading.Semaphore(_AHEAD)
    left = threading.Event()

    def hand_over(item: T | BaseException | None) -> None:
        if not left.is_set():
            items.put(item)

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
                spoken.stop()

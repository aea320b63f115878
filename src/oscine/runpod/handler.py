"""The function that the platform's SDK calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from oscine.runpod.documents import Document
from oscine.runpod.worker import Job, Worker


def make_handler(worker: Worker, refresh: Callable[[], None]) -> Callable[[Job], Any]:
    """An async generator function, which the SDK knows by its kind; `refresh` asks for another worker.

    With OSCINE_SINGLE_RESULT a coroutine function, whose document is the bare result.
    """

    async def handle(job: Job) -> AsyncGenerator[Document, None]:
        async with aclosing(worker.answer(job)) as documents:
            async for document in documents:
                yield document
        if worker.broken:
            refresh()

    async def handle_once(job: Job) -> Document:
        last: Document = {}
        async with aclosing(worker.answer(job)) as documents:
            async for document in documents:
                last = document
        if worker.broken:
            refresh()
        return last

    return handle_once if worker.settings.single_result else handle

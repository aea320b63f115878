"""The function that the platform's SDK calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from oscine.runpod.documents import Document
from oscine.runpod.worker import Job, Worker


def make_handler(worker: Worker, refresh: Callable[[], None]) -> Callable[[Job], Any]:
    """An async generator function, which the SDK knows by its kind; `refresh` asks for another worker.

    With OSCINE_SINGLE_RESULT a coroutine function, whose document is the bare result.
    """

    def told(document: Document) -> Document:
        if worker.broken:  # before an error is handed over: the SDK asks for nothing after it
            refresh()
        return document

    async def handle(job: Job) -> AsyncGenerator[Document, None]:
        documents = worker.answer(job)
        _closed_with_its_task(documents, worker)
        async for document in documents:
            yield told(document)

    async def handle_once(job: Job) -> Document:
        last: Document = {}
        async with aclosing(worker.answer(job)) as documents:
            async for document in documents:
                last = document
        return told(last)

    return handle_once if worker.settings.single_result else handle


def _closed_with_its_task(documents: AsyncGenerator[Document, None], worker: Worker) -> None:
    """Close `documents` when the task that reads them ends.

    The SDK leaves a generator where it is when a job is cancelled while a piece is being sent, and after an error; its
    frames live on in the task's exception until the next job, and so would the lanes.
    """
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda _: worker.later(documents.aclose()))

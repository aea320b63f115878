"""Jobs whose sound is sent in pieces while it is spoken, and stored beside where there is a store."""

from __future__ import annotations

import asyncio
import secrets
import time
import wave
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from oscine.audio.formats import Format
from oscine.delivery.choice import stream_format
from oscine.delivery.files import naming
from oscine.errors import DeliveryFailed, OscineError
from oscine.request import SpeechRequest
from oscine.runpod import documents
from oscine.runpod.documents import Document
from oscine.runpod.output import session_of

if TYPE_CHECKING:
    from oscine.delivery.store import ObjectStore
    from oscine.delivery.upload import Stored
    from oscine.runpod.worker import Job, Worker

T = TypeVar("T")

FIRST_PIECE: Final = 1
PIECE_BYTES: Final = 48_000
"""Bytes that a piece has at least after the first: each is a request to the platform."""
MOST_PIECE_BYTES: Final = 480_000
"""Bytes that a piece has at most: below 700 KB as base64 with what stands around it."""
_SHARE: Final = 0.8
"""Of a result, that its pieces may be; the rest is for what stands around them, and for the last document."""


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Do work that a thread cannot be called back from; where the job is cancelled, when that is done.

    Otherwise the next job of the same session would meet it.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def streamed(
    worker: Worker, job: Job, request: SpeechRequest, warnings: list[str], store: ObjectStore | None
) -> AsyncGenerator[Document, None]:
    """Pieces as they are spoken, then the result."""
    taken = time.monotonic()
    name = request.format or "pcm_16"
    format = stream_format(name)
    session = session_of(request.session_id, job.get("id"))
    spoken = worker.oscine.stream_request(request.model_copy(update={"format": format.value}), warnings)
    pieces = _Pieces(name, worker.settings.max_result_mb)
    copy = None
    unstored = ""
    try:
        if store is not None:
            folder = await asyncio.to_thread(worker.output.folder, worker.studio.engine_of(request).name)
            copy = Copy(folder, session, format)
        async for data in spoken:
            assert spoken.opening is not None
            rate = spoken.opening.sample_rate
            if copy is not None:
                try:
                    await asyncio.to_thread(copy.write, data, rate)
                except OscineError as error:
                    if worker.settings.s3_required:
                        raise
                    unstored = f"{error.message} The audio was streamed, and is not in the object store."
                    await asyncio.to_thread(copy.close)
                    copy = None
            for item in pieces.made_of(data, rate):
                if item["index"] == 0:
                    item |= documents.known(spoken.opening)
                yield item
                pieces.were_sent()
        report, opening = spoken.report, spoken.opening
        assert report is not None
        assert opening is not None
        for item in pieces.rest(opening.sample_rate):
            yield item
        pieces.were_sent()
        document = documents.result(
            report,
            worker.info_of(report.engine),
            seconds=time.monotonic() - taken,
            filename=f"{session}.{format.value}",
            format=name,
            codec=format.value,
            bitrate=None,
        )
        if pieces.forgotten:
            document = documents.warned(
                document, ["The pieces are more than a result may hold: their sound was sent to /stream alone."]
            )
        if unstored:
            document = documents.warned(document, [unstored])
        if copy is not None and store is not None:
            document = await to_its_end(asyncio.to_thread(_stored, copy, store, worker, document))
        yield documents.fitted({**document, "status": "complete", "total_chunks": pieces.count})
    finally:
        await spoken.aclose()
        if copy is not None:
            await asyncio.to_thread(copy.close)


class _Pieces:
    """The sound of a stream, cut into items; remembers those that the platform's SDK holds on to."""

    def __init__(self, format: str, most_mb: float) -> None:
        self.count = 0
        self.forgotten = False
        self._format = format
        self._most = _SHARE * most_mb * 1e6
        self._held = b""
        self._sent: list[Document] = []
        self._total = 0

    def made_of(self, data: bytes, sample_rate: int) -> Iterator[Document]:
        """Items of what has come, the first of them at once."""
        self._held += data
        while len(self._held) >= (PIECE_BYTES if self.count else FIRST_PIECE):
            yield self._item(sample_rate)

    def rest(self, sample_rate: int) -> Iterator[Document]:
        """What is left at the end."""
        while self._held:
            yield self._item(sample_rate)

    def were_sent(self) -> None:
        """Drop the sound of items that were sent, where all of them are more than the platform takes in the end.

        The SDK holds on to every item for the job's result, and loses a result that is too large.
        """
        if self._total > self._most:
            for item in self._sent:
                item["audio_chunk"] = ""
            self._sent.clear()
            self.forgotten = True

    def _item(self, sample_rate: int) -> Document:
        data, self._held = self._held[:MOST_PIECE_BYTES], self._held[MOST_PIECE_BYTES:]
        item = documents.piece(data, self.count, self._format, sample_rate)
        self.count += 1
        self._total += len(item["audio_chunk"])
        self._sent.append(item)
        return item


def _stored(copy: Copy, store: ObjectStore, worker: Worker, document: Document) -> Document:
    """The result with a link to the stream's copy."""
    try:
        stored = copy.upload(store)
        link = store.link(stored.key, worker.settings.s3_presign_seconds)
    except DeliveryFailed as error:
        if worker.settings.s3_required:
            raise
        return documents.warned(document, [f"{error.message} The audio was streamed."])
    return {
        **document,
        "filename": copy.name,
        "format": copy.format.value,
        "url": link,
        "audio_url": link,
        "s3_key": stored.key,
    }


class Copy:
    """What is streamed, as a file for the object store; raw samples become a WAV file."""

    def __init__(self, folder: Path, session: str, format: Format) -> None:
        self.format = Format.WAV if format is Format.PCM else format
        self.name = f"{session}.{self.format.value}"
        # Of its own: the same session may have another job.
        self._part = folder / f".{session[:48]}.{secrets.token_hex(4)}.stream.part"
        self._raw = format is Format.PCM
        self._file: Any = None

    def write(self, data: bytes, sample_rate: int) -> None:
        """Add bytes of the stream. Raises DeliveryFailed."""
        with naming("OUTPUT_AUDIO_DIR"):
            if self._file is None and self._raw:
                self._file = wave.open(str(self._part), "wb")  # noqa: SIM115 - closed by `close`
                self._file.setnchannels(1)
                self._file.setsampwidth(2)
                self._file.setframerate(sample_rate)
            elif self._file is None:
                self._file = self._part.open("wb")
            (self._file.writeframesraw if self._raw else self._file.write)(data)

    def upload(self, store: ObjectStore) -> Stored:
        """Hand the finished file over. Raises DeliveryFailed."""
        self._finish()
        return store.upload(self._part, self.name, content_type=self.format.media_type, filename=self.name)

    def close(self) -> None:
        """Leave nothing behind; idempotent."""
        with suppress(OSError, DeliveryFailed):
            self._finish()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with naming("OUTPUT_AUDIO_DIR"):
                file.close()

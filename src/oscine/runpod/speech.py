"""Jobs that speak: into a file that is delivered as a link or as base64, or as a stream of pieces."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import wave
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from oscine.audio.formats import Format
from oscine.delivery.choice import stream_format
from oscine.errors import DeliveryFailed
from oscine.request import SpeechRequest
from oscine.runpod import documents
from oscine.runpod.documents import ITEM_BYTES, Document
from oscine.runpod.output import Record, identity_of, session_of
from oscine.runpod.progress import Reporter

if TYPE_CHECKING:
    from oscine.delivery.store import ObjectStore
    from oscine.runpod.worker import Job, Worker

FIRST_PIECE: Final = 1
PIECE_BYTES: Final = 48_000
"""Bytes that a piece has at least after the first: each is a request to the platform."""
MOST_PIECE_BYTES: Final = 480_000
"""Bytes that a piece has at most: below 700 KB as base64 with what stands around it."""
_BASE64: Final = 4 / 3


async def speak(worker: Worker, job: Job, fields: Mapping[str, Any]) -> AsyncGenerator[Document, None]:
    """The documents of a job that speaks. Raises OscineError."""
    request, warnings = SpeechRequest.parse({name: value for name, value in fields.items() if name != "action"})
    store = worker.store_for(job)
    if request.stream and not worker.settings.single_result:
        async with aclosing(_stream(worker, job, request, warnings, store)) as pieces:
            async for item in pieces:
                yield item
        return
    request = request.model_copy(update={"stream": False})
    document = await _file(worker, job, request, warnings, fields, store)
    audio = document.pop("audio_base64", None)
    if audio is None or len(audio) < ITEM_BYTES or worker.settings.single_result:
        yield document if audio is None else {**document, "audio_base64": audio}
        return
    # What is yielded goes to /stream at once, which takes less than a result may have; what the job has yielded is its
    # result at the end, so the sound joins the same document afterwards.
    yield document
    document["audio_base64"] = audio


async def _file(
    worker: Worker,
    job: Job,
    request: SpeechRequest,
    warnings: list[str],
    fields: Mapping[str, Any],
    store: ObjectStore | None,
) -> Document:
    taken = time.monotonic()
    session = session_of(request.session_id, job.get("id"))
    engine = worker.studio.engine_of(request).name
    identity = identity_of(fields)
    output = worker.output
    async with output.session(session):
        record = await asyncio.to_thread(output.recall, engine, session, identity)
        if record is None:
            folder = await asyncio.to_thread(output.folder, engine)
            async with Reporter(job) as reporter:
                saved = await worker.oscine.save_request(
                    request, folder, session, warnings=warnings, on_progress=reporter.told
                )
            document = documents.spoken(saved, worker.info_of(engine), request, seconds=time.monotonic() - taken)
            record = Record(document, saved.path, None)
            await asyncio.to_thread(output.keep, engine, session, identity, record)
        return await asyncio.to_thread(_deliver, worker, record, engine, session, identity, store)


def _deliver(
    worker: Worker, record: Record, engine: str, session: str, identity: str, store: ObjectStore | None
) -> Document:
    """A link to the file in the object store, else the file itself; it stays on the volume where neither can be."""
    document, settings = record.document, worker.settings
    if store is not None:
        try:
            key = record.s3_key
            if key is None or store.find(key) is None:
                stored = store.upload(
                    record.path,
                    record.path.name,
                    content_type=Format(document["format"]).media_type,
                    filename=record.path.name,
                )
                key = stored.key
                worker.output.keep(engine, session, identity, Record(document, record.path, key))
                record.path.unlink(missing_ok=True)
            link = store.link(key, settings.s3_presign_seconds)
            return {**document, "url": link, "audio_url": link, "s3_key": key}
        except DeliveryFailed as error:
            if settings.s3_required or not record.path.is_file():
                raise
            document = documents.warned(document, [f"{error.message} The audio is in audio_base64 instead."])
    elif settings.s3_required:
        raise DeliveryFailed("S3_REQUIRED is set and no object store is configured; set the S3_ variables.")
    size = record.path.stat().st_size
    if size * _BASE64 + _length(document) > settings.max_result_mb * 1e6:
        raise DeliveryFailed(
            f"The result has {size / 1e6:.1f} MB, more than the platform delivers; configure an object store (S3_*), "
            f"then send the job again with session_id {session}: the file {record.path.name} is kept for "
            f"{settings.cleanup_days:g} days.",
            code="result_too_large",
        )
    return {**document, "audio_base64": base64.b64encode(record.path.read_bytes()).decode("ascii")}


async def _stream(
    worker: Worker, job: Job, request: SpeechRequest, warnings: list[str], store: ObjectStore | None
) -> AsyncGenerator[Document, None]:
    """Pieces as they are spoken, then the result."""
    taken = time.monotonic()
    name = request.format or "pcm_16"
    format = stream_format(name)
    sent: list[Document] = []
    held, total, count = b"", 0, 0
    session = session_of(request.session_id, job.get("id"))
    copy = await asyncio.to_thread(_Copy, worker, request, session, format) if store is not None else None
    spoken = worker.oscine.stream_request(request.model_copy(update={"format": format.value}), warnings)
    try:
        async for data in spoken:
            assert spoken.opening is not None
            held += data
            if copy is not None:
                await asyncio.to_thread(copy.write, data, spoken.opening.sample_rate)
            while len(held) >= (PIECE_BYTES if count else FIRST_PIECE):
                item = documents.piece(held[:MOST_PIECE_BYTES], count, str(name), spoken.opening.sample_rate)
                held, count, total = held[MOST_PIECE_BYTES:], count + 1, total + len(item["audio_chunk"])
                sent.append(item)
                yield item
                _forget(sent, total, worker.settings.max_result_mb)
        report, opening = spoken.report, spoken.opening
        assert report is not None
        assert opening is not None
        if held:
            item = documents.piece(held, count, str(name), opening.sample_rate)
            count, total = count + 1, total + len(item["audio_chunk"])
            sent.append(item)
            yield item
        forgotten = _forget(sent, total, worker.settings.max_result_mb)
        document = documents.result(
            report,
            worker.info_of(report.engine),
            seconds=time.monotonic() - taken,
            filename=f"{session}.{format.value}",
            format=format.value,
            codec=format.value,
            bitrate=None,
        )
        if forgotten:
            document = documents.warned(
                document, ["The pieces are more than a result may hold: their sound was sent to /stream alone."]
            )
        if copy is not None and store is not None:
            document = await asyncio.to_thread(_upload_copy, copy, store, worker, document)
        yield {**document, "status": "complete", "total_chunks": count}
    finally:
        await spoken.aclose()
        if copy is not None:
            await asyncio.to_thread(copy.close)


def _forget(sent: list[Document], total: int, most_mb: float) -> bool:
    """Drop the sound of pieces that were sent where all of them are more than the platform takes in the end.

    The platform's SDK holds on to every piece for the job's result, and loses a result that is too large.
    """
    if total <= 0.8 * most_mb * 1e6:
        return False
    for item in sent:
        item["audio_chunk"] = ""
    sent.clear()
    return True


def _upload_copy(copy: _Copy, store: ObjectStore, worker: Worker, document: Document) -> Document:
    copy.finish()
    name = copy.path.name
    try:
        stored = store.upload(copy.path, name, content_type=Format(copy.path.suffix[1:]).media_type, filename=name)
        link = store.link(stored.key, worker.settings.s3_presign_seconds)
    except DeliveryFailed as error:
        if worker.settings.s3_required:
            raise
        return documents.warned(document, [f"{error.message} The audio was streamed."])
    return {**document, "filename": name, "url": link, "audio_url": link, "s3_key": stored.key}


class _Copy:
    """What is streamed, as a file for the object store; raw samples become a WAV file."""

    def __init__(self, worker: Worker, request: SpeechRequest, session: str, format: Format) -> None:
        folder = worker.output.folder(worker.studio.engine_of(request).name)
        ending = Format.WAV if format is Format.PCM else format
        self.path = folder / f"{session}.{ending.value}"
        self._part = folder / f".{session}.stream.part"
        self._file: Any = None
        self._raw = format is Format.PCM

    def write(self, data: bytes, sample_rate: int) -> None:
        """Add bytes of the stream."""
        if self._file is None and self._raw:
            self._file = wave.open(str(self._part), "wb")  # noqa: SIM115 - closed by `close`
            self._file.setnchannels(1)
            self._file.setsampwidth(2)
            self._file.setframerate(sample_rate)
        elif self._file is None:
            self._file = self._part.open("wb")
        (self._file.writeframes if self._raw else self._file.write)(data)

    def finish(self) -> None:
        """Give the file its name."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._part.replace(self.path)

    def close(self) -> None:
        """Leave nothing behind; idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None
        for path in (self._part, self.path):
            path.unlink(missing_ok=True)


def _length(document: Document) -> int:

    return len(json.dumps(document))

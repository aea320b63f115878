"""Jobs that speak: into a file that is delivered as a link or as base64, or as a stream of pieces (`pieces.py`)."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

from oscine.audio.formats import Format
from oscine.errors import DeliveryFailed, OscineError
from oscine.request import SpeechRequest
from oscine.runpod import documents
from oscine.runpod.documents import ITEM_BYTES, Document
from oscine.runpod.output import Record, identity_of, session_of
from oscine.runpod.pieces import streamed, to_its_end
from oscine.runpod.progress import Reporter

if TYPE_CHECKING:
    from oscine.delivery.store import ObjectStore
    from oscine.runpod.worker import Job, Worker

_BASE64: Final = 4 / 3
_LEFT_EMPTY: Final = frozenset(
    {"speaker_name", "speaker", "speaker_voice", "emo_audio_prompt", "output_format", "stream"}
)
"""Fields that forms send as an empty string where nobody filled them in; workers before this one took them so."""


async def speak(worker: Worker, job: Job, fields: Mapping[str, Any]) -> AsyncGenerator[Document, None]:
    """The documents of a job that speaks. Raises OscineError."""
    fields = {name: value for name, value in fields.items() if value != "" or name not in _LEFT_EMPTY}
    request, warnings = SpeechRequest.parse({name: value for name, value in fields.items() if name != "action"})
    store = await asyncio.to_thread(worker.store_for, job)
    if store is None and worker.settings.s3_required:
        raise DeliveryFailed("S3_REQUIRED is set and no object store is configured; set the S3_ variables.")
    if request.stream and not worker.settings.single_result:
        async with aclosing(streamed(worker, job, request, warnings, store)) as pieces:
            async for item in pieces:
                yield item
        return
    request = request.model_copy(update={"stream": False})
    document = await _File(worker, job, request, fields, store).document(warnings)
    audio = document.get("audio_base64")
    if audio is None or documents.length(document) < ITEM_BYTES or worker.settings.single_result:
        yield document
        return
    # What is yielded goes to /stream at once, which takes less than a result may have; what the job has yielded is its
    # result at the end, so the sound joins the same document afterwards.
    del document["audio_base64"]
    yield document
    document["audio_base64"] = audio


class _File:
    """A job that is spoken into a file, or was before."""

    def __init__(
        self,
        worker: Worker,
        job: Job,
        request: SpeechRequest,
        fields: Mapping[str, Any],
        store: ObjectStore | None,
    ) -> None:
        self._taken = time.monotonic()
        self._worker = worker
        self._job = job
        self._request = request
        self._store = store
        info = worker.studio.engine_of(request)
        self._engine = info.name
        self._session = session_of(request.session_id, job.get("id"))
        self._identity = identity_of(fields, info)
        self._voices: list[str] | None = None

    async def document(self, warnings: list[str]) -> Document:
        """The result, delivered. Raises OscineError."""
        async with self._worker.output.session(self._session):
            record = await asyncio.to_thread(self._recalled)
            if record is None:
                record = await self._spoken(warnings)
            return await to_its_end(asyncio.to_thread(self._delivered, record))

    def _recalled(self) -> Record | None:
        """What an earlier attempt, or an equal request of this session, has left."""
        # Where a voice is gone, what was spoken with it can still be had.
        with suppress(OscineError):
            self._voices = self._worker.studio.voice_keys(self._request)
        record = self._worker.output.recall(self._engine, self._session, self._identity, self._voices)
        if record is None or record.path.is_file() or self._is_stored(record):
            return record
        return None

    async def _spoken(self, warnings: list[str]) -> Record:
        output, engine = self._worker.output, self._engine
        folder = await asyncio.to_thread(output.folder, engine)
        await asyncio.to_thread(output.forget, engine, self._session)
        async with Reporter(self._job) as reporter:
            saved = await self._worker.oscine.save_request(
                self._request,
                folder,
                self._session,
                field="OUTPUT_AUDIO_DIR",
                warnings=warnings,
                on_progress=reporter.told,
            )
            seconds = time.monotonic() - self._taken
            document = documents.fitted(documents.spoken(saved, self._worker.info_of(engine), seconds=seconds))
            record = Record(document, saved.path)
            await to_its_end(
                asyncio.to_thread(output.keep, engine, self._session, self._identity, record, self._voices)
            )
        return record

    def _delivered(self, record: Record) -> Document:
        """A link to the file in the object store, else the file itself; it stays on the volume if neither can be."""
        settings, document = self._worker.settings, record.document
        if self._store is not None:
            try:
                return self._linked(record, self._store)
            except DeliveryFailed as error:
                if settings.s3_required or not record.path.is_file():
                    raise DeliveryFailed(f"{error.message} {self._again(record)}", code=error.code) from None
                document = documents.warned(document, [f"{error.message} The audio is in audio_base64 instead."])
        else:
            document = documents.warned(document, ["No object store is configured, so the audio is in audio_base64."])
        size = record.path.stat().st_size
        if size * _BASE64 + documents.length(document) > settings.max_result_mb * 1e6:
            raise DeliveryFailed(
                f"The result has {size / 1e6:.1f} MB, more than the platform delivers; configure an object store (the"
                f" S3_ variables). {self._again(record)}",
                code="result_too_large",
            )
        return {**document, "audio_base64": base64.b64encode(record.path.read_bytes()).decode("ascii")}

    def _linked(self, record: Record, store: ObjectStore) -> Document:
        key, path = record.s3_key, record.path
        if key is None or not self._is_stored(record):
            media_type = Format(record.document["format"]).media_type
            stored = store.upload(path, path.name, content_type=media_type, filename=path.name)
            key = stored.key
            stored_record = Record(record.document, path, key, stored.e_tag)
            link = store.link(key, self._worker.settings.s3_presign_seconds)  # without one, the file is needed here
            if self._worker.output.keep(self._engine, self._session, self._identity, stored_record, self._voices):
                path.unlink(missing_ok=True)
        else:
            link = store.link(key, self._worker.settings.s3_presign_seconds)
        return {**record.document, "url": link, "audio_url": link, "s3_key": key}

    def _is_stored(self, record: Record) -> bool:
        """Whether the record's copy is in this job's store, and no other file has taken its name."""
        if self._store is None or record.s3_key is None:
            return False
        try:
            found = self._store.find(record.s3_key)
        except DeliveryFailed:
            return False
        return found is not None and found.e_tag == record.e_tag

    def _again(self, record: Record) -> str:
        return (
            f"The file {record.path.name} is kept for {self._worker.settings.cleanup_days:g} days: send the job again"
            f" with session_id {self._session} to get it without speaking it again."
        )

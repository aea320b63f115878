"""A job that is given by hand: `python handler.py --test_input JSON`, or a file `test_input.json`.

The SDK's own way to try a handler knows no async generators: it hears none to its end, and reports success whatever the
job would have come to.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import secrets
import sys
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from oscine.delivery.files import written_whole
from oscine.errors import InvalidRequest, OscineError
from oscine.runpod.documents import Document
from oscine.runpod.handler import make_handler
from oscine.runpod.worker import Job, Worker

log = logging.getLogger(__name__)

FILE: Final = "test_input.json"
_LIKE: Final = '{"input": {"text": "Hello world."}}'
_SHOWN: Final = 16
"""Characters of base64 that are enough to see what it is."""


def given(text: str | None) -> Job:
    """The job of `--test_input`, else that of the file in the working folder. Raises InvalidRequest."""
    name = "--test_input"
    if text is None:
        name = FILE
        try:
            text = Path(FILE).read_text("utf-8")
        except FileNotFoundError:
            raise InvalidRequest(
                f"RunPod has not started this, and there is no {FILE} here: give a job to try, such as"
                f" --test_input '{_LIKE}'."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{FILE} cannot be read ({type(error).__name__}); write a job as JSON.") from None
    try:
        job = json.loads(text)
    except (ValueError, RecursionError):
        job = None
    if not isinstance(job, Mapping) or "input" not in job:
        raise InvalidRequest(f"{name} must be a job as JSON, such as {_LIKE}.")
    return {"id": f"local-{secrets.token_hex(4)}", **job}  # of its own, as on RunPod: each job is spoken


def tried(worker: Worker, job: Job, folder: Path) -> int:
    """Answer the job, print what RunPod would tell of it, and write its sound into `folder`. Exit code."""
    try:
        answer, sound = asyncio.run(_answered(worker, job))
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(json.dumps(_shown(answer), ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()
    for name, data in sound.items():
        try:
            with written_whole(folder / name) as beside:
                beside.write_bytes(data)
        except (OscineError, OSError) as error:
            log.warning("%s could not be written here (%s)", name, type(error).__name__)
        else:
            log.info("the sound is in %s", name)
    return 1 if answer["status"] == "FAILED" else 0


async def _answered(worker: Worker, job: Job) -> tuple[Document, dict[str, bytes]]:
    """What RunPod would tell of the job in the end, and its sound by the name of its file."""
    # In a task of its own, as the SDK does it: the handler tidies up when the task ends.
    return await asyncio.create_task(_heard(worker, job))


async def _heard(worker: Worker, job: Job) -> tuple[Document, dict[str, bytes]]:
    documents: list[Document] = []
    pieces = bytearray()
    handle, alone = make_handler(worker, lambda: None), worker.settings.single_result
    if alone:
        documents.append(await handle(job))
    else:
        async for document in handle(job):
            documents.append(document)
            pieces += base64.b64decode(document.get("audio_chunk", ""))  # at once: of a long stream it is not kept
    last = documents[-1]
    if last.get("error"):
        return {"status": "FAILED", **last}, {}
    output = last if alone else documents
    return {"status": "COMPLETED", "output": output}, _sound(documents, bytes(pieces))


def _sound(documents: list[Document], pieces: bytes) -> dict[str, bytes]:
    last = documents[-1]
    if "audio_base64" in last:
        return {last["filename"]: base64.b64decode(last["audio_base64"])}
    if not pieces:
        return {}
    name = Path(last["filename"])
    if last["metadata"]["codec"] != "pcm":
        return {name.name: pieces}
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(last["sample_rate"])
        written.writeframesraw(pieces)
    return {f"{name.stem}.wav": file.getvalue()}


def _shown(value: Any, field: str = "") -> Any:
    """As it is, but for the sound, of which the beginning is shown."""
    if isinstance(value, Mapping):
        return {name: _shown(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    if field in ("audio_base64", "audio_chunk") and len(value) > _SHOWN:
        return f"{value[:_SHOWN]}... ({len(value):,} characters)"
    return value

"""Jobs that do not speak: `health_check`, `list_voices`, `add_voice`, `delete_voice`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from oscine.errors import InvalidRequest
from oscine.runpod.checks import health
from oscine.runpod.documents import Document
from oscine.voices.library import RECORDING, UPLOAD
from oscine.voices.names import exact
from oscine.voices.store import decoded_base64

if TYPE_CHECKING:
    from oscine.runpod.worker import Job, Worker


def act(worker: Worker, job: Job, action: object, fields: Mapping[str, Any]) -> Document:
    """The document of an action. Blocks. Raises OscineError."""
    found = _ACTIONS.get(action) if isinstance(action, str) else None
    if found is None:
        raise InvalidRequest(f"action must be one of speak, {', '.join(_ACTIONS)}.", param="action")
    return found(worker, job, fields)


def _health(worker: Worker, job: Job, _fields: Mapping[str, Any]) -> Document:
    return health(worker, store=lambda: worker.store_for(job, patience_s=_HEALTH_STORE_S))


def _list(worker: Worker, _job: Job, _fields: Mapping[str, Any]) -> Document:
    info = worker.info_of(worker.studio.registry.select(None, None))
    presets = [
        {"name": preset.name, "type": "preset", "language": preset.language, "installed": preset.installed}
        for preset in info.presets
    ]
    recordings = [{"name": voice.name, "type": "recording"} for voice in worker.studio.library.list()]
    usable = recordings if info.capabilities.cloning else []
    voices: list[Document] = [*presets, *recordings]
    return {
        "status": "completed",
        "engine": info.name,
        "voices": voices,
        "names": [voice["name"] for voice in voices if voice.get("installed") or voice in usable],
        "count": len(voices),
    }


def _add(worker: Worker, job: Job, fields: Mapping[str, Any]) -> Document:
    name = _name(fields)
    info = worker.info_of(worker.studio.registry.select(None, None))
    if exact(name, [preset.name for preset in info.presets]):  # it would never be heard
        raise InvalidRequest(f"name is that of a voice that comes with {info.name}; choose another.", param="name")
    given, key = fields.get("voice_audio"), fields.get("s3_key")
    if isinstance(given, str) and given:
        data, field, limits = decoded_base64(given, "voice_audio"), "voice_audio", UPLOAD
    elif isinstance(key, str) and key:
        store = worker.store_for(job)
        if store is None:
            raise InvalidRequest("s3_key needs an object store; set the S3_ variables.", param="s3_key")
        # No request carries it, so it may be as large as one that is copied into the library.
        data, field, limits = store.read(key, RECORDING.max_bytes), "s3_key", RECORDING
    else:
        raise InvalidRequest(
            "voice_audio must be a base64 string of an audio file, or s3_key its name in the object store.",
            param="voice_audio",
        )
    replace = fields.get("replace") in (True, "true")
    with _called_name():
        voice = worker.studio.library.add(name, data, replace=replace, limits=limits, field=field)
    return {"status": "completed", "voice": voice.name}


def _delete(worker: Worker, _job: Job, fields: Mapping[str, Any]) -> Document:
    with _called_name():
        return {"status": "completed", "deleted": worker.studio.library.remove(_name(fields)).name}


@contextmanager
def _called_name() -> Iterator[None]:
    """What the library says of `voice` is about the field `name` here."""
    try:
        yield
    except InvalidRequest as error:
        if error.param != "voice":
            raise
        raise InvalidRequest(f"name{error.message.removeprefix('voice')}", param="name", code=error.code) from None


def _name(fields: Mapping[str, Any]) -> str:
    for field in ("name", "voice"):
        value = fields.get(field)
        if isinstance(value, str) and value.strip():
            return value.strip()
    raise InvalidRequest("name must be the name of a voice.", param="name")


_HEALTH_STORE_S: Final = 10.0
"""Whoever asks for a worker's health wants to know soon, also that the store does not answer."""
_ACTIONS: Final[Mapping[str, Callable[[Worker, Job, Mapping[str, Any]], Document]]] = {
    "health_check": _health,
    "list_voices": _list,
    "add_voice": _add,
    "delete_voice": _delete,
}

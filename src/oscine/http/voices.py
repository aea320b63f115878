"""`/v1/audio/voices`: the voices that an engine brings, and the recordings in the library."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from oscine.audio.formats import Format
from oscine.engines.protocol import EngineInfo, Preset
from oscine.errors import InvalidRequest, NotAvailable
from oscine.http.access import needs_key, rate_limited
from oscine.http.schema import ERRORS, KEYED, VOICE_UPLOAD
from oscine.http.service import Service
from oscine.voices.library import RECORDING, UPLOAD, VoiceFile
from oscine.voices.names import exact

SAMPLE: Final = dataclasses.replace(UPLOAD, max_bytes=10 * 1024 * 1024)
"""What an uploaded recording may be; the size is OpenAI's."""
_Responses = dict[int | str, dict[str, Any]]
_FOUND: Final[_Responses] = {**KEYED, 404: ERRORS[404]}
_KEPT: Final[_Responses] = {status: ERRORS[status] for status in (400, 401, 408, 413, 429, 500)}
"""How these routes answer what cannot be done."""
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_LONGEST_FIELD: Final = 16 * 1024
_REFUSALS: Final = frozenset({"false", "no", "0", "off", "none"})

_FORM: Final = (
    "The body must be a multipart form with audio_sample, a recording, and name: voices are made from recordings here."
)

keyless = APIRouter(tags=["voices"])
"""Routes that need no key: clients ask for them without one."""
router = APIRouter(dependencies=[Depends(needs_key)], tags=["voices"])


@keyless.get("/v1/audio/voices", operation_id="listVoices", summary="List the voices")
async def list_voices(
    request: Request,
    engine: Annotated[str | None, Query(description="whose voices; else the default engine's")] = None,
    every: Annotated[bool, Query(alias="all", description="also those that cannot speak now, as they say")] = False,
) -> Response:
    """The engine's own voices that can speak, its default first, then the recordings by name.

    Clients offer what they find here to somebody to choose from, and know nothing of `available`.
    """
    service: Service = request.app.state.service

    def found() -> bytes:
        info = _info(service, engine)
        presets = sorted(info.presets, key=lambda preset: (preset.name != info.default_preset, not preset.installed))
        voices = chain(
            (_preset(service, info, preset) for preset in presets),
            (_recording(voice, info) for voice in service.studio.library.list()),
        )
        # Written one by one, and here: thousands at once would hold up the event loop.
        shown = (_json(voice) for voice in voices if every or voice["available"])
        return b'{"object":"list","voices":[' + b",".join(shown) + b"]}"

    return Response(await asyncio.to_thread(found), media_type="application/json")


@router.post(
    "/v1/audio/voices",
    operation_id="createVoice",
    summary="Keep a recording as a voice",
    dependencies=[Depends(rate_limited)],
    openapi_extra=VOICE_UPLOAD,
    responses=_KEPT,
)
async def create_voice(request: Request) -> dict[str, Any]:
    """Decodes the recording before it is kept; a voice of that name is replaced only if `replace` is true."""
    service: Service = request.app.state.service
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidRequest(_FORM)
    try:
        async with request.form(max_files=1, max_fields=8, max_part_size=_LONGEST_FIELD) as form:
            name, sample = form.get("name"), form.get("audio_sample")
            if not isinstance(name, str) or not name.strip():
                raise InvalidRequest("name must be what the voice shall be called.", param="name")
            if form.get("type", "audio_sample") != "audio_sample":
                raise InvalidRequest("type must be audio_sample: voices are made from recordings here.", param="type")
            consent = form.get("consent")
            if isinstance(consent, str) and consent.strip().lower() in _REFUSALS:
                raise InvalidRequest(
                    "consent says no; keep a voice only with its speaker's permission.", param="consent"
                )
            if not isinstance(sample, UploadFile):
                raise InvalidRequest(
                    "audio_sample must be the file of a recording of 3 to 120 s.", param="audio_sample"
                )
            if sample.size is None or sample.size > SAMPLE.max_bytes:
                raise InvalidRequest(
                    f"audio_sample is larger than {SAMPLE.max_bytes // 1024**2} MiB; cut it to 120 s.",
                    param="audio_sample",
                )
            data = await sample.read()
            replace = str(form.get("replace", "")).strip().lower() in ("true", "1", "yes")
    except (HTTPException, KeyError, ValueError):  # the first is how Starlette says that it is no such form
        raise InvalidRequest(_FORM) from None

    def kept() -> dict[str, Any]:
        info = _info(service, None)
        if exact(name.strip(), [preset.name for preset in info.presets]):  # it would never be heard
            raise InvalidRequest(
                f"name is that of a voice that comes with {info.name}; choose another.",
                param="name",
                code="voice_exists",
            )
        try:
            voice = service.studio.library.add(name, data, replace=replace, limits=SAMPLE, field="audio_sample")
        except InvalidRequest as error:
            if error.param != "voice":
                raise
            said = error.message.removeprefix("voice")  # the field is another one here
            raise InvalidRequest(f"name{said}", param="name", code=error.code) from None
        return _recording(voice, info)

    return await asyncio.to_thread(kept)


@router.get("/v1/audio/voices/{voice_id}", operation_id="getVoice", summary="Show a voice", responses=_FOUND)
async def get_voice(request: Request, voice_id: str) -> dict[str, Any]:
    """What is known of it; of a recording also its length and its loudness."""
    service: Service = request.app.state.service

    def found() -> dict[str, Any]:
        info = _info(service, None)
        voice = _find(service, info, voice_id)
        if isinstance(voice, Preset):
            return _preset(service, info, voice)
        details = service.studio.library.show(voice.name)
        return {
            **_recording(voice, info),
            "format": details.format,
            "duration": round(details.duration, 3),
            "sample_rate": details.sample_rate,
            "channels": details.channels,
            "loudness_lufs": details.loudness,
        }

    return await asyncio.to_thread(found)


@router.delete(
    "/v1/audio/voices/{voice_id}",
    operation_id="deleteVoice",
    summary="Delete a recording",
    responses={**_FOUND, 500: ERRORS[500]},
)
async def delete_voice(request: Request, voice_id: str) -> dict[str, Any]:
    """Deletes the recording of this very name; an engine's own voices stay."""
    service: Service = request.app.state.service

    def removed() -> str:
        info = _info(service, None)
        voice = _find(service, info, voice_id, recordings_first=True)
        if isinstance(voice, Preset):
            raise InvalidRequest(f"voice_id names a voice that comes with {info.name}; it stays.", param="voice_id")
        return service.studio.library.remove(voice.name).name

    return {"id": await asyncio.to_thread(removed), "object": "audio.voice.deleted", "deleted": True}


@router.get(
    "/v1/audio/voices/{voice_id}/sample",
    operation_id="getVoiceSample",
    summary="Hear a recording",
    response_class=Response,
    responses={
        **_FOUND,
        200: {"description": "The recording.", "content": {"audio/*": {}}},
        206: {"description": "The part of it that Range asked for.", "content": {"audio/*": {}}},
    },
)
async def get_sample(request: Request, voice_id: str) -> Response:
    """The recording as it was kept."""
    service: Service = request.app.state.service

    def read() -> tuple[bytes, str]:
        info = _info(service, None)
        voice = _find(service, info, voice_id, recordings_first=True)
        if isinstance(voice, Preset):
            raise InvalidRequest("voice_id names no recording; let it speak to hear it.", param="voice_id")
        with service.studio.library.open(voice) as file:
            return file.read(RECORDING.max_bytes), voice.path.suffix.lower().lstrip(".")

    data, extension = await asyncio.to_thread(read)
    headers = {
        "content-disposition": f'attachment; filename="voice.{extension}"',
        "x-content-type-options": "nosniff",
        "accept-ranges": "bytes",
    }
    part = _part(request.headers.get("range", ""), len(data))
    if part is None:
        return Response(data, media_type=_media_type(extension), headers=headers)
    headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{len(data)}"
    return Response(
        data[part.start : part.stop], HTTPStatus.PARTIAL_CONTENT, headers, media_type=_media_type(extension)
    )


def _part(asked: str, length: int) -> slice | None:
    """What a `Range` header asks for; None: all of it, as for what is not one range that is there (RFC 9110, 14.2)."""
    found = _RANGE.fullmatch(asked.strip())
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        return slice(max(0, length - int(found[2])), length) if int(found[2]) else None
    first, last = int(found[1]), min(int(found[2] or length - 1), length - 1)
    return slice(first, last + 1) if first <= last else None


_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
"""Safari plays nothing without."""


def _info(service: Service, engine: str | None) -> EngineInfo:
    return service.studio.registry.get(service.studio.registry.select(engine, None)).info


def _find(service: Service, info: EngineInfo, voice_id: str, *, recordings_first: bool = False) -> Preset | VoiceFile:
    """The voice of this very name. Raises NotAvailable."""
    same = exact(voice_id, [preset.name for preset in info.presets])
    preset = next((preset for preset in info.presets if same and preset.name == same[0]), None)
    recording = service.studio.library.exact(voice_id)
    voice = (recording or preset) if recordings_first else (preset or recording)
    if voice is None:
        raise NotAvailable("voice_id is no voice here; GET /v1/audio/voices lists them.", param="voice_id")
    return voice


def _preset(service: Service, info: EngineInfo, preset: Preset) -> dict[str, Any]:
    return {
        "id": preset.name,
        "object": "audio.voice",
        "name": preset.name,
        "type": "preset",
        "created_at": int(service.started),
        "engine": info.name,
        "language": preset.language,
        "description": preset.description,
        "default": preset.name == info.default_preset,
        "available": preset.installed,
    }


def _recording(voice: VoiceFile, info: EngineInfo) -> dict[str, Any]:
    """OpenAI's type is `audio_sample`; a recording is available where the engine clones."""
    return {
        "id": voice.name,
        "object": "audio.voice",
        "name": voice.name,
        "type": "audio_sample",
        "created_at": int(voice.modified),
        "engine": None,
        "language": None,
        "description": "recording",
        "default": False,
        "available": info.capabilities.cloning,
    }


def _json(voice: dict[str, Any]) -> bytes:
    return _ENCODER.encode(voice).encode()


def _media_type(extension: str) -> str:
    """By the ending, which was chosen by what the recording is."""
    if extension in ("m4a", "mp4"):
        return "audio/mp4"
    if extension == "webm":
        return "audio/webm"
    if extension == "ogg":
        return "audio/ogg"
    known = {format.value: format.media_type for format in Format}
    return known.get(extension, "application/octet-stream")

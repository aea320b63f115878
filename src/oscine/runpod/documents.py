"""What a job answers with: the documents of docs/deploy-runpod.md."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

from oscine.api import Saved
from oscine.delivery.stream import Opening
from oscine.engines.protocol import EngineInfo
from oscine.errors import OscineError
from oscine.request import field_names
from oscine.synthesis.result import Report

Document = dict[str, Any]

ITEM_BYTES: Final = 700_000
"""What the platform takes of a job while it runs may have 1 MB; this leaves room for what it wraps around."""
_MOST_WARNINGS, _WARNING_CHARS = 30, 1_000
_SAID_BY_VIBEVOICE: Final = "success"
_SAID: Final = "completed"


def spoken(saved: Saved, info: EngineInfo, *, seconds: float) -> Document:
    """The result of a job whose file is made; where it is comes later. `seconds`: from taking the job to here."""
    return result(
        saved.report,
        info,
        seconds=seconds,
        filename=saved.path.name,
        format=saved.format.value,
        codec=saved.format.value,
        bitrate=saved.bitrate,
    )


def result(
    report: Report,
    info: EngineInfo,
    *,
    seconds: float,
    filename: str,
    format: str,
    codec: str,
    bitrate: int | None,
) -> Document:
    """What is told of finished speech, however it is delivered."""
    rounded = round(report.duration, 3)
    return {
        "status": _SAID_BY_VIBEVOICE if info.name == "vibevoice" else _SAID,
        "filename": filename,
        "format": format,
        "sample_rate": report.sample_rate,
        "duration_sec": rounded,
        "warnings": _told(report.warnings),
        "segments": [asdict(segment) for segment in report.segments],
        "metadata": {
            "sample_rate": report.sample_rate,
            "codec": codec,
            "bitrate": bitrate,
            "duration": rounded,
            "device": info.device,
            "engine": info.name,
            "model": info.version,
            "voice": report.voices[0] if report.voices else None,
            "seed": report.seed,
            "chunks": report.pieces,
            "characters": report.characters,
            "loudness_lufs": report.loudness_lufs,
            "true_peak_dbtp": report.true_peak_dbtp,
            "synthesis_seconds": round(report.synthesis_seconds, 3),
            "real_time_factor": round(report.real_time_factor, 4),
            "queue_seconds": round(max(0.0, seconds - report.synthesis_seconds), 3),
        },
    }


def piece(data: bytes, index: int, format: str, sample_rate: int) -> Document:
    """A part of a stream."""
    return {
        "status": "streaming",
        "chunk": index + 1,
        "index": index,
        "format": format,
        "audio_chunk": base64.b64encode(data).decode("ascii"),
        "sample_rate": sample_rate,
    }


def known(opening: Opening) -> Document:
    """What the first piece of a stream says beside its sound, so that a bridge can say it before the rest comes."""
    metadata = {"engine": opening.engine, "voice": opening.voice, "seed": opening.seed}
    return {"warnings": _told(opening.warnings), "metadata": metadata}


def failure(error: OscineError, fields: object = None) -> Document:
    """An error, about a job's `fields` by the names they were sent with; RunPod ends the job and shows the sentence."""
    said, about = error.message, error.param or ""
    if isinstance(fields, Mapping) and about not in fields and said.startswith(f"{about} "):
        names = field_names()
        sent = next((name for name in names if names[name] == names.get(about) and name in fields), about)
        said = f"{sent}{said.removeprefix(about)}"
    return {"error": for_jobs(said), "error_type": error.code or error.type}


def for_jobs(sentence: str) -> str:
    """What is said to whoever sent a job, who has no command line here."""
    return sentence.replace("`oscine voices add NAME FILE`", "the action add_voice")


def _told(warnings: Iterable[str]) -> list[str]:
    """Warnings, each once, as many and as long as anybody reads: a client may send any number of unknown fields."""
    told = (for_jobs(text) for text in dict.fromkeys(warnings))
    kept = [text if len(text) <= _WARNING_CHARS else f"{text[:_WARNING_CHARS]}…" for text in told]
    if len(kept) > _MOST_WARNINGS:
        more = len(kept) - _MOST_WARNINGS
        kept[_MOST_WARNINGS:] = [f"There are {more} more warnings."]
    return kept


def fitted(document: Document) -> Document:
    """A document that an item of a job may hold; of a very long text the times of the sentences are left out."""
    if length(document) < ITEM_BYTES:
        return document
    return warned({**document, "segments": []}, ["The segments are more than a result may hold and were left out."])


def length(document: Document) -> int:
    """About how many bytes it takes on its way, and no fewer."""
    return len(json.dumps(document))


def warned(document: Mapping[str, Any], warnings: Iterable[str]) -> Document:
    """A document with more warnings, each once."""
    return {**document, "warnings": list(dict.fromkeys([*document["warnings"], *warnings]))}

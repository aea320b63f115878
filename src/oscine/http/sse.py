"""Server-sent events of OpenAI's speech API."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from oscine.synthesis.result import Report

MEDIA_TYPE: Final = "text/event-stream; charset=utf-8"
CHARS_PER_TOKEN: Final = 4
"""OpenAI's rule of thumb for English: its help page "What are tokens and how to count them?"."""
TOKENS_PER_S: Final = 20
"""Audio tokens in a second of speech: one for 50 ms, as OpenAI counts the audio that its models speak."""


def delta(audio: bytes) -> bytes:
    """The next bytes of the audio file."""
    return b'data: {"type":"speech.audio.delta","audio":"' + b64encode(audio) + b'"}\n\n'


def done(report: Report) -> bytes:
    """The end: what it used as OpenAI counts it and, beside that, what Oscine knows."""
    return _event(
        {
            "type": "speech.audio.done",
            "usage": usage(report),
            "duration": round(report.duration, 3),
            "seed": report.seed,
            "warnings": list(report.warnings),
            "segments": [asdict(segment) for segment in report.segments],
        }
    )


def error(error: Mapping[str, Any]) -> bytes:
    """What broke it midway."""
    return b"event: error\n" + _event({"type": "error", "error": error})


def usage(report: Report) -> dict[str, int]:
    """Tokens as OpenAI counts them, estimated: no engine here counts in tokens."""
    read = math.ceil(report.characters / CHARS_PER_TOKEN)
    spoken = math.ceil(report.duration * TOKENS_PER_S)
    return {"input_tokens": read, "output_tokens": spoken, "total_tokens": read + spoken}


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"

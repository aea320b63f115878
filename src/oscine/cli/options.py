"""Options of the command line that are more than a value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from math import nan
from typing import TYPE_CHECKING, Any, Final

from oscine.config import Settings
from oscine.errors import InvalidRequest
from oscine.request import field_names, suggestion

if TYPE_CHECKING:
    from oscine.text.normalise import Rules


def as_options(sentence: str) -> str:
    """A warning that names a request's fields, in the words of the command line."""
    for field, option in _OPTIONS:
        sentence = sentence.replace(field, option)
    return sentence


_OPTIONS: Final = (
    ("name their voices with voices", "name their voices with --voices"),
    ("name them in voices", "name them with --voices"),
    ("switch the text rule script off", "give --no-rule script"),
)
"""What warnings advise, and the same as an option of the command."""


def quantized(settings: Settings, bits: int | None) -> Settings:
    """The settings with what `--quantize` says, which comes before `OSCINE_QUANTIZE`."""
    if bits is None:
        return settings
    if bits not in (4, 8):
        raise InvalidRequest("--quantize must be 8 or 4; leave it out for weights as they are.", param="quantize")
    return settings.model_copy(update={"quantize": bits})


def speakers(pairs: Sequence[str] | None) -> dict[str, str] | None:
    """`LABEL=VOICE` entries; one entry may hold several, separated by commas."""
    if not pairs:
        return None
    found: dict[str, str] = {}
    for pair in (part for entry in pairs for part in entry.split(",")):
        label, equals, voice = pair.partition("=")
        if not equals or not label.strip() or not voice.strip():
            raise InvalidRequest("--voices takes LABEL=VOICE, for example --voices Alice=heart.", param="voices")
        found[label.strip()] = voice.strip()
    return found


def loudness_of(value: str) -> float | None:
    """A number of LUFS, or None for `none`."""
    if value.strip().lower() in ("none", "off", "null"):
        return None
    try:
        target = float(value)
    except ValueError:
        target = nan
    if not -40 <= target <= -8:
        raise InvalidRequest(
            "--loudness must be a loudness in LUFS from -40 to -8, or none to leave it as it is.", param="loudness"
        )
    return target


def request_fields(pairs: Sequence[str] | None) -> dict[str, Any]:
    """`NAME=VALUE` entries; a value is read as JSON where it is JSON, else as a string."""
    found: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise InvalidRequest("--set takes NAME=VALUE, for example --set chunk_pause_ms=200.", param="set")
        found[_field(name.strip())] = _value(value)
    return found


def _field(name: str) -> str:
    """The request's field of that name. Raises InvalidRequest where there is none: a warning is easily overlooked."""
    field = field_names().get(name)
    if field in ("text", "stream", "session_id"):
        raise InvalidRequest(f"--set cannot give {name}; the command has arguments for it.", param="set")
    if field is None:
        raise InvalidRequest(
            f"--set: a request has no such field; {suggestion(name, field_names())}",
            param="set",
        )
    return field


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def rules_without(names: Sequence[str] | None) -> Rules | None:
    """The text rules with some switched off."""
    if not names:
        return None
    from oscine.text.normalise import Rules

    known = [field.name for field in fields(Rules)]
    for name in names:
        if name not in known:
            raise InvalidRequest(f"--no-rule must be one of {', '.join(known)}.", param="no-rule")
    return Rules().without(names)

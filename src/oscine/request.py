"""The one description of a wish; every front builds it, and its shape and ranges are checked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypedDict, get_args

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from oscine.errors import InvalidRequest

FormatName = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
FORMAT_NAMES: tuple[str, ...] = get_args(FormatName)

ENGINE_OPTIONS = frozenset(
    {
        "cfg_scale",
        "steps",
        "fast",
        "disable_prefill",
        "emo_audio_prompt",
        "emo_vector",
        "emo_alpha",
        "use_emo_text",
        "emo_text",
        "use_random",
        "instructions",
    }
)
"""Fields that only some engines use; one that has no use for them says so in a warning."""

RECORDING_OPTIONS = frozenset({"emo_audio_prompt"})
"""The fields of `ENGINE_OPTIONS` that name a recording of the library; engines get it as a `Prompt`."""

MAX_EMO_TEXT = 500
"""Characters of `emo_text`: a mood is told in a sentence or two, and a language model reads it."""


def _voice_name(value: object) -> object:
    """OpenAI sends a voice as a string or as `{"id": ...}`."""
    if isinstance(value, Mapping) and isinstance(value.get("id"), str):
        return value["id"]
    return value


def _format_name(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is needed")
    return value


def _emo_text(value: str) -> str | None:
    value.encode()  # half of a surrogate pair is no text
    return value if value.strip() else None


def _session_id(value: str) -> str:
    if not value or len(value) > 128 or not all(c.isascii() and (c.isalnum() or c in "._-") for c in value):
        raise ValueError("session_id")
    if value.strip(".") == "":
        raise ValueError("session_id")
    return value


VoiceName = Annotated[str, BeforeValidator(_voice_name), Field(min_length=1, max_length=200)]
Number = Annotated[float, BeforeValidator(_not_bool), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_not_bool)]
Share = Annotated[Number, Field(ge=0, le=1)]
ChunkChars = Annotated[Whole, Field(ge=50, le=1000)]
Milliseconds = Annotated[Whole, Field(ge=0, le=2000)]

_VOICE = "the name of a voice"
_CHUNK = "a number of characters from 50 to 1000"
_PAUSE = "a number of milliseconds from 0 to 2000"


class Options(TypedDict, total=False):
    """A request's fields as keyword arguments, by all their names; see `SpeechRequest`."""

    voice: str | None
    speaker_voice: str | None
    speaker_name: str | None
    speaker: str | None
    voices: Mapping[str, str] | None
    voice_audio: str | None
    engine: str | None
    model: str | None
    format: str | None
    response_format: str | None
    output_format: str | None
    speed: float | None
    seed: int | None
    language: str | None
    pronunciations: Mapping[str, str] | None
    loudness: float | None
    true_peak: float | None
    instructions: str | None
    cfg_scale: float | None
    steps: int | None
    fast: bool | None
    disable_prefill: bool | None
    emo_audio_prompt: str | None
    emo_vector: Sequence[float] | None
    emo_alpha: float | None
    use_emo_text: bool | None
    emo_text: str | None
    use_random: bool | None
    enable_chunking: bool | None
    max_chars_per_chunk: int | None
    enable_crossfade: bool | None
    crossfade_ms: int | None
    chunk_pause_ms: int | None
    session_id: str | None
    stream_max_chars_per_chunk: int | None
    stream_crossfade_ms: int | None
    stream_tail_ms: int | None


class SpeechRequest(BaseModel):
    """What is to be spoken, by which voice and how.

    Each field's `description` says what it takes, and docs/request.md what it does. A field that is None is decided by
    the settings or the engine. How long `text` may be is a setting, so that is checked where it is planned.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    text: str = Field(validation_alias=AliasChoices("text", "input"), description="the text to speak, as a string")
    voice: VoiceName | None = Field(None, validation_alias=AliasChoices("voice", "speaker_voice"), description=_VOICE)
    speaker_name: VoiceName | None = Field(
        None, validation_alias=AliasChoices("speaker_name", "speaker"), description=_VOICE
    )
    voices: dict[Annotated[str, Field(min_length=1, max_length=40)], VoiceName] | None = Field(
        None, min_length=1, max_length=64, description="an object that maps each speaker label to the name of a voice"
    )
    voice_audio: str | None = Field(None, description="a base64 string of an audio file")
    engine: str | None = Field(None, description="the name of an installed engine")
    model: str | None = Field(None, description="a string; an engine's name selects that engine")
    format: Annotated[Literal[FormatName, "pcm_16"], BeforeValidator(_format_name)] | None = Field(
        None,
        validation_alias=AliasChoices("format", "response_format", "output_format"),
        description="one of " + ", ".join(FORMAT_NAMES),
    )
    speed: Annotated[Number, Field(ge=0.25, le=4)] = Field(1.0, description="a number from 0.25 to 4")
    seed: Annotated[Whole, Field(ge=0, lt=2**63)] | None = Field(None, description="a whole number from 0 to 2^63 - 1")
    language: Annotated[str, Field(max_length=35)] | None = Field(
        None, description="a language tag such as en or en-US, or auto"
    )
    pronunciations: dict[str, str] | None = Field(
        None, max_length=1000, description="an object of at most 1000 entries that maps words to their spoken form"
    )
    loudness: Annotated[Number, Field(ge=-40, le=-8)] | None = Field(
        -18.0, description="a loudness in LUFS from -40 to -8, or null to leave it as it is"
    )
    true_peak: Annotated[Number, Field(ge=-9, le=-1)] = Field(-1.0, description="a true peak in dBTP from -9 to -1")
    instructions: str | None = Field(None, description="a string")
    cfg_scale: Annotated[Number, Field(gt=0, le=10)] | None = Field(None, description="a number above 0, at most 10")
    steps: Annotated[Whole, Field(ge=1, le=100)] | None = Field(None, description="a whole number from 1 to 100")
    fast: bool | None = Field(None, description="true or false")
    disable_prefill: bool | None = Field(None, description="true or false")
    emo_audio_prompt: VoiceName | None = Field(None, description=_VOICE)
    emo_vector: Annotated[list[Share], Field(min_length=8, max_length=8)] | None = Field(
        None, description="8 numbers from 0 to 1: happy angry sad afraid disgusted melancholic surprised calm"
    )
    emo_alpha: Share | None = Field(None, description="a number from 0 to 1")
    use_emo_text: bool | None = Field(None, description="true or false")
    emo_text: Annotated[str, Field(max_length=MAX_EMO_TEXT), AfterValidator(_emo_text)] | None = Field(
        None, description=f"a string of at most {MAX_EMO_TEXT} characters"
    )
    use_random: bool | None = Field(None, description="true or false")
    enable_chunking: bool = Field(True, description="true or false")
    max_chars_per_chunk: ChunkChars | None = Field(None, description=_CHUNK)
    enable_crossfade: bool = Field(True, description="true or false")
    crossfade_ms: Milliseconds = Field(100, description=_PAUSE)
    chunk_pause_ms: Milliseconds | None = Field(None, description=_PAUSE)
    session_id: Annotated[str, AfterValidator(_session_id)] | None = Field(
        None, description="at most 128 letters, digits, dots, underscores and hyphens, not dots alone"
    )
    stream: bool = Field(False, description="true or false")
    stream_max_chars_per_chunk: ChunkChars | None = Field(None, description=_CHUNK)
    stream_crossfade_ms: Milliseconds | None = Field(None, description=_PAUSE)
    stream_tail_ms: Milliseconds | None = Field(None, description=_PAUSE)

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> tuple[SpeechRequest, list[str]]:
        """Check `fields` as they came from outside.

        Returns the request and a warning for each field that Oscine does not know. A null counts as not given, except
        for `loudness`, where it means "leave it as it is". Raises InvalidRequest that names the field and what it
        takes.
        """
        given = {name: value for name, value in fields.items() if value is not None or name == "loudness"}
        known = field_names()
        warnings = [f"The field {_shown(name)} is not known and was ignored." for name in given if name not in known]
        try:
            return cls.model_validate(given), warnings
        except ValidationError as error:
            raise _explain(error, given) from None


@cache
def field_names() -> Mapping[str, str]:
    """Every name that a request's fields go by, and the field that each means."""
    names = {}
    for field, info in SpeechRequest.model_fields.items():
        names[field] = field
        if isinstance(info.validation_alias, AliasChoices):
            names.update({str(alias): field for alias in info.validation_alias.choices})
    return names


def check_options(options: Mapping[str, object]) -> None:
    """Raises InvalidRequest for a keyword argument that is no option: misspelled, it would do nothing, silently."""
    known = Options.__annotations__
    for name in options:
        if name not in known:
            raise InvalidRequest(f"{_shown(name)} is no option; {suggestion(name, known)}", param=_shown(name))


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a `name` that is none of `known`: the nearest of them, or where they are listed."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else "see docs/request.md."


def _explain(error: ValidationError, given: Mapping[str, Any]) -> InvalidRequest:
    names = field_names()
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "request"
    field = names.get(name, name)
    fields = SpeechRequest.model_fields
    takes = fields[field].description if field in fields else "valid"
    if first["type"] == "missing":
        return InvalidRequest(f"{field} is missing; it takes {takes}.", param=field)
    given_as = next((alias for alias, target in names.items() if target == field and alias in given), field)
    return InvalidRequest(f"{given_as} must be {takes}.", param=given_as)


def _shown(name: object) -> str:
    """A field's name as it can be repeated to whoever sent it: short and printable."""
    text = str(name)
    return "".join(c for c in text[:40] if c.isprintable()) or "(unnamed)"

"""From a request to a plan: everything that can be wrong with a wish is found here, before anything is scheduled."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace

from oscine.config import Settings
from oscine.engines.protocol import EngineInfo, Lengths
from oscine.errors import InvalidRequest
from oscine.request import ENGINE_OPTIONS, RECORDING_OPTIONS, SpeechRequest
from oscine.synthesis.cast import Cast
from oscine.synthesis.plan import Plan
from oscine.text.measure import check_text
from oscine.text.normalise import Rules
from oscine.text.pronounce import Lexicon
from oscine.voices.prompt import Prompt


def make_plan(
    request: SpeechRequest,
    info: EngineInfo,
    cast: Cast,
    settings: Settings,
    *,
    recordings: Mapping[str, Prompt] | None = None,
    text: Iterable[str] | None = None,
    lexicon: Lexicon | None = None,
    rules: Rules | None = None,
    warnings: Iterable[str] = (),
) -> Plan:
    """Check what can be checked before anything is spoken.

    `recordings` are those that the request's options name, by option. `text` replaces the request's text by one that is
    still being written. Raises InvalidRequest that names the field.
    """
    if text is None:
        check_text(request.text, max_length=settings.max_text_length)
    _check_language(request, info)
    speed, stretch = _share_speed(request.speed, info)
    words = Lexicon.from_mapping(request.pronunciations) if request.pronunciations else None
    if lexicon is not None:
        words = lexicon.merge(words) if words is not None else lexicon
    plan = Plan(
        request=request,
        info=info,
        cast=cast,
        settings=settings,
        text=[request.text] if text is None else text,
        live=text is not None,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        speed=speed,
        stretch=stretch,
        lengths=_lengths(request, info, settings),
        rules=(rules or Rules()).without(info.capabilities.reads),
        lexicon=words,
        options=_options(request, info, recordings or {}),
        warnings=list(warnings),
    )
    for name in sorted(request.model_fields_set & ENGINE_OPTIONS - info.capabilities.options):
        if name != "instructions":  # OpenAI's older models ignore it too
            plan.warn(f"The engine {info.name} has no use for {name}; it was ignored.")
    if settings.quantize and not info.capabilities.quantizes:
        plan.warn(f"The engine {info.name} cannot quantize its weights; OSCINE_QUANTIZE and --quantize were ignored.")
    if not plan.live:
        plan.check()
    return plan


def _check_language(request: SpeechRequest, info: EngineInfo) -> None:
    if request.language is None or request.language.lower() == "auto":
        return
    if request.language.lower().split("-")[0] not in info.languages:
        raise InvalidRequest(
            f"language: the engine {info.name} speaks {', '.join(info.languages)};"
            " leave language out or choose another engine.",
            param="language",
        )


def _options(request: SpeechRequest, info: EngineInfo, recordings: Mapping[str, Prompt]) -> dict[str, object]:
    """The request's fields that the engine uses and that were given; names of recordings are never handed on."""
    given = {name: getattr(request, name, None) for name in sorted(info.capabilities.options - RECORDING_OPTIONS)}
    return {name: value for name, value in {**given, **recordings}.items() if value is not None}


def _share_speed(speed: float, info: EngineInfo) -> tuple[float, float]:
    """The engine's part and the time-stretch's part, whose product is `speed`."""
    if info.capabilities.speed is None:
        return 1.0, speed
    slowest, fastest = info.capabilities.speed
    engine = min(max(speed, slowest), fastest)
    return engine, speed / engine


def _lengths(request: SpeechRequest, info: EngineInfo, settings: Settings) -> Lengths:
    lengths = info.lengths
    asked = request.stream_max_chars_per_chunk if request.stream else None
    asked = asked or request.max_chars_per_chunk or settings.max_chunk_chars
    if asked is not None:
        lengths = replace(lengths, limit=min(lengths.limit, asked), pack=min(lengths.pack, asked))
    if not request.enable_chunking:
        lengths = replace(lengths, limit=info.lengths.limit, pack=info.lengths.limit)
    if settings.min_last_chunk_chars is not None:
        lengths = replace(lengths, shortest=settings.min_last_chunk_chars)
    return lengths

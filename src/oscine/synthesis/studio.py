"""What all requests share: the engines with their schedulers, the voices and the spool."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Iterable, Mapping, Sequence

from oscine.config import Settings
from oscine.engines.protocol import EngineInfo, Progress
from oscine.engines.registry import Factory, Registry
from oscine.errors import InvalidRequest, NotAvailable
from oscine.request import SpeechRequest
from oscine.synthesis.cast import Cast
from oscine.synthesis.plan import Plan, make_plan
from oscine.synthesis.scheduler import Scheduler
from oscine.synthesis.spool import Spool
from oscine.text.normalise import Rules
from oscine.text.pronounce import Lexicon
from oscine.voices.aliases import Aliases, load_aliases
from oscine.voices.library import VoiceLibrary
from oscine.voices.prompt import Prompt, preset_prompt
from oscine.voices.resolve import resolve_voice
from oscine.voices.store import PromptStore

MAX_UPLOAD: int = 7_000_000
"""Bytes of a reference recording that comes with a request."""


class Studio:
    """Makes plans and lends schedulers. Close it, or use it with `with`."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        factories: Mapping[str, Factory] | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        self.settings = settings or Settings.from_env()
        self.registry = Registry(self.settings, factories)
        self.library = VoiceLibrary(self.settings.voice_folders, self.settings.voice_home)
        self.aliases: Aliases = load_aliases(self.settings.voice_home)
        self.prompts = PromptStore(self.library)
        self.spool = Spool(
            self.settings.spool,
            max_age_s=self.settings.cleanup_days * 86_400,
            max_bytes=self.settings.spool_max_gb * 1e9,
        )
        self._on_progress = on_progress
        self._schedulers: dict[str, Scheduler] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the engines; idempotent."""
        with self._lock:
            schedulers, self._schedulers = list(self._schedulers.values()), {}
        for scheduler in schedulers:
            scheduler.close()

    def engine_of(self, request: SpeechRequest) -> EngineInfo:
        """The engine that a request asks for. Raises InvalidRequest, NotAvailable."""
        return self.registry.get(self.registry.select(request.engine, request.model)).info

    def scheduler(self, engine: str) -> Scheduler:
        """The engine's scheduler; the first call starts to load it. Raises NotAvailable when something is missing."""
        with self._lock:
            scheduler = self._schedulers.get(engine)
            if scheduler is None or scheduler.failure is not None:
                loaded = self.registry.get(engine)
                missing = loaded.missing()
                if missing is not None:
                    raise NotAvailable(
                        f"The engine {engine} is missing {missing.what}; run: {missing.remedy}", param="engine"
                    )
                scheduler = self._schedulers[engine] = Scheduler(loaded, on_progress=self._on_progress)
            return scheduler

    def plan(
        self,
        request: SpeechRequest,
        *,
        text: Iterable[str] | None = None,
        lexicon: Lexicon | None = None,
        rules: Rules | None = None,
        warnings: Iterable[str] = (),
    ) -> Plan:
        """Check a request and cast its voices; see `make_plan`. Raises InvalidRequest, NotAvailable."""
        info = self.engine_of(request)
        cast, cast_warnings = self._cast(request, info)
        return make_plan(
            request,
            info,
            cast,
            self.settings,
            text=text,
            lexicon=lexicon,
            rules=rules,
            warnings=[*warnings, *cast_warnings],
        )

    def _cast(self, request: SpeechRequest, info: EngineInfo) -> tuple[Cast, list[str]]:
        warnings: list[str] = []
        narrator = self._narrator(request, info, warnings)
        speakers = {}
        for label, wanted in (request.voices or {}).items():
            speakers[label] = self._resolve(wanted, info, "voices", warnings)
        return Cast(narrator, speakers, lambda: self._understudies(info)), warnings

    def _narrator(self, request: SpeechRequest, info: EngineInfo, warnings: list[str]) -> Prompt:
        if request.voice_audio is not None:
            if not info.capabilities.cloning:
                raise InvalidRequest(
                    f"voice_audio: the engine {info.name} cannot clone a voice; choose an engine that clones.",
                    param="voice_audio",
                )
            return self.prompts.prompt_from_bytes(_decoded(request.voice_audio))
        if request.voice is None and request.speaker_name is not None:
            return self._resolve(request.speaker_name, info, "speaker_name", warnings, loose=True)
        return self._resolve(request.voice, info, "voice", warnings)

    def _resolve(
        self, wanted: str | None, info: EngineInfo, field: str, warnings: list[str], *, loose: bool = False
    ) -> Prompt:
        prompt, notes = resolve_voice(
            wanted,
            presets=info.presets,
            default_preset=info.default_preset,
            default_speaker=self.settings.default_speaker,
            cloning=info.capabilities.cloning,
            library=self.library,
            aliases=self.aliases,
            prompts=self.prompts,
            engine=info.name,
            loose=loose,
            field=field,
        )
        warnings.extend(notes)
        return prompt

    def _understudies(self, info: EngineInfo) -> Sequence[Prompt]:
        presets = [preset_prompt(info.name, preset.name) for preset in info.presets if preset.installed]
        if not info.capabilities.cloning:
            return presets
        return [*presets, *(self.prompts.prompt(voice) for voice in self.library.list()[:8])]


def _decoded(voice_audio: str) -> bytes:
    """The bytes of a base64 upload, with or without a `data:` prefix."""
    body = voice_audio.partition(",")[2] if voice_audio.startswith("data:") else voice_audio
    if len(body) > MAX_UPLOAD * 4 / 3 + 4:
        raise InvalidRequest(
            "voice_audio is larger than 7 MB; send a shorter recording or add it to the voice library.",
            param="voice_audio",
        )
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("voice_audio must be a base64 string of an audio file.", param="voice_audio") from None

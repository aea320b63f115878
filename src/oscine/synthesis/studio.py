"""What all requests share: the engines with their schedulers, the voices and the spool.

What is needed only for a plan is imported when the first one is made: `preload` can then start to load an engine in a
thread of its own while the rest of the program is still being imported.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from oscine.config import Settings
from oscine.engines.protocol import EngineInfo, Progress
from oscine.engines.registry import Factory, Registry
from oscine.errors import EngineFailed, InvalidRequest, NotAvailable, OscineError
from oscine.request import RECORDING_OPTIONS, SpeechRequest
from oscine.synthesis.scheduler import Scheduler

if TYPE_CHECKING:
    from oscine.synthesis.cast import Cast
    from oscine.synthesis.plan import Plan
    from oscine.synthesis.spool import Spool
    from oscine.text.normalise import Rules
    from oscine.text.pronounce import Lexicon
    from oscine.voices.aliases import Aliases
    from oscine.voices.library import VoiceLibrary
    from oscine.voices.prompt import Prompt
    from oscine.voices.store import PromptStore


class Studio:
    """Makes plans and lends schedulers. Close it, or use it with `with`; one that is dropped closes itself."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        factories: Mapping[str, Factory] | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        self.settings = settings or Settings.from_env()
        self.registry = Registry(self.settings, factories)
        self.rest_s = 0.0
        """Seconds before a request has an engine that failed loaded again: doubled each time it fails again without
        having spoken, 5 minutes at most. Until then requests are told at once why it failed."""
        self._on_progress = on_progress
        self._schedulers: dict[str, Scheduler] = {}
        self._failures: dict[str, int] = {}
        """How often an engine failed in a row, before the scheduler that it has now."""
        self._lock = threading.Lock()
        self._ended = False
        weakref.finalize(self, _let_go, self._schedulers).atexit = False

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the engines; idempotent. What is asked for later loads them again."""
        with self._lock:
            schedulers = dict(self._schedulers)
        for scheduler in schedulers.values():
            scheduler.close()
        with self._lock:  # forgotten only now: a call beside must not start a second thread for the same engine
            for engine, scheduler in schedulers.items():
                if self._schedulers.get(engine) is scheduler:
                    del self._schedulers[engine]

    def end(self, timeout_s: float) -> None:
        """Stop the engines for good; idempotent. One that does not stop within the limit ends with the process.

        Whoever still waits for speech, or asks for more, is told by EngineFailed.
        """
        until = time.monotonic() + timeout_s
        self._ended = True
        locked = self._lock.acquire(timeout=max(0.0, timeout_s))
        try:
            schedulers = list(self._schedulers.values())
            self._schedulers.clear()
        finally:
            if locked:
                self._lock.release()
        for scheduler in schedulers:
            scheduler.close(0.0, reason=_ending())  # all of them at once
        for scheduler in schedulers:
            scheduler.close(max(0.0, until - time.monotonic()))

    @cached_property
    def library(self) -> VoiceLibrary:
        """The reference recordings."""
        from oscine.voices.library import VoiceLibrary

        return VoiceLibrary(self.settings.voice_folders, self.settings.voice_home)

    @cached_property
    def aliases(self) -> Aliases:
        """Other names for voices."""
        from oscine.voices.aliases import Aliases

        return Aliases(self.settings.voice_home)

    @cached_property
    def prompts(self) -> PromptStore:
        """Prepared recordings."""
        from oscine.voices.store import PromptStore

        return PromptStore(self.library)

    @cached_property
    def spool(self) -> Spool:
        """Finished pieces; they last only as long as this where the data folder cannot be written."""
        from oscine.synthesis.spool import Spool

        days, gigabytes = self.settings.cleanup_days, self.settings.spool_max_gb
        return Spool(self.settings.spool, max_age_s=days * 86_400, max_bytes=gigabytes * 1e9).usable()

    def preload(self, engine: str | None = None, model: str | None = None) -> None:
        """Start to load the engine that a request for `engine` and `model` will get; what fails then is told later."""
        try:
            self.scheduler(self.registry.select(engine, model))
        except OscineError:
            return

    def engine_of(self, request: SpeechRequest) -> EngineInfo:
        """The engine that a request asks for. Raises InvalidRequest, NotAvailable."""
        return self.registry.get(self.registry.select(request.engine, request.model)).info

    def scheduler(self, engine: str) -> Scheduler:
        """The engine's scheduler; the first call starts to load it. Raises NotAvailable when something is missing."""
        with self._lock:
            if self._ended:
                raise _ending()
            scheduler = self._schedulers.get(engine)
            if scheduler is None or scheduler.over:
                if scheduler is not None:
                    self._check_rested(engine, scheduler)
                    scheduler.close()  # an engine is never called from two threads
                self._check_complete(engine)
                scheduler = self._schedulers[engine] = Scheduler(
                    self.registry.get(engine), max_jobs=self.settings.max_requests, on_progress=self._on_progress
                )
            return scheduler

    def _check_complete(self, engine: str) -> None:
        """Raises NotAvailable where packages or files of the engine are missing."""
        missing = self.registry.get(engine).missing()
        if missing is not None:
            raise NotAvailable(f"The engine {engine} is missing {missing.what}; run: {missing.remedy}", param="engine")

    def _check_rested(self, engine: str, over: Scheduler) -> None:
        """Raises why the engine failed until it may be loaded again."""
        if over.failure is None or over.failed_at is None:
            return
        before = 0 if over.spoken else self._failures.get(engine, 0)
        if time.monotonic() - over.failed_at < min(self.rest_s * 2.0 ** min(before, 30), _LONGEST_REST_S):
            raise over.failure.with_traceback(None)
        self._failures[engine] = before + 1

    def loaded(self, engine: str) -> Scheduler | None:
        """The engine's scheduler if something asked for it already; never waits and loads nothing."""
        return self._schedulers.get(engine)

    def all_loaded(self) -> list[Scheduler]:
        """The schedulers of all engines that something asked for; never waits."""
        return list(self._schedulers.values())

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
        from oscine.synthesis.prepare import make_plan

        info = self.engine_of(request)
        try:
            cast, cast_warnings = self._cast(request, info)
        except NotAvailable:
            self._check_complete(info.name)  # whoever has nothing of an engine needs that first, and then a voice
            raise
        return make_plan(
            request,
            info,
            cast,
            self.settings,
            recordings=self._recordings(request, info),
            text=text,
            lexicon=lexicon,
            rules=rules,
            warnings=[*warnings, *cast_warnings],
        )

    def voice_keys(self, request: SpeechRequest) -> list[str]:
        """What the voices that a request names sound like now, by content. Raises InvalidRequest, NotAvailable."""
        info = self.engine_of(request)
        named = request.model_copy(update={"voice_audio": None})
        cast, _ = self._cast(named, info)
        return [prompt.key for prompt in (*cast.prompts, *self._recordings(request, info).values())]

    def _cast(self, request: SpeechRequest, info: EngineInfo) -> tuple[Cast, list[str]]:
        from oscine.synthesis.cast import Cast

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
            return self.prompts.prompt_from_base64(request.voice_audio)
        if request.voice is None and request.speaker_name is not None:
            return self._resolve(request.speaker_name, info, "speaker_name", warnings, loose=True)
        return self._resolve(request.voice, info, "voice", warnings)

    def _recordings(self, request: SpeechRequest, info: EngineInfo) -> dict[str, Prompt]:
        """The recordings that the request names in options which this engine uses, by option."""
        from oscine.voices.resolve import resolve_recording

        return {
            name: resolve_recording(
                wanted, library=self.library, aliases=self.aliases, prompts=self.prompts, field=name
            )
            for name in sorted(RECORDING_OPTIONS & info.capabilities.options)
            if (wanted := getattr(request, name)) is not None
        }

    def _resolve(
        self, wanted: str | None, info: EngineInfo, field: str, warnings: list[str], *, loose: bool = False
    ) -> Prompt:
        from oscine.voices.resolve import resolve_voice

        prompt, notes = resolve_voice(
            wanted,
            presets=info.presets,
            default_preset=info.default_preset,
            default_speaker=self.settings.default_speaker,
            cloning=info.capabilities.cloning,
            unprompted=info.capabilities.unprompted,
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
        from oscine.voices.prompt import preset_prompt

        presets = [preset_prompt(info.name, preset.name) for preset in info.presets if preset.installed]
        if not info.capabilities.cloning:
            return presets
        return [*presets, *(self.prompts.prompt(voice) for voice in self.library.list()[:8])]


_LONGEST_REST_S: Final = 300.0


def _ending() -> EngineFailed:
    return EngineFailed("The engine is being closed; try again.")


def _let_go(schedulers: dict[str, Scheduler]) -> None:
    """Nobody has the studio any more: its engines are freed when what is being spoken has been heard."""
    for scheduler in list(schedulers.values()):
        scheduler.let_go()

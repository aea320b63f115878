"""Which voice a name in a request means, over an engine's presets, the library and the aliases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from oscine.errors import InvalidRequest, NotAvailable, OscineError
from oscine.voices.aliases import Aliases
from oscine.voices.library import VoiceFile, VoiceLibrary
from oscine.voices.names import exact, fold, listed, match, unknown
from oscine.voices.prompt import Prompt, preset_prompt
from oscine.voices.store import PromptStore


class PresetLike(Protocol):
    """A voice that comes with an engine."""

    @property
    def name(self) -> str:
        """What a request calls it."""
        ...

    @property
    def installed(self) -> bool:
        """False: `oscine download <engine>` brings it."""
        ...


def resolve_voice(
    wanted: str | None,
    *,
    presets: Sequence[PresetLike],
    default_preset: str | None,
    default_speaker: str | None,
    cloning: bool,
    unprompted: bool = False,
    library: VoiceLibrary,
    aliases: Aliases,
    prompts: PromptStore,
    engine: str,
    loose: bool = False,
    field: str = "voice",
) -> tuple[Prompt, list[str]]:
    """The prompt for the voice that `wanted` means to this engine, and warnings.

    In this order: a preset of that name, a voice of the library of that name, an alias, the only partial match over
    both; `loose` is the rule of `names.match`. None is `default_speaker`, else the default preset, else the library's
    first voice, else the engine's own where it has one.

    Raises InvalidRequest for a name that means nothing here, for a recording that cannot be used and for one that the
    engine cannot clone; NotAvailable for a preset that is not downloaded, a broken `voices.json`, and where there is
    no voice at all.
    """
    choices = _Choices(tuple(presets), default_preset, default_speaker, cloning, unprompted, library, aliases, engine)
    try:
        voice, warnings = (
            _default(choices) if wanted is None or not wanted.strip() else _find(choices, wanted, loose, field)
        )
        if isinstance(voice, VoiceFile):
            return prompts.prompt(voice, field=field), warnings
    except OscineError as error:
        error.param = field
        raise
    return preset_prompt(engine, voice.name), warnings


def resolve_recording(
    wanted: str, *, library: VoiceLibrary, aliases: Aliases, prompts: PromptStore, field: str
) -> Prompt:
    """The recording that `wanted` means: a voice of the library, an alias of one, or the only partial match.

    No preset, no default and no voice of an engine's own stands in for it. Raises InvalidRequest for a name that means
    no recording and for a recording that cannot be used; NotAvailable for a broken `voices.json`.
    """
    name, label = wanted, field
    try:
        while library.exact(name) is None and (target := aliases.resolve(name)) is not None:
            name, label = target, f"what voices.json has for {field}"
        return prompts.prompt(library.find(name, field=label), field=field)
    except OscineError as error:
        told = unknown(label, library.names(), kind="recording") if error.code == "voice_not_found" else error
        told.param = field
        raise told from None


_Voice = PresetLike | VoiceFile


@dataclass(frozen=True)
class _Unprompted:
    """The engine's own voice, which it speaks in without a recording (`Capabilities.unprompted`)."""

    name: str = "unprompted"
    installed: bool = True


@dataclass(frozen=True)
class _Choices:
    """What there is to choose from for one engine: the arguments of `resolve_voice` that say so."""

    presets: tuple[PresetLike, ...]
    default_preset: str | None
    default_speaker: str | None
    cloning: bool
    unprompted: bool
    library: VoiceLibrary
    aliases: Aliases
    engine: str

    def preset(self, name: str) -> PresetLike | None:
        same = exact(name, [preset.name for preset in self.presets])
        return next((preset for preset in self.presets if same and preset.name == same[0]), None)

    def usable(self, voice: _Voice, label: str) -> _Voice:
        """The voice itself, if the engine can speak with it now; `label` says where its name comes from."""
        if isinstance(voice, VoiceFile) and not self.cloning:
            presets = listed([preset.name for preset in self.presets])
            raise InvalidRequest(
                f"{label} names a recording, but {self.engine} has preset voices only and cannot clone; "
                f"choose one of {presets}, or an engine that clones (`oscine engines`)."
            )
        if not isinstance(voice, VoiceFile) and not voice.installed:
            raise NotAvailable(
                f"{label} names a voice of {self.engine} that is not downloaded; "
                f"`oscine download {self.engine}` brings it."
            )
        return voice


def _find(choices: _Choices, wanted: str, loose: bool, field: str) -> tuple[_Voice, list[str]]:
    """Follow aliases until they end at a voice; they never go in a circle."""
    name, label = wanted, field
    while (voice := _exact(choices, name)) is None and choices.aliases.knows(name):
        target = choices.aliases.resolve(name)
        if target is None:
            return _default(choices)
        name, label, loose = target, f"what voices.json has for {field}", False
    voice = voice or choices.preset(name)
    if voice is not None:
        return choices.usable(voice, label), []
    return _partial(choices, name, loose, label)


def _exact(choices: _Choices, name: str) -> _Voice | None:
    """The preset or recording of that name; not a preset that must be downloaded first, for an alias may stand in."""
    preset = choices.preset(name)
    if preset and preset.installed:
        return preset
    return choices.library.exact(name) if choices.cloning or not preset else None


def _partial(choices: _Choices, wanted: str, loose: bool, field: str) -> tuple[_Voice, list[str]]:
    """The only preset or recording whose name fits in part; with `loose` the first, with a warning where none does."""
    presets = [preset.name for preset in choices.presets]
    if loose:
        presets = [preset.name for preset in choices.presets if preset.installed]
        presets.sort(key=lambda name: name != choices.default_preset)
    taken = {fold(name) for name in presets}
    recordings = [name for name in choices.library.names() if fold(name) not in taken] if choices.cloning else []
    pool = [*recordings, *presets] if loose else [*presets, *recordings]
    if loose and not pool:
        return _default(choices)
    try:
        found = match(wanted, pool, loose=loose, field=field)
    except InvalidRequest as error:
        if error.code != "voice_not_found":
            raise
        return choices.usable(_unclonable(choices, wanted, field, pool), field), []
    voice = choices.preset(found.name) or choices.library.find(found.name, field=field)
    return choices.usable(voice, field), [found.warning] if found.warning else []


def _unclonable(choices: _Choices, wanted: str, field: str, pool: Sequence[str]) -> VoiceFile:
    """The recording of that name, for an engine that cannot clone it.

    Raises InvalidRequest where there is none, and for a link that leads out of the library.
    """
    try:
        return choices.library.find(wanted, field=field)
    except InvalidRequest as error:
        if error.code == "voice_not_found" or not choices.cloning:
            raise unknown(field, pool, addable=choices.cloning) from None
        raise


def _default(choices: _Choices) -> tuple[_Voice, list[str]]:
    """The voice that speaks where a request names none, in the order that `resolve_voice` tells."""
    warnings: list[str] = []
    if choices.default_speaker and choices.default_speaker.strip():
        voice = _speaker(choices, choices.default_speaker)
        if voice is not None:
            return choices.usable(voice, "DEFAULT_SPEAKER"), []
        warnings = [f"DEFAULT_SPEAKER is not the name of a voice that {choices.engine} can speak with here"]
    preset = choices.preset(choices.default_preset) if choices.default_preset else None
    first = choices.library.names()[:1] if choices.cloning and (warnings or preset is None) else ()
    chosen: _Voice | None = choices.library.exact(first[0]) if first else preset
    if chosen is None and choices.unprompted:
        warnings.append(
            f"There is no recording of a voice, so {choices.engine} speaks in one of its own; "
            "add one with `oscine voices add NAME FILE`."
        )
        return _Unprompted(), warnings
    if chosen is None:
        raise NotAvailable(
            f"{choices.engine} has no voice to speak with; add a recording of 3 to 120 s with "
            "`oscine voices add NAME FILE`, or put it into the folder AUDIO_VOICES_DIR.",
            param="voice",
        )
    if warnings:
        return choices.usable(chosen, "voice"), [f"{warnings[0]}; {chosen.name} was taken instead."]
    said = f"{choices.engine} has no default voice; {chosen.name} was taken."
    return choices.usable(chosen, "voice"), [said] if isinstance(chosen, VoiceFile) else []


def _speaker(choices: _Choices, name: str) -> _Voice | None:
    """The voice that the setting DEFAULT_SPEAKER means, if it is one for this engine."""
    preset = choices.preset(name)
    if preset:
        return preset
    names = [*(preset.name for preset in choices.presets), *(choices.library.names() if choices.cloning else ())]
    try:
        found = match(name, list(dict.fromkeys(names)), field="DEFAULT_SPEAKER").name
    except InvalidRequest:
        return None
    return choices.preset(found) or choices.library.find(found, field="DEFAULT_SPEAKER")

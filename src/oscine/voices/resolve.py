"""Which voice a wish means, over an engine's presets, the library and the aliases."""

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
    here = _Here(tuple(presets), default_preset, default_speaker, cloning, unprompted, library, aliases, engine)
    try:
        voice, warnings = _default(here) if wanted is None or not wanted.strip() else _find(here, wanted, loose, field)
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
class _Own:
    """What an engine sounds like that is given no voice."""

    name: str = "unprompted"
    installed: bool = True


@dataclass(frozen=True)
class _Here:
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


def _find(here: _Here, wanted: str, loose: bool, field: str) -> tuple[_Voice, list[str]]:
    """Follow aliases until they end at a voice; they never go in a circle."""
    name, label = wanted, field
    while (voice := _exact(here, name)) is None and here.aliases.knows(name):
        target = here.aliases.resolve(name)
        if target is None:
            return _default(here)
        name, label, loose = target, f"what voices.json has for {field}", False
    voice = voice or here.preset(name)
    if voice is not None:
        return here.usable(voice, label), []
    return _partial(here, name, loose, label)


def _exact(here: _Here, name: str) -> _Voice | None:
    """The preset or recording of that name; not a preset that must be downloaded first, for an alias may stand in."""
    preset = here.preset(name)
    if preset and preset.installed:
        return preset
    return here.library.exact(name) if here.cloning or not preset else None


def _partial(here: _Here, wanted: str, loose: bool, field: str) -> tuple[_Voice, list[str]]:
    presets = [preset.name for preset in here.presets]
    if loose:
        presets = [preset.name for preset in here.presets if preset.installed]
        presets.sort(key=lambda name: name != here.default_preset)
    taken = {fold(name) for name in presets}
    recordings = [name for name in here.library.names() if fold(name) not in taken] if here.cloning else []
    pool = [*recordings, *presets] if loose else [*presets, *recordings]
    if loose and not pool:
        return _default(here)
    try:
        found = match(wanted, pool, loose=loose, field=field)
    except InvalidRequest as error:
        if error.code != "voice_not_found":
            raise
        return here.usable(_unusual(here, wanted, field, pool), field), []
    voice = here.preset(found.name) or here.library.find(found.name, field=field)
    return here.usable(voice, field), [found.warning] if found.warning else []


def _unusual(here: _Here, wanted: str, field: str, pool: Sequence[str]) -> VoiceFile:
    """A recording that this engine cannot clone; the error for a link that leads out, or for what fits nothing."""
    try:
        return here.library.find(wanted, field=field)
    except InvalidRequest as error:
        if error.code == "voice_not_found" or not here.cloning:
            raise unknown(field, pool, addable=here.cloning) from None
        raise


def _default(here: _Here) -> tuple[_Voice, list[str]]:
    warnings: list[str] = []
    if here.default_speaker and here.default_speaker.strip():
        voice = _speaker(here, here.default_speaker)
        if voice is not None:
            return here.usable(voice, "DEFAULT_SPEAKER"), []
        warnings = [f"DEFAULT_SPEAKER is not the name of a voice that {here.engine} can speak with here"]
    preset = here.preset(here.default_preset) if here.default_preset else None
    first = here.library.names()[:1] if here.cloning and (warnings or preset is None) else ()
    chosen: _Voice | None = here.library.exact(first[0]) if first else preset
    if chosen is None and here.unprompted:
        warnings.append(
            f"There is no recording of a voice, so {here.engine} speaks in one of its own; "
            "add one with `oscine voices add NAME FILE`."
        )
        return _Own(), warnings
    if chosen is None:
        raise NotAvailable(
            f"{here.engine} has no voice to speak with; add a recording of 3 to 120 s with "
            "`oscine voices add NAME FILE`, or put it into the folder AUDIO_VOICES_DIR.",
            param="voice",
        )
    if warnings:
        return here.usable(chosen, "voice"), [f"{warnings[0]}; {chosen.name} was taken instead."]
    said = f"{here.engine} has no default voice; {chosen.name} was taken."
    return here.usable(chosen, "voice"), [said] if isinstance(chosen, VoiceFile) else []


def _speaker(here: _Here, name: str) -> _Voice | None:
    """The voice that the setting DEFAULT_SPEAKER means, if it is one for this engine."""
    preset = here.preset(name)
    if preset:
        return preset
    names = [*(preset.name for preset in here.presets), *(here.library.names() if here.cloning else ())]
    try:
        found = match(name, list(dict.fromkeys(names)), field="DEFAULT_SPEAKER").name
    except InvalidRequest:
        return None
    return here.preset(found) or here.library.find(found, field="DEFAULT_SPEAKER")

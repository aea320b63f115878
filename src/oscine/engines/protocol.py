"""What an engine is: one shape for a 6-million-parameter CPU voice and a 7-billion-parameter GPU model.

An engine speaks *utterances* in *lanes*. The scheduler opens a lane for an utterance, calls `step` with the lanes it
wants to advance, and gets back whatever is ready. All calls come from one thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Protocol, runtime_checkable

from oscine.audio.waveform import Samples
from oscine.text.marks import NO_MARKS, MarkKind
from oscine.voices.prompt import Prompt

Progress = Callable[[str, float | None], None]
"""Called with what is being done and the share that is done (0 to 1; None: unknown)."""

Grain = Literal["frame", "segment", "utterance"]
"""The smallest piece of audio that `step` hands out before the utterance is finished."""


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do; fronts ask this, never which engine it is."""

    cloning: bool = False
    """Speaks with the voice of a reference recording."""
    unprompted: bool = False
    """Speaks in a voice of its own where there is no recording."""
    speakers: int = 1
    """Speakers in one utterance."""
    speed: tuple[float, float] | None = None
    """Range of `speed` that the engine does itself; outside it, and with None, the audio is time-stretched."""
    options: frozenset[str] = frozenset()
    """Request fields beyond text, voice, speed and seed that the engine uses (`cfg_scale`, `emo_vector`, ...)."""
    reads: frozenset[str] = frozenset()
    """Text rules (names in `oscine.text.normalise.Rules`) that are left to the engine because it reads such text
    well itself."""
    inline_marks: frozenset[MarkKind] = NO_MARKS
    """Pronunciations that it reads inside the text."""
    quantizes: bool = False
    """Loads its weights in 8 or 4 bits where `Settings.quantize` says so."""


@dataclass(frozen=True)
class Lengths:
    """How much text an utterance should hold, in characters."""

    limit: int
    """A sentence longer than this is split at clauses."""
    pack: int = 0
    """Sentences are joined up to this; 0 means that each sentence is an utterance of its own."""
    gather: int = 0
    """Turns are gathered into one utterance up to this, which ends at a paragraph where it is nearly full; 0 means that
    each turn is an utterance of its own. A character of Chinese counts as the letters that last as long."""
    turn: int = 0
    """Letters that are added to those of each turn where turns are gathered, for what a script has around a turn."""
    shortest: int = 0
    """A last piece shorter than this is joined with the one before it where `limit` allows."""


@dataclass(frozen=True)
class Preset:
    """A voice that comes with an engine."""

    name: str
    language: str
    """BCP 47, e.g. `en-US`."""
    description: str = ""
    installed: bool = True
    """False: its files are missing here; `oscine download <engine>` brings them."""


@dataclass(frozen=True)
class EngineInfo:
    """Facts about an engine that are known before it is loaded."""

    name: str
    version: str
    """Changes whenever the same utterance would sound different; part of the spool's key."""
    summary: str
    """One line for people who choose an engine."""
    sample_rate: int
    """Hz."""
    languages: tuple[str, ...]
    """BCP 47 primary tags."""
    capabilities: Capabilities
    max_lanes: int
    """Utterances that may be open at once."""
    grain: Grain
    lengths: Lengths
    licence: str
    """SPDX name or title, with its limits if it has any."""
    presets: tuple[Preset, ...] = ()
    default_preset: str | None = None
    default_format: str = "mp3"
    default_rate: int | None = None
    """Sample rate of the result in Hz where it differs from the engine's."""
    default_bitrate: int | None = None
    """bit/s."""
    device: str = "cpu"
    """Where it runs; the final word once it is loaded."""
    tells: Callable[[str, str | None], str | None] | None = None
    """Called with a text and None, or with a piece and the language of the whole text: finds the language of the text
    or of the piece, None where it does not show. An engine that has it gets a language with every utterance: where a
    request names none, the one found in all of its text, or in as much as is there."""
    apart: int = 1
    """How many utterances it speaks at once on a processor each, so that none delays the first sound of another."""


@dataclass(frozen=True)
class Turn:
    """What one speaker says."""

    speaker: str
    """Label, a key of `Utterance.prompts`."""
    text: str


@dataclass(frozen=True, eq=False)
class Utterance:
    """One piece of speech that an engine makes in one go."""

    turns: tuple[Turn, ...]
    """One turn for most engines, a dialogue for those with several speakers."""
    prompts: Mapping[str, Prompt]
    """Speaker label -> voice."""
    seed: int
    """0 to 2**63 - 1; the utterance's audio depends on it and never on its neighbours."""
    speed: float = 1.0
    """Within `Capabilities.speed`."""
    language: str | None = None
    """BCP 47; None: the engine decides."""
    options: Mapping[str, object] = field(default_factory=dict)
    whole_seed: int | None = None
    """The seed of the request, for random choices that all of its utterances share; None: `seed`."""

    @property
    def text(self) -> str:
        """All that is said, without speaker labels."""
        return " ".join(turn.text for turn in self.turns)


class State(Enum):
    """Whether an utterance can be opened."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"


@dataclass(frozen=True)
class Capacity:
    """The answer to "can this utterance be opened?"."""

    state: State
    reason: str = ""
    """For NEVER: one sentence that a user can act on."""


NOW = Capacity(State.NOW)
LATER = Capacity(State.LATER)


def never(reason: str) -> Capacity:
    """This engine will never be able to speak the utterance, because of `reason`."""
    return Capacity(State.NEVER, reason)


@dataclass(eq=False)
class Lane:
    """An utterance that is being spoken; engines add their own state."""

    utterance: Utterance
    stop: threading.Event
    """Set when nobody wants the rest; looked at every token or diffusion step."""


@dataclass(frozen=True, eq=False)
class Audio:
    """The next samples of a lane."""

    lane: Lane
    samples: Samples


@dataclass(frozen=True, eq=False)
class Done:
    """A lane has spoken its utterance to the end."""

    lane: Lane
    stats: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Failed:
    """A lane cannot go on."""

    lane: Lane
    error: str
    """One sentence, without user text."""
    retryable: bool


Event = Audio | Done | Failed


class EngineBroken(Exception):
    """The engine must be reloaded before it can speak again."""


@dataclass(frozen=True)
class Missing:
    """Why an engine cannot speak here, and the command that changes it."""

    what: str
    remedy: str


@runtime_checkable
class Engine(Protocol):
    """Turns utterances into samples. Constructing one is cheap; `load` is not."""

    info: EngineInfo

    def missing(self) -> Missing | None:
        """What has to be installed or downloaded before `load` can work; never touches the network."""
        ...

    def download(self, progress: Progress) -> None:
        """Bring the weights and voices. Raises NotAvailable."""
        ...

    def load(self, progress: Progress) -> None:
        """Make the engine ready to speak. Slow, once; idempotent. Raises NotAvailable."""
        ...

    def capacity(self, utterance: Utterance) -> Capacity:
        """Whether `open` would find room now; counts whatever the engine is short of."""
        ...

    def open(self, utterance: Utterance, stop: threading.Event) -> Lane:
        """Take a slot. No model work."""
        ...

    def step(self, lanes: Sequence[Lane], budget_s: float) -> list[Event]:
        """Advance `lanes` and return what is ready within about `budget_s`. No barrier: a slow lane holds up no other.

        Raises EngineBroken.
        """
        ...

    def close_lane(self, lane: Lane) -> None:
        """Free the slot. Idempotent; also for lanes that are not finished."""
        ...

    def close(self) -> None:
        """Free everything; `load` may be called again."""
        ...

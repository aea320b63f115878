"""An engine that speaks tones, for tests of everything around engines.

Each word is a tone whose pitch follows a hash of the word (and the voice) and whose length follows its letters; between
words and sentences stands silence of known length. Audio depends on the utterance and its seed alone. Delays, lanes,
grain, capacity and failures are settable, and everything is counted.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from oscine.audio.waveform import Samples
from oscine.config import Settings
from oscine.engines.protocol import (
    LATER,
    NOW,
    Audio,
    Capabilities,
    Capacity,
    Done,
    EngineBroken,
    EngineInfo,
    Event,
    Failed,
    Grain,
    Lane,
    Lengths,
    Missing,
    Preset,
    Progress,
    Utterance,
    never,
)
from oscine.text.marks import MarkKind

RATE = 24_000
LETTER_MS = 60
WORD_GAP_MS = 40
SENTENCE_GAP_MS = 240
LEAD_MS = 130
TRAIL_MS = 170
LEVEL = 0.2
_EDGE_MS = 3


@dataclass
class Failure:
    """What goes wrong with utterances whose text holds `word`, `times` times (all of them are counted together)."""

    word: str
    times: int = 1
    retryable: bool = True
    after_frames: int = 0
    """Frames that are made before it happens; with the grain `frame` they are handed out."""
    kind: Literal["failed", "broken", "error", "hang", "noise"] = "failed"
    """Event, EngineBroken, unexpected exception, hang until `stop`, samples that are not numbers."""


@dataclass(eq=False)
class _Lane(Lane):
    frames: list[Samples] = field(default_factory=list)
    given: int = 0
    failed: bool = False


@dataclass
class Counts:
    """What the engine was asked to do."""

    loads: int = 0
    closes: int = 0
    steps: int = 0
    opened: int = 0
    closed: int = 0
    most_open: int = 0
    frames: Counter[str] = field(default_factory=Counter)
    """Frames made, by text."""
    threads: set[int] = field(default_factory=set)
    utterances: list[Utterance] = field(default_factory=list)
    """In the order they were opened."""
    stepped: list[tuple[str, ...]] = field(default_factory=list)
    """The texts of the lanes of each step."""


class EchoEngine:
    """Speaks tones; see the module."""

    def __init__(
        self,
        *,
        name: str = "echo",
        rate: int = RATE,
        lanes: int = 4,
        grain: Grain = "frame",
        frame_s: float = 0.133,
        delay_s: float = 0.0,
        load_s: float = 0.0,
        lengths: Lengths | None = None,
        speakers: int = 1,
        cloning: bool = False,
        speed: tuple[float, float] | None = (0.5, 2.0),
        options: Sequence[str] = (),
        marks: Collection[MarkKind] = (),
        tokens: int | None = None,
        level: float = LEVEL,
        trail_ms: float = TRAIL_MS,
        lead_ms: float = LEAD_MS,
        room_noise: float = 0.0,
        failures: Sequence[Failure] = (),
        load_failures: Sequence[Exception] = (),
        missing: Missing | None = None,
        on_step: Callable[[], object] = lambda: None,
        level_of: Callable[[str], float] | None = None,
    ) -> None:
        self.counts = Counts()
        self.delay_s = delay_s
        self.failures = [replace(failure) for failure in failures]
        self.load_failures = list(load_failures)
        self._load_s = load_s
        self._frame = round(frame_s * rate)
        self._rate = rate
        self._tokens = tokens
        self._level_of = level_of or (lambda _text: level)
        self._lead_ms, self._trail_ms, self._room = lead_ms, trail_ms, room_noise
        self._missing = missing
        self._on_step = on_step
        self._open: set[_Lane] = set()
        self._loaded = False
        self.info = EngineInfo(
            name=name,
            version="1",
            summary="Tones for tests.",
            sample_rate=rate,
            languages=("en", "de"),
            capabilities=Capabilities(
                cloning=cloning,
                speakers=speakers,
                speed=speed,
                options=frozenset(options),
                inline_marks=frozenset(marks),
            ),
            max_lanes=lanes,
            grain=grain,
            lengths=lengths or Lengths(limit=300),
            licence="Apache-2.0",
            presets=(Preset("low", "en"), Preset("high", "en"), Preset("away", "en", installed=False)),
            default_preset="low",
        )

    @property
    def open_lanes(self) -> int:
        return len(self._open)

    def missing(self) -> Missing | None:
        return self._missing

    def download(self, progress: Progress) -> None:
        progress("voices", 1.0)

    def load(self, progress: Progress) -> None:
        self._called()
        if self._loaded:
            return
        self.counts.loads += 1
        progress("echo", None)
        time.sleep(self._load_s)
        if self.load_failures:
            raise self.load_failures.pop(0)
        self._loaded = True

    def capacity(self, utterance: Utterance) -> Capacity:
        self._called()
        speakers = {turn.speaker for turn in utterance.turns}
        if len(speakers) > self.info.capabilities.speakers:
            return never(f"echo speaks {self.info.capabilities.speakers} speakers at once.")
        if self._tokens is not None:
            used = sum(len(lane.utterance.text) for lane in self._open)
            if len(utterance.text) > self._tokens:
                return never(f"echo takes {self._tokens} characters at once; send shorter sentences.")
            if used + len(utterance.text) > self._tokens:
                return LATER
        return NOW if len(self._open) < self.info.max_lanes else LATER

    def open(self, utterance: Utterance, stop: threading.Event) -> Lane:
        self._called()
        assert len(self._open) < self.info.max_lanes, "a lane too many"
        lane = _Lane(utterance, stop)
        self._open.add(lane)
        self.counts.opened += 1
        self.counts.most_open = max(self.counts.most_open, len(self._open))
        self.counts.utterances.append(utterance)
        return lane

    def step(self, lanes: Sequence[Lane], budget_s: float) -> list[Event]:
        self._called()
        assert self._loaded, "step before load"
        self.counts.steps += 1
        self.counts.stepped.append(tuple(lane.utterance.text for lane in lanes))
        self._on_step()
        if self.delay_s:
            time.sleep(self.delay_s)
        events: list[Event] = []
        for lane in lanes:
            assert isinstance(lane, _Lane)
            assert lane in self._open, "a step with a lane that is closed"
            events += self._advance(lane)
        return events

    def close_lane(self, lane: Lane) -> None:
        self._called()
        lane.stop.set()
        if isinstance(lane, _Lane) and lane in self._open:
            self._open.discard(lane)
            self.counts.closed += 1

    def close(self) -> None:
        self._called()
        self.counts.closes += 1
        self.counts.closed += len(self._open)
        self._open.clear()
        self._loaded = False

    def _called(self) -> None:
        self.counts.threads.add(threading.get_ident())

    def _advance(self, lane: _Lane) -> list[Event]:
        if lane.failed or lane.stop.is_set():
            return []
        if (failure := self._failure_of(lane)) is not None:
            return self._fail(lane, failure)
        if not lane.frames:
            lane.frames = self._frames(lane.utterance)
        if lane.given == len(lane.frames):
            return [Done(lane, {"frames": float(lane.given)})]
        frame = lane.frames[lane.given]
        lane.given += 1
        self.counts.frames[lane.utterance.text] += 1
        over = lane.given == len(lane.frames)
        events: list[Event] = [Done(lane)] if over else []
        if self.info.grain == "frame":
            return [Audio(lane, frame), *events]
        return [Audio(lane, np.concatenate(lane.frames)), *events] if over else []

    def _failure_of(self, lane: _Lane) -> Failure | None:
        return next(
            (
                failure
                for failure in self.failures
                if failure.times > 0 and failure.word in lane.utterance.text and lane.given >= failure.after_frames
            ),
            None,
        )

    def _fail(self, lane: _Lane, failure: Failure) -> list[Event]:
        failure.times -= 1
        match failure.kind:
            case "broken":
                raise EngineBroken("the tones broke")
            case "error":
                raise RuntimeError("unexpected")
            case "hang":
                lane.stop.wait(60)
                return []
            case "noise":
                return [Audio(lane, np.full(100, np.nan, np.float32))]
        lane.failed = True
        return [Failed(lane, "echo could not speak this piece.", retryable=failure.retryable)]

    def _frames(self, utterance: Utterance) -> list[Samples]:
        sound = self.sound(utterance)
        return [sound[start : start + self._frame] for start in range(0, len(sound), self._frame)]

    def sound(self, utterance: Utterance) -> Samples:
        """All that `step` hands out for the utterance."""
        parts = [
            tone(
                turn.text,
                rate=self._rate,
                voice=utterance.prompts[turn.speaker].key,
                seed=utterance.seed,
                speed=utterance.speed,
                level=self._level_of(turn.text),
                lead_ms=self._lead_ms,
                trail_ms=self._trail_ms,
            )
            for turn in utterance.turns
        ]
        sound = np.concatenate(parts)
        if self._room:
            noise = np.random.default_rng(utterance.seed).standard_normal(len(sound))
            sound = sound + (self._room * noise).astype(np.float32)
        return sound


def words_at(text: str, *, speed: float = 1.0, lead_ms: float = LEAD_MS) -> list[tuple[str, float, float]]:
    """Each word with its start and end in seconds from the start of the utterance."""
    at = lead_ms / 1000
    found = []
    for word in text.split():
        spoken = [c for c in word if c.isalnum()]
        length = max(1, len(spoken)) * LETTER_MS / 1000 / speed if spoken else 0.0
        if spoken:
            found.append((word, at, at + length))
        at += (
            length + (SENTENCE_GAP_MS if word.rstrip("\"')").endswith((".", "!", "?")) else WORD_GAP_MS) / 1000 / speed
        )
    return found


def tone(
    text: str,
    *,
    rate: int = RATE,
    voice: str = "",
    seed: int = 0,
    speed: float = 1.0,
    level: float = LEVEL,
    lead_ms: float = LEAD_MS,
    trail_ms: float = TRAIL_MS,
) -> Samples:
    """The sound of a text, float32 `[n]`; nothing at all for a text without words that hold a vowel or a digit."""
    words = words_at(text, speed=speed, lead_ms=lead_ms)
    if not words or "silence" in text:
        return np.zeros(0, np.float32)
    sound = np.zeros(round((words[-1][2] + trail_ms / 1000) * rate), np.float32)
    for word, start, end in words:
        first, count = round(start * rate), round(end * rate) - round(start * rate)
        pitch = 180 + zlib.crc32(f"{word.strip('.,!?').lower()}|{voice}".encode()) % 500
        t = np.arange(count) / rate
        phase = 2 * np.pi * (seed % 1000) / 1000
        edge = min(round(_EDGE_MS * rate / 1000), count // 2)
        shape = np.ones(count)
        shape[:edge] = np.linspace(0, 1, edge)
        shape[count - edge :] = np.linspace(1, 0, edge)
        sound[first : first + count] = (level * shape * np.sin(2 * np.pi * pitch * t + phase)).astype(np.float32)
    return sound


def echo(**kinds: object) -> Callable[[Settings], EchoEngine]:
    """A factory for a registry."""
    return lambda _settings: EchoEngine(**kinds)  # type: ignore[arg-type]

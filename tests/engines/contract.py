"""How tests talk to an engine, as its one owner."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from oscine.audio.waveform import Samples
from oscine.engines.protocol import Audio, Done, Engine, Event, Failed, Lane, Turn, Utterance
from oscine.voices.prompt import preset_prompt

PATIENCE_S = 240.0
"""After which a test gives up; never what it measures."""


def utterance(
    engine: Engine, text: str, *, seed: int = 1, speed: float = 1.0, voice: str | None = None, speakers: int = 1
) -> Utterance:
    name = voice or engine.info.default_preset
    assert name is not None
    labels = [str(number) for number in range(speakers)]
    return Utterance(
        turns=tuple(Turn(label, text) for label in labels),
        prompts={label: preset_prompt(engine.info.name, name) for label in labels},
        seed=seed,
        speed=speed,
    )


def quiet(_what: str, _share: float | None) -> None:
    """Progress that nobody watches."""


@dataclass
class Heard:
    """What a lane handed out."""

    parts: list[Samples] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def samples(self) -> Samples:
        return np.concatenate(self.parts) if self.parts else np.zeros(0, np.float32)

    @property
    def over(self) -> bool:
        return any(isinstance(event, Done | Failed) for event in self.events)


def run(engine: Engine, utterances: Sequence[Utterance], *, budget_s: float = 0.05) -> list[Heard]:
    """Speak all at once, as many as there are lanes for, and close them."""
    waiting = list(enumerate(utterances))
    heard = [Heard() for _ in utterances]
    lanes: dict[Lane, int] = {}
    until = time.monotonic() + PATIENCE_S
    while waiting or lanes:
        assert time.monotonic() < until, "the engine did not come to an end"
        while waiting and engine.capacity(waiting[0][1]).state.value == "now":
            index, wanted = waiting.pop(0)
            lanes[engine.open(wanted, threading.Event())] = index
        for event in engine.step(list(lanes), budget_s):
            index = lanes[event.lane]
            heard[index].events.append(event)
            if isinstance(event, Audio):
                heard[index].parts.append(event.samples)
        for lane, index in list(lanes.items()):
            if heard[index].over:
                engine.close_lane(lane)
                del lanes[lane]
    return heard


def spoken(engine: Engine, text: str, **how: object) -> Samples:
    """The sound of one text, spoken alone."""
    return run(engine, [utterance(engine, text, **how)])[0].samples  # type: ignore[arg-type]

"""What the tests of the pipeline build with: the echo engine in a real studio and a real scheduler."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from oscine.audio.waveform import Samples
from oscine.config import Settings
from oscine.engines.protocol import Event, Turn, Utterance
from oscine.request import SpeechRequest
from oscine.synthesis.plan import Plan
from oscine.synthesis.scheduler import Scheduler
from oscine.synthesis.studio import Studio
from oscine.voices.prompt import preset_prompt
from tests.echo import EchoEngine, _Lane
from tests.waiting import PATIENCE_S

LOW = preset_prompt("echo", "low")


def said(text: str, *, seed: int = 1) -> Utterance:
    return Utterance((Turn("", text),), {"": LOW}, seed)


def minutes(count: float) -> str:
    """One sentence that the echo engine speaks for about so many minutes."""
    words = round(count * 60 / 0.58)
    return " ".join(["wordliest"] * words) + "."


@contextmanager
def scheduling(engine: EchoEngine, *, max_jobs: int = 256) -> Iterator[Scheduler]:
    """A scheduler that is closed at the end, when everything it took has to be given back."""
    scheduler = Scheduler(engine, max_jobs=max_jobs)
    try:
        yield scheduler
    finally:
        scheduler.close()
    assert not scheduler._thread.is_alive()
    assert engine.counts.opened == engine.counts.closed, "a lane leaked"
    assert len(engine.counts.threads) <= 1, "the engine was called from more than one thread"


def settings_for(folder: Path, **names: str) -> Settings:
    return Settings.from_env({"OSCINE_ENGINE": "echo", "OSCINE_VOLUME": str(folder), **names})


class Endless(EchoEngine):
    """Tones that go on until somebody stops them, however long a test takes to do so."""

    def _advance(self, lane: _Lane) -> list[Event]:
        if lane.given >= len(lane.frames) - 1:
            lane.given = 0
        return super()._advance(lane)


class Held:
    """Lets an engine begin one more step at most while a test looks and asks: give it to the engine as `on_step`."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()

    def __call__(self) -> None:
        assert self._open.wait(PATIENCE_S), "nobody let it go on"

    def __enter__(self) -> None:
        self._open.clear()

    def __exit__(self, *_: object) -> None:
        self._open.set()


def threads(name: str) -> set[threading.Thread]:
    """The threads of that name, also those that others left in this process."""
    return {thread for thread in threading.enumerate() if thread.name == name}


def studio_with(engine: EchoEngine, folder: Path, **names: str) -> Studio:
    return Studio(settings_for(folder, **names), factories={engine.info.name: lambda _: engine})


def plan_of(studio: Studio, text: str | Iterable[str], **fields: object) -> Plan:
    whole = isinstance(text, str)
    request, _ = SpeechRequest.parse({"text": text if whole else "", "seed": 1, **fields})
    return studio.plan(request, text=None if whole else text)


def in_thread(work: Callable[[], object]) -> Callable[[], object]:
    """Run it beside; the result waits for it and gives back what it returned, or raises what it raised."""
    outcome: list[object] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> object:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "it hangs"
        if failure:
            raise failure[0]
        return outcome[0]

    return result


def sounding(samples: Samples, rate: int, *, floor: float = 0.004, gap_ms: float = 15) -> list[tuple[float, float]]:
    """Where there is a tone: start and end in seconds; rests shorter than `gap_ms` belong to it."""
    loud = np.flatnonzero(np.abs(samples) > floor)
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > gap_ms / 1000 * rate)
    starts = [loud[0], *loud[breaks + 1]]
    ends = [*loud[breaks], loud[-1]]
    return [(float(a / rate), float((b + 1) / rate)) for a, b in zip(starts, ends, strict=True)]

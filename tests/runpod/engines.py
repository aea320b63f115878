"""Engines that speak tones, and do at a word's bidding what a model does only now and then.

`entry_points` makes them known to a worker's process, as an installed package would.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oscine.config import Settings
from oscine.engines.protocol import EngineBroken, Event, Lane, Lengths, Missing, Progress, Utterance
from tests.echo import EchoEngine, Failure

HELD: Final = "held"
"""A piece with this word is spoken when the file `go` is on the volume."""
DOOM: Final = "doom"
"""A piece with this word breaks the engine for good."""
SECRETS: Final = ("/srv/models/private", "db.internal.example")


class Tones(EchoEngine):
    """Notes each piece that it begins, in a file on the volume that outlives it."""

    def __init__(self, settings: Settings) -> None:
        failures = [Failure("fails", times=10**6, retryable=False)]
        super().__init__(
            name="tones", lanes=3, lengths=Lengths(limit=80), failures=failures, options=("steps",), cloning=True
        )
        self._volume = settings.home
        self._doomed = False

    def load(self, progress: Progress) -> None:
        if self._doomed:
            raise RuntimeError(f"CUDA error: an illegal access in {SECRETS[0]} on {SECRETS[1]}")
        super().load(progress)

    def open(self, utterance: Utterance, stop: object) -> Lane:
        with (self._volume / "opened").open("a") as file:
            file.write(f"{utterance.text}\n")
        return super().open(utterance, stop)  # type: ignore[arg-type]

    def step(self, lanes: Sequence[Lane], budget_s: float) -> list[Event]:
        if any(DOOM in lane.utterance.text for lane in lanes):
            self._doomed = True
            raise EngineBroken("the tones broke for good")
        go = (self._volume / "go").exists()
        able = [lane for lane in lanes if go or HELD not in lane.utterance.text]
        if not able:
            time.sleep(0.005)
        (self._volume / "lanes").write_text(str(self.open_lanes))
        return super().step(able, budget_s)

    def close_lane(self, lane: Lane) -> None:
        super().close_lane(lane)
        (self._volume / "lanes").write_text(str(self.open_lanes))


class Slow(EchoEngine):
    """Is loaded when the file `go` is on the volume."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="slow")
        self._volume = settings.home

    def load(self, progress: Progress) -> None:
        (self._volume / "loading").touch()
        while not (self._volume / "go").exists():
            time.sleep(0.01)
        super().load(progress)


class Haunted(EchoEngine):
    """Fails where nobody expects it, with words that must not be repeated."""

    def __init__(self, _settings: Settings) -> None:
        super().__init__(name="haunted")

    def missing(self) -> Missing | None:
        raise RuntimeError(f"no route from {SECRETS[0]} to {SECRETS[1]}")


def entry_points(folder: Path) -> str:
    """A folder for PYTHONPATH."""
    info = folder / "oscine_tones-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: oscine-tones\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[oscine.engines]\ntones = tests.runpod.engines:Tones\nhaunted = tests.runpod.engines:Haunted\n"
        "slow = tests.runpod.engines:Slow\n"
    )
    return str(folder)

"""The engines of RunPod's tests, and one that gives up in the middle of every text that OpenAI's checks say."""

from __future__ import annotations

from pathlib import Path

from oscine.config import Settings
from tests.echo import EchoEngine, Failure
from tests.runpod import engines


class Broken(EchoEngine):
    """Never finishes a sentence with `little` in it."""

    def __init__(self, _settings: Settings) -> None:
        super().__init__(name="broken", failures=[Failure("little", times=10**6, after_frames=3)])


def entry_points(folder: Path) -> str:
    """A folder for PYTHONPATH."""
    found = Path(engines.entry_points(folder))
    (told,) = found.glob("*.dist-info/entry_points.txt")
    told.write_text(f"{told.read_text()}broken = tests.bridge.engines:Broken\n")
    return str(found)

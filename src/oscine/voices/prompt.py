"""The voice that an engine is given: a preset of its own, or a recording that is ready to use."""

from __future__ import annotations

from dataclasses import dataclass

from oscine.audio.waveform import Waveform


@dataclass(frozen=True, eq=False)
class Prompt:
    """The voice of one speaker: a preset of the engine, or a prepared reference recording."""

    name: str
    """The preset's or the recording's name."""
    key: str
    """Identifies the voice by content: equal keys sound equal."""
    reference: Waveform | None = None
    """None for a preset."""


def preset_prompt(engine: str, name: str) -> Prompt:
    """The prompt for a voice that comes with an engine."""
    return Prompt(name, f"preset:{engine}:{name}")

"""What VibeVoice can do and how it is asked, known without its model."""

from __future__ import annotations

from typing import Final

from oscine.config import Settings
from oscine.engines.protocol import Capabilities, EngineInfo, Lengths

SAMPLE_RATE: Final = 24_000
SPEAKERS: Final = 4
STEPS: Final = 10
"""Diffusion steps of a frame where a request does not say."""
MOST_STEPS: Final = 100
GUIDANCE: Final = 1.3
SLOTS: Final = 4096
"""Tokens of a lane, its prompt and its frames: about four minutes of speech after four reference voices."""
TURN_CHARS: Final = 250
"""The model's authors' remedy for speech that grows faster and faster: one speaker's text goes in as many turns."""
TAKE_CHARS: Final = 3000
"""About three and a half minutes; clones degrade after four to five."""
TURN_LETTERS: Final = 15
"""The name of a speaker and the end of a line are about five tokens, and so many letters need as much room."""


def version_of(weights: str, settings: Settings) -> str:
    """`weights`, and what makes the same utterance sound different with them."""
    marks = [
        mark
        for mark, on in (
            ("sde", settings.vibevoice_sde),
            ("token-guidance", settings.vibevoice_token_guidance),
            (f"{settings.quantize}bit", settings.quantize),
            (f"cfg{settings.default_cfg_scale}", settings.default_cfg_scale),
        )
        if on
    ]
    return "+".join([weights, *marks])


def describe(version: str) -> EngineInfo:
    """What the scheduler and the fronts know of the engine; `version` as `version_of` has it."""
    return EngineInfo(
        name="vibevoice",
        version=version,
        summary="Cloned voices, up to four in one take; long, lively speech on a GPU.",
        sample_rate=SAMPLE_RATE,
        languages=("en", "zh"),
        capabilities=Capabilities(
            cloning=True,
            unprompted=True,
            speakers=SPEAKERS,
            options=frozenset({"cfg_scale", "steps", "disable_prefill"}),
            quantizes=True,
        ),
        max_lanes=8,
        grain="frame",
        lengths=Lengths(limit=2 * TURN_CHARS, pack=TURN_CHARS, gather=TAKE_CHARS, turn=TURN_LETTERS, shortest=40),
        licence="MIT",
        default_rate=48_000,
        default_bitrate=192_000,
    )

"""What a finished request tells about itself."""

from __future__ import annotations

from dataclasses import dataclass

from oscine.audio.chapters import Chapter
from oscine.synthesis.assemble import Segment


@dataclass(frozen=True)
class Report:
    """Facts about finished speech."""

    duration: float
    """Seconds."""
    sample_rate: int
    """Hz of the result."""
    engine: str
    voices: tuple[str, ...]
    """The voices that spoke, in the order in which they are first heard."""
    seed: int
    pieces: int
    """Utterances it was made of."""
    pieces_reused: int
    """Those of them that were not spoken again because they were finished earlier."""
    characters: int
    loudness_lufs: float | None
    """Integrated loudness; None: too short or too quiet to be measured."""
    true_peak_dbtp: float | None
    synthesis_seconds: float
    """Wall time from start to finish, without loading the engine and without what a stream's listener let pass."""
    segments: tuple[Segment, ...] = ()
    warnings: tuple[str, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    first_audio_seconds: float | None = None
    """Seconds until the first samples were ready, counted like `synthesis_seconds`."""

    @property
    def real_time_factor(self) -> float:
        """Synthesis time over audio time; lower is faster."""
        return self.synthesis_seconds / self.duration if self.duration else 0.0

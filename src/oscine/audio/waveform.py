"""Samples that never travel without their rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Mono audio, float32 `[samples]`, full scale is -1 to 1."""


@dataclass(frozen=True, eq=False)
class Waveform:
    """Mono audio with its rate."""

    samples: Samples
    """float32 `[samples]`."""
    sample_rate: int
    """Hz."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.sample_rate

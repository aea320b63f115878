"""Change of the sample rate."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from oscine.audio.waveform import Samples, Waveform


def resample(waveform: Waveform, sample_rate: int) -> Waveform:
    """`waveform` at `sample_rate` Hz (soxr, HQ), `round(n * target / source)` samples long."""
    if waveform.sample_rate == sample_rate:
        return waveform
    resampler = Resampler(waveform.sample_rate, sample_rate)
    return Waveform(np.concatenate([resampler.push(waveform.samples), resampler.finish()]), sample_rate)


class Resampler:
    """Changes the rate of samples as they come; what goes in at a time comes out at the same time."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        """Rates in Hz."""
        self._ratio = Fraction(target_rate, source_rate)
        self._taken = 0
        self._given = 0
        self._stream: Any = None
        if source_rate != target_rate:
            import soxr

            self._stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32", quality="HQ")

    def push(self, samples: Samples) -> Samples:
        """Take float32 `[samples]` at the source rate, return what is ready at the target rate."""
        if self._stream is None:
            return samples
        self._taken += len(samples)
        return self._limited(self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32)))

    def finish(self) -> Samples:
        """Return the rest, so that all of it is `round(n * target / source)` samples long."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        rest = self._limited(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
        missing = self._total() - self._given
        self._given += missing
        return np.concatenate([rest, np.zeros(missing, np.float32)])

    def _total(self) -> int:
        return round(self._taken * self._ratio)

    def _limited(self, ready: Samples) -> Samples:
        ready = ready[: self._total() - self._given]
        self._given += len(ready)
        return ready

"""What a signal does between its samples."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from oscine.audio.waveform import Samples

BEFORE: Final = 15
"""Samples before a point that its interpolation needs."""
AFTER: Final = 16
"""Samples after."""
OVERSAMPLING: Final = 8
"""Points per sample. ITU-R BS.1770-4 Annex 2 asks for 4 at 48 kHz; speech comes at 24 kHz."""
BLOCK: Final = 32
"""`peaks` looks at blocks of this many samples."""


def peaks(padded: Samples, threshold: float) -> NDArray[np.float32]:
    """The largest absolute value from each sample up to the next, interpolated; float32 `[n]`, `n` a multiple of `BLOCK`.

    `padded` holds `BEFORE` samples before the first and `AFTER` after the last of the `n`. In blocks where no interpolated
    value can exceed `threshold` the samples' own absolute values are returned.
    """
    taps, norm = _interpolator()
    n = len(padded) - BEFORE - AFTER
    found = np.abs(padded[BEFORE : BEFORE + n])
    reach = np.abs(padded)
    loudest = sliding_window_view(reach, BLOCK + BEFORE + AFTER)[::BLOCK].max(axis=1)
    active = np.flatnonzero(loudest * norm > threshold)
    if len(active):
        windows = sliding_window_view(padded, BLOCK + BEFORE + AFTER)[::BLOCK][active]
        between = np.abs(windows @ taps).reshape(len(active), BLOCK, OVERSAMPLING - 1).max(axis=2)
        rows = found.reshape(-1, BLOCK)
        rows[active] = np.maximum(rows[active], between)
    return found


def could_exceed(samples: Samples, threshold: float) -> bool:
    """Whether an interpolated value may exceed `threshold`; False is certain."""
    return len(samples) > 0 and float(max(samples.max(), -samples.min())) * _interpolator()[1] > threshold


@lru_cache(maxsize=1)
def _interpolator() -> tuple[NDArray[np.float32], float]:
    """Matrix `[BLOCK + BEFORE + AFTER, BLOCK * (OVERSAMPLING - 1)]` from a block to the points in between, and the largest factor
    by which such a point can exceed the samples: the sum of the absolute taps.

    Taps: a sinc under a Kaiser window (beta 6: 60 dB of rejection, flat up to 0.44 of the sample rate), 32 a point.
    """
    offsets = np.arange(-BEFORE, AFTER + 1)
    fractions = np.arange(1, OVERSAMPLING) / OVERSAMPLING
    distance = offsets[None] - fractions[:, None]
    width = (BEFORE + AFTER + 1) / 2
    window = np.i0(6.0 * np.sqrt(np.maximum(0, 1 - (distance / width) ** 2))) / np.i0(6.0)
    filters = np.sinc(distance) * window
    filters /= filters.sum(axis=1, keepdims=True)
    matrix = np.zeros((BLOCK + BEFORE + AFTER, BLOCK, OVERSAMPLING - 1))
    for position in range(BLOCK):
        matrix[position : position + BEFORE + AFTER + 1, position] = filters.T
    return matrix.reshape(len(matrix), -1).astype(np.float32), float(np.abs(filters).sum(axis=1).max())

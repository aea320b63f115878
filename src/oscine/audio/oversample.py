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
BLOCK: Final = 128
"""`peaks` looks at blocks of this many samples."""


def peaks(padded: Samples, threshold: float) -> NDArray[np.float32]:
    """The largest absolute value from each sample up to the next, interpolated; float32 `[n]`.

    `n` is a multiple of `BLOCK`; `padded` holds `BEFORE` samples before the first and `AFTER` after the last of the
    `n`. In blocks where no interpolated value can exceed `threshold` the samples' own absolute values are returned.
    What comes out for a block does not depend on how many others there are, to the last bit: each is a matrix product
    of its own.
    """
    taps, norm = _interpolator()
    n = len(padded) - BEFORE - AFTER
    found = np.abs(padded[BEFORE : BEFORE + n]).reshape(-1, BLOCK)
    edges = np.abs(np.concatenate([padded[:BEFORE], padded[BEFORE + n :]])).max()
    around = np.concatenate([[edges], found.reshape(-1, _ROW).max(axis=1), [edges]])
    loudest = np.maximum(np.maximum(around[:-2], around[2:]), around[1:-1])
    active = np.flatnonzero(loudest.reshape(-1, BLOCK // _ROW).max(axis=1) * norm > threshold)
    if len(active):
        windows = sliding_window_view(padded, _ROW + BEFORE + AFTER)[::_ROW].reshape(
            -1, BLOCK // _ROW, _ROW + BEFORE + AFTER
        )
        between = windows[active] @ taps
        np.abs(between, out=between)
        highest = between[..., :_ROW].copy()
        for point in range(1, OVERSAMPLING - 1):
            np.maximum(highest, between[..., point * _ROW : (point + 1) * _ROW], out=highest)
        found[active] = np.maximum(found[active], highest.reshape(len(active), BLOCK))
    return found.reshape(-1)


def could_exceed(samples: Samples, threshold: float) -> bool:
    """Whether an interpolated value may exceed `threshold`; False is certain."""
    return len(samples) > 0 and float(max(samples.max(), -samples.min())) * _interpolator()[1] > threshold


@lru_cache(maxsize=1)
def _interpolator() -> tuple[NDArray[np.float32], float]:
    """A matrix from samples to the points between them, and the most by which such a point can exceed the samples.

    float32 `[_ROW + BEFORE + AFTER, (OVERSAMPLING - 1) * _ROW]`, point by point, and the largest sum of a point's
    absolute taps. Taps: a sinc under a Kaiser window (beta 6: 60 dB of rejection, flat up to 0.44 of the sample rate),
    32 a point.
    """
    offsets = np.arange(-BEFORE, AFTER + 1)
    fractions = np.arange(1, OVERSAMPLING) / OVERSAMPLING
    distance = offsets[None] - fractions[:, None]
    width = (BEFORE + AFTER + 1) / 2
    window = np.i0(6.0 * np.sqrt(np.maximum(0, 1 - (distance / width) ** 2))) / np.i0(6.0)
    filters = np.sinc(distance) * window
    filters /= filters.sum(axis=1, keepdims=True)
    matrix = np.zeros((_ROW + BEFORE + AFTER, OVERSAMPLING - 1, _ROW))
    for position in range(_ROW):
        matrix[position : position + BEFORE + AFTER + 1, :, position] = filters.T
    return matrix.reshape(len(matrix), -1).astype(np.float32), float(np.abs(filters).sum(axis=1).max())


_ROW: Final = 32
"""Samples in one row of the product: many enough for the matrix to be mostly taps, few enough for it to stay small.

Not fewer than `AFTER`: an interpolation reaches into the neighbouring rows, no further.
"""

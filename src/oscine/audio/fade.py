"""Smooth edges and overlaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oscine.audio.waveform import Samples


def fade_in(samples: Samples, n: int) -> Samples:
    """A copy whose first `n` samples (all, if there are fewer) rise from silence along a raised cosine."""
    faded = samples.copy()
    n = min(n, len(faded))
    if n > 0:
        faded[:n] *= _rise(n)
    return faded


def fade_out(samples: Samples, n: int) -> Samples:
    """A copy whose last `n` samples (all, if there are fewer) fall to silence along a raised cosine."""
    faded = samples.copy()
    n = min(n, len(faded))
    if n > 0:
        faded[len(faded) - n :] *= _rise(n)[::-1]
    return faded


def overlap(tail: Samples, head: Samples) -> Samples:
    """`tail` going over into `head`, which is as long: the power of unrelated sounds stays the same throughout.

    Raises ValueError if the lengths differ.
    """
    if len(tail) != len(head):
        raise ValueError(f"overlap takes two pieces of one length, not {len(tail)} and {len(head)} samples")
    rise = np.sqrt(_rise(len(head)))
    return tail * rise[::-1] + head * rise


def _rise(n: int) -> NDArray[np.float32]:
    """0 to 1 (both excluded) along half a cosine, float32 `[n]`; it and its mirror image add up to 1."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))).astype(np.float32)

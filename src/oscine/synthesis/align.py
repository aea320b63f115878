"""When each sentence of a piece was said, from the pauses in its sound.

A piece with one sentence needs none of this. For several, the boundary between two sentences is looked for near where
its share of the characters would put it, at the quiet places of the sound; long quiet counts for more than a good
place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from oscine.audio.waveform import Samples

FRAME_MS: Final = 10
QUIET_DB: Final = 30.0
"""A frame this far below the loud ones is quiet."""
SHORTEST_PAUSE_S: Final = 0.08
PAUSE_PER_S: Final = 4.0
"""How many seconds of distance from the expected place one second of quiet outweighs."""


class Envelope:
    """The level of a sound in frames of `FRAME_MS`, so that hours of it take little room."""

    def __init__(self, sample_rate: int) -> None:
        self._frame = sample_rate * FRAME_MS // 1000
        self._frame_s = self._frame / sample_rate
        self._rest: Samples = np.zeros(0, np.float32)
        self._levels: list[np.ndarray] = []

    def push(self, samples: Samples) -> None:
        """Add the next samples."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // self._frame * self._frame
        frames = samples[:whole].reshape(-1, self._frame)
        self._levels.append(np.einsum("ij,ij->i", frames, frames) / self._frame)
        self._rest = samples[whole:]

    def quiet(self, length_s: float) -> list[tuple[float, float]]:
        """The quiet places in seconds, as (start, end), without those at the ends."""
        if not self._levels:
            return []
        power = np.concatenate(self._levels)[: round(length_s / self._frame_s)]
        if len(power) < 3:
            return []
        loud = float(np.percentile(power, 90)) or 1.0
        below = power < loud * 10 ** (-QUIET_DB / 10)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], below, [False]]).astype(np.int8)))
        runs = edges.reshape(-1, 2) * self._frame_s
        return [(float(a), float(b)) for a, b in runs if a > 0 and b < length_s - 0.02 and b - a >= SHORTEST_PAUSE_S]


def sentence_spans(texts: Sequence[str], length_s: float, envelope: Envelope) -> list[tuple[float, float]]:
    """Start and end in seconds of each text within a piece of `length_s` seconds."""
    if len(texts) == 1:
        return [(0.0, length_s)]
    weights = np.cumsum([len(text) + 4 for text in texts])
    expected = [float(weight) / float(weights[-1]) * length_s for weight in weights[:-1]]
    gaps = _choose(expected, envelope.quiet(length_s))
    starts = [0.0, *(end for _, end in gaps)]
    ends = [*(start for start, _ in gaps), length_s]
    return list(zip(starts, ends, strict=True))


def _choose(expected: list[float], quiet: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """For each expected boundary a quiet place, in order, each used once; else the expected ones."""
    if len(quiet) < len(expected):
        return [(place, place) for place in expected]
    count = len(quiet)
    best = np.full((len(expected) + 1, count + 1), np.inf)
    best[0, :] = 0.0
    taken = np.zeros((len(expected) + 1, count + 1), dtype=bool)
    for i, place in enumerate(expected, start=1):
        for j, (start, end) in enumerate(quiet, start=1):
            cost = abs((start + end) / 2 - place) - PAUSE_PER_S * (end - start)
            take, skip = best[i - 1, j - 1] + cost, best[i, j - 1]
            best[i, j] = min(take, skip)
            taken[i, j] = take <= skip
    chosen: list[tuple[float, float]] = []
    i, j = len(expected), count
    while i:
        if taken[i, j]:
            chosen.append(quiet[j - 1])
            i -= 1
        j -= 1
    return chosen[::-1]

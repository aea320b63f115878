"""Very short texts, which the model speaks badly: they are said twice in one take, and heard once."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from oscine.audio.silence import quiet_runs
from oscine.audio.waveform import Samples
from oscine.engines.protocol import Utterance
from oscine.text.measure import letters

SHORT_LETTERS: Final = 20
_LEAST_PAUSE_MS: Final = 80


def is_short(utterance: Utterance) -> bool:
    """Whether it needs company; planning joins what has neighbours, so this is all there is."""
    return letters(utterance.text) < SHORT_LETTERS


def twice(utterance: Utterance) -> Utterance:
    """The same said again in a turn of its own."""
    return replace(utterance, turns=(*utterance.turns, *utterance.turns))


def said_once(samples: Samples, sample_rate: int) -> Samples:
    """The first of two times the same, float32 `[n]`: up to the middle of the pause between them.

    That is the longest pause in the middle half; without any, nothing was said twice, and all is kept.
    """
    inner = [
        (start, end)
        for start, end in quiet_runs(samples, sample_rate, _LEAST_PAUSE_MS)
        if 0.25 * len(samples) < (start + end) / 2 < 0.75 * len(samples)
    ]
    if not inner:
        return samples
    start, end = max(inner, key=lambda run: run[1] - run[0])
    return np.ascontiguousarray(samples[: (start + end) // 2])

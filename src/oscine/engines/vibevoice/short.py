"""Very short texts, which the model speaks badly: they are said twice in one take, and heard once."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from oscine.audio.silence import quiet_runs, speech_bounds
from oscine.audio.waveform import Samples
from oscine.engines.expected import LETTERS_PER_S
from oscine.engines.protocol import Utterance
from oscine.text.measure import letters

SHORT_LETTERS: Final = 20
_LEAST_PAUSE_MS: Final = 80
_ALIKE: Final = 0.6
"""Two times the same differ no more than this in length."""
_TWICE: Final = 1.5
"""What lasts so many times as long as the text should was said twice."""
_WINDOW_S: Final = 0.02


def is_short(utterance: Utterance) -> bool:
    """Whether it needs company; planning joins what has neighbours, so this is all there is."""
    return letters(utterance.text) < SHORT_LETTERS


def twice(utterance: Utterance) -> Utterance:
    """The same said again in a turn of its own."""
    return replace(utterance, turns=(*utterance.turns, *utterance.turns))


def said_once(samples: Samples, sample_rate: int, utterance: Utterance) -> Samples:
    """The first of two times the same, float32 `[n]`: up to the middle of the pause between them.

    That is the pause with as much speech before it as behind it: one inside the text, between two phrases or two
    speakers, may be longer. Where nothing was said twice, all is kept; where there is no pause, all is heard up to the
    quietest place near the middle.
    """
    bounds = speech_bounds(samples, sample_rate)
    if bounds is None:
        return samples
    begin, end = bounds
    pauses = [run for run in quiet_runs(samples, sample_rate, _LEAST_PAUSE_MS) if begin < run[0] and run[1] < end]
    likeliest = max(pauses, key=lambda run: _balance(begin, run, end), default=None)
    if likeliest is not None and _balance(begin, likeliest, end) >= _ALIKE:
        return np.ascontiguousarray(samples[: sum(likeliest) // 2])
    if (end - begin) / sample_rate < _TWICE * letters(utterance.text) / LETTERS_PER_S:
        return samples
    return np.ascontiguousarray(samples[: _quietest(samples, begin, end, sample_rate)])


def _balance(begin: int, pause: tuple[int, int], end: int) -> float:
    """How alike the lengths before and behind a pause are, 0 to 1."""
    before, behind = pause[0] - begin, end - pause[1]
    return min(before, behind) / max(before, behind)


def _quietest(samples: Samples, begin: int, end: int, sample_rate: int) -> int:
    """Where the sound is least within a tenth of the middle."""
    window = max(1, round(_WINDOW_S * sample_rate))
    middle, reach = (begin + end) // 2, (end - begin) // 10
    start = middle - reach
    power = np.convolve(samples[start : middle + reach] ** 2, np.ones(window, np.float32), "valid")
    return start + int(np.argmin(power)) + window // 2

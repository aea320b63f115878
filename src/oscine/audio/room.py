"""Room tone: the steady noise behind a voice, and more of it where a pause is longer than what was recorded."""

from __future__ import annotations

from random import Random
from typing import Final

import numpy as np

from oscine.audio.waveform import Samples


def has_room_tone(sound: Samples, sample_rate: int) -> bool:
    """Whether `sound`, float32 `[samples]` of a pause, is a steady noise that can be heard, long enough to be learned.

    Steady: no part of 10 ms is more than 6 dB above or below the whole.
    """
    frame = round(sample_rate * _FRAME_S)
    whole = len(sound) // frame * frame
    if whole < _LEAST_FRAMES * frame:
        return False
    power = np.square(_centred(sound[:whole]), dtype=np.float64).reshape(-1, frame).mean(axis=1)
    mean = float(power.mean())
    return mean > _AUDIBLE and bool((power > mean / _STEADY).all() and (power < mean * _STEADY).all())


def room_tone(sound: Samples, n: int) -> Samples:
    """`n` samples that sound as the noise in `sound` does, as loud: grains of it, overlapped with equal power.

    An offset of `sound` from zero is no part of it: grains would add up to twice as much. The same arguments give the
    same samples.
    """
    sound, half = _centred(sound), len(sound) // 4
    if n <= 0 or half == 0:
        return np.zeros(max(0, n), np.float32)
    window = np.sin(np.pi * (np.arange(2 * half) + 0.5) / (2 * half)).astype(np.float32)
    chance = Random(n)
    tone = np.zeros((-(-n // half) + 2) * half, np.float32)
    for start in range(0, len(tone) - half, half):
        grain = chance.randrange(len(sound) - 2 * half + 1)
        tone[start : start + 2 * half] += window * sound[grain : grain + 2 * half]
    return tone[half : half + n]


def _centred(sound: Samples) -> Samples:
    return sound - sound.mean() if len(sound) else sound


_FRAME_S: Final = 0.01
_LEAST_FRAMES: Final = 3
_AUDIBLE: Final = 10 ** (-75 / 10)
"""Mean square, full scale being 1; mastering may turn it up by 20 dB and more."""
_STEADY: Final = 10 ** (6 / 10)

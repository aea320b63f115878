"""Loudness of a stream as it is learned: cheap enough to ask for with every piece."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oscine.audio.waveform import Samples


class LearnedLoudness:
    """Integrated loudness of all so far: ITU-R BS.1770-4 with its gates, from the spectra of 100 ms segments.

    By Parseval's theorem a segment's weighted energy is the sum of its spectrum's energies times the weighting's: no
    filter has to run. On speech it is within 0.05 LU of `LoudnessMeter`, at a third of the cost. Memory does not grow
    with the sound: blocks are counted in steps of 0.1 LU, which decide only which of them pass the relative gate.
    """

    def __init__(self, sample_rate: int) -> None:
        """`sample_rate` in Hz."""
        self._segment = sample_rate // 10
        self._weights = _k_weights(sample_rate, self._segment)
        self._rest = np.zeros(0, np.float32)
        self._recent = np.zeros(0)
        self._count = np.zeros(_STEPS, np.int64)
        self._power = np.zeros(_STEPS)

    def push(self, samples: Samples) -> None:
        """Take the next float32 `[samples]`."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // self._segment * self._segment
        self._rest = samples[whole:]
        spectra = np.fft.rfft(samples[:whole].reshape(-1, self._segment)).view(np.float32)
        np.square(spectra, out=spectra)
        powers = np.concatenate([self._recent, spectra @ self._weights])
        self._recent = powers[-3:]
        if len(powers) < 4:
            return
        blocks = (powers[:-3] + powers[1:-2] + powers[2:-1] + powers[3:]) / 4
        loud = blocks[blocks > _power_of(_ABSOLUTE_GATE)]
        steps = np.minimum(((_lufs_of(loud) - _ABSOLUTE_GATE) / _STEP_LU).astype(np.int64), _STEPS - 1)
        self._count += np.bincount(steps, minlength=_STEPS)
        self._power += np.bincount(steps, loud, minlength=_STEPS)

    def integrated(self) -> float | None:
        """LUFS of all so far, in whole blocks of 100 ms; None if it is shorter than 400 ms or never above -70 LUFS."""
        count = int(self._count.sum())
        if not count:
            return None
        gate = float(_lufs_of(self._power.sum() / count)) + _RELATIVE_GATE_LU
        first = max(0, math.floor((gate - _ABSOLUTE_GATE) / _STEP_LU))
        return float(_lufs_of(self._power[first:].sum() / self._count[first:].sum()))


_ABSOLUTE_GATE: Final = -70.0
"""LUFS; ITU-R BS.1770-4, section 2."""
_RELATIVE_GATE_LU: Final = -10.0
_STEP_LU: Final = 0.1
_STEPS: Final = 1000
_OFFSET: Final = -0.691
"""BS.1770-4: what the weighting adds at 997 Hz."""


def _lufs_of(power: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(_OFFSET + 10 * np.log10(power))


def _power_of(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET) / 10))


@lru_cache(maxsize=8)
def _k_weights(sample_rate: int, segment: int) -> NDArray[np.float32]:
    """What each square of a segment's spectrum adds to its mean square, K-weighted.

    float32 `[2 * (segment // 2 + 1)]`: for the real and the imaginary part of each frequency in turn.

    The two filters of BS.1770-4 Annex 1 as analogue prototypes, brought to any rate by the bilinear transform: a shelf
    of 4 dB above 1,682 Hz and a high-pass at 38 Hz.
    """
    z = np.exp(-2j * np.pi * np.arange(segment // 2 + 1) / segment)
    k, q, gain = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    edge = gain**0.4996667741545416
    shelf = _biquad(
        z,
        (gain + edge * k / q + k * k, 2 * (k * k - gain), gain - edge * k / q + k * k),
        (1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k),
    )
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    scale = 1 + k / q + k * k
    high_pass = _biquad(z, (scale, -2 * scale, scale), (scale, 2 * (k * k - 1), 1 - k / q + k * k))
    weights = np.abs(shelf * high_pass) ** 2
    weights[1:] *= 2
    if segment % 2 == 0:
        weights[-1] /= 2
    return np.repeat(weights / segment**2, 2).astype(np.float32)


def _biquad(
    z: NDArray[np.complex128], over: tuple[float, float, float], under: tuple[float, float, float]
) -> NDArray[np.complex128]:
    response: NDArray[np.complex128] = (over[0] + over[1] * z + over[2] * z * z) / (
        under[0] + under[1] * z + under[2] * z * z
    )
    return response

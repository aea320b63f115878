"""A ceiling that the signal does not pass, between its samples neither."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oscine.audio.oversample import AFTER, BEFORE, BLOCK, could_exceed, peaks
from oscine.audio.waveform import Samples

Gain = NDArray[np.int64]
"""Attenuation in steps of `_STEP_DB`, 0 or less, int64 `[samples]`: sums of whole numbers are exact in any order."""


class TruePeakLimiter:
    """Turns the sound down where its true peak (ITU-R BS.1770-4 Annex 2) would pass a ceiling, as it comes.

    The gain is down before a peak arrives, along a smooth curve within the look-ahead, and comes back at a steady 12 dB
    in `release_ms`. Where nothing is to be done samples pass bit for bit. The output is as long as the input and in
    step with it; little more than the look-ahead of it is held back until `finish`. How the input is cut into pushes
    changes nothing.

    How: `needed[i]` is the gain at which nothing from sample i up to the next passes the ceiling. `held[i]` is the
    least of it from i - HOLD to i + HOLD + attack, rising no faster than the release. The gain is the mean of `held`
    over two windows, one after the other, which together reach back over the attack: at least as low as all it is made
    of have to be, and without an edge.
    """

    def __init__(
        self, sample_rate: int, ceiling_dbtp: float = -1.0, lookahead_ms: float = 5.0, release_ms: float = 100.0
    ) -> None:
        """`sample_rate` in Hz."""
        self._ceiling = 10 ** ((ceiling_dbtp - _MARGIN_DB) / 20)
        self._window = max(2, round(sample_rate * lookahead_ms / 2000))
        self._attack = 2 * self._window
        self._release = max(1, round(12 / _STEP_DB / (sample_rate * release_ms / 1000)))
        self._reach = 2 * _HOLD + self._attack
        self._context = np.zeros(_RINGING + BEFORE, np.float32)
        self._skip = self._attack
        self._waiting = np.zeros(self._skip, np.float32)
        self._needed = np.zeros(self._attack + _HOLD - _RINGING, np.int64)
        self._held = np.zeros(self._attack, np.int64)
        self._level = 0
        self._highest = 0.0

    @property
    def peak(self) -> float:
        """The true peak of what has left, linear: exact where it comes near the ceiling, else the samples' own."""
        return min(self._highest, self._ceiling)

    def push(self, samples: Samples) -> Samples:
        """Take the next float32 `[samples]`, return what is ready."""
        self._context = np.concatenate([self._context, samples])
        self._waiting = np.concatenate([self._waiting, samples])
        return self._advance()

    def finish(self) -> Samples:
        """Return the rest."""
        missing = len(self._waiting) - self._skip
        silence = np.zeros(self._attack + _HOLD + AFTER + 2 * BLOCK, np.float32)
        self._context = np.concatenate([self._context, silence])
        self._waiting = np.concatenate([self._waiting, silence])
        return self._advance()[:missing]

    def _advance(self) -> Samples:
        self._needed = np.concatenate([self._needed, self._need()])
        out = []
        while (ready := len(self._needed) - self._reach) > 0:
            quiet = self._quiet(ready)
            out.append(self._take(quiet) if quiet else self._limit(min(ready, _STRETCH)))
        return np.concatenate(out) if out else np.zeros(0, np.float32)

    def _quiet(self, ready: int) -> int:
        """How many of the `ready` samples pass as they are."""
        if self._level or self._held.any():
            return 0
        first = int((self._needed < 0).argmax())
        return ready if not self._needed[first] else min(ready, max(0, first - self._reach))

    def _take(self, count: int) -> Samples:
        given, self._waiting = self._waiting[:count], self._waiting[count:]
        self._needed = self._needed[count:]
        skip = min(self._skip, count)
        self._skip -= skip
        return given[skip:]

    def _limit(self, count: int) -> Samples:
        recent = np.concatenate([self._held, self._hold(count)])
        self._held = recent[-self._attack :]
        turned = self._turn_down(self._waiting[:count], recent)
        return turned[count - len(self._take(count)) :]

    def _need(self) -> Gain:
        n = (len(self._context) - BEFORE - AFTER) // BLOCK * BLOCK
        if n <= 0:
            return np.zeros(0, np.int64)
        padded = self._context[: n + BEFORE + AFTER]
        self._context = self._context[n:]
        need = np.zeros(n, np.int64)
        if not could_exceed(padded, self._ceiling):
            self._highest = max(self._highest, float(padded.max()), -float(padded.min()))
        else:
            reached = peaks(padded, self._ceiling)
            self._highest = max(self._highest, float(reached.max()))
            over = np.flatnonzero(reached > self._ceiling)
            need[over] = np.floor(np.log10(self._ceiling / reached[over].astype(np.float64)) * (20 / _STEP_DB))
        return need

    def _hold(self, ready: int) -> Gain:
        least = _sliding_minimum(self._needed[: ready + self._reach], self._reach + 1)
        ramp = self._release * np.arange(1, ready + 1)
        held = np.minimum(np.minimum.accumulate(least - ramp), self._level) + ramp
        np.minimum(held, 0, out=held)
        self._level = int(held[-1])
        return held

    def _turn_down(self, samples: Samples, recent: Gain) -> Samples:
        smooth = _sliding_sum(_sliding_sum(recent, self._window), self._window)[-len(samples) :]
        if not smooth.any():
            return samples
        gain = np.exp(smooth * (math.log(10) / 20 * _STEP_DB / self._window**2))
        limited: Samples = (samples * gain).astype(np.float32)
        return limited


_STRETCH: Final = 2048
"""Samples that are worked on at once where something is to be done."""
_STEP_DB: Final = 1e-5
"""What a unit of `Gain` is worth."""
_MARGIN_DB: Final = 0.01
"""How far below the ceiling that was asked for peaks are kept."""
_RINGING: Final = 4
"""Samples before the first that are looked at: a signal that starts at full scale rings before it does."""
_HOLD: Final = 12
"""Samples around a peak over which the gain is not above what the peak needs: most of the interpolation's weight."""


def _sliding_minimum(values: Gain, width: int) -> Gain:
    """The least of each `width` neighbours, int64 `[n - width + 1]`, by doubling the width covered."""
    covered = 1
    while covered * 2 <= width:
        values = np.minimum(values[:-covered], values[covered:])
        covered *= 2
    rest = width - covered
    return np.minimum(values[: len(values) - rest], values[rest:]) if rest else values


def _sliding_sum(values: Gain, width: int) -> Gain:
    """The sum of each `width` neighbours, int64 `[n - width + 1]`."""
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])
    sums: Gain = total[width:] - total[:-width]
    return sums

"""Bringing speech to a loudness target, below a true-peak ceiling (ITU-R BS.1770, EBU R128).

One gain for a whole file keeps the voice's own dynamics. A file's gain is settled on its first half minute, so that
encoding runs beside synthesis; the result is measured as it leaves, and only where it missed the target the file is
mastered once more from its spooled pieces. A stream's gain is settled on its first piece and then follows slowly what
is learned.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from oscine.audio.formats import Format
from oscine.audio.learned import LearnedLoudness
from oscine.audio.limiter import TruePeakLimiter
from oscine.audio.loudness import LoudnessMeter, TruePeakMeter, dbtp, integrated_loudness
from oscine.audio.waveform import Samples

CEILING_DBTP: Final = -1.0
"""EBU R128: maximum permitted true peak; what `DENSE_LUFS` goes with."""
LOSSY_MARGIN_DB: Final = 1.0
DENSE_MARGIN_DB: Final = 2.2
DENSE_LUFS: Final = -17.0
"""What a codec may add to a peak when it is decoded: mp3 up to 0.8 dB; opus and aac half a dB, but up to 2 dB where
speech is louder than `DENSE_LUFS`, whose peaks are limited more often (tests/synthesis/test_peaks.py)."""
_MARGIN_DB: Final = 0.1
"""Rounding to 16 bits, and meters that differ."""
SETTLE_S: Final = 30.0
"""Sound that a file's gain is settled on. With one voice the whole is mostly within 0.3 LU of it."""
TOLERANCE_LU: Final = 0.3
"""A file further from its target than this is mastered again."""
MAX_GAIN_DB: Final = 30.0
BLOCK_S: Final = 1.0
FIRST_BLOCK_S: Final = 0.2
"""What of a stream's piece is mastered first, so that it can leave."""
STREAM_BLOCK_S: Final = 4.0
"""What follows: mastered long before the first is heard, and in few steps, each of which costs something."""
SLEW_DB_PER_S: Final = 0.5
"""How fast a stream's gain may move; slower than anybody hears as a change."""
FIRST_SLEW_DB_PER_S: Final = 2.0
"""The same for its first `FIRST_S` seconds, when little is known and nobody is used to a level yet."""
FIRST_S: Final = 4.0
_CLOSE_LU: Final = 0.05
_NEPER: Final = math.log(10) / 20
"""1 dB as a natural logarithm."""


@dataclass(frozen=True)
class Level:
    """What a mastered track measures."""

    loudness_lufs: float | None
    """Integrated loudness; None: too short or too quiet to be measured."""
    true_peak_dbtp: float | None
    """None: silence."""


class _Gauge:
    """Measures what goes out."""

    def __init__(self, sample_rate: int) -> None:
        self._loudness = LoudnessMeter(sample_rate)
        self._peak = TruePeakMeter(sample_rate)

    def push(self, samples: Samples) -> Samples:
        if len(samples):
            self._loudness.push(samples)
            self._peak.push(samples)
        return samples

    def level(self) -> Level:
        peak = self._peak.peak()
        return Level(self._loudness.integrated(), dbtp(peak) if peak > 0 else None)


class FileMaster:
    """One gain for the whole track. With `gain_db` it is given, else settled on the first `settle_s` seconds."""

    def __init__(
        self,
        sample_rate: int,
        target_lufs: float | None,
        *,
        ceiling_dbtp: float,
        gain_db: float | None = None,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._settle_count = settle_s * sample_rate
        self.gain_db = 0.0 if target_lufs is None else gain_db
        self._rate = sample_rate
        self._target = target_lufs
        self._ceiling = ceiling_dbtp
        self._limiter = TruePeakLimiter(sample_rate, ceiling_dbtp)
        self._gauge = _Gauge(sample_rate)
        self._waiting: list[Samples] = []
        self._waiting_count = 0
        self._energy_in = self._energy_out = 0.0

    def push(self, samples: Samples) -> Samples:
        """Add samples, float32 `[n]`; returns what is finished."""
        return _joined(self.parts(samples))

    def parts(self, samples: Samples) -> Iterator[Samples]:
        """Like `push`, in parts: the first can be encoded while the others are mastered."""
        if self.gain_db is not None:
            yield from self._apply(samples, self.gain_db)
            return
        self._waiting.append(samples)
        self._waiting_count += len(samples)
        if self._waiting_count >= self._settle_count:
            yield from self._settle()

    def finish(self) -> Samples:
        """The rest of the track."""
        return _joined(self.rest())

    def rest(self) -> Iterator[Samples]:
        """Like `finish`, in parts."""
        if self.gain_db is None:
            yield from self._settle()
        yield self._out(self._limiter.finish())

    def level(self) -> Level:
        """The mastered track's level; final after `finish`."""
        return self._gauge.level()

    def missed_by(self) -> float:
        """LU that the finished track is below its target; 0 where it is close enough or cannot be measured."""
        loudness = self.level().loudness_lufs
        if self._target is None or loudness is None:
            return 0.0
        missed = self._target - loudness
        return missed if abs(missed) > TOLERANCE_LU else 0.0

    def better_gain(self) -> float | None:
        """The gain for mastering once more; None where this one was good enough.

        What the limiter took away of a track that is too loud would not be missing at a lower gain.
        """
        missed = self.missed_by()
        if not missed or self.gain_db is None:
            return None
        if missed < 0 and self._energy_out > 0:
            missed -= max(0.0, 10 * math.log10(self._energy_in / self._energy_out))
        return self.gain_db + missed

    def _settle(self) -> Iterator[Samples]:
        waiting = np.concatenate(self._waiting) if self._waiting else _NOTHING
        self._waiting.clear()
        assert self._target is not None
        self.gain_db = settled_gain(waiting, self._rate, self._target, self._ceiling)
        return self._apply(waiting, self.gain_db)

    def _apply(self, samples: Samples, gain_db: float) -> Iterator[Samples]:
        gain = np.float32(10 ** (gain_db / 20))
        for block in _blocks(samples, self._rate):
            yield self._limited(block * gain if gain_db else block)

    def _limited(self, samples: Samples) -> Samples:
        self._energy_in += float(np.dot(samples, samples))
        return self._out(self._limiter.push(samples))

    def _out(self, samples: Samples) -> Samples:
        self._energy_out += float(np.dot(samples, samples))
        return self._gauge.push(samples)


class StreamMaster:
    """A gain for sound that leaves while it is made."""

    def __init__(self, sample_rate: int, target_lufs: float | None, *, ceiling_dbtp: float) -> None:
        self._rate = sample_rate
        self._target = target_lufs
        self._heard = LearnedLoudness(sample_rate)
        self._limiter = TruePeakLimiter(sample_rate, ceiling_dbtp)
        self._energy_in = self._energy_out = 0.0
        self._waiting: Samples = _NOTHING
        self._gain_db: float | None = None
        self._gone_s = 0.0

    def push(self, samples: Samples) -> Samples:
        """Add samples, float32 `[n]`; returns what is finished. The first 0.4 s wait until they are measured."""
        return _joined(self.parts(samples))

    def parts(self, samples: Samples) -> Iterator[Samples]:
        """Like `push`, in parts: all is measured before the first leaves, which need not wait until all is mastered."""
        if not len(samples):
            return
        self._heard.push(samples)
        if self._target is None:
            yield self._limited(samples, samples)
            return
        loudness = self._heard.integrated()
        if self._gain_db is None:
            self._waiting = samples = np.concatenate([self._waiting, samples])
            if loudness is None:
                return
        for block in _blocks(samples, self._rate, first_s=FIRST_BLOCK_S, then_s=STREAM_BLOCK_S):
            yield self._apply(block, loudness)

    def settle(self) -> Samples:
        """Wait no longer for enough sound to be measured; returns what is finished.

        To be called where a piece ends: what follows may take long.
        """
        if self._gain_db is not None or not len(self._waiting):
            return _NOTHING
        return self._apply(self._waiting, _loudness_of_little(self._waiting, self._rate))

    def rest(self) -> Iterator[Samples]:
        """Like `finish`, as `FileMaster` has it."""
        yield self.finish()

    def finish(self) -> Samples:
        """The rest of the track."""
        unmeasured = self._apply(self._waiting, None) if len(self._waiting) else _NOTHING
        return np.concatenate([unmeasured, self._out(self._limiter.finish())])

    def level(self) -> Level:
        """The level of what has left; final after `finish`.

        Its loudness is that of what came in, and by how much that was turned up: what leaves is not measured again. Its
        peak is what the limiter saw.
        """
        loudness, peak = self._heard.integrated(), self._limiter.peak
        if loudness is not None and self._energy_in and self._energy_out:
            loudness += 10 * math.log10(self._energy_out / self._energy_in)
        return Level(loudness, dbtp(peak) if peak > 0 else None)

    def _apply(self, samples: Samples, loudness: float | None) -> Samples:
        assert self._target is not None
        self._waiting = _NOTHING
        wanted = 0.0 if loudness is None else _bounded(self._target - loudness)
        if self._gain_db is None:
            self._gain_db = wanted
        seconds = len(samples) / self._rate
        first = min(seconds, max(0.0, FIRST_S - self._gone_s))
        self._gone_s += seconds
        reach = FIRST_SLEW_DB_PER_S * first + SLEW_DB_PER_S * (seconds - first)
        end_db = self._gain_db + min(max(wanted - self._gain_db, -reach), reach)
        if end_db == self._gain_db:
            gain: Samples | np.float32 = np.float32(10 ** (end_db / 20))
        else:
            gain = np.linspace(self._gain_db * _NEPER, end_db * _NEPER, len(samples), dtype=np.float32)
            np.exp(gain, out=gain)
        self._gain_db = end_db
        return self._limited(samples, samples * gain)

    def _limited(self, heard: Samples, turned_up: Samples) -> Samples:
        self._energy_in += float(np.dot(heard, heard))
        return self._out(self._limiter.push(turned_up))

    def _out(self, samples: Samples) -> Samples:
        if len(samples):
            self._energy_out += float(np.dot(samples, samples))
        return samples


def _blocks(
    samples: Samples, sample_rate: int, *, first_s: float = BLOCK_S, then_s: float = BLOCK_S
) -> Iterator[Samples]:
    """`samples` in blocks, the first one of `first_s`: what is worked on at once takes little memory."""
    start, length = 0, round(first_s * sample_rate)
    while start < len(samples):
        yield samples[start : start + length]
        start, length = start + length, round(then_s * sample_rate)


def _joined(parts: Iterable[Samples]) -> Samples:
    found = [part for part in parts if len(part)]
    return np.concatenate(found) if found else _NOTHING


def settled_gain(samples: Samples, sample_rate: int, target: float, ceiling: float) -> float:
    """The gain in dB that brings `samples` to `target` LUFS when a limiter keeps them below `ceiling` dBTP.

    The limiter takes loudness away where it works, so its effect is measured and made up for. 0 for what cannot be
    measured.
    """
    loudness = integrated_loudness(samples, sample_rate)
    if loudness is None:
        return 0.0
    gain = _bounded(target - loudness)
    peak = float(np.max(np.abs(samples))) * 10 ** (gain / 20)
    if peak < 10 ** ((ceiling - 3) / 20):
        return gain
    before: tuple[float, float] | None = None
    for _ in range(6):
        reached = _limited_loudness(samples, sample_rate, gain, ceiling)
        if reached is None or abs(target - reached) < _CLOSE_LU:
            break
        slope = 1.0 if before is None else min(1.0, max(0.25, (reached - before[1]) / (gain - before[0])))
        before = gain, reached
        gain = _bounded(gain + (target - reached) / slope)
        if gain == before[0]:
            break
    return gain


def _limited_loudness(samples: Samples, sample_rate: int, gain_db: float, ceiling: float) -> float | None:
    limiter, meter = TruePeakLimiter(sample_rate, ceiling), LoudnessMeter(sample_rate)
    for block in _blocks(samples, sample_rate):
        meter.push(limiter.push(block * np.float32(10 ** (gain_db / 20))))
    meter.push(limiter.finish())
    return meter.integrated()


def ceiling_for(format: Format | None, loudness: float | None, true_peak: float = CEILING_DBTP) -> float:
    """The ceiling in dBTP for the limiter, so that the decoded file stays below `true_peak`.

    `loudness` is the target in LUFS; without a format it is that of samples.
    """
    if format is None or not format.spec.bitrate:
        return true_peak - _MARGIN_DB
    dense = format is not Format.MP3 and (loudness is None or loudness - true_peak > DENSE_LUFS - CEILING_DBTP)
    return true_peak - (DENSE_MARGIN_DB if dense else LOSSY_MARGIN_DB)


def _loudness_of_little(samples: Samples, sample_rate: int) -> float | None:
    """LUFS of less than the 400 ms that BS.1770 needs, as if it went on like that."""
    return integrated_loudness(np.resize(samples, sample_rate // 2), sample_rate)


def _bounded(gain_db: float) -> float:
    return min(MAX_GAIN_DB, max(-MAX_GAIN_DB, gain_db))


_NOTHING: Final[Samples] = np.zeros(0, np.float32)

"""Loudness and true peak."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from oscine.audio.oversample import AFTER, BEFORE, BLOCK, could_exceed, peaks
from oscine.audio.waveform import Samples


class LoudnessMeter:
    """Integrated loudness of samples as they come: ITU-R BS.1770-4 with the gating of EBU R128, by FFmpeg's `ebur128`.

    Mono is one channel of weight 1, as in a mono file: a sine of 997 Hz at full scale reads -3.01 LUFS (played on two
    loudspeakers it would be 3 LU more). Memory does not grow with the sound.
    """

    def __init__(self, sample_rate: int) -> None:
        """`sample_rate` in Hz."""
        from av.filter import Graph

        self._rate = sample_rate
        self._taken = 0
        self._level: float | None = None
        self._graph: Any = Graph()
        self._graph.link_nodes(
            self._graph.add_abuffer(sample_rate=sample_rate, format="flt", layout="mono"),
            self._graph.add("ebur128", "metadata=1:framelog=quiet"),
            self._graph.add("abuffersink"),
        ).configure()

    def push(self, samples: Samples) -> None:
        """Take the next float32 `[samples]`."""
        import av

        for start in range(0, len(samples), _BLOCK_SECONDS * self._rate):
            block = np.ascontiguousarray(samples[start : start + _BLOCK_SECONDS * self._rate], np.float32)
            frame = av.AudioFrame.from_ndarray(block[None], format="flt", layout="mono")
            frame.sample_rate = self._rate
            frame.pts = self._taken
            self._taken += len(block)
            self._graph.push(frame)
            self._drain()

    def integrated(self) -> float | None:
        """LUFS of all so far, in whole blocks of 100 ms; None if it is shorter than 400 ms or never above -70 LUFS."""
        return self._level if self._level is not None and self._level > _ABSOLUTE_GATE else None

    def _drain(self) -> None:
        frame = None
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                break
        if frame is not None:
            self._level = float(frame.metadata["lavfi.r128.I"])


def integrated_loudness(samples: Samples, sample_rate: int) -> float | None:
    """LUFS of float32 `[samples]`; None if it cannot be measured. See `LoudnessMeter`."""
    meter = LoudnessMeter(sample_rate)
    meter.push(samples)
    return meter.integrated()


class TruePeakMeter:
    """The largest value that the signal reaches between its samples, as they come (ITU-R BS.1770-4 Annex 2)."""

    def __init__(self, sample_rate: int) -> None:
        """`sample_rate` in Hz."""
        self.sample_rate = sample_rate
        self._peak = 0.0
        self._tail = np.zeros(BEFORE + AFTER, np.float32)

    def push(self, samples: Samples) -> None:
        """Take the next float32 `[samples]`."""
        for start in range(0, len(samples), _PEAK_BLOCK):
            block = np.concatenate([self._tail, samples[start : start + _PEAK_BLOCK]])
            self._tail = block[-(BEFORE + AFTER) :]
            self._measure(block)

    def peak(self) -> float:
        """The true peak of all so far, linear: 1 is full scale."""
        self._measure(np.concatenate([self._tail, np.zeros(BEFORE + AFTER, np.float32)]))
        return self._peak

    def _measure(self, padded: Samples) -> None:
        self._peak = max(self._peak, float(np.abs(padded).max()))
        if could_exceed(padded, self._peak):
            n = len(padded) - BEFORE - AFTER
            padded = np.concatenate([padded, np.zeros(-n % BLOCK, np.float32)])
            self._peak = max(self._peak, float(peaks(padded, self._peak)[:n].max(initial=0)))


def true_peak(samples: Samples, sample_rate: int) -> float:
    """The true peak of float32 `[samples]`, linear: 1 is full scale."""
    meter = TruePeakMeter(sample_rate)
    meter.push(samples)
    return meter.peak()


def dbtp(linear: float) -> float:
    """A linear peak in dB relative to full scale; minus infinity for 0."""
    return 20 * math.log10(linear) if linear > 0 else -math.inf


_BLOCK_SECONDS: Final = 10
_PEAK_BLOCK: Final = 1 << 14
_ABSOLUTE_GATE: Final = -70.0
"""LUFS; ITU-R BS.1770-4, section 2."""

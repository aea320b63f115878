"""From the built-in voice's spectrum to its sound.

    S = exp(lh) e^(i pi tanh(theta)) STFT(pulses(f0)) + exp(ln) Z + exp(lr) e^(i phi)

and one inverse STFT. That is what `hibari.dsp.synth` computes, here some frames at a time: what is worked on at once
stays in a core's cache, and memory does not grow with the sentence.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from oscine.audio.waveform import Samples
from oscine.engines.noise import TableNoise

_FRAMES: Final = 64
"""Frames that are worked on at once."""
_LOUDEST: Final = np.float32(7.0)
"""No level is above exp(7), as in hibari."""


def sound_of(spectrum: NDArray[np.float32], f0: NDArray[np.float32], noise: TableNoise) -> Samples:
    """The samples, float32 `[300 * frames]` at 24 kHz, of the network's output.

    `spectrum` is float32 `[frames, 5 * bins]`, the parts side by side, `f0` float32 `[frames]` in Hz.
    """
    from hibari.dsp import HOP, N_FFT, WIN, WIN_SRC, pulses

    frames, overlap, bins = len(f0), N_FFT // HOP, N_FFT // 2 + 1
    source = sliding_window_view(np.pad(pulses(f0), N_FFT // 2, mode="reflect"), N_FFT)[::HOP]
    samples = np.zeros((frames + overlap - 1, HOP), np.float32)
    weight = np.zeros_like(samples)
    squared = (WIN * WIN).reshape(overlap, HOP)
    work = _Work(min(_FRAMES, frames), bins)
    for begin in range(0, frames, _FRAMES):
        count = min(_FRAMES, frames - begin)
        here = slice(begin, begin + count)
        pulsed = np.fft.rfft(source[here] * WIN_SRC, axis=1).astype(np.complex64, copy=False)
        spoken = work.mix(pulsed, spectrum[here], noise)
        windows = np.fft.irfft(spoken, n=N_FFT, axis=1)
        windows *= WIN
        for part in range(overlap):
            samples[begin + part : begin + part + count] += windows[:, part * HOP : (part + 1) * HOP]
            weight[begin + part : begin + part + count] += squared[part]
    samples /= np.maximum(weight, 1e-11, out=weight)
    return samples.reshape(-1)[N_FFT // 2 : N_FFT // 2 + frames * HOP]


class _Work:
    """Room for the frames that are worked on."""

    def __init__(self, frames: int, bins: int) -> None:
        self._bins = bins
        self._mixed = np.empty((frames, bins), np.complex64)
        self._a, self._b, self._c, self._d = np.empty((4, frames, bins), np.float32)

    def mix(
        self, source: NDArray[np.complex64], spectrum: NDArray[np.float32], noise: TableNoise
    ) -> NDArray[np.complex64]:
        """The spectrum of the sound, complex64 `[frames, bins]`, from that of the pulses; good until the next call."""
        count, bins = len(source), self._bins
        lh, theta, ln, lr, phi = (spectrum[:, part * bins : (part + 1) * bins] for part in range(5))
        a, b, c, d = self._a[:count], self._b[:count], self._c[:count], self._d[:count]
        mixed = self._mixed[:count]

        np.tanh(theta, out=a)
        a *= np.float32(np.pi)
        level = _exp(lh, out=b)
        np.multiply(np.cos(a, out=c), level, out=mixed.real)
        np.multiply(np.sin(a, out=c), level, out=mixed.imag)
        mixed *= source

        noise_level, rest_level = _exp(ln, out=a), _exp(lr, out=b)
        drawn = noise.draw(2 * count * bins).reshape(2, count, bins)
        for turned, raw, into in ((np.cos, drawn[0], mixed.real), (np.sin, drawn[1], mixed.imag)):
            turned(phi, out=c)
            c *= rest_level
            c += np.multiply(raw, noise_level, out=d)
            into += c
        return mixed


def _exp(level: NDArray[np.float32], *, out: NDArray[np.float32]) -> NDArray[np.float32]:
    np.minimum(level, _LOUDEST, out=out)
    return np.exp(out, out=out)

"""Sounds for tests, and the way back from bytes to samples."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray

from oscine.audio.formats import Format

RATE = 24_000
Samples = NDArray[np.float32]


@cache
def said(text: str, seed: int = 1) -> Samples:
    """What the built-in voice says, with the silence it puts around, at 24 kHz."""
    return np.asarray(_voice()(text, seed=seed), dtype=np.float32).reshape(-1)


@cache
def _voice():
    from hibari import Hibari

    return Hibari()


def murmur(n: int, seed: int = 0) -> Samples:
    """Noise with the slow swell of speech: no two moments are alike, so that an offset in time shows."""
    rng = np.random.default_rng(seed)
    swell = np.interp(np.arange(n), np.linspace(0, max(n, 1), max(2, n // 1200)), rng.random(max(2, n // 1200)))
    noise = np.convolve(rng.standard_normal(n + 16), np.ones(6) / 6, "valid")[:n]
    return (0.4 * noise * swell).astype(np.float32)


def sine(hertz: float, seconds: float, rate: int = RATE, amplitude: float = 1.0, phase: float = 0.0) -> Samples:
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * time + phase)).astype(np.float32)


def decoded(data: bytes, format: Format, rate: int, *, mp4: bool = False) -> tuple[Samples, int, dict[str, str]]:
    """Samples, their rate and the tags, as any player of FFmpeg's family has them."""
    demuxer = "mp4" if mp4 else {Format.OPUS: "ogg", Format.PCM: "s16le"}.get(format, format.value)
    options = {"sample_rate": str(rate), "ch_layout": "mono"} if format is Format.PCM else {}
    with av.open(io.BytesIO(data), "r", format=demuxer, options=options) as container:
        stream = container.streams.audio[0]
        pieces = []
        for frame in container.decode(stream):
            values = frame.to_ndarray()[0]
            scale = 1.0 if values.dtype.kind == "f" else -float(np.iinfo(values.dtype).min)
            pieces.append((values / scale).astype(np.float32))
        tags = {key.lower(): value for key, value in {**container.metadata, **stream.metadata}.items()}
        return np.concatenate([np.zeros(0, np.float32), *pieces]), stream.rate, tags


def lag(sent: Samples, received: Samples) -> int:
    """By how many samples `received` is behind `sent`, by cross-correlation."""
    size = 1 << (len(sent) + len(received)).bit_length()
    product = np.fft.rfft(received, size) * np.conj(np.fft.rfft(sent, size))
    best = int(np.fft.irfft(product, size).argmax())
    return best - size if best > size // 2 else best


def cut(samples: Samples, places: list[int]) -> list[Samples]:
    """`samples` in pieces, cut at `places` (modulo the length)."""
    borders = sorted(place % (len(samples) + 1) for place in places)
    return [np.asarray(piece) for piece in np.split(samples, borders)]

"""Recordings for tests: real speech in real containers."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray

RATE = 24_000
CONTAINERS = {
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "ogg": ("ogg", "flac"),
    "opus": ("ogg", "libopus"),
    "webm": ("webm", "libopus"),
    "aac": ("adts", "aac"),
}


@cache
def speech(seconds: float = 4.0, seed: int = 1) -> NDArray[np.float32]:
    """float32 `[samples]` at 24 kHz: the built-in voice, as long as asked for."""
    from hibari import Hibari

    text = "The quick brown fox jumps over the lazy dog, and then it sleeps in the warm afternoon sun for a while."
    said = np.asarray(Hibari()(text, seed=seed), dtype=np.float32).reshape(-1)
    return np.resize(said, int(seconds * RATE))


def encoded(
    samples: NDArray[np.float32], extension: str = "wav", *, rate: int = RATE, codec: str | None = None
) -> bytes:
    """The file that an encoder makes of mono `[samples]` or of `[channels, samples]`."""
    container_name, usual_codec = CONTAINERS[extension]
    planes = np.atleast_2d(samples)
    layout = {1: "mono", 2: "stereo", 8: "7.1"}[len(planes)]
    interleaved = np.ascontiguousarray(planes.T, dtype=np.float32)
    out = io.BytesIO()
    with av.open(out, "w", format=container_name) as container:
        stream = container.add_stream(codec or usual_codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = layout
        resampler = av.AudioResampler(stream.codec_context.format, layout, stream.codec_context.sample_rate)
        for start in range(0, len(interleaved), rate):
            block = interleaved[start : start + rate].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for ready in resampler.resample(frame):
                container.mux(stream.encode(ready))
        for ready in resampler.resample(None):
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return out.getvalue()


@cache
def recording(extension: str = "wav", seconds: float = 4.0, seed: int = 1) -> bytes:
    """A file of the built-in voice that is fine as a reference."""
    return encoded(speech(seconds, seed), extension)


def hours_of_flac(hours: float) -> bytes:
    """A small file that decodes to hours: a second of speech and then one silent frame again and again."""
    rate, size = 8_000, 4_608
    said = (speech(3.0)[: 3 * rate : 3] * 20_000).astype(np.int16)
    out = io.BytesIO()
    with av.open(out, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16"
        for start in range(0, int(hours * 3600 * rate), size):
            block = np.zeros((1, size), np.int16)
            heard = said[start : start + size]
            block[0, : len(heard)] = heard
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def float_wav(samples: NDArray[np.float32], rate: int = RATE) -> bytes:
    """A WAV of 32-bit floats, which may hold what no codec would write."""
    data = samples.astype("<f4").tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32)
    return head + struct.pack("<4sI", b"data", len(data)) + data


def wav_that_claims(seconds: float, content: bytes, rate: int = 8_000) -> bytes:
    """A WAV whose header promises more than there is."""
    size = int(seconds * rate)
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate, 1, 8)
    return head + struct.pack("<4sI", b"data", size) + content

"""What is in an audio file, decoded by somebody else's code."""

from __future__ import annotations

import io

import av


def samples(data: bytes, rate: int = 24_000) -> bytes:
    """16-bit mono at `rate` Hz, however it was packed."""
    with av.open(io.BytesIO(data), "r") as container:
        resampler = av.AudioResampler("s16", "mono", rate)
        frames = [*container.decode(audio=0), None]
        return b"".join(part.to_ndarray().tobytes() for frame in frames for part in resampler.resample(frame))


def seconds(data: bytes) -> float:
    return len(samples(data)) / 2 / 24_000

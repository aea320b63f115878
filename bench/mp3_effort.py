"""MP3 with and without LAME's noise shaping: speed, and how far the noise lies below the speech in each band."""

from __future__ import annotations

import io
import statistics
import sys
import time
from typing import Any

import numpy as np

from bench.texts import long_text

RATE = 24_000
BITRATES = (128_000, 96_000)
BANDS = ((0, 1000), (1000, 2000), (2000, 4000), (4000, 8000))
LAME_SCALE = 0.95
"""By how much LAME turns sound down at these bit rates."""
FRAME = 1024


def main(count: int = 3) -> bool:
    """Print both; true if the fast way is faster and no band is noisier by more than 0.5 dB."""
    from oscine import Oscine

    with Oscine(seed=7) as oscine:
        speech = oscine.say(long_text("story.txt")[:4000]).samples
    print(f"\nMP3 effort: {len(speech) / RATE:.0f} s of speech, LAME's default quality against 7")
    good = True
    for bitrate in BITRATES:
        ways = {name: [encoded(speech, bitrate, options) for _ in range(count)] for name, options in WAYS.items()}
        seconds = {name: statistics.median(cost for _, cost in runs) for name, runs in ways.items()}
        noise = {name: below(speech, decoded(runs[0][0])) for name, runs in ways.items()}
        ratio = seconds["fast"] / seconds["default"]
        good = good and ratio < 1 and all(a > b - 0.5 for a, b in zip(noise["fast"], noise["default"], strict=True))
        print(f"  {bitrate // 1000} kbit/s  CPU time ratio {ratio:.2f}")
        for name, figures in noise.items():
            print(f"    {name:8} noise below the speech by {', '.join(f'{figure:.1f}' for figure in figures)} dB")
    print(f"    bands    {', '.join(f'{low}-{high} Hz' for low, high in BANDS)}")
    return good


WAYS: dict[str, dict[str, str]] = {"default": {}, "fast": {"compression_level": "7"}}


def encoded(samples: Any, bitrate: int, options: dict[str, str]) -> tuple[bytes, float]:
    """An MP3 file and the CPU seconds that it took."""
    import av

    out = io.BytesIO()
    started = time.process_time()
    with av.open(out, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="mono", options=options)
        stream.bit_rate = bitrate
        frame = av.AudioFrame.from_ndarray(samples[None] / np.float32(LAME_SCALE), format="fltp", layout="mono")
        frame.sample_rate = RATE
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue(), time.process_time() - started


def decoded(data: bytes) -> Any:
    """Its samples, float32."""
    import av

    with av.open(io.BytesIO(data), "r") as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def below(speech: Any, coded: Any) -> list[float]:
    """How far the difference lies below the speech in each band, dB, median over the frames that hold speech."""
    length = min(len(speech), len(coded)) // FRAME * FRAME
    spectra = [
        np.abs(np.fft.rfft(part[:length].reshape(-1, FRAME) * np.hanning(FRAME))) ** 2
        for part in (speech, speech[:length] - coded[:length])
    ]
    spoken = spectra[0].sum(1) > 1e-3 * spectra[0].sum(1).mean()
    figures = []
    for low, high in BANDS:
        signal, noise = (part[spoken, low * FRAME // RATE : high * FRAME // RATE].sum(1) for part in spectra)
        figures.append(float(np.median(10 * np.log10(signal / (noise + 1e-12)))))
    return figures


if __name__ == "__main__":
    sys.exit(not main())

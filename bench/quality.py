"""Speech quality against the bare engine: words recognised, DNSMOS, loudness, ends, seams and the times of
sentences."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import wave
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.texts import LONG, long_text, short_sentences
from bench.verdict import Verdict

JUDGES = Path(__file__).parents[1] / ".tools/quality/bin/python"
OUT = Path(__file__).with_name("out")
TARGET_LUFS = -18.0
APART = 3
"""Frames of 10 ms between two sentences that belong to neither: the one dies away in them, or the other begins."""
SEED = 7
KINDS = ("ours", "bare")


def main() -> bool:
    """Print every figure; true if all are within their limits."""
    verdict = Verdict()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = short_sentences()
        tasks, timelines = speak_all(folder, texts)
        print(f"\nQuality: {len(texts)} sentences and {len(LONG)} long texts, each by Oscine and by the bare engine")
        found = judge(tasks)
    OUT.mkdir(exist_ok=True)
    (OUT / "quality.json").write_text(json.dumps({"found": found, "timelines": timelines}), encoding="utf-8")
    compare_words(found, verdict)
    compare_liking(found, verdict)
    check_levels(found, verdict)
    check_ends(found, verdict)
    check_timelines(timelines, verdict)
    return verdict.kept


def speak_all(folder: Path, texts: Sequence[str]) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Speak everything both ways; returns what is to be judged, and facts about the long texts' seams and times."""
    from hibari import Hibari

    from oscine import Oscine

    bare = Hibari()
    tasks, timelines = [], {}
    with Oscine(seed=SEED) as oscine:
        everything = [(f"{number:03}", text) for number, text in enumerate(texts)]
        everything += [(Path(name).stem, long_text(name)) for name in LONG]
        for key, text in everything:
            ours = oscine.say(text)
            ours.save(folder / f"{key}-ours.mp3")
            plain = plainly(text)
            save_wav(folder / f"{key}-bare.wav", bare(plain, seed=SEED), 24_000)
            tasks += [
                {"id": f"{key}-ours", "path": str(folder / f"{key}-ours.mp3"), "text": plain},
                {"id": f"{key}-bare", "path": str(folder / f"{key}-bare.wav"), "text": plain},
            ]
            if not key.isdigit():
                timelines[key] = timeline(ours)
    return tasks, timelines


def judge(tasks: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Findings by id, from the environment of the judges."""
    script = Path(__file__).with_name("judge.py")
    done = subprocess.run(
        [str(JUDGES), str(script)], input=json.dumps(list(tasks)), stdout=subprocess.PIPE, text=True, check=True
    )
    findings: dict[str, Any] = json.loads(done.stdout)
    return findings


def compare_words(found: dict[str, Any], verdict: Verdict) -> None:
    """Word error rates over the sentences and over the long texts."""
    for title, sentences in (("word error rate, sentences", True), ("word error rate, long texts", False)):
        rates = {}
        for kind in KINDS:
            group = [f for key, f in found.items() if key.endswith(kind) and key[:3].isdigit() == sentences]
            rates[kind] = 100 * sum(f["errors"] for f in group) / sum(f["of"] for f in group)
        more = rates["ours"] - rates["bare"]
        figures = f"oscine {rates['ours']:.2f} %  bare {rates['bare']:.2f} %  {more:+.2f} points"
        verdict.line(title, figures, more <= 0.5, "at most +0.5")


def compare_liking(found: dict[str, Any], verdict: Verdict) -> None:
    """Mean DNSMOS of both."""
    ours, bare = (float(np.mean([f["mos"] for key, f in found.items() if key.endswith(kind)])) for kind in KINDS)
    verdict.line(
        "DNSMOS", f"oscine {ours:.3f}  bare {bare:.3f}  {ours - bare:+.3f}", ours >= bare - 0.05, "at least -0.05"
    )


def check_levels(found: dict[str, Any], verdict: Verdict) -> None:
    """Loudness and true peak of every decoded MP3 over 3 s."""
    files = [f for key, f in found.items() if key.endswith("ours") and f["seconds"] > 3]
    off = max(abs(f["lufs"] - TARGET_LUFS) for f in files)
    verdict.line("loudness, furthest from the target", f"{off:.2f} LU in {len(files)} files", off <= 0.5, "at most 0.5")
    peak = max(f["dbtp"] for f in files)
    verdict.line("true peak, highest", f"{peak:.2f} dBTP", peak <= -1.0, "at most -1.0")


def check_ends(found: dict[str, Any], verdict: Verdict) -> None:
    """How often the last word is recognised."""
    counts = {kind: sum(f["last_word"] for key, f in found.items() if key.endswith(kind)) for kind in KINDS}
    figures = f"oscine {counts['ours']}  bare {counts['bare']}  of {len(found) // 2}"
    verdict.line("last word recognised", figures, counts["ours"] >= counts["bare"], "as often")


def check_timelines(timelines: dict[str, Any], verdict: Verdict) -> None:
    """Clicks at seams, and how far the times of sentences are from their sound."""
    step = max(facts["seam_step"] / facts["usual_step"] for facts in timelines.values())
    seams = sum(facts["seams"] for facts in timelines.values())
    figures = f"{step:.2f} of the 99.9th percentile elsewhere, {seams} seams"
    verdict.line("largest step near a seam", figures, step <= 1.0, "at most 1")
    furthest = max(max(facts["off"]) for facts in timelines.values())
    times = [off for facts in timelines.values() for off in facts["off"]]
    figures = f"furthest {furthest * 1e3:.0f} ms, median {np.median(times) * 1e3:.0f} ms, {len(times)} times"
    verdict.line("segments against the sound", figures, furthest <= 0.05, "at most 50 ms")


def timeline(speech: Any) -> dict[str, Any]:
    """Steps around the seams of mastered speech, and the distance of each segment's ends from where its sound begins
    and ends."""
    samples, rate = speech.samples, speech.sample_rate
    near = np.zeros(len(samples), dtype=bool)
    around = rate * 5 // 1000
    segments = speech.segments
    for before, after in pairwise(segments):
        near[max(0, round(before.end * rate) - around) : round(after.start * rate) + around] = True
    steps = np.abs(np.diff(samples))
    loud = sounding(samples, rate)
    off = []
    for number, segment in enumerate(segments):
        left = round(100 * segments[number - 1].end) + APART if number else 0
        right = round(100 * segments[number + 1].start) - APART if number + 1 < len(segments) else len(loud)
        inside = np.flatnonzero(loud[left:right])
        if len(inside):
            off.append(abs((left + inside[0]) / 100 - segment.start))
            off.append(abs((left + inside[-1] + 1) / 100 - segment.end))
    return {
        "seams": len(segments) - 1,
        "seam_step": float(steps[near[1:]].max()),
        "usual_step": float(np.percentile(steps[~near[1:]], 99.9)),
        "off": off,
    }


def sounding(samples: Any, rate: int) -> Any:
    """Which frames of 10 ms hold sound: louder than 55 dB below the loudest."""
    frames = samples[: len(samples) // (rate // 100) * (rate // 100)].reshape(-1, rate // 100)
    level = np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1))
    return level > level.max() * 10 ** (-55 / 20)


def plainly(text: str) -> str:
    """A text as the bare engine can be given it: without speaker labels and pause tags."""
    text = re.sub(r"\[pause[^\]]*\]", " ", text)
    return re.sub(r"(?m)^(?:[A-Z][a-z]+|Speaker \d|\[\d\]):\s*", "", text)


def save_wav(path: Path, samples: Any, rate: int) -> None:
    """16-bit mono."""
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())


if __name__ == "__main__":
    sys.exit(not main())

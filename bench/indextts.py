"""IndexTTS-2 or 2.5 with random weights: the package's own code, its parts called bare, and Oscine's engine.

`python -m bench.indextts [--model 2|2.5] [--size tiny|real] [--device cuda|cpu] [--half] [--rounds N] [--codes N]`

All sides say the same texts with the same seeds and numbers of codes. On a CPU they say the same to the last sample.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from bench.indextts_package import Package
from bench.processes import machine
from bench.verdict import Verdict
from oscine.config import Settings
from oscine.engines.expected import Expected
from oscine.engines.indextts.decoding import decode
from oscine.engines.indextts.engine import IndexTTS2Engine, IndexTTS25Engine, IndexTTSEngine
from oscine.engines.indextts.flow import flow
from oscine.engines.indextts.grammars import Plain
from oscine.engines.indextts.model import SAMPLE_RATE, Model
from oscine.engines.indextts.take import Wish, faded
from oscine.engines.protocol import Turn, Utterance
from oscine.synthesis.scheduler import Pace, Scheduler
from oscine.voices.prompt import Prompt
from tests.engines.indextts import tiny

TEXTS: Final = (
    "The bird sings at dawn.",
    "Nobody in the village had seen such a storm before, and few wished to see another one.",
    "She closed the door, put the letter on the table, and looked for a long time at the rain on the window.",
)
MOST_OVERHEAD: Final = 1.03
HOW: Final[tuple[dict[str, object], ...]] = ({}, {"steps": 15}, {"fast": True, "steps": 25}, {"fast": True})


@dataclass
class Timing:
    """What a side needed for a text."""

    seconds: float
    audio_s: float
    first_s: float


Side = Callable[[Utterance], Timing]


@dataclass
class Bench:
    """A loaded engine, and what the parts of the benchmark share."""

    engine: IndexTTSEngine
    rounds: int
    codes: int
    verdict: Verdict
    package: Package
    peaks: dict[str, float] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        assert self.engine._model is not None
        return self.engine._model

    def bare(self, wanted: Utterance) -> Timing:
        """The parts one after the other, without engine, lanes and threads."""
        start = time.perf_counter()
        model, (prompt,) = self.model, wanted.prompts.values()
        wish = Wish.of(wanted.options)
        with torch.inference_mode():
            voice = model.voice(prompt)
            mood = model.mood(voice, prompt, 1.0)
            (segment,) = model.segments(wanted.text, wanted.language, 500)
            generator = torch.Generator(model.device).manual_seed(wanted.seed)
            given = model.prompt(segment, voice, mood)
            codes = finish(decode(model.weights, model.memories, given, wish.sampling, self.codes, generator))
            content = model.content(codes, segment, voice, mood, 1.0)
            estimator = model.loaded.s2mel.models["cfm"].estimator
            mel = finish(
                flow(
                    estimator,
                    content,
                    voice.mel,
                    voice.style,
                    steps=wish.steps,
                    guidance=model.guidance,
                    generator=generator,
                )
            )
            samples = faded(model.vocode(mel))
        seconds = time.perf_counter() - start
        return Timing(seconds, len(samples) / SAMPLE_RATE, seconds)

    def scheduled(self, scheduler: Scheduler) -> Side:
        """The engine as every front uses it: a job in the scheduler, read by another thread."""

        def speak(wanted: Utterance) -> Timing:
            start, first, count = time.perf_counter(), 0.0, 0
            with scheduler.job(Pace.LISTENER) as job:
                take = job.submit(wanted)
                while (samples := take.read()) is not None:
                    first = first or time.perf_counter() - start
                    count += len(samples)
            return Timing(time.perf_counter() - start, count / SAMPLE_RATE, first)

        return speak

    def own(self, wanted: Utterance) -> Timing:
        """The package's own `infer_generator`, which streams."""
        wish = Wish.of(wanted.options)
        start, first, count = time.perf_counter(), 0.0, 0
        sounds = self.package.sounds(wanted, beams=wish.sampling.beams, steps=wish.steps, codes=self.codes)
        for sound in sounds:
            first = first or time.perf_counter() - start
            count += sound.shape[-1]
        return Timing(time.perf_counter() - start, count / SAMPLE_RATE, first)


def main(given: list[str]) -> bool:
    """Print every figure; true if all are within their limits."""
    asked = _arguments().parse_args(given)
    device = torch.device(asked.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    name = asked.size or ("real" if device.type == "cuda" else "tiny")
    if device.type == "cpu":
        torch.set_num_threads(asked.threads or (1 if name == "tiny" else os.cpu_count() or 1))
    print(machine())
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        size = tiny.REAL if name == "real" else tiny.TINY
        save = tiny.save_two if asked.model == "2" else tiny.save_two_five
        save(home, size)
        for half in (False, True) if device.type == "cuda" and asked.half else (False,):
            kept = _run(asked, device, name, home, half=half) and kept
    return kept


def _run(asked: argparse.Namespace, device: torch.device, size: str, home: Path, *, half: bool) -> bool:
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    kind = ("16 bits" if half else "32 bits") if device.type == "cuda" else "32 bits"
    print(f"\nIndexTTS-{asked.model}, {size}, random weights, {kind}, {on}, PyTorch {torch.__version__}")
    settings = Settings(volume=home, device=str(device), use_fp16=half)
    engine = IndexTTS2Engine(settings) if asked.model == "2" else IndexTTS25Engine(settings)
    engine._grammars._loaded.update(en=Plain(), zh=Plain())
    _empty(device)
    scheduler = Scheduler(engine)
    scheduler.wait_loaded()
    assert scheduler.failure is None, scheduler.failure
    bench = Bench(engine, asked.rounds, asked.codes, Verdict(), Package(engine, home))
    with _same_number_of_codes(bench.model, asked.codes):
        for how in HOW[: asked.ways]:
            _compare(bench, bench.scheduled(scheduler), how, TEXTS[: asked.texts])
        _memory(bench, bench.scheduled(scheduler), device)
    scheduler.close()
    return bench.verdict.kept


def _compare(bench: Bench, scheduled: Side, how: dict[str, object], texts: Sequence[str]) -> None:
    wish = Wish.of(how)
    beams, steps = wish.sampling.beams, wish.steps
    sides: list[Side] = [bench.own, bench.bare, scheduled]
    for side in sides:
        side(_wanted(TEXTS[0], 0, how))
    found: list[list[Timing]] = [[] for _ in sides]
    for turn in range(bench.rounds):
        for number, text in enumerate(texts):
            wanted = _wanted(text, 1 + turn * len(texts) + number, how)
            order = range(len(sides)) if (turn + number) % 2 else reversed(range(len(sides)))
            for index in order:
                found[index].append(sides[index](wanted))
    _, bare, engine = found
    title = f"{beams} beam{'s' if beams > 1 else ''}, {steps} steps"
    note = "" if bench.package.takes_steps or steps == 25 else " (which takes 25)"
    rtf = [sum(t.seconds for t in side) / sum(t.audio_s for t in side) for side in found]
    print(f"  {title:34} real-time factor {rtf[2]:.3f}, package {rtf[0]:.3f}{note}: {rtf[2] / rtf[0]:.2f} of it")
    first = [statistics.median(t.first_s for t in side) for side in found]
    print(f"  {'':34} first audio {first[2]:.2f} s, package {first[0]:.2f} s: {first[2] / first[0]:.2f} of it")
    ratio = statistics.median(mine.seconds / theirs.seconds for mine, theirs in zip(engine, bare, strict=True))
    bench.verdict.line(
        "engine against its parts called bare", f"{ratio:.3f}", ratio <= MOST_OVERHEAD, f"at most {MOST_OVERHEAD}"
    )


def _memory(bench: Bench, scheduled: Side, device: torch.device) -> None:
    if device.type != "cuda":
        print(f"  {'memory':34} see the tests: a CPU's is not told by part")
        return
    for name, side in (("package", bench.own), ("engine", scheduled)):
        _empty(device)
        side(_wanted(TEXTS[1], 7, {}))
        peak = torch.cuda.max_memory_allocated(device) / 1e9
        print(f"  {'memory, ' + name:34} {peak:.2f} GB with the weights")


def _wanted(text: str, seed: int, how: dict[str, object]) -> Utterance:
    return Utterance((Turn("1", text),), {"1": VOICE}, seed, 1.0, "en", how)


VOICE: Final[Prompt] = tiny.voice(seconds=6.0, rate=SAMPLE_RATE)


@contextmanager
def _same_number_of_codes(model: Model, codes: int) -> Iterator[None]:
    """The end is never said; where the codes end, a segment is taken for whole, and none is parted for being long."""
    bias = model.loaded.gpt.mel_head.bias
    kind, fault = type(model), Expected.fault
    most, seconds = kind.most_codes, kind.most_seconds
    before = bias[model.weights.choice.stop].item()
    with torch.inference_mode(False), torch.no_grad():
        bias[model.weights.choice.stop] = -1e4
    kind.most_codes = property(lambda _self: codes)  # type: ignore[assignment,method-assign]
    kind.most_seconds = property(lambda _self: 1e6)  # type: ignore[assignment,method-assign]
    Expected.fault = lambda *_args, **_how: None  # type: ignore[method-assign]
    longest = Expected.longest
    Expected.longest = property(lambda _self: 1e6)  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        kind.most_codes, kind.most_seconds = most, seconds  # type: ignore[method-assign]
        Expected.fault, Expected.longest = fault, longest  # type: ignore[method-assign]
        with torch.no_grad():
            bias[model.weights.choice.stop] = before


def finish(steps: Any) -> Any:
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _empty(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.indextts", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", choices=("2", "2.5"), default="2")
    parser.add_argument("--size", choices=("tiny", "real"))
    parser.add_argument("--device")
    parser.add_argument("--half", action="store_true", help="on a GPU, 16 bits after 32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--codes", type=int, default=150, help="codes of each text; 50 a second of 2.0, 25 of 2.5")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--ways", type=int, default=len(HOW), help="the first so many of beams and steps")
    parser.add_argument("--texts", type=int, default=len(TEXTS), help="the first so many texts")
    return parser


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))

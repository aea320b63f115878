"""VibeVoice of a real size with random weights on whatever device there is: transformers' `generate()` and our loop.

`python -m bench.vibevoice [--model 1.5B|7B|middle] [--device cuda|cpu] [PART ...]`
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch

from bench import vibevoice_counts as counts
from bench import vibevoice_model as models
from bench.processes import machine
from bench.verdict import Verdict
from bench.vibevoice_sides import FRAME_S, Generate, Loop, Spoken, in_turn, synchronize
from oscine.audio.waveform import Waveform
from oscine.engines.vibevoice.facts import SLOTS, STEPS
from oscine.engines.vibevoice.graphs import LEAST_VIEW
from oscine.engines.vibevoice.loading import dtype_for, room
from oscine.engines.vibevoice.memory import bytes_per_slot
from oscine.engines.vibevoice.script import Voices
from oscine.voices.prompt import Prompt

PRICES: Final = {
    "L4": 0.00019,
    "A5000": 0.00019,
    "3090": 0.00019,
    "4090": 0.00031,
    "A40": 0.00034,
    "L40S": 0.00053,
    "A100": 0.00076,
    "H100": 0.00116,
    "H200": 0.00155,
}
"""Dollars a second of RunPod's serverless workers, August 2026."""
LANES: Final = (1, 2, 4, 8, 16, 32)
AGAINST: Final = 8
"""Lanes at which `generate()` is asked for a batch."""
MOST_RTF, TIMES, IN_ALL, FIRST_S = 0.08, 5.0, 150.0, 0.3
"""The limits on a GPU: real-time factor alone, its ratio to generate(), speed of all lanes, first audio."""


@dataclass
class Bench:
    """A model, and what the parts of the benchmark share."""

    model: Any
    name: str
    asked: list[int]
    frames: int
    rounds: int
    compiled: bool
    verdict: Verdict

    @cached_property
    def ids(self) -> Any:
        return models.prompt(self.model)

    @cached_property
    def generate(self) -> Generate:
        return Generate(self.model, self.ids)

    @cached_property
    def loop(self) -> Loop:
        return Loop(self.model, self.ids, max(self.lanes))

    @cached_property
    def lanes(self) -> list[int]:
        if not self.cuda:
            return self.asked or list(LANES)
        most, _ = room(self.model, None, SLOTS, 2)
        wanted = self.asked or [*LANES, 64, 128]
        return [count for count in wanted if count <= most] or [most]

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.lm_head.weight.device
        return device

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def limited(self) -> bool:
        """Whether the limits for GPUs hold."""
        return self.cuda and self.name != "middle"

    def line(self, what: str, figures: str, good: bool | None = None, limit: str = "") -> None:
        """A finding, with its limit where it has one."""
        if good is None:
            print(f"  {what:34} {figures}")
        else:
            self.verdict.line(what, figures, good, limit)


def main(given: list[str]) -> bool:
    """Print every figure; true if all are within their limits."""
    asked = _arguments().parse_args(given)
    device = torch.device(asked.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cpu":
        torch.set_num_threads(asked.threads or torch.get_num_threads())
    name = asked.model or ("7B" if device.type == "cuda" else "middle")
    print(machine())
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    dtype = dtype_for(device)
    print(f"\nVibeVoice {name}, random weights, {str(dtype).split('.')[1]}, {on}, PyTorch {torch.__version__}")
    cuda = device.type == "cuda"
    bench = Bench(
        models.create(name, device, dtype),
        name,
        sorted(asked.lanes),
        asked.frames or (60 if cuda else 12),
        asked.rounds or 5,
        asked.compile,
        Verdict(),
    )
    for part in asked.parts or PARTS:
        print(f"\n{part}: {PARTS[part].__doc__}")
        started = time.perf_counter()
        PARTS[part](bench)
        print(f"  ({time.perf_counter() - started:.0f} s)", flush=True)
    return bench.verdict.kept


def alone(bench: Bench) -> None:
    """one lane; the loop and generate() in turn, medians"""
    sides: dict[str, Callable[[], Spoken]] = {"loop": partial(bench.loop.run, bench.frames)}
    if bench.cuda:
        sides["loop without CUDA graphs"] = partial(bench.loop.run_eagerly, bench.frames)
    if bench.compiled:
        started = time.perf_counter()
        compiled = Loop(bench.model, bench.ids, 1, compiled=True)
        compiled.run(2)
        print(f"  compiled in {time.perf_counter() - started:.0f} s")
        sides["loop, compiled"] = partial(compiled.run, bench.frames)
    sides["generate(), two passes"] = partial(bench.generate.run, bench.frames)
    sides["generate() as it is, three passes"] = partial(bench.generate.run, bench.frames, token_guidance=True)
    found = dict(zip(sides, in_turn(bench.rounds, *sides.values()), strict=True))
    for name, spoken in found.items():
        frame_s, slowest = (statistics.median(getattr(each, of) for each in spoken) for of in ("frame_s", "slowest_s"))
        figures = (
            f"{frame_s * 1e3:8.1f} ms a frame, slowest {slowest * 1e3:8.1f}   real-time factor {frame_s / FRAME_S:.3f}"
        )
        bench.line(name, figures)
    ours = found["loop"]
    least = TIMES if bench.limited else 1.0
    for name in list(found)[-2:]:
        faster = _ratio(found[name], ours)
        # The limit is against the generate() that does no more than the loop.
        limited = (bench.limited or bench.name == "middle") and "two" in name
        bench.line(
            f"faster than with {name.split(', ')[1]}",
            f"{faster:.2f} times",
            faster >= least if limited else None,
            _least(least),
        )
    if bench.limited:
        factor = statistics.median(each.frame_s for each in ours) / FRAME_S
        bench.line("real-time factor", f"{factor:.3f}", factor <= MOST_RTF, f"at most {MOST_RTF}")
    theirs = found["generate(), two passes"][0]
    apart = max(float((one - other).abs().max()) for one, other in zip(ours[0].sound, theirs.sound, strict=True))
    loudest = max(float(sound.abs().max()) for sound in theirs.sound)
    bench.line("the same noise, the same sound", f"apart by {apart / loudest:.1e} of the loudest sample")


def lanes(bench: Bench) -> None:
    """many lanes at once; seconds of speech a second, in all, and what an hour of speech costs"""
    price = _price(bench)
    best = 0.0
    for count in bench.lanes:
        # Fewer rounds where each takes long: the more lanes, the less do they differ.
        rounds = max(1, min(bench.rounds, round(4 * bench.rounds / count)))
        sides: list[Callable[[], Spoken]] = [partial(bench.loop.run, bench.frames, count)]
        if count == AGAINST:
            rounds = bench.rounds
            sides.append(partial(bench.generate.run, bench.frames, count))
        found = in_turn(rounds, *sides)
        speeds = [count * FRAME_S / statistics.median(each.frame_s for each in spoken) for spoken in found]
        best = max(best, speeds[0])
        cost = f"   {3600 / speeds[0] * price:.4f} dollars an hour" if price else ""
        bench.line(_lanes(count), f"{speeds[0]:8.2f} x real time, {speeds[0] / count:6.2f} each{cost}")
        if count == AGAINST:
            bench.line(f"generate(), two passes, batch of {count}", f"{speeds[1]:4.2f} x real time")
            faster = _ratio(found[1], found[0])
            limited = bench.name == "middle" and not bench.cuda
            bench.line(
                f"faster than generate() at {count}", f"{faster:.2f} times", faster >= 1 if limited else None, _least(1)
            )
    if bench.limited:
        bench.line("most in all", f"{best:.1f} x real time", best >= IN_ALL, _least(IN_ALL))


def first(bench: Bench) -> None:
    """first samples on the host after a reference of 30 s and 60 words, and what comes before them"""
    ours, theirs = in_turn(bench.rounds, bench.loop.first, partial(bench.generate.run, 2))
    mine, other = (statistics.median(each.first_s for each in spoken) for spoken in (ours, theirs))
    good = mine <= FIRST_S if bench.limited else None
    bench.line("first audio, voice known", f"{mine * 1e3:.0f} ms", good, f"at most {FIRST_S * 1e3:.0f} ms")
    bench.line("generate(), voice known", f"{other * 1e3:.0f} ms   {other / mine:.2f} times")
    tokens = len(bench.loop.prompt)
    prefills = [_timed(bench, partial(bench.loop.begin, 1)) for _ in range(bench.rounds)]
    prefill = statistics.median(prefills)
    bench.line("prefill", f"{tokens} tokens in {prefill * 1e3:.0f} ms, {tokens / prefill:.0f} tokens/s")
    encode = _voice(bench)
    encode()
    voice = statistics.median(_timed(bench, encode) for _ in range(bench.rounds))
    bench.line("voice of 30 s", f"{voice * 1e3:.0f} ms, in parts of 5 s")
    bench.line("first audio, voice new", f"{(mine + voice) * 1e3:.0f} ms")


def memory(bench: Bench) -> None:
    """what a lane and the weights take"""
    model, state = bench.model, bench.loop.lanes.state
    shape, config = state.shape, model.config.text_config
    weights = sum(each.numel() * each.element_size() for each in model.parameters())
    bench.line("weights", f"{weights / 1e9:.2f} GB")
    slot = shape.rows * bytes_per_slot(config, state.dtype)
    contexts = [each for kept in (state.decoding, state.encoding) for each in kept._of.values()]
    others = [state.noise, state.times, state.weights, state.out, state.inputs]
    keys = sum(each.numel() * each.element_size() for each in (*state.memory.keys, *state.memory.values))
    sizes = [sum(each.numel() * each.element_size() for each in some) / shape.lanes for some in (contexts, others)]
    bench.line(
        "keys and values of a lane", f"{slot} bytes a slot, {slot * shape.slots / 1e6:.1f} MB ({shape.slots} slots)"
    )
    bench.line("contexts of its convolutions", f"{sizes[0] / 1e6:.2f} MB")
    bench.line("noise, sampler, sound", f"{sizes[1] / 1e6:.2f} MB")
    lane = keys / shape.lanes + sum(sizes)
    bench.line("a lane", f"{lane / 1e6:.1f} MB")
    if bench.cuda:
        least = torch.cuda.memory_allocated()
        more = Loop(model, bench.ids, 4)
        grown = (torch.cuda.memory_allocated() - least) / 4
        del more
        bench.line("a lane, measured", f"{grown / 1e6:.1f} MB")
        kept, free = torch.cuda.memory_reserved(), torch.cuda.mem_get_info()[0]
        bench.line("held by PyTorch, free", f"{kept / 1e9:.1f} GB, {free / 1e9:.1f} GB")
        for _ in range(2):
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            bench.generate.run(4, AGAINST)
        bench.line(
            f"generate(), batch of {AGAINST}, peak", f"{(torch.cuda.max_memory_allocated() - before) / 1e6:.0f} MB"
        )


def launches(bench: Bench) -> None:
    """operations of a frame alone that start something on the device, and how often the host waits in it"""
    print(f"  {'':34} {'all':>6}" + "".join(f"{part:>18}" for part in (*counts.PARTS, "other")) + f"{'waits':>8}")
    rows = {}
    for name, third in (("generate() as it is, three passes", True), ("generate(), two passes", False)):
        rows[name], rows["loop"] = counts.operations(bench.model, bench.generate, bench.loop, token_guidance=third)
    for name, found in rows.items():
        each = "".join(f"{found.of[part]:18}" for part in (*counts.PARTS, "other"))
        print(f"  {name:34} {found.of.total():6}{each}{found.waits:8}")
    waits = rows["loop"].waits
    bench.line("waits in a frame of the loop", str(waits), waits == 0, "none")
    if bench.cuda:
        bench.loop.run(12)  # its graph is there by now
        for name, run in (("generate(), two passes", bench.generate.run), ("loop", bench.loop.run)):
            kernels, copies, started = counts.kernels(bench.model, 5, run)
            bench.line(
                f"{name}, by CUDA", f"{kernels:.0f} kernels, {copies:.0f} copies, {started:.0f} launches by the host"
            )


def context(bench: Bench) -> None:
    """a frame when much was said already: attention reads all slots up to the next power of two"""
    shape, longest = bench.loop.lanes.state.shape, 0.0
    for count in sorted({1, min(AGAINST, shape.lanes)}):
        bench.loop.begin(count)
        bench.loop.want(count)
        view, found = 2 * LEAST_VIEW, []
        while view <= shape.slots:
            run = partial(_frame, bench, count, view)
            longest = max(longest, _timed(bench, run))
            frame_s = statistics.median(_timed(bench, run) for _ in range(bench.rounds))
            found.append(f"{view}: {frame_s * 1e3:.1f} ms")
            view *= 2
        bench.line(f"{_lanes(count)}, slots", "   ".join(found))
    if bench.cuda:
        bench.line("the longest capture of a graph", f"{longest * 1e3:.0f} ms, in which all lanes wait")


def profile(bench: Bench) -> None:
    """where the time of a frame goes, in ms; without CUDA graphs"""
    frames = 5
    for count in sorted({1, min(AGAINST, max(bench.lanes))}):
        bench.loop.begin(count)
        bench.loop.want(count)
        run = partial(_frames, bench, count, frames)
        run()
        found = counts.times(bench.model, frames, run, partial(counts.parts_of_loop, bench.loop))
        _print_times(f"loop, {_lanes(count)}", found)
        for name, ms, calls in found.operations[:12]:
            print(f"    {name[:48]:48} {ms:8.2f} ms {calls:8.0f} calls")
    found = counts.times(
        bench.model, frames, partial(bench.generate.run, frames), partial(counts.parts_of_generate, bench.model)
    )
    _print_times("generate(), two passes, and prompt", found)


def _frames(bench: Bench, count: int, frames: int) -> None:
    for frame in range(frames):
        bench.loop.frame(count, len(bench.loop.prompt) + frame)


def _print_times(title: str, found: counts.Times) -> None:
    each = [
        *found.parts.items(),
        ("other", found.whole - sum(found.parts.values())),
        ("the host between operations", found.between),
    ]
    print(f"  {title:34} {found.whole:.1f}:   " + "   ".join(f"{part} {ms:.1f}" for part, ms in each))


def _frame(bench: Bench, count: int, view: int) -> None:
    with torch.inference_mode():
        bench.loop.lanes._graphs.run(lanes=count, view=view, steps=STEPS)()


def _voice(bench: Bench) -> Callable[[], None]:
    """Encodes a reference of 30 s that is not known."""
    from transformers import VibeVoiceAcousticTokenizerFeatureExtractor

    heard = SimpleNamespace(feature_extractor=VibeVoiceAcousticTokenizerFeatureExtractor(pad_to_multiple_of=3200))
    tone = np.sin(np.arange(30 * 24_000, dtype=np.float32) / 20)
    reference = Prompt("bench", "bench", Waveform((tone / 10).astype(np.float32), 24_000))

    def encode() -> None:
        encoding = Voices(bench.model, heard).encode(reference)
        while not encoding.go_on():
            pass

    return encode


def _timed(bench: Bench, run: Callable[[], object]) -> float:
    synchronize(bench.model)
    started = time.perf_counter()
    run()
    synchronize(bench.model)
    return time.perf_counter() - started


def _ratio(theirs: list[Spoken], ours: list[Spoken]) -> float:
    """How many times as fast ours is: the median over pairs."""
    return statistics.median(one.frame_s / other.frame_s for one, other in zip(theirs, ours, strict=True))


def _lanes(count: int) -> str:
    return "1 lane" if count == 1 else f"{count} lanes"


def _least(limit: float) -> str:
    return f"at least {limit:g}"


def _price(bench: Bench) -> float | None:
    """What a second of this GPU costs, if it is known."""
    if not bench.cuda:
        return None
    words = re.split(r"[^0-9A-Za-z]+", torch.cuda.get_device_name(bench.device))
    return next((price for name, price in PRICES.items() if name in words), None)


PARTS: Final[dict[str, Callable[[Bench], None]]] = {
    part.__name__: part for part in (alone, lanes, first, memory, launches, context, profile)
}


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.vibevoice", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all where none is named")
    parser.add_argument("--model", choices=tuple(models.MODELS), help="7B on a GPU, middle on a CPU")
    parser.add_argument("--device", help="cuda where there is one, else cpu")
    parser.add_argument("--lanes", type=int, nargs="+", default=[], help="1 2 4 ... 32; on a GPU as many as fit")
    parser.add_argument("--frames", type=int, help="frames of a run")
    parser.add_argument("--rounds", type=int, help="runs of each, of which the median is taken")
    parser.add_argument("--threads", type=int, help="of a CPU; all cores")
    parser.add_argument("--compile", action="store_true", help="measure the compiled loop alone too; takes minutes")
    return parser


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))

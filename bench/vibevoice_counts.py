"""What a frame consists of: its operations, the values that the host waits for, and where the time goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode

from bench.vibevoice_sides import Generate, Loop, replaced, synchronize

LANGUAGE, DIFFUSION, DECODER, ENCODER = "language model", "diffusion", "acoustic decoder", "semantic encoder"
_WHOLE: Final = "frame"
PARTS: Final = (LANGUAGE, DIFFUSION, DECODER, ENCODER)
_VIEWS: Final = {
    *("_local_scalar_dense", "_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "empty"),
    *("empty_like", "empty_strided", "expand", "lift", "lift_fresh", "new_empty", "permute", "reshape", "select"),
    *("slice", "split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unsqueeze", "view"),
    *("expand_as", "flatten", "movedim", "narrow", "unflatten", "view_as"),
}
"""What starts nothing on a device."""
_PERHAPS: Final = {"contiguous", "dropout", "to", "type_as"}
"""What starts nothing where nothing is to be done."""
_WAITS: Final = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2"}


class Operations(TorchDispatchMode):
    """Counts the operations of each part, and what makes the host wait."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.of: Counter[str] = Counter()
        self.waits = 0
        self.part = "other"

    def __torch_dispatch__(self, operation: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operation._schema.name.split("::")[1]
        made = operation(*args, **(kwargs or {}))
        if name not in _VIEWS and not (name in _PERHAPS and made is args[0]):
            self.of[self.part] += 1
        by_truth = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in _WAITS or by_truth or (name in ("_to_copy", "copy_", "to") and _crosses(made, args)):
            self.waits += 1
        return made

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Count for a part."""
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before


def _crosses(made: Any, args: Any) -> bool:
    """Whether an operation copied between the host and a device."""
    given = [each for each in args if isinstance(each, Tensor)]
    return isinstance(made, Tensor) and any(each.device != made.device for each in given)


@contextmanager
def parts_of_generate(model: Any, around: Callable[[str], Any]) -> Iterator[None]:
    """Let `around` surround each part of `generate()`."""
    with _surrounded(
        around,
        (model.model.language_model, "forward", LANGUAGE),
        (model, "_sample_audio_latent", DIFFUSION),
        (model.model.audio_tower.decoder, "forward", DECODER),
        (model.model.semantic_tokenizer_encoder, "forward", ENCODER),
    ):
        yield


@contextmanager
def parts_of_loop(loop: Loop, around: Callable[[str], Any]) -> Iterator[None]:
    """Let `around` surround each part of our frame."""
    parts = loop.model.model
    with _surrounded(
        around,
        (loop.lanes.frame, "_think", LANGUAGE),
        (loop.lanes.frame, "_denoise", DIFFUSION),
        (parts.audio_tower.decoder, "forward", DECODER),
        (parts.semantic_tokenizer_encoder, "forward", ENCODER),
    ):
        yield


@contextmanager
def _surrounded(around: Callable[[str], Any], *calls: tuple[Any, str, str]) -> Iterator[None]:
    def within(call: Callable[..., Any], part: str) -> Callable[..., Any]:
        def surrounded(*given: Any, **named: Any) -> Any:
            with around(part):
                return call(*given, **named)

        return surrounded

    with ExitStack() as stack:
        for owner, name, part in calls:
            stack.enter_context(replaced(owner, name, within(getattr(owner, name), part)))
        yield


def operations(model: Any, generate: Generate, loop: Loop, *, token_guidance: bool) -> tuple[Operations, Operations]:
    """Those of one frame of `generate()` and of ours, alone."""
    counted = []
    for frames in (2, 6):
        theirs = Operations()
        with parts_of_generate(model, theirs.within), theirs:
            generate.run(frames, token_guidance=token_guidance)
        counted.append(theirs)
    fewer, more = counted
    for part in more.of:
        more.of[part] = round((more.of[part] - fewer.of[part]) / 4)
    more.waits = round((more.waits - fewer.waits) / 4)
    loop.begin(1)
    loop.want(1)
    ours = Operations()
    with parts_of_loop(loop, ours.within), ours:
        loop.frame(1, len(loop.prompt))
    return more, ours


def kernels(model: Any, frames: int, run: Callable[[int], object]) -> tuple[float, float, float]:
    """Kernels, copies and launches by the host of one frame, as CUDA saw them: `run(2n)` less `run(n)`."""
    seen = []
    for count in (frames, 2 * frames):
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
            run(count)
            synchronize(model)
        events = list(profiled.events() or [])
        on_device = [each.name for each in events if each.device_type == DeviceType.CUDA]
        copies = sum(name.startswith(("Memcpy", "Memset")) for name in on_device)
        launches = sum("Launch" in each.name and each.name.startswith("cu") for each in events)
        seen.append((len(on_device) - copies, copies, launches))
    (a, b, c), (x, y, z) = seen
    return (x - a) / frames, (y - b) / frames, (z - c) / frames


@dataclass(frozen=True)
class Times:
    """Milliseconds of a frame."""

    whole: float
    parts: dict[str, float]
    between: float
    """Of the host, between the operations."""
    operations: list[tuple[str, float, float]]
    """Name, milliseconds and calls, the longest first."""


def times(model: Any, frames: int, run: Callable[[], object], parts: Any) -> Times:
    """Where the time of each of `frames` goes that `run` runs: on a GPU, its time."""
    cuda = model.lm_head.weight.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with parts(record_function), profile(activities=activities) as profiled, record_function(_WHOLE):
        run()
        synchronize(model)
    on = "device" if cuda else "cpu"
    rows = profiled.key_averages()
    # On a GPU each name is there twice or more: as the host called it, and as the device ran it.
    named = {row.key: row for row in rows if row.key in (*PARTS, _WHOLE) and row.device_type == DeviceType.CPU}
    ran = DeviceType.CUDA if cuda else DeviceType.CPU
    every = [row for row in rows if row.key not in named and row.device_type == ran]
    scale = 1e3 * frames
    found = [(row.key, getattr(row, f"self_{on}_time_total") / scale, row.count / frames) for row in every]
    spent = {name: getattr(row, f"{on}_time_total") / scale for name, row in named.items()}
    return Times(
        whole=spent.pop(_WHOLE),
        parts={part: spent[part] for part in PARTS},
        between=sum(row.self_cpu_time_total / scale for row in named.values()),
        operations=sorted(found, key=lambda row: -row[1]),
    )

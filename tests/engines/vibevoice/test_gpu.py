"""On a GPU: a frame that is replayed is the frame that was written, and lanes stay apart there too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch

from oscine.engines.vibevoice import attention
from oscine.engines.vibevoice.graphs import LEAST_VIEW
from oscine.engines.vibevoice.lanes import Lanes, Wish
from tests.engines.vibevoice import tiny
from tests.engines.vibevoice.reference import Line, apart, begin, joined, lanes, wish
from tests.engines.vibevoice.test_loop import ONLY_SPEECH, run

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]

DEVICE = "cuda"
CLOSE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
"""So far apart the same sound may be: other sizes of a batch are other kernels; loud samples are near 0.3."""
COMPARED = {torch.float32: 1000, torch.bfloat16: 2}
"""Frames that are compared: what is rounded in bfloat16 is heard by the frames that follow."""
SCRIPT: list[Line] = [
    ("a", "The first voice speaks for a while.", tiny.voice(220, 1.3)),
    ("b", "The second one answers.", tiny.voice(330, 2.5)),
]
TYPES = pytest.mark.parametrize("dtype", CLOSE, ids=str)


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Products of float32 as float32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@cache
def model(dtype: torch.dtype, device: str = DEVICE) -> Any:
    made = tiny.model().to(device, dtype)
    attention.use_in(made.model.language_model)
    return made


@cache
def processor() -> Any:
    return tiny.processor()


def wished(dtype: torch.dtype, seed: int = 3, frames: int = 20, device: str = DEVICE) -> Wish:
    return wish(model(dtype, device), processor(), SCRIPT, seed=seed, frames=frames, banned=ONLY_SPEECH)


def first(dtype: torch.dtype, sound: torch.Tensor | None) -> torch.Tensor | None:
    """What is compared of a sound."""
    return None if sound is None else sound[: 3200 * COMPARED[dtype]]


@torch.inference_mode()
def eagerly(among: Lanes, said: Wish) -> torch.Tensor:
    """What a lane says, its frames run as they are written."""
    begin(among, among.take(), said)
    among.state.wanted[0] = True
    parts = []
    for _ in range(said.most_frames):
        among.frame(1, 2 * LEAST_VIEW, said.sampler.steps)
        parts.append(among.state.out[0, :-3].clone().cpu())
    return torch.cat(parts)


@TYPES
def test_a_replayed_frame_is_the_frame_as_it_is_written(dtype: torch.dtype) -> None:
    plain = eagerly(lanes(model(dtype)), wished(dtype))
    (replayed,) = run(lanes(model(dtype)), [wished(dtype)])
    assert apart(first(dtype, plain), first(dtype, replayed)) < CLOSE[dtype]


def test_it_says_what_it_says_on_a_cpu() -> None:
    (here,) = run(lanes(model(torch.float32)), [wished(torch.float32)])
    (there,) = run(lanes(model(torch.float32, "cpu")), [wished(torch.float32, device="cpu")])
    assert apart(here, there) < CLOSE[torch.float32]


@TYPES
def test_a_lane_among_others_says_what_it_says_alone(dtype: torch.dtype) -> None:
    """Graphs for one, two and four lanes come and go, and outcomes are read a frame late."""
    wanted = [wished(dtype, seed, frames) for seed, frames in enumerate((12, 30, 7, 20, 25, 9, 14))]
    among = lanes(model(dtype), 4, prefill_tokens=40)
    for one, sound in zip(wanted, run(among, wanted), strict=True):
        assert sound is not None
        assert len(sound) == 3200 * one.most_frames
        (alone,) = run(lanes(model(dtype)), [one])
        assert apart(first(dtype, alone), first(dtype, sound)) < CLOSE[dtype]


def test_a_natural_end_is_the_same_alone_and_among_others() -> None:
    made = model(torch.float32)
    wanted = [wish(made, processor(), SCRIPT, seed=seed, frames=60) for seed in range(5)]
    together = run(lanes(made, 4), wanted)
    alone = [run(lanes(made), [one])[0] for one in wanted]
    assert all(apart(one, other) < CLOSE[torch.float32] for one, other in zip(alone, together, strict=True))


def test_a_lane_that_goes_midway_leaves_nothing_to_the_next() -> None:
    said = wished(torch.float32)
    (right,) = run(lanes(model(torch.float32)), [said])
    among = lanes(model(torch.float32), 2)
    lane = among.take()
    begin(among, lane, wished(torch.float32, seed=8))
    for _ in range(5):
        among.advance([lane])
    among.release(lane)
    assert among.take() == lane
    begin(among, lane, said)
    parts: list[Any] = []
    while len(parts) < said.most_frames:
        parts += [each.samples for each in among.advance([lane])]
    assert apart(right, joined(parts)) < CLOSE[torch.float32]

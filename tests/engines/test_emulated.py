"""The emulated GPU sees what a real one would trip over, so that what runs on it without a word is right in that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from oscine.engines.graphs import Recorder  # noqa: E402
from tests.engines.emulated import GPU, Gpu, emulated  # noqa: E402


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with emulated() as made, torch.inference_mode():
        yield made


class Counter:
    """Adds what it is given to what it has, as a graph."""

    def __init__(self, step: Callable[[Counter], None]) -> None:
        self.given, self.sum = torch.ones(2, device=GPU), torch.zeros(2, device=GPU)
        self.step = 1
        self._graph = Recorder(GPU).record(lambda: step(self))
        self.sum.zero_()

    def __call__(self, given: float) -> Any:
        self.given.fill_(given)
        self._graph.replay()
        return self.sum.tolist()


def test_a_replay_computes_anew_from_what_lies_where_it_was_recorded(gpu: Gpu) -> None:
    count = Counter(lambda self: self.sum.add_(self.given * 2 + 1))
    assert [count(1), count(5)] == [[3, 3], [14, 14]]
    assert gpu.replays == 2


def test_recording_computes_nothing(gpu: Gpu) -> None:
    total = torch.zeros(2, device=GPU)
    Recorder(GPU).record(lambda: total.add_(1))
    assert total.tolist() == [2, 2], "it was rehearsed twice"


def test_a_tensor_that_is_replaced_and_not_written_to_is_seen(gpu: Gpu) -> None:
    count = Counter(lambda self: self.sum.add_(self.given))
    count.given = torch.ones(2, device=GPU)
    with pytest.raises(AssertionError, match="freed"):
        count(1)


def test_a_number_of_the_host_is_the_one_that_was_recorded(gpu: Gpu) -> None:
    count = Counter(lambda self: self.sum.add_(self.step))
    count.step = 100
    assert count(0) == [1, 1]


def test_what_a_graph_computes_for_itself_is_gone_when_it_ends(gpu: Gpu) -> None:
    kept: list[Any] = []
    graph = Recorder(GPU).record(lambda: kept.append(torch.ones(2, device=GPU) * 2))
    graph.replay()
    assert kept[-1].isnan().all()


@pytest.mark.parametrize(
    "step",
    [
        lambda self: self.sum.add_(float(self.given[0])),
        lambda self: self.sum.add_(self.given[self.given > 0].sum()),
        lambda self: self.sum.add_(self.given[[0, 1]]),
        lambda self: self.sum.add_(torch.tensor([1.0, 2.0], device=GPU)),
        lambda self: self.sum.copy_(torch.ones(2)),
        lambda self: self.sum.add_(torch.ones(2).to(GPU, non_blocking=True)),
        lambda self: self.sum.add_(torch.rand(2, device=GPU)),
        lambda self: self.given.tolist(),
        lambda self: self.given.cpu(),
        lambda self: self.sum.add_(1 if self.given.any() else 2),
    ],
)
def test_what_no_graph_can_hold_is_refused_as_cuda_refuses_it(gpu: Gpu, step: Callable[[Counter], None]) -> None:
    with pytest.raises(RuntimeError, match="not permitted"):
        Counter(step)


def test_the_host_and_the_gpu_do_not_mix(gpu: Gpu) -> None:
    here = torch.ones(2, device=GPU)
    assert (here + torch.tensor(1.0)).tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="same device"):
        here + torch.ones(2)
    with pytest.raises(TypeError, match="numpy"):
        here.numpy()
    with pytest.raises(RuntimeError, match="generator"):
        torch.multinomial(here, 1, generator=torch.Generator())
    assert torch.multinomial(here, 1, generator=torch.Generator("cuda").manual_seed(1)).is_cuda


def test_a_copy_to_pinned_memory_is_not_there_before_its_event(gpu: Gpu) -> None:
    host, copied = torch.zeros(2, pin_memory=True), torch.cuda.Event()
    host.copy_(torch.ones(2, device=GPU), non_blocking=True)
    copied.record()
    assert host.isnan().all()
    assert gpu.waits == []
    copied.synchronize()
    assert host.tolist() == [1, 1]


def test_a_stream_that_does_not_wait_for_another_is_seen(gpu: Gpu) -> None:
    written, first, side = torch.ones(2, device=GPU), torch.cuda.current_stream(), torch.cuda.Stream()
    torch.cuda.set_stream(side)
    with pytest.raises(AssertionError, match="another may still be using"):
        written.add_(1)
    side.wait_stream(first)
    assert written.add_(1).is_cuda


def test_memory_that_was_only_allocated_holds_no_numbers(gpu: Gpu) -> None:
    assert torch.zeros(2, device=GPU).new_empty(2).isnan().all()
    assert torch.empty_like(torch.zeros(2, device=GPU)).isnan().all()

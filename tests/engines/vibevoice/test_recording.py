"""Frames as a GPU runs them, recorded or not, with the recording or all of the GPU emulated on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from oscine.engines.graphs import Recorder
from oscine.engines.vibevoice import attention, loading
from oscine.engines.vibevoice.fused import fuse
from oscine.engines.vibevoice.graphs import LEAST_VIEW
from oscine.engines.vibevoice.lanes import Lanes
from tests.engines.emulated import emulated
from tests.engines.vibevoice import tiny
from tests.engines.vibevoice.reference import apart, lanes, wish
from tests.engines.vibevoice.test_loop import CLOSE, ONLY_SPEECH, SCRIPTS, model, processor, run, wishes

STEPS = 10


class Replay:
    """Stands for a graph: what was recorded is run again."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.replay = run

    def pool(self) -> None:
        """Of no memory."""


class Recordings:
    """Takes the place of `Recorder.record`; what it is told to raise, it raises from the recording `after` on."""

    def __init__(self, error: Exception | None = None, after: int = 0) -> None:
        self.made = 0
        self._error, self._after = error, after

    def record(self, _recorder: Recorder, run: Callable[[], None], _beside: object = None) -> Replay:
        run()
        if self._error is not None and self.made >= self._after:
            raise self._error
        self.made += 1
        run()
        return Replay(run)


def on_a_gpu(monkeypatch: pytest.MonkeyPatch, recordings: Recordings, count: int = 4) -> Lanes:
    """Lanes that believe that they are on a GPU."""
    monkeypatch.setattr(Recorder, "record", lambda *given: recordings.record(*given))
    done = SimpleNamespace(record=lambda _stream: None, synchronize=lambda: None)
    monkeypatch.setattr(torch.cuda, "Event", lambda: done)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: None)
    among = lanes(model(), count, prefill_tokens=40)
    graphs: Any = among._graphs
    among._late = graphs.late = graphs._records = True
    return among


def test_recorded_frames_of_every_size_say_what_frames_say(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = wishes(4)
    right = run(lanes(model(), 4, prefill_tokens=40), wanted)
    recordings = Recordings()
    replayed = on_a_gpu(monkeypatch, recordings)
    replayed.warm_up(STEPS)
    ready = recordings.made
    assert all(apart(one, other) < CLOSE for one, other in zip(right, run(replayed, wanted), strict=True))
    assert recordings.made > ready, "sizes that come later are recorded when they come"


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
]


def test_where_there_is_no_memory_for_another_size_a_larger_one_says_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (wanted,) = wishes(1)
    wanted = replace(wanted, most_frames=2)
    right = run(lanes(model(), 2), [wanted])

    class Full(Recordings):
        """Runs out of memory in the middle of a rehearsal."""

        def record(self, *given: Any) -> Replay:
            if self.made:
                among.state.decoding.whole.fill_(torch.nan)
                raise OUT_OF_MEMORY[1]
            return super().record(*given)

    full = Full()
    among = on_a_gpu(monkeypatch, full, 2)
    with torch.inference_mode():
        among._graphs._graph((2, among.state.shape.slots, STEPS))
    assert all(apart(one, other) < CLOSE for one, other in zip(right, run(among, [wanted]), strict=True))
    assert full.made == 1
    assert not caplog.records, "it is no GPU that cannot record"
    with torch.inference_mode(), pytest.raises(torch.OutOfMemoryError):
        among._graphs.run(lanes=1, view=1, steps=STEPS + 1)


@pytest.mark.parametrize("after", [0, 2], ids=["at once", "while it speaks"])
def test_where_frames_cannot_be_recorded_they_are_run_and_say_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, after: int
) -> None:
    wanted = wishes(4)
    right = run(lanes(model(), 4, prefill_tokens=40), wanted)
    refused = RuntimeError("CUDA error: operation not permitted when stream is capturing")
    plain = on_a_gpu(monkeypatch, Recordings(refused, after))
    plain.warm_up(STEPS)
    assert all(apart(one, other) < CLOSE for one, other in zip(right, run(plain, wanted), strict=True))
    told = [record.message for record in caplog.records if "cannot be recorded" in record.message]
    assert len(told) == 1


def test_the_frame_of_all_lanes_is_recorded_before_anybody_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that lanes for which there is too little memory are known while others can still be made."""
    for error in OUT_OF_MEMORY:
        among = on_a_gpu(monkeypatch, Recordings(error))
        with pytest.raises(torch.OutOfMemoryError):
            among.warm_up(STEPS)
    among = on_a_gpu(monkeypatch, Recordings())
    among.warm_up(STEPS)
    slots = among.state.shape.slots
    sizes = list(among._graphs._graphs)
    assert sizes[0] == (4, slots, STEPS)
    assert {size[:2] for size in sizes[1:]} == {(1, view) for view in sizes_of_views(slots)}


def sizes_of_views(slots: int) -> list[int]:
    views = [min(LEAST_VIEW, slots)]
    while views[-1] < slots:
        views.append(min(2 * views[-1], slots))
    return views


def ready() -> Any:
    """The model as the engine has it."""
    made = tiny.model(stop=1.6).requires_grad_(False)
    attention.use_in(made.model.language_model)
    fuse(made)
    return made


def spoken(made: Any, *, records: bool = True) -> tuple[list[torch.Tensor | None], Lanes]:
    """Three takes in two lanes, which come and go."""
    wanted = [
        wish(made, processor(), SCRIPTS[script], seed=seed, frames=frames, steps=2, banned=ONLY_SPEECH)
        for seed, (script, frames) in enumerate((("no voice", 5), ("one", 3), ("no voice", 2)))
    ]
    among = lanes(made, 2, slots=LEAST_VIEW, steps=2)
    among._graphs._records &= records
    return run(among, wanted), among


def test_frames_that_a_gpu_replays_say_what_frames_say_and_wait_for_nothing() -> None:
    """With graphs for one lane and for two, and outcomes that are read a frame late."""
    made = ready()
    right, _ = spoken(made)
    with emulated() as gpu:
        made.to("cuda")
        sound, among = spoken(made)
        assert gpu.replays >= 7
        assert len(among._graphs._graphs) == 2
        for lane in (among.take(), among.take()):
            among.begin(lane, wish(made, processor(), SCRIPTS["no voice"], seed=lane, frames=9, steps=2))
            among.prefill(lane)
        gpu.waits.clear()
        for _ in range(3):
            among.advance([0, 1])
        assert gpu.waits == []
    assert all(apart(one, other) < CLOSE for one, other in zip(right, sound, strict=True))


@pytest.mark.long
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_in_16_bits_a_gpu_replays_exactly_what_it_runs(dtype: torch.dtype) -> None:
    with emulated() as gpu:
        made = ready().to("cuda", dtype)
        right, _ = spoken(made, records=False)
        assert gpu.replays == 0
        sound, _ = spoken(made)
        assert gpu.replays >= 7
    assert all(apart(one, other) == 0 for one, other in zip(right, sound, strict=True))


def test_memory_that_loading_took_in_passing_becomes_lanes() -> None:
    with emulated() as gpu:
        made = tiny.model().to("cuda")
        gpu.free, gpu.cached = 1_000_000, 60_000_000_000
        assert loading.room(made, None, 4096, 2) == (128, 4096)

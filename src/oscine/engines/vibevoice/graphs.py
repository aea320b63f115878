"""How a frame is run: as it is on a CPU, as one CUDA graph on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from oscine.engines.graphs import Recorder
from oscine.engines.sizes import bucket
from oscine.engines.vibevoice.frame import Frame, State

LEAST_VIEW: Final = 256
"""Slots that attention reads at least; more in powers of two, a graph for each."""
_STEPS: Final = (5, 10, 15, 20, 30, 50, 100)
"""Diffusion steps of a graph; what a lane needs fewer, it does as steps that change nothing."""
_SIZES: Final = 512
"""So many sizes there may be."""


class Graphs:
    """Runs frames for as many lanes, slots and diffusion steps as are in use, rounded up: each size is a graph."""

    def __init__(self, frame: Frame, state: State) -> None:
        self._frame: Callable[[int, int, int], None] = frame
        self._state = state
        self._compiled = False
        self.late = state.device.type == "cuda"
        """Whether a frame goes on while its outcome is not read."""
        self._recorder = Recorder(state.device)
        self._graphs: dict[tuple[int, int, int], torch.cuda.CUDAGraph] = {}
        self._outcomes = [self._new_outcome(), self._new_outcome()]

    def compile(self, **options: object) -> None:
        """Compile what is run; takes a minute or more for each size, and pays where hours are spoken."""
        import torch._dynamo

        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _SIZES)
        self._frame = torch.compile(self._frame, fullgraph=True, dynamic=False, **options)  # type: ignore[call-overload]
        self._compiled = True

    def warm_up(self, steps: int) -> None:
        """Capture the graphs of one lane."""
        view = LEAST_VIEW
        while self.late:
            shape = self._state.shape
            size = (1, bucket(view, LEAST_VIEW, shape.slots), _rounded(steps, shape.steps))
            self._graphs[size] = self._graphs.get(size) or self._capture(size)
            if view >= self._state.shape.slots:
                break
            view *= 2

    def run(self, *, lanes: int, view: int, steps: int) -> Callable[[], Tensor]:
        """Run a frame; what is returned waits for its outcome, float32 `[lanes, hop + 3]` on the host."""
        shape = self._state.shape
        size = (bucket(lanes, 1, shape.lanes), bucket(view, LEAST_VIEW, shape.slots), _rounded(steps, shape.steps))
        if not self.late:
            self._frame(*(size if self._compiled else (lanes, size[1], steps)))
            outcome = self._state.out[:lanes].to("cpu", copy=True)
            return lambda: outcome
        if size not in self._graphs:
            self._graphs[size] = self._capture(size)
        self._graphs[size].replay()
        host = self._outcomes[0][: size[0]]
        self._outcomes.reverse()
        host.copy_(self._state.out[: size[0]], non_blocking=True)
        copied = torch.cuda.Event()
        copied.record(torch.cuda.current_stream(self._state.device))

        def read() -> Tensor:
            copied.synchronize()
            return host

        return read

    def _capture(self, size: tuple[int, int, int]) -> torch.cuda.CUDAGraph:
        """Record a frame. Nothing moves meanwhile: a frame in which no lane is wanted changes no lane."""
        wanted = self._state.wanted.clone()
        self._state.wanted.zero_()
        graph = self._recorder.record(lambda: self._frame(*size), next(iter(self._graphs.values()), None))
        self._state.wanted.copy_(wanted)
        return graph

    def _new_outcome(self) -> Tensor:
        """Where an outcome is copied to; two in turn, one of which is read while the other is written."""
        return torch.zeros(self._state.out.shape, pin_memory=self.late)


def _rounded(steps: int, most: int) -> int:
    return min(most, next((size for size in _STEPS if size >= steps), most))

"""How a frame is run: as it is on a CPU, as one CUDA graph on a GPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from oscine.engines.device import is_for_memory
from oscine.engines.graphs import Recorder
from oscine.engines.sizes import bucket
from oscine.engines.vibevoice.frame import Frame, State

log = logging.getLogger(__name__)

LEAST_VIEW: Final = 256
"""Slots that attention reads at least; more in powers of two, a graph for each."""
_STEPS: Final = (5, 10, 15, 20, 30, 50, 100)
"""Diffusion steps of a graph; a lane that needs fewer does the rest as steps that change nothing."""
_SIZES: Final = 512
"""Sizes that may be compiled; beyond its limit PyTorch runs uncompiled."""


class Graphs:
    """Runs frames for as many lanes, slots and diffusion steps as are in use, rounded up: each size is a graph."""

    def __init__(self, frame: Frame, state: State) -> None:
        self._frame: Callable[[int, int, int], None] = frame
        self._state = state
        self._compiled = False
        self.late = state.device.type == "cuda"
        """Whether a frame goes on while its outcome is not read."""
        self._records = self.late
        """Whether frames become graphs; one that cannot be recorded is run as it is, and slower."""
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
        """Record the frame of all lanes, which shows whether there is memory for it, and the ones of a single lane."""
        shape = self._state.shape
        steps, view = _rounded(steps, shape.steps), LEAST_VIEW
        self._graph((shape.lanes, shape.slots, steps))  # first, for the others find room in its memory
        while self._records:
            self._graph((1, bucket(view, LEAST_VIEW, shape.slots), steps))
            if view >= shape.slots:
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
        try:
            graph = self._graph(size)
        except torch.OutOfMemoryError:
            graph = self._graphs[size] = self._larger(size)
        if graph is not None:
            graph.replay()
        else:
            self._frame(*size)
        host = self._outcomes[0][: size[0]]
        self._outcomes.reverse()
        host.copy_(self._state.out[: size[0]], non_blocking=True)
        copied = torch.cuda.Event()
        copied.record(torch.cuda.current_stream(self._state.device))

        def read() -> Tensor:
            copied.synchronize()
            return host

        return read

    def _graph(self, size: tuple[int, int, int]) -> torch.cuda.CUDAGraph | None:
        """The recorded frame of a size; None: it cannot be recorded. Raises torch.OutOfMemoryError."""
        if self._records and size not in self._graphs:
            try:
                self._graphs[size] = self._capture(size)
            except RuntimeError as error:
                if is_for_memory(error):
                    raise torch.OutOfMemoryError(str(error)) from None
                log.warning("A frame cannot be recorded on this GPU (%s); speech is slower.", type(error).__name__)
                self._records = False
        return self._graphs.get(size)

    def _larger(self, size: tuple[int, int, int]) -> torch.cuda.CUDAGraph:
        """The smallest recorded frame that does this size too. Raises torch.OutOfMemoryError where there is none."""
        fits = [each for each in self._graphs if all(has >= needs for has, needs in zip(each, size, strict=True))]
        if not fits:
            raise torch.OutOfMemoryError("no memory for another graph")
        return self._graphs[min(fits)]

    def _capture(self, size: tuple[int, int, int]) -> torch.cuda.CUDAGraph:
        """Record a frame. Nothing moves meanwhile: a frame in which no lane is wanted changes no lane."""
        state = self._state
        # A rehearsal that runs out of memory midway leaves the contexts as they were between two convolutions.
        kept = [(each, each.clone()) for each in (state.wanted, state.decoding.whole, state.encoding.whole)]
        state.wanted.zero_()
        try:
            return self._recorder.record(lambda: self._frame(*size), next(iter(self._graphs.values()), None))
        finally:
            for each, before in kept:
                each.copy_(before)

    def _new_outcome(self) -> Tensor:
        """Where an outcome is copied to; two in turn, one of which is read while the other is written."""
        return torch.zeros(self._state.out.shape, pin_memory=self.late)


def _rounded(steps: int, most: int) -> int:
    return min(most, next((size for size in _STEPS if size >= steps), most))

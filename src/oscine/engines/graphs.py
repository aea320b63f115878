"""CUDA graphs: work that a GPU records once and replays, instead of hundreds of launches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

_WARM: Final = 2
"""Runs before a recording: libraries choose their kernels and take their memory."""
_RECORDING: Final = threading.Lock()
"""PyTorch records one graph at a time in a process, whichever engine asks."""


class Recorder:
    """Records graphs on one device, whichever is current, while other threads may use other devices."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side: torch.cuda.Stream | None = None

    def record(self, run: Callable[[], None], beside: torch.cuda.CUDAGraph | None = None) -> torch.cuda.CUDAGraph:
        """`run` as a graph, which shares the memory pool of `beside`. Runs it before, to warm up.

        Raises RuntimeError, also torch.OutOfMemoryError; the thread goes on with the stream that it had.
        """
        import torch

        with torch.cuda.device(self._device):
            before = torch.cuda.current_stream(self._device)
            side = self._side = self._side or torch.cuda.Stream(self._device)
            graph = torch.cuda.CUDAGraph()
            pool = beside.pool() if beside is not None else None
            try:
                side.wait_stream(before)
                with torch.cuda.stream(side):
                    for _ in range(_WARM):
                        run()
                before.wait_stream(side)
                with (
                    _RECORDING,
                    torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode="thread_local"),
                ):
                    run()
            finally:  # where a recording fails, PyTorch leaves the thread on the stream of it
                torch.cuda.set_stream(before)
            return graph

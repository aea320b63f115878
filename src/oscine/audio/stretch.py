"""Faster or slower at the same pitch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from oscine.audio.waveform import Samples


class TimeStretch:
    """Plays samples `speed` times as fast, at the same pitch (WSOLA, FFmpeg's `atempo`): `round(n / speed)` of them.

    Sounds are placed to within half a window of the filter, so the last one may end up to 50 ms later than that.
    """

    def __init__(self, sample_rate: int, speed: float) -> None:
        """`sample_rate` in Hz, `speed` 0.25 to 4. Raises ValueError outside of that."""
        if not 0.25 <= speed <= 4:
            raise ValueError("speed takes a number from 0.25 to 4")
        self._rate = sample_rate
        self._speed = speed
        self._taken = 0
        self._given = 0
        self._held = np.zeros(0, np.float32)
        self._graph: Any = None if speed == 1 else _graph(sample_rate, speed)

    def push(self, samples: Samples) -> Samples:
        """Take float32 `[samples]`, return what is ready."""
        if self._graph is None or len(samples) == 0:
            return samples
        self._feed(samples)
        self._taken += len(samples)
        return self._ready()

    def finish(self) -> Samples:
        """Return the rest."""
        if self._graph is None or self._taken == 0:
            return np.zeros(0, np.float32)
        # The filter keeps back what does not fill its window: let that be silence.
        self._feed(np.zeros(self._rate // 8, np.float32))
        self._graph.push(None)
        rest = self._ready()
        missing = self._total() - self._given
        late = np.trim_zeros(self._held[: self._rate // 20], "b")
        self._graph = None
        return np.concatenate([rest, np.zeros(missing, np.float32), late])

    def _feed(self, samples: Samples) -> None:
        import av

        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32)[None], format="flt", layout="mono")
        frame.sample_rate = self._rate
        frame.pts = self._taken
        self._graph.push(frame)

    def _total(self) -> int:
        return round(self._taken / self._speed)

    def _ready(self) -> Samples:
        pieces = [self._held]
        while True:
            try:
                pieces.append(self._graph.pull().to_ndarray()[0])
            except (BlockingIOError, EOFError):
                break
        ready = np.concatenate(pieces)
        give = min(len(ready), self._total() - self._given)
        self._held = ready[give:]
        self._given += give
        return ready[:give]


def _graph(sample_rate: int, speed: float) -> Any:
    """`atempo` takes nothing below 0.5 and drops samples above 2 instead of blending; two in a row reach further."""
    from av.filter import Graph

    graph = Graph()
    nodes = [graph.add_abuffer(sample_rate=sample_rate, format="flt", layout="mono")]
    stages = 1 if 0.5 <= speed <= 2 else 2
    nodes += [graph.add("atempo", f"{math.pow(speed, 1 / stages):.9f}") for _ in range(stages)]
    nodes.append(graph.add("abuffersink"))
    graph.link_nodes(*nodes).configure()
    return graph

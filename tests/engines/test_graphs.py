"""What is recorded for a GPU: on its own device and stream, and without a trace where it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from oscine.engines import graphs  # noqa: E402
from oscine.engines.device import current  # noqa: E402


class Stream:
    def __init__(self, device: Any = None) -> None:
        self.device = torch.device(device or f"cuda:{Cuda.device}")

    def wait_stream(self, _other: Stream) -> None:
        pass


class Graph:
    def pool(self) -> str:
        return f"memory of {id(self)}"


class Cuda:
    """What PyTorch keeps of CUDA, without a GPU: the current device, and the current stream of each."""

    device = 0
    streams: dict[int, Stream]
    recorded: list[tuple[Stream, Any, str]]
    at_once = most_at_once = 0

    @staticmethod
    @contextmanager
    def on(device: Any) -> Iterator[None]:
        before, Cuda.device = Cuda.device, device.index or 0
        yield
        Cuda.device = before

    @staticmethod
    def current_stream(device: Any = None) -> Stream:
        return Cuda.streams[Cuda.device if device is None else device.index]

    @staticmethod
    def set_stream(stream: Stream) -> None:
        Cuda.streams[stream.device.index] = stream

    @staticmethod
    @contextmanager
    def stream(stream: Stream) -> Iterator[None]:
        before = Cuda.streams[stream.device.index]
        Cuda.set_stream(stream)
        yield
        Cuda.set_stream(before)

    @staticmethod
    @contextmanager
    def graph(_graph: Graph, pool: Any, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        Cuda.at_once += 1
        Cuda.most_at_once = max(Cuda.at_once, Cuda.most_at_once)
        Cuda.set_stream(stream)  # like the real one, it does not come back from an error
        try:
            yield
        finally:
            Cuda.at_once -= 1
        Cuda.recorded.append((stream, pool, capture_error_mode))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> type[Cuda]:
    Cuda.device, Cuda.recorded, Cuda.most_at_once = 0, [], 0
    Cuda.streams = {index: Stream(f"cuda:{index}") for index in range(2)}
    for name, fake in {
        "device": Cuda.on,
        "Stream": Stream,
        "CUDAGraph": Graph,
        "current_stream": Cuda.current_stream,
        "set_stream": Cuda.set_stream,
        "stream": Cuda.stream,
        "graph": Cuda.graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return Cuda


def test_a_second_gpu_records_on_itself(cuda: type[Cuda]) -> None:
    ran: list[tuple[int, Stream]] = []
    recorder = graphs.Recorder(torch.device("cuda:1"))
    first = recorder.record(lambda: ran.append((Cuda.device, Cuda.current_stream())))
    recorder.record(lambda: None, first)
    assert {device for device, _ in ran} == {1}
    assert {stream.device.index for _, stream in ran} == {1}
    (side, no_pool, mode), (again, pool, _) = cuda.recorded
    assert side is again
    assert side is not cuda.streams[1]
    assert (no_pool, pool, mode) == (None, first.pool(), "thread_local")
    assert cuda.device == 0


def test_after_a_recording_that_failed_the_thread_has_its_own_stream_again(cuda: type[Cuda]) -> None:
    before = dict(cuda.streams)
    runs: list[int] = []

    def fails_when_recorded() -> None:
        runs.append(1)
        if len(runs) == 3:
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        graphs.Recorder(torch.device("cuda:0")).record(fails_when_recorded)
    assert cuda.streams == before


def test_two_engines_record_one_after_the_other(cuda: type[Cuda]) -> None:
    def linger() -> None:
        time.sleep(0.02)

    def record(number: int) -> None:
        graphs.Recorder(torch.device(f"cuda:{number}")).record(linger)

    threads = [threading.Thread(target=record, args=(number,), daemon=True) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(cuda.recorded) == 2
    assert cuda.most_at_once == 1


def test_what_names_no_gpu_is_made_on_the_one_that_is_meant(cuda: type[Cuda]) -> None:
    with current(torch.device("cuda:1")):
        assert cuda.device == 1
    with current(torch.device("cpu")):
        assert cuda.device == 0

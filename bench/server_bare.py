"""The bare engine on all cores, in a process of its own: `Hibari()` sentence by sentence in threads or in processes.

`python -m bench.server_bare threads|processes` reads lines of JSON, each a list of texts, each a list of sentences;
speaks them, and answers each line with the seconds that took, the seconds of CPU time, and the seconds of sound.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

KINDS = ("threads", "processes")
CORES = 2


@dataclass(frozen=True)
class Spoken:
    """What some texts took."""

    wall_s: float
    cpu_s: float
    sound_s: float
    """How long they last."""


class Bare:
    """A bare engine in a child process. Use it with `with`."""

    def __init__(self, kind: str) -> None:
        command = [sys.executable, "-m", "bench.server_bare", kind]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.speak([["Ready."]] * 4)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def speak(self, texts: Sequence[Sequence[str]], *, apart: bool = False) -> Spoken:
        """Speak the sentences of texts; `apart`: a text begins when the one before it is complete."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        batches = list(texts) if apart else [[sentence for text in texts for sentence in text]]
        self._process.stdin.write(json.dumps(batches) + "\n")
        self._process.stdin.flush()
        return Spoken(*json.loads(self._process.stdout.readline()))


def main(kind: str) -> None:
    """Serve standard input until it ends."""
    pool, speak = _threads() if kind == "threads" else _processes()
    with pool:
        for line in sys.stdin:
            batches = json.loads(line)
            started = time.perf_counter()
            each = [measured for batch in batches for measured in pool.map(speak, batch)]
            wall = time.perf_counter() - started
            print(json.dumps([wall, sum(cpu for cpu, _ in each), sum(sound for _, sound in each)]), flush=True)


def _threads() -> tuple[Executor, Callable[[str], tuple[float, float]]]:
    _load()
    return ThreadPoolExecutor(CORES), _speak


def _processes() -> tuple[Executor, Callable[[str], tuple[float, float]]]:
    return ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn"), _load), _speak


_voice: Any = None


def _load() -> None:
    global _voice
    from hibari import Hibari

    _voice = Hibari()


def _speak(text: str) -> tuple[float, float]:
    """Seconds of CPU time and of sound."""
    started = time.thread_time()
    samples = _voice(text)
    return time.thread_time() - started, len(samples) / float(_voice.sample_rate)


if __name__ == "__main__":
    main(sys.argv[1])

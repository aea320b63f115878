"""Runs commands side by side and compares what the operating system says about them.

This module imports nothing heavy: Linux counts the memory of the process that forks towards the peak of its child.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One finished process."""

    wall_s: float
    cpu_s: float
    """User and system time of the process and its threads."""
    peak_mb: float
    """Largest resident set."""


def run(command: Sequence[str], environ: Mapping[str, str] | None = None, *, stdout: int | None = None) -> Run:
    """Run a command to its end; raises RuntimeError when it fails."""
    actions = [(os.POSIX_SPAWN_DUP2, stdout, 1)] if stdout is not None else []
    started = time.perf_counter()
    environ = dict(os.environ if environ is None else environ)
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as on a user's machine, where a second start finds the bytecode
    pid = os.posix_spawnp(command[0], list(command), environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"{command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    scale = 1 if sys.platform == "darwin" else 1024
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale / 1e6)


def pairs(ours: Callable[[], Run], bare: Callable[[], Run], count: int) -> tuple[list[Run], list[Run]]:
    """Run both in turn `count` times, after one run each that does not count."""
    ours(), bare()
    both = [(ours(), bare()) for _ in range(count)]
    return [first for first, _ in both], [second for _, second in both]


def report(title: str, ours: Sequence[Run], bare: Sequence[Run], limits: Mapping[str, float]) -> bool:
    """Print medians and the median of the ratios pair by pair; true if all are within their limits."""
    print(f"\n{title} ({len(ours)} pairs)")
    good = True
    for field, unit in (("wall_s", "s"), ("cpu_s", "s"), ("peak_mb", "MB")):
        mine = [getattr(each, field) for each in ours]
        other = [getattr(each, field) for each in bare]
        ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
        line = (
            f"  {field:8} oscine {statistics.median(mine):8.2f} {unit:2}  bare {statistics.median(other):8.2f} {unit:2}"
        )
        line += f"  ratio {ratio:.2f}"
        if field in limits:
            kept = ratio <= limits[field]
            good = good and kept
            line += f"  (at most {limits[field]:g}: {'kept' if kept else 'MISSED'})"
        print(line)
    return good


def machine() -> str:
    """The machine in words."""
    import platform

    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as facts:
            model = next(line.split(":", 1)[1].strip() for line in facts if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"

"""What the bridge adds: to the first sound and to the whole, in sub-requests, in CPU time of the runtime.

`make bench-bridge`. The platform, the worker and workerd run on this machine: what RunPod's and Cloudflare's networks
add is not in here. Each figure stands beside that of a client that asks the platform itself, without a pause.
"""

from __future__ import annotations

import base64
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.bridge.gate import Gate, Passed, refusal
from tests.bridge.house import Bridge, asked, bundled, endpoint_of, running
from tests.runpod.house import Client, client, worker
from tests.runpod.plane import ENDED, Plane

REPEATS: Final = 15
SHORT: Final = "Good morning to all of you. The train leaves at nine."
MINUTE: Final = " ".join(f"This is sentence number {number}, and it is here to take some time." for number in range(20))
INTERVAL_MS: Final = 100
MOST: Final = 45
TICKS: Final = os.sysconf("SC_CLK_TCK")


def main() -> bool:
    """Whether the bridge keeps its limits: one interval to the first sound, 45 sub-requests for a minute."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = bundled(folder)
        print(f"script: {bundle.script.stat().st_size / 1000:.1f} KB")
        with (
            Plane().running() as plane,
            client(plane) as direct,
            Gate(plane.url).running() as gate,
            worker(plane, folder) as _,
            running(bundle, endpoint_of(gate)) as bridge,
        ):
            bridge.speech()  # the engine is loaded, the runtime warm
            kept = added(direct, bridge)
            processor(bridge)
            return questions(gate, bridge) and kept


def added(direct: Client, bridge: Bridge) -> bool:
    """Milliseconds to the first bytes, through the bridge and without it, by turns."""
    without, through = [], []
    for _ in range(REPEATS):
        without.append(first_direct(direct))
        through.append(first_through(bridge))
    a, b = (statistics.median(times) * 1000 for times in (without, through))
    print(f"first sound: {a:.0f} ms without the bridge, {b:.0f} ms through it: {b - a:+.0f} ms (limit: {INTERVAL_MS})")
    return b - a <= INTERVAL_MS


def first_direct(direct: Client) -> float:
    started = time.perf_counter()
    job = direct.run({"text": SHORT, "seed": 7, "stream": True, "format": "mp3"})
    while True:
        told = direct.call("GET", f"stream/{job.id}").json()
        if told["stream"]:
            base64.b64decode(told["stream"][0]["output"]["audio_chunk"])
            took = time.perf_counter() - started
            while job.status not in ENDED:
                time.sleep(0.01)
            return took


def first_through(bridge: Bridge) -> float:
    started = time.perf_counter()
    with bridge.client() as http, http.stream("POST", "/v1/audio/speech", json=asked(input=SHORT)) as answer:
        parts = answer.iter_bytes()
        next(parts)
        took = time.perf_counter() - started
        for _ in parts:
            pass
    return took


def processor(bridge: Bridge) -> None:
    """CPU time of the whole runtime for a minute of sound: an upper limit of what Cloudflare counts."""
    for format in ("mp3", "opus", "flac", "wav", "pcm"):
        used, heard = [], 0
        for _ in range(5):
            before = cpu_of(bridge)
            heard = len(bridge.speech(input=MINUTE, response_format=format).content)
            used.append(cpu_of(bridge) - before)
        print(f"CPU for a minute of {format}: {statistics.median(used) * 1000:.0f} ms, {heard / 1e6:.1f} MB")


def cpu_of(bridge: Bridge) -> float:
    """Seconds of processor that workerd has used."""
    for found in Path("/proc").glob("[0-9]*"):
        try:
            name = (found / "comm").read_text().strip()
            stat = (found / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if name.startswith("workerd") and is_child_of(int(found.name), bridge.pid):
            return (int(stat[11]) + int(stat[12])) / TICKS
    raise RuntimeError("workerd does not run")


def is_child_of(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def questions(gate: Gate, bridge: Bridge) -> bool:
    """Sub-requests of jobs that take so long by the clock, with a piece for each second."""
    for seconds in (1, 5, 20, 60):  # the last one has the limit
        gate.passed.clear()
        gate.rule = job_of(seconds)
        started = time.perf_counter()
        assert len(bridge.speech(response_format="pcm").content) == 3 * seconds
        late = time.perf_counter() - started - seconds
        print(f"a job of {seconds} s: {len(gate.passed)} sub-requests, over {late:.1f} s after it")
    gate.rule = None
    return len(gate.passed) <= MOST


def job_of(seconds: int) -> Any:
    started, given = time.monotonic(), 0

    def rule(passed: Passed) -> Any:
        nonlocal given
        if passed.kind == "run":
            return refusal(200, {"id": "job-1", "status": "IN_QUEUE"})
        upto, over = min(seconds, int(time.monotonic() - started)), time.monotonic() - started >= seconds
        sound = {"status": "streaming", "format": "pcm_16", "sample_rate": 24000, "audio_chunk": "AAAA"}
        items: list[Any] = [{"output": {**sound, "index": number}} for number in range(given, upto)]
        given = upto
        if over:
            items.append({"output": {"status": "complete", "total_chunks": seconds}})
        return refusal(200, {"status": "COMPLETED" if over else "IN_PROGRESS", "stream": items})

    return rule


if __name__ == "__main__":
    sys.exit(not main())

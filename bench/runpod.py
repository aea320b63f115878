"""What the RunPod worker adds: time around the pipeline for a short text, memory for an hour that goes to S3.

Both with the SDK's own loop under the control plane of the tests, and a real S3 server (SeaweedFS).
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.texts import of_length, short_sentences
from bench.verdict import Verdict
from oscine.aio import AsyncOscine
from oscine.config import Settings
from oscine.http.readiness import Readiness
from oscine.request import SpeechRequest
from oscine.synthesis.studio import Studio
from tests.delivery.seaweed import WRITER, seaweed
from tests.runpod.engines import entry_points
from tests.runpod.house import Client, Process, client, worker
from tests.runpod.plane import ENDED, Plane

JOBS, FIRST = 60, 10
QUEUED, ROUNDS = 12, 3
MOST_MS = 40.0
MINUTES = 60.0
MOST_MB = 60.0


def main(minutes: float = MINUTES) -> bool:
    """Print every figure; true if all are within their limits."""
    verdict = Verdict()
    with tempfile.TemporaryDirectory() as name:
        _overhead(verdict, Path(name))
        _queue(Path(name))
        _memory(verdict, Path(name), minutes)
    return verdict.kept


def _overhead(verdict: Verdict, folder: Path) -> None:
    """The same texts as jobs, by the pipeline in this process, and as jobs of a worker that only answers, in turn."""
    print(f"\nOverhead of the worker: {JOBS} short texts, each from the job taken to the job done")
    texts = [f"{text} It is number {number}." for number, text in enumerate((short_sentences() * JOBS)[:JOBS])]
    jobs, alone, bare = [], [], []
    with _speaking(folder / "ours") as (ours, _), _bare(folder) as nothing, _studio(folder / "alone") as studio:
        oscine = AsyncOscine(studio=studio)
        for number, text in enumerate(texts):
            jobs.append(_milliseconds(ours, text))
            alone.append(asyncio.run(_pipeline(oscine, text, folder, number)))
            bare.append(_milliseconds(nothing, text))
    taken, spoken, answered, synthesis = (statistics.median(each[FIRST:]) for each in (jobs, alone, bare, _SYNTHESIS))
    print(f"  from job taken to job done         {taken:.0f} ms, of which synthesis {synthesis:.0f} ms")
    over = statistics.median(job - own for job, own in zip(jobs[FIRST:], _SYNTHESIS[FIRST:], strict=True))
    verdict.line("all but the synthesis", f"{over:.1f} ms", over <= MOST_MS, f"at most {MOST_MS:g} ms")
    print(f"  the pipeline alone                 {spoken:.0f} ms")
    print(f"  RunPod's SDK alone                 {answered:.0f} ms, for it looks for work by the clock")


_SYNTHESIS: list[float] = []


def _milliseconds(platform: Client, text: str) -> float:
    job = platform.ended(platform.run({"text": text}))
    assert job.status == "COMPLETED", job.error
    metadata = job.output[0].get("metadata")
    if metadata is not None:
        _SYNTHESIS.append(1000 * metadata["synthesis_seconds"])
    return 1000 * (job.took[1] - job.took[0])


async def _pipeline(oscine: AsyncOscine, text: str, folder: Path, number: int) -> float:
    request, _ = SpeechRequest.parse({"text": text})
    start = time.monotonic()
    await oscine.save_request(request, folder, f"alone-{number}")
    return 1000 * (time.monotonic() - start)


def _queue(folder: Path) -> None:
    """Jobs that wait for a worker that takes one at a time, as it is and with the SDK's own loop, in turn."""
    print(f"\nA queue of {QUEUED} short texts before a worker that takes one at a time")
    one = {"OSCINE_WORKER_JOBS": "1"}
    with (
        _speaking(folder / "woken", **one) as (woken, _),
        _speaking(folder / "unwoken", program="bench/runpod_unwoken.py", **one) as (unwoken, _),
    ):
        ours, theirs = (
            statistics.median(rounds)
            for rounds in zip(
                *((_seconds_each(woken, number), _seconds_each(unwoken, number)) for number in range(ROUNDS)),
                strict=True,
            )
        )
    print(f"  each job                           {1000 * ours:.0f} ms")
    print(f"  with the SDK's own loop            {1000 * theirs:.0f} ms")
    print(f"  ratio                              {ours / theirs:.2f}")


def _seconds_each(platform: Client, number: int) -> float:
    texts = [f"{text} It is round {number}." for text in (short_sentences() * QUEUED)[:QUEUED]]
    jobs = [platform.ended(job) for job in [platform.run({"text": text}) for text in texts]]
    assert all(job.status == "COMPLETED" for job in jobs)
    return (max(job.took[1] for job in jobs) - min(job.took[0] for job in jobs)) / QUEUED


def _memory(verdict: Verdict, folder: Path, minutes: float) -> None:
    """Of the limit the memory of the voice's network is no part: tones need none. What it needs is told beside."""
    print(f"\nMemory of the worker for {minutes:g} minutes of speech that go to S3")
    (folder / "s3").mkdir()
    with seaweed(folder / "s3") as server:
        stored = {
            "MAX_TEXT_LENGTH": "0",
            "S3_ENDPOINT_URL": server.url,
            "S3_ACCESS_KEY_ID": WRITER[0],
            "S3_SECRET_ACCESS_KEY": WRITER[1],
            "S3_BUCKET_NAME": server.bucket,
        }
        tones = {"OSCINE_ENGINE": "tones", "engines": entry_points(folder / "engines")}
        with _speaking(folder / "tones", **stored, **tones) as (platform, process):
            idle, above = _stored(platform, process, minutes)
        figures = f"{above:.0f} MB above the {idle:.0f} MB of the idle worker"
        verdict.line("peak memory with tones", figures, above <= MOST_MB, f"at most {MOST_MB:g} MB")
        with _speaking(folder / "voice", **stored) as (platform, process):
            idle, above = _stored(platform, process, minutes)
        print(f"  with the built-in voice            {above:.0f} MB above the {idle:.0f} MB of the idle worker")


def _stored(platform: Client, process: Process, minutes: float) -> tuple[float, float]:
    """Megabytes before, and how many more there were at most while it was spoken and stored."""
    platform.done({"text": "The first one loads what every job needs."})
    time.sleep(2.0)  # what it kept only to be quick, it has given back
    idle = process.resident()
    process.forget_most_resident()
    start = time.monotonic()
    job = platform.run({"text": of_length(minutes), "format": "wav"})
    while job.status not in ENDED:
        time.sleep(0.2)
    took, most = time.monotonic() - start, process.most_resident()
    assert job.status == "COMPLETED", job.error
    document = job.output[0]
    first = httpx.get(document["url"], headers={"Range": "bytes=0-0"})
    size = int(first.headers["Content-Range"].partition("/")[2])
    print(f"  {document['duration_sec'] / 60:.0f} minutes in {took:.0f} s, a WAV file of {size / 1e6:.0f} MB")
    return idle / 1e6, (most - idle) / 1e6


@contextmanager
def _speaking(folder: Path, **settings: Any) -> Iterator[tuple[Client, Process]]:
    folder.mkdir()
    with Plane().running() as plane, client(plane) as platform, worker(plane, folder, **settings) as process:
        yield platform, process


@contextmanager
def _bare(folder: Path) -> Iterator[Client]:
    with Plane().running() as plane, client(plane) as platform, worker(plane, folder, program="bench/runpod_bare.py"):
        yield platform


@contextmanager
def _studio(folder: Path) -> Iterator[Studio]:
    with Studio(Settings.from_env({"OSCINE_VOLUME": str(folder)})) as studio:
        Readiness(studio).prepare()
        yield studio


if __name__ == "__main__":
    sys.exit(not main(*map(float, sys.argv[1:])))

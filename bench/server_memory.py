"""What a server keeps: memory after 2,000 requests against that after 200, and what 500 clients leave that hang up."""

from __future__ import annotations

import itertools
import statistics
import sys
import time

from bench.server import PCM, probed
from bench.server_clients import load
from bench.server_process import Server
from bench.texts import short_sentences
from bench.verdict import Verdict

FEW, MANY = 200, 2_000
GROWTH = 1.05
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
LEAVERS = 500
SETTLE_S = 2.0
SLOWER = 1.5
PROBES = 25


def main(many: int = MANY, leavers: int = LEAVERS) -> bool:
    """Print every figure; true if all are within their limits."""
    verdict = Verdict()
    _memory(verdict, many)
    _leavers(verdict, leavers)
    return verdict.kept


def _memory(verdict: Verdict, many: int) -> None:
    print(f"\nMemory of the server after {many} requests against that after {FEW}")
    with Server() as server:
        _ask(server, FEW)
        after_few = server.resident_mb()
        _ask(server, many - FEW)
        after_many = server.resident_mb()
    ratio = after_many / after_few
    figures = f"{after_many:.0f} MB  after {FEW} {after_few:.0f} MB  ratio {ratio:.3f}"
    verdict.line("resident memory", figures, ratio <= GROWTH, f"at most {GROWTH:g}")


def _ask(server: Server, count: int) -> None:
    """`count` short texts in all formats in turn, eight clients at a time."""
    texts = list(itertools.islice(itertools.cycle(short_sentences()), count))
    load("loop", server.url, texts=texts, clients=8, fields=[{"response_format": each} for each in FORMATS])
    time.sleep(SETTLE_S)


def _leavers(verdict: Verdict, count: int) -> None:
    print(f"\n{count} clients that leave: at once, while they wait, or at their first sound")
    endless = itertools.cycle(short_sentences())
    texts = [" ".join(itertools.islice(endless, 5)) for _ in range(max(count, 128))]
    with Server(("-m", "bench.server_lag")) as server:
        # As many at once as later, so that what the server keeps for its busiest time is there before.
        load("loop", server.url, texts=texts[:128], clients=64, fields=PCM)
        time.sleep(SETTLE_S)
        before, quick = _held(server), _first_audio(server)
        load("leave", server.url, texts=texts[:count], clients=64, fields=PCM)
        time.sleep(SETTLE_S)
        after, later = _held(server), _first_audio(server)
    for what, had in before.items():
        verdict.line(f"{what} left", f"{after[what]}  before {had}", after[what] <= had, "as before")
    figures = f"{later * 1e3:.0f} ms  before {quick * 1e3:.0f} ms  ratio {later / quick:.2f}"
    verdict.line("next first audio", figures, later <= SLOWER * quick, f"at most {SLOWER:g}")


def _held(server: Server) -> dict[str, int]:
    files, threads, tasks = server.files(), server.threads(), probed(server)["tasks"]
    health = server.health()
    lanes, queue = health["lanes"]["busy"], health["queue"]["active"]
    return {"lanes": lanes, "requests": queue, "threads": threads, "open files": files, "tasks": tasks}


def _first_audio(server: Server) -> float:
    found = load("loop", server.url, texts=short_sentences()[:PROBES], clients=1, fields=PCM)
    return float(statistics.median(found["first_s"]))


if __name__ == "__main__":
    sys.exit(not (main(many=600, leavers=100) if "--quick" in sys.argv else main()))

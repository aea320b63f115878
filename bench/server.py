"""The server under load, against the bare engine on the same machine in the same run.

`python -m bench.server [--quick] [PART ...]`. The parts:

- `first_audio`: from sending a request on an open connection until the first byte of its sound, against the time that
  the bare engine takes for the first sentence, in turn.
- `throughput`: N clients that each ask again when their answer is complete, until a fixed number of texts of three
  sentences are spoken, against the bare engine on the same texts. The work is the same, so the ratio of speeds is
  bare seconds / server seconds. The server and its clients share two cores, which a client on another machine would
  not take: the server's seconds are (2 x wall time - CPU time of the clients) / 2. One client alone asks for one text
  after the other, so the bare engine it is held against also speaks one text after the other, on both cores.
- `waiting`: first audio with 16 clients against that with one, asking in turn and all at the same instant.
- `lag`: how late the server's event loop wakes up a task that sleeps for 5 ms.
- `players`: 16 players that play a text of a minute each while it arrives: how long the longest gap is that one hears.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache

from bench.first_audio import TEXT
from bench.server_bare import CORES, KINDS, Bare, Spoken
from bench.server_clients import BYTES_PER_S, Found, load
from bench.server_process import Server, all_cpu_s
from bench.texts import long_text, of_length, short_sentences
from bench.verdict import Verdict

EXTRA_MS = 40.0
CROWDS = (1, 4, 16, 64)
LEAST_SPEED = 0.85
LAG_MS = 25.0
PLAYERS = 16
GAP_MS = 100.0
WAIT = {"median": 4.0, "p95": 10.0}
PCM: Found = {"response_format": "pcm"}


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    pairs: int
    texts: int
    rounds: int
    bursts: int


WHOLE = Size(pairs=31, texts=192, rounds=5, bursts=6)
QUICK = Size(pairs=9, texts=96, rounds=1, bursts=2)


def main(parts: Sequence[str] = (), size: Size = WHOLE) -> bool:
    """Print every figure; true if all are within their limits."""
    verdict = Verdict()
    for name in parts or PARTS:
        PARTS[name](verdict, size)
        sys.stdout.flush()
    return verdict.kept


def first_audio(verdict: Verdict, size: Size) -> None:
    from hibari import Hibari

    bare = Hibari()
    first = bare.split_sentences(TEXT)[0]
    ours_ms, bare_ms = [], []
    with Server() as server:
        host = server.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host)
        for number in range(-3, size.pairs):
            started = time.perf_counter()
            bare(first)
            bare_took = time.perf_counter() - started
            started = time.perf_counter()
            answer = _asked(connection, TEXT)
            answer.read1(1)
            ours_took = time.perf_counter() - started
            answer.read()
            if number >= 0:
                ours_ms.append(ours_took * 1e3)
                bare_ms.append(bare_took * 1e3)
        connection.close()
    extra = statistics.median(a - b for a, b in zip(ours_ms, bare_ms, strict=True))
    mine, other = statistics.median(ours_ms), statistics.median(bare_ms)
    print(f"\nFirst audio over HTTP ({size.pairs} pairs)")
    figures = f"server {mine:.1f} ms  bare {other:.1f} ms  ratio {mine / other:.2f}  {extra:+.1f} ms"
    verdict.line("first audio", figures, extra <= EXTRA_MS, f"at most +{EXTRA_MS:g} ms")


def throughput(verdict: Verdict, size: Size) -> None:
    texts, split = _texts(size.texts)
    with ExitStack() as stack:
        engines = {kind: stack.enter_context(Bare(kind)) for kind in KINDS}
        server = stack.enter_context(Server())
        load("loop", server.url, texts=texts[:32], clients=16, fields=PCM)
        fastest = {kind: min(engine.speak(split).wall_s for _ in range(2)) for kind, engine in engines.items()}
        kind = min(fastest, key=lambda each: fastest[each])
        print(f"\nThroughput ({size.rounds} pairs each, {len(texts)} texts of three sentences)")
        print("  bare engine on both cores:", ", ".join(f"{fastest[each]:.2f} s in {each}" for each in KINDS))
        found: dict[int, list[_Pair]] = {crowd: [] for crowd in CROWDS}
        for _ in range(size.rounds):
            for crowd in CROWDS:
                machine = all_cpu_s()
                bare = engines[kind].speak(split, apart=crowd == 1)
                before = server.cpu_s()
                seen = load("loop", server.url, texts=texts, clients=crowd, fields=PCM)
                server_s = server.cpu_s() - before
                others_s = all_cpu_s() - machine - bare.cpu_s - server_s - seen["cpu_s"]
                found[crowd].append(_Pair(bare, server_s, seen, others_s))
        for crowd, pairs in found.items():
            _report_speed(verdict, crowd, pairs)


@dataclass(frozen=True)
class _Pair:
    bare: Spoken
    server_s: float
    """CPU time."""
    seen: Found
    others_s: float
    """CPU time of everything else on the machine, meanwhile."""

    @property
    def own_s(self) -> float:
        """The server's time without what its clients took of the cores."""
        return float(CORES * self.seen["wall_s"] - self.seen["cpu_s"]) / CORES


def _report_speed(verdict: Verdict, crowd: int, pairs: Sequence[_Pair]) -> None:
    def middle(of: Callable[[_Pair], float]) -> float:
        return statistics.median(of(pair) for pair in pairs)

    ratio = middle(lambda pair: pair.bare.wall_s / pair.own_s)
    speed = middle(lambda pair: pair.bare.sound_s / pair.own_s)
    bare_speed = middle(lambda pair: pair.bare.sound_s / pair.bare.wall_s)
    name = "1 client, one text at a time" if crowd == 1 else f"{crowd} clients"
    figures = f"server {speed:5.1f}  bare {bare_speed:5.1f} s of sound a second  ratio {ratio:.2f}"
    verdict.line(name, figures, ratio >= LEAST_SPEED, f"at least {LEAST_SPEED:g}")
    whole = middle(lambda p: CORES * (p.bare.wall_s + p.seen["wall_s"]))
    print(
        f"    CPU: server {middle(lambda p: p.server_s):.2f} s, bare {middle(lambda p: p.bare.cpu_s):.2f} s, ratio"
        f" {middle(lambda p: p.bare.cpu_s / p.server_s):.2f}; clients {middle(lambda p: p.seen['cpu_s']):.2f} s; other"
        f" programs had {middle(lambda p: p.others_s) / whole:.0%} of the cores"
    )


def waiting(verdict: Verdict, size: Size) -> None:
    texts, _ = _texts(size.texts)
    alone: list[float] = []
    found: dict[str, list[float]] = {"loop": [], "burst": []}
    with Server() as server:
        load("loop", server.url, texts=texts[:32], clients=16, fields=PCM)
        for _ in range(size.rounds):
            alone += load("loop", server.url, texts=texts[: len(texts) // 4], clients=1, fields=PCM)["first_s"]
            found["loop"] += load("loop", server.url, texts=texts, clients=16, fields=PCM)["first_s"]
            found["burst"] += load("burst", server.url, texts=texts[: 16 * size.bursts], clients=16, fields=PCM)[
                "first_s"
            ]
    print(f"\nFirst audio with 16 clients against that with one ({len(alone)} and {len(found['loop'])} answers)")
    for way, name in (("loop", "16 clients"), ("burst", "16 at the same instant")):
        for measure, limit in WAIT.items():
            ratio = _measured(found[way], measure) / _measured(alone, measure)
            both = f"{_measured(found[way], measure) * 1e3:.0f} ms  one {_measured(alone, measure) * 1e3:.0f} ms"
            figures = f"{both}  ratio {ratio:.2f}"
            if way == "loop":
                verdict.line(f"{name}, {measure}", figures, ratio <= limit, f"at most {limit:g}")
            else:
                print(f"  {f'{name}, {measure}':34} {figures}")


def lag(verdict: Verdict, size: Size) -> None:
    texts, _ = _texts(size.texts)
    print("\nEvent-loop lag of the server")
    with Server(("-m", "bench.server_lag")) as server:
        load("loop", server.url, texts=texts[:32], clients=16, fields=PCM)
        for crowd in (16, 64):
            probed(server)
            load("loop", server.url, texts=texts, clients=crowd, fields=PCM)
            lags = probed(server)["lags"]
            p99 = _measured(lags, "p99")
            figures = f"p99 {p99:.1f} ms  p50 {_measured(lags, 'median'):.1f}  max {max(lags):.1f}  of {len(lags)}"
            verdict.line(f"{crowd} clients", figures, p99 <= LAG_MS, f"at most {LAG_MS:g} ms")


def probed(server: Server) -> Found:
    """The lags in ms since the last time, and how many tasks there are."""
    assert server.process.stdin is not None
    assert server.process.stdout is not None
    server.process.stdin.write("?\n")
    server.process.stdin.flush()
    found: Found = json.loads(server.process.stdout.readline())
    return found


def players(verdict: Verdict, size: Size) -> None:
    paragraphs = of_length(PLAYERS * 1.5).split("\n\n")
    texts = _minutes(paragraphs)
    print(f"\n{PLAYERS} players at real time, a minute each")
    with Server() as server:
        load("loop", server.url, texts=_texts(32)[0], clients=16, fields=PCM)
        for name, book in (("alone", ""), ("with a book into a file", of_length(110)[:99_000])):
            seen = load("play", server.url, texts=texts, clients=PLAYERS, fields=PCM, book=book)
            gaps = [(gap * 1e3, after) for player in seen["gaps"] for gap, after in player]
            longest, after = max(gaps, default=(0.0, 0.0))
            figures = f"longest gap {longest:.0f} ms  gaps {len(gaps)}  in {seen['bytes'] / BYTES_PER_S:.0f} s of sound"
            figures += f"  the longest after {after:.1f} s" if gaps else ""
            verdict.line(name, figures, longest <= GAP_MS, f"at most {GAP_MS:g} ms")


def _minutes(paragraphs: Sequence[str]) -> list[str]:
    texts, text = [], ""
    for paragraph in paragraphs:
        text = f"{text} {paragraph}"
        if len(text) > 800:
            texts.append(text.strip())
            text = ""
    assert len(texts) >= PLAYERS, "of_length made too little"
    return texts


def _asked(connection: http.client.HTTPConnection, text: str) -> http.client.HTTPResponse:
    body = json.dumps({"model": "tts-1", "voice": "alloy", **PCM, "input": text})
    connection.request("POST", "/v1/audio/speech", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"the server answered {answer.status}: {answer.read()[:300]!r}")
    return answer


@cache
def _texts(count: int) -> tuple[list[str], list[list[str]]]:
    """Texts of three sentences, as different as the corpus allows, and their sentences."""
    from hibari import Hibari

    sentences = [line for line in short_sentences() if len(Hibari.split_sentences(line)) == 1]
    sentences += [each for name in ("story.txt", "article.txt") for each in Hibari.split_sentences(long_text(name))]
    found = [sentence.strip() for sentence in sentences if len(sentence) > 20 and sentence[-1] in ".!?"]
    groups = list(itertools.islice(zip(*[itertools.cycle(found)] * 3, strict=False), count))
    return [" ".join(group) for group in groups], [list(group) for group in groups]


def _measured(figures: Sequence[float], measure: str) -> float:
    if measure == "median":
        return statistics.median(figures)
    return statistics.quantiles(figures, n=100)[int(measure[1:]) - 1]


PARTS: dict[str, Callable[[Verdict, Size], None]] = {
    "first_audio": first_audio,
    "throughput": throughput,
    "waiting": waiting,
    "lag": lag,
    "players": players,
}


if __name__ == "__main__":
    wish = argparse.ArgumentParser()
    wish.add_argument("parts", nargs="*", choices=[*PARTS, []])
    wish.add_argument("--quick", action="store_true", help="measure less")
    asked = wish.parse_args()
    sys.exit(not main(asked.parts, QUICK if asked.quick else WHOLE))

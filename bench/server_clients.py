"""The load on a server: clients in a process of their own that do as little as they can.

Reads one JSON object from standard input, `{"way", "url", "fields", ...}`, lets that way's clients ask, and writes what
they saw to standard output. HTTP/1.1 with chunked bodies over asyncio's streams: a library would take more of the two
cores than the server's own share of the work.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final

BYTES_PER_S: Final = 2 * 24_000
"""PCM as the server sends it: 16 bits, 24 kHz, one channel."""
IN_HAND_S: Final = 5.0
"""A player asks for no more while it has this much; what the server makes meanwhile waits on its side."""
BUFFER_BYTES: Final = 1 << 16
Found = dict[str, Any]


class Refused(Exception):
    """An answer that is not 200."""


class Client:
    """One connection that stays open from request to request."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        self._host, self._port = host, int(port)

    async def connect(self) -> None:
        """Open the connection."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=BUFFER_BYTES)

    async def ask(self, text: str, fields: Found) -> AsyncIterator[int]:
        """The length of each part of the answer's body, as it arrives. Raises Refused."""
        body = json.dumps({"model": "tts-1", "voice": "alloy", **fields, "input": text}).encode()
        self._writer.write(
            f"POST /v1/audio/speech HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise Refused(head.split(b"\r\n", 1)[0].decode())
        while (size := int((await self._reader.readline()).split(b";")[0], 16)) > 0:
            # What has arrived of a chunk counts at once: a long one must not look late.
            while size > 0:
                part = await self._reader.read(min(size, BUFFER_BYTES))
                if not part:
                    raise ConnectionError("the server closed the connection in a chunk")
                size -= len(part)
                yield len(part)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)

    def leave(self) -> None:
        """Close the connection at once, as an ended program does."""
        self._writer.transport.abort()


def load(way: str, url: str, **spec: Any) -> Found:
    """Run one load in a process of its own; what its clients saw. Raises RuntimeError when it fails."""
    wish = json.dumps({"way": way, "url": url, **spec})
    done = subprocess.run([sys.executable, "-m", "bench.server_clients"], input=wish, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"the clients failed: {done.stderr.strip().splitlines()[-1:]}")
    found: Found = json.loads(done.stdout)
    return found


async def loop(url: str, texts: Sequence[str], clients: int, fields: Found | Sequence[Found]) -> Found:
    """`clients` that each ask for the next text when their answer is complete, until all texts are spoken.

    Several `fields` are used in turn.
    """
    crowd = await _connected(url, clients)
    waiting = zip(texts, itertools.cycle([fields] if isinstance(fields, dict) else fields), strict=False)
    answers: list[tuple[float, float, int]] = []

    async def go_on(client: Client) -> None:
        for text, chosen in waiting:
            answers.append(await _answer(client, text, chosen))

    return await _timed([go_on(client) for client in crowd], lambda: _facts(answers))


async def burst(url: str, texts: Sequence[str], clients: int, fields: Found) -> Found:
    """Rounds of `clients` that ask at the same instant; the next round begins when all have their answers."""
    crowd = await _connected(url, clients)
    answers: list[tuple[float, float, int]] = []

    async def rounds() -> None:
        for start in range(0, len(texts) - clients + 1, clients):
            asked = zip(crowd, texts[start : start + clients], strict=True)
            answers.extend(await asyncio.gather(*(_answer(client, text, fields) for client, text in asked)))

    return await _timed([rounds()], lambda: _facts(answers))


async def play(url: str, texts: Sequence[str], clients: int, fields: Found, book: str = "") -> Found:
    """`clients` that each play one text as it arrives, all at once: the gaps that each would hear, as (length, seconds
    of sound before it).

    With a book, one client more takes that as an MP3 meanwhile, as fast as it comes.
    """
    crowd = await _connected(url, clients)
    background = asyncio.create_task(_take_book(url, book)) if book else None
    gaps: list[list[tuple[float, float]]] = []
    answers: list[tuple[float, float, int]] = []

    async def listen(client: Client, text: str) -> None:
        heard: list[tuple[float, float]] = []
        answers.append(await _answer(client, text, fields, _Player(heard).take))
        gaps.append(heard)

    listening = [listen(client, text) for client, text in zip(crowd, texts[:clients], strict=True)]
    found = await _timed(listening, lambda: {**_facts(answers), "gaps": gaps})
    if background is not None:
        found["book_over"] = background.done()
        background.cancel()
        await asyncio.wait([background])
    return found


async def leave(url: str, texts: Sequence[str], clients: int, fields: Found) -> Found:
    """One client for each text, `clients` at a time, that leaves: at once, while it waits, or at its first sound."""
    places = asyncio.Semaphore(clients)

    async def go(number: int, text: str) -> None:
        async with places:
            (client,) = await _connected(url, 1)
            parts = client.ask(text, fields)
            try:
                async with asyncio.timeout((0.0, 0.02, None, None)[number % 4]):
                    await anext(parts)
            except TimeoutError:
                pass
            finally:
                client.leave()

    return await _timed([go(number, text) for number, text in enumerate(texts)], dict)


class _Player:
    """Plays at the speed of time from its first byte, and notes each time when it had nothing to play."""

    def __init__(self, gaps: list[tuple[float, float]]) -> None:
        self._gaps = gaps
        self._dry_at: float | None = None
        self._taken_s = 0.0

    async def take(self, count: int) -> None:
        """Add so many bytes; waits while there is enough in hand."""
        now = time.perf_counter()
        if self._dry_at is None:
            self._dry_at = now
        if now > self._dry_at:
            self._gaps.append((now - self._dry_at, self._taken_s))
            self._dry_at = now
        self._taken_s += count / BYTES_PER_S
        self._dry_at += count / BYTES_PER_S
        if self._dry_at - now > IN_HAND_S:
            await asyncio.sleep(self._dry_at - now - IN_HAND_S)


async def _take_book(url: str, text: str) -> None:
    (client,) = await _connected(url, 1)
    try:
        await _answer(client, text, {"response_format": "mp3"})
    finally:
        client.leave()


async def _connected(url: str, count: int) -> list[Client]:
    crowd = [Client(url) for _ in range(count)]
    for client in crowd:
        await client.connect()
    return crowd


async def _answer(
    client: Client, text: str, fields: Found, take: Callable[[int], Coroutine[Any, Any, None]] | None = None
) -> tuple[float, float, int]:
    """Seconds until the first sound, until the last, and how many bytes."""
    asked = time.perf_counter()
    first, total = 0.0, 0
    async for count in client.ask(text, fields):
        first = first or time.perf_counter() - asked
        total += count
        if take is not None:
            await take(count)
    return first, time.perf_counter() - asked, total


async def _timed(work: Sequence[Coroutine[Any, Any, None]], tell: Callable[[], Found]) -> Found:
    """Do the work; what is told after it, with the time and the CPU time that it took."""
    cpu, started = _cpu_s(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(each)
    wall, cpu = time.perf_counter() - started, _cpu_s() - cpu
    return {"wall_s": wall, "cpu_s": cpu, **tell()}


def _facts(answers: Sequence[tuple[float, float, int]]) -> Found:
    return {
        "first_s": [first for first, _, _ in answers],
        "whole_s": [whole for _, whole, _ in answers],
        "bytes": sum(count for _, _, count in answers),
    }


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


WAYS: dict[str, Callable[..., Coroutine[Any, Any, Found]]] = {
    "loop": loop,
    "burst": burst,
    "play": play,
    "leave": leave,
}


def main() -> None:
    """Do what standard input says."""
    spec = json.load(sys.stdin)
    json.dump(asyncio.run(WAYS[spec.pop("way")](**spec)), sys.stdout)


if __name__ == "__main__":
    main()

"""Clients that leave, stop reading or half-close, and what is left of them: nothing."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from oscine.synthesis.scheduler import Scheduler
from tests.echo import EchoEngine
from tests.http.conftest import Running, Serve
from tests.http.raw import ask, connected, head, read, request, speech
from tests.waiting import PATIENCE_S, eventually

LONG = "The quick brown fox jumps over the lazy dog, and then it sleeps in the warm sun. " * 200
ENDLESS = "word " * 15_000


def scheduler_of(server: Running) -> Scheduler:
    found = server.server.service.readiness.scheduler
    assert found is not None
    return found


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def streams() -> int:
    return sum(thread.name.startswith("oscine-stream") for thread in threading.enumerate())


def left_of(server: Running) -> dict[str, int]:
    """What requests hold while they are answered."""
    state, service = server.server.server_state, server.server.service
    return {
        "lanes": scheduler_of(server).lanes_busy,
        "jobs": len(scheduler_of(server)._jobs),
        "places": service.places.active,
        "connections": len(state.connections),
        "tasks": len(state.tasks),
        "streams": streams(),
    }


@contextmanager
def nothing_left(server: Running) -> Iterator[None]:
    """At the end of the block everything is as before, soon: lanes, places, tasks, threads and open files."""
    assert ask(server.port, speech()).whole
    assert eventually(lambda: not any(left_of(server).values())), left_of(server)
    files = open_files()
    yield
    gone = eventually(lambda: not any(left_of(server).values()) and open_files() <= files)
    assert gone, (left_of(server), open_files(), files)
    assert ask(server.port, speech()).whole


def leave(sock: socket.socket, *, rudely: bool) -> None:
    """Close the connection with FIN or, rudely, with RST."""
    if rudely:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def some_leave(port: int, count: int) -> None:
    """Clients that leave: while sending, before any sound, after the headers, and midway; in the same way each time."""
    whole = speech(LONG)

    def one(number: int) -> None:
        chance = random.Random(number)
        when = number % 4
        with suppress(ConnectionError), connected(port) as sock:
            sock.sendall(whole if when else whole[: chance.randrange(20, len(whole))])
            if when >= 2:
                sock.recv(100)
            if when == 3:
                for _ in range(chance.randrange(1, 5)):
                    sock.recv(20_000)
            leave(sock, rudely=bool(number // 4 % 2))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(count)))


def test_nothing_is_left_of_clients_that_leave(server: Running) -> None:
    with nothing_left(server):
        some_leave(server.port, 48)


@pytest.mark.slow
def test_nothing_is_left_of_five_hundred_clients_that_leave(server: Running) -> None:
    with nothing_left(server):
        some_leave(server.port, 500)


@pytest.mark.parametrize("rudely", [False, True])
def test_who_leaves_before_the_first_sound_makes_room_for_others(serve: Serve, rudely: bool) -> None:
    """While they wait for a lane nothing is written to them, which would tell that they are gone."""
    gate = threading.Event()
    gate.set()  # the engine is warmed up first
    engine = EchoEngine(lanes=1, on_step=lambda: gate.wait(PATIENCE_S))
    server = serve(factories={"echo": lambda _: engine}, OSCINE_ENGINE="echo", OSCINE_MAX_REQUESTS="4")
    gate.clear()
    try:
        places = server.server.service.places
        socks = []
        for _ in range(4):
            sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)
            sock.sendall(speech("one two three"))
            socks.append(sock)
        assert eventually(lambda: places.active == 4)
        assert ask(server.port, speech()).status == 429
        for sock in socks:
            leave(sock, rudely=rudely)
        assert eventually(lambda: places.active == 0)
    finally:
        gate.set()
    assert ask(server.port, speech("one two three")).whole
    assert eventually(lambda: engine.open_lanes == 0 and not any(left_of(server).values()))


def test_a_client_that_leaves_while_it_sends_is_no_error_of_the_server(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with nothing_left(server), caplog.at_level("INFO"):
        for target, kind in (
            ("/v1/audio/speech", "application/json"),
            ("/v1/audio/voices", "multipart/form-data; boundary=b"),
        ):
            for rudely in (False, True):
                with connected(server.port) as sock:
                    sock.sendall(head("POST", target, {"Content-Length": "1000", "Content-Type": kind}) + b"--b\r\n")
                    time.sleep(0.05)
                    leave(sock, rudely=rudely)
        assert eventually(lambda: sum(record.getMessage() == "request" for record in caplog.records) >= 4)
    said = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")]
    assert said == []
    lines = [vars(record) for record in caplog.records if record.getMessage() == "request"]
    assert [line["status"] for line in lines if line["route"] in ("/v1/audio/speech", "/v1/audio/voices")][:4] == [
        499
    ] * 4


@pytest.mark.parametrize("target", ["speech", "health"])
def test_a_client_that_closes_its_half_is_answered(server: Running, target: str) -> None:
    """As `nc -N` and some old clients do: they send, say that this is all, and read."""
    data = speech("Hello world. How are you today?") if target == "speech" else request("GET", "/health")
    with nothing_left(server):
        started = time.monotonic()
        answer = ask(server.port, data, half_close=True)
        assert answer.status == 200
        assert answer.whole
        assert set(answer.interim) <= {100}
        assert time.monotonic() - started < 30
        assert answer.body


def test_a_client_that_closes_its_half_and_waits_long_is_answered(serve: Serve) -> None:
    gate = threading.Event()
    gate.set()
    engine = EchoEngine(on_step=lambda: gate.wait(PATIENCE_S))
    server = serve(factories={"echo": lambda _: engine}, OSCINE_ENGINE="echo")
    gate.clear()
    with connected(server.port) as sock:
        sock.sendall(speech("one two three"))
        sock.shutdown(socket.SHUT_WR)
        assert eventually(lambda: server.server.service.places.active == 1)
        time.sleep(1.0)  # longer than it takes to find out whether a client is gone
        assert server.server.service.places.active == 1
        gate.set()
        answer = read(sock)
        assert answer.whole
        assert set(answer.interim) <= {100}
        assert sock.recv(1) == b"", "the connection is closed when all is answered"


def test_a_client_of_http_1_0_that_closes_its_half_gets_nothing_but_its_answer(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oscine.http.protocol._SOON_S", PATIENCE_S)  # a slow machine is not what it looks for
    body = b'{"input": "Hello.", "response_format": "pcm"}'
    with connected(server.port) as sock:
        sock.sendall(f"POST /v1/audio/speech HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        sock.shutdown(socket.SHUT_WR)
        answer = read(sock)
    assert answer.status == 200
    assert answer.interim == []
    assert len(answer.body) > 10_000


def test_requests_that_were_sent_together_before_a_half_was_closed_are_all_answered(server: Running) -> None:
    with connected(server.port) as sock:
        sock.sendall(request("GET", "/v1/test") + speech() + request("GET", "/v1/models"))
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as file:
            everything = file.read()
    assert everything.count(b"HTTP/1.1 200 OK") == 3
    assert everything.endswith(b"}")


def test_a_client_that_stops_reading_holds_up_nobody(server: Running) -> None:
    with nothing_left(server), connected(server.port, receive_buffer=4096) as sock:
        sock.sendall(speech(LONG))
        assert sock.recv(15)
        for _ in range(5):
            assert ask(server.port, speech()).whole
            assert ask(server.port, request("GET", "/v1/test")).status == 200
        assert server.server.service.places.active == 1


def test_a_client_that_stops_reading_is_left(serve: Serve) -> None:
    server = serve(OSCINE_STALL_SECONDS="1")
    with nothing_left(server), connected(server.port, receive_buffer=4096) as sock:
        sock.sendall(speech(LONG))
        assert sock.recv(15)
        assert eventually(lambda: server.server.service.places.active == 0)
        with suppress(ConnectionError), sock.makefile("rb") as file:
            assert not file.read().endswith(b"0\r\n\r\n")


def test_a_client_that_stops_reading_and_then_goes_on_misses_nothing(server: Running) -> None:
    fields = {"seed": 7}
    text = "The quick brown fox jumps over the lazy dog. " * 12
    with connected(server.port, receive_buffer=4096) as sock:
        sock.sendall(speech(text, **fields))
        time.sleep(1.0)
        slow = read(sock)
    assert slow.whole
    assert slow.body == ask(server.port, speech(text, **fields)).body


def test_an_engine_stops_speaking_for_who_has_left(serve: Serve) -> None:
    engines: list[EchoEngine] = []

    def factory(_: object) -> EchoEngine:
        engines.append(EchoEngine(frame_s=0.02, delay_s=0.002, lanes=2))
        return engines[-1]

    server = serve(factories={"echo": factory}, OSCINE_ENGINE="echo")
    with connected(server.port) as sock:
        sock.sendall(speech(ENDLESS))
        sock.recv(1000)
    assert eventually(lambda: engines[-1].open_lanes == 0 and not any(left_of(server).values()))
    steps = engines[-1].counts.steps
    time.sleep(0.2)
    assert engines[-1].counts.steps <= steps + 1


def test_a_listener_of_events_who_leaves_is_noticed_too(server: Running) -> None:
    with nothing_left(server):
        for rudely in (False, True):
            with connected(server.port) as sock:
                sock.sendall(speech(LONG, stream_format="sse"))
                sock.recv(1000)
                leave(sock, rudely=rudely)


def test_idle_connections_cost_nobody_anything(server: Running) -> None:
    with nothing_left(server):
        idle = [socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) for _ in range(300)]
        try:
            assert eventually(lambda: len(server.server.server_state.connections) >= 300)
            assert ask(server.port, speech()).whole
        finally:
            for sock in idle:
                sock.close()

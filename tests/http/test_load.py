"""Many at once: each gets what it would get alone, nobody waits for a long text, and one too many is told so."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import httpx
import pytest

from oscine.api import Oscine
from oscine.errors import Busy
from oscine.http.service import Places
from tests.echo import EchoEngine
from tests.http.asking import ECHO, SPEECH, Asking, Gated, get, pieces, refused, seconds_of, speak, spoken
from tests.http.conftest import Running, Serve
from tests.waiting import PATIENCE_S, until

LONG = "The train to the coast is late again and everybody waits for it. " * 1500
"""More than an hour of sound, which is minutes of work also for tones."""


def active(running: Running) -> int:
    found: int = get(running, "/health").json()["queue"]["active"]
    return found


def test_one_request_too_many_is_told_at_once_and_when_to_come_back(serve: Serve):
    engine = Gated("Wait")
    running = serve(factories={"echo": lambda _: engine}, OSCINE_MAX_REQUESTS="3", **ECHO)
    with Asking() as asking:
        for _ in range(3):
            asking.ask(running, "Wait for it.")
        until(lambda: active(running) == 3)
        for _ in range(5):  # answered while all others are still waiting
            answer = speak(running)
            assert answer.status_code == 429
            error = refused(answer)
            assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert answer.headers["x-request-id"]
        assert get(running, "/v1/audio/voices").status_code == 200
        assert active(running) == 3
        assert asking.answers == [None] * 3
        engine.open_gate()
    assert {answer.status_code for answer in asking.join()} == {200}
    until(lambda: active(running) == 0)
    assert speak(running).status_code == 200


def test_a_full_server_says_so_before_a_body_was_sent(serve: Serve):
    engine = Gated("Wait")
    running = serve(factories={"echo": lambda _: engine}, OSCINE_MAX_REQUESTS="1", **ECHO)
    with Asking() as asking:
        asking.ask(running, "Wait for it.")
        until(lambda: active(running) == 1)
        with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S) as client:
            client.sendall(f"POST {SPEECH} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n".encode())
            assert client.recv(12) == b"HTTP/1.1 429"
        engine.open_gate()
    assert asking.join()[0].status_code == 200


def test_who_waits_too_long_for_a_first_sound_is_told_and_takes_no_lane_any_more(serve: Serve):
    engine = Gated("Wait")
    running = serve(factories={"echo": lambda _: engine}, OSCINE_WAIT_SECONDS="0.1", **ECHO)
    answer = speak(running, "Wait for it.")
    assert answer.status_code == 503
    assert "0.1 s" in refused(answer)["message"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    until(lambda: engine.open_lanes == 0 and active(running) == 0)


def test_requests_that_fail_give_their_places_back(serve: Serve):
    running = serve(factories={"echo": lambda _: EchoEngine()}, OSCINE_MAX_REQUESTS="1", **ECHO)
    for fields in ({"speed": 9}, {"voice": "nobody"}, {"seed": "x"}, {"stream_format": 5}, {"text": ""}) * 2:
        assert speak(running, **fields).status_code == 400
        assert active(running) == 0
    assert speak(running).status_code == 200


def test_a_newcomer_is_heard_while_long_texts_are_read(serve: Serve):
    engine = EchoEngine(delay_s=0.001, lanes=4)
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    enough, ended = threading.Event(), threading.Event()

    def listen_for_long() -> None:
        for _ in pieces(running, LONG):
            if enough.is_set():
                return
        ended.set()

    listeners = [threading.Thread(target=listen_for_long) for _ in range(6)]
    for listener in listeners:
        listener.start()
    try:
        until(lambda: active(running) == 6)
        for _ in range(3):
            assert speak(running, "Am I heard?").status_code == 200
        assert not ended.is_set(), "the newcomers waited for a long text"
    finally:
        enough.set()
        for listener in listeners:
            listener.join(PATIENCE_S)
    until(lambda: active(running) == 0)


def test_64_clients_at_once_get_what_each_would_get_alone(server: Running):
    texts = [f"This text is number {number}." for number in range(16)]
    alone = {text: spoken(server, text, response_format="pcm", seed=number) for number, text in enumerate(texts)}

    async def together() -> list[tuple[str, httpx.Response]]:
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(verify=False, limits=limits, timeout=PATIENCE_S) as client:

            async def one(number: int, text: str) -> tuple[str, httpx.Response]:
                asked = {"input": text, "response_format": "pcm", "seed": number}
                return text, await client.post(server.url + SPEECH, json=asked)

            return await asyncio.gather(*(one(number, text) for number, text in [*enumerate(texts)] * 4))

    answers = asyncio.run(together())
    assert len(answers) == 64
    for text, answer in answers:
        assert answer.status_code == 200
        assert answer.content == alone[text]
    until(lambda: active(server) == 0)


def test_a_book_and_its_listeners_share_a_studio_and_all_is_whole(server: Running, tmp_path: Path):
    book = " ".join(f"This is the sentence number {number} of a long book." for number in range(24))
    listener = spoken(server, response_format="pcm", seed=1)
    heard = threading.Event()
    begun = threading.Event()

    def wait_for_the_listeners(_: object) -> None:
        begun.set()
        heard.wait(PATIENCE_S)

    oscine = Oscine(studio=server.studio, seed=1)
    reports = []
    writing = threading.Thread(
        target=lambda: reports.append(
            oscine.save(book, tmp_path / "book.flac", tags=False, on_progress=wait_for_the_listeners)
        )
    )
    writing.start()
    try:
        assert begun.wait(PATIENCE_S)
        with Asking() as asking:
            for _ in range(8):
                asking.ask(server, response_format="pcm", seed=1)
            answers = asking.join()
        assert writing.is_alive(), "the book was over before its listeners"
    finally:
        heard.set()
        writing.join(PATIENCE_S)
    assert all(answer.content == listener for answer in answers)
    (report,) = reports
    assert report.pieces == 24
    assert seconds_of((tmp_path / "book.flac").read_bytes(), "flac") == pytest.approx(report.duration, abs=0.001)
    assert oscine.save(book, tmp_path / "again.flac", tags=False).pieces_reused == 24
    assert (tmp_path / "again.flac").read_bytes() == (tmp_path / "book.flac").read_bytes()


def test_connections_are_kept_and_used_again(server: Running):
    with httpx.Client(verify=False, timeout=PATIENCE_S) as client:
        for _ in range(3):
            assert client.post(server.url + SPEECH, json={"input": "Hi."}).status_code == 200
            assert client.post(server.url + SPEECH, json={"input": ""}).status_code == 400
            answer = client.get(server.url + "/health")
            assert "connection" not in answer.headers
        (connection,) = client._transport._pool.connections  # type: ignore[attr-defined]
        assert "Request Count: 9" in connection.info()


class TestPlaces:
    def test_they_are_bounded_and_given_back_however_the_block_ends(self):
        places = Places(2)

        def fail_in_the_last() -> None:
            with places.taken():
                assert places.active == 2
                for refused in (places.check, places.taken().__enter__):
                    with pytest.raises(Busy):
                        refused()
                raise ZeroDivisionError

        with places.taken():
            with pytest.raises(ZeroDivisionError):
                fail_in_the_last()
            assert places.active == 1
            places.check()
        assert places.active == 0

    def test_those_that_have_no_sound_yet_are_counted_however_the_block_ends(self):
        places = Places(2)

        def fail_before_the_first_sound() -> None:
            with places.taken(), places.waiting_for_sound():
                assert (places.active, places.waiting) == (1, 1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_before_the_first_sound()
        assert (places.active, places.waiting) == (0, 0)

    def test_the_time_to_wait_is_how_often_a_place_becomes_free_and_no_quiet_hour_counts(self):
        now = 0.0
        places = Places(1, clock=lambda: now)

        def told() -> float:
            with pytest.raises(Busy) as caught:
                places.check()
            return caught.value.retry_after

        for quiet_s, spoken_s in [(3600.0, 0.01)] * 9 + [(0.0, 0.01)] * 9:
            now += quiet_s
            with places.taken():
                assert told() == 1
                now += spoken_s
        for _ in range(30):
            with places.taken():
                now += 5
        with places.taken():
            assert 4 <= told() <= 5
            now += 10_000
        with places.taken():
            assert told() == 30

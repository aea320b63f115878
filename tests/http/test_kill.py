"""A server that is killed, and one that is asked to stop: what is left, what is finished, and when it ends."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.http.apart import Apart, apart
from tests.http.raw import Answer, ask, connected, read, request, speech, upload
from tests.voices.recordings import recording
from tests.waiting import PATIENCE_S, eventually

LONG = "The quick brown fox jumps over the lazy dog, and then it sleeps in the warm sun. " * 400
"""Minutes of sound: a server is busy with it for seconds, and cannot send it all to who does not read."""


def replacing(server: Apart, offered: list[bytes], kill_after: float) -> None:
    """Replace one voice again and again, until the server is killed."""
    killer = threading.Timer(kill_after, server.process.kill)
    killer.start()
    try:
        with suppress(OSError):
            for number in range(10_000):
                answer = ask(server.port, upload("anna", offered[number % len(offered)], replace="true"))
                if answer.status != 200:
                    return
    finally:
        killer.join()


@pytest.mark.parametrize("rounds", [4, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.long])])
def test_a_kill_while_a_voice_is_replaced_leaves_the_old_one_or_the_new_one(tmp_path: Path, rounds: int) -> None:
    offered = [recording("wav", seed=1), recording("flac", seed=2), recording("wav", seed=3), recording("opus", seed=4)]
    chance = random.Random(rounds)
    folder = tmp_path / "voices"
    for turn in range(rounds):
        with apart(tmp_path, ready=False) as server:
            if turn:
                assert ask(server.port, request("GET", "/v1/audio/voices/anna/sample")).body in offered
                listed = ask(server.port, request("GET", "/v1/audio/voices?all=true")).json["voices"]
                assert [voice["id"] for voice in listed if voice["type"] == "audio_sample"] == ["anna"]
            assert ask(server.port, upload("anna", offered[0], replace="true")).status == 200
            replacing(server, offered, chance.uniform(0.05, 0.3))
            assert server.ended() == -signal.SIGKILL
        assert any(path.read_bytes() in offered for path in folder.glob("anna.*"))
        assert all(path.read_bytes() in offered for path in folder.glob("anna.*"))
    for unfinished in folder.glob(".*part"):
        os.utime(unfinished, (1, 1))  # as if it had been long ago
    with apart(tmp_path, ready=False) as server:
        assert ask(server.port, request("GET", "/v1/audio/voices/anna/sample")).body in offered
        assert ask(server.port, upload("anna", offered[1], replace="true")).status == 200
    assert sorted(path.name for path in folder.iterdir()) == [".oscine-lock", "anna.flac"]


def test_a_kill_while_a_body_is_sent_leaves_nothing_of_it(tmp_path: Path) -> None:
    with apart(tmp_path, ready=False) as server, connected(server.port) as sock:
        data = upload("anna", recording("wav"))
        sock.sendall(data[: len(data) // 2])
        time.sleep(0.1)
        server.process.kill()
        assert read(sock).status == 0
    with apart(tmp_path, ready=False) as server:
        assert ask(server.port, request("GET", "/v1/audio/voices/anna")).status == 404
        assert ask(server.port, upload("anna", recording("wav"))).status == 200


class _Listener:
    """A client that reads a long stream, in a thread, from its first byte on."""

    def __init__(self, server: Apart, text: str = LONG) -> None:
        self.answer = Answer()
        self._sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)
        self._sock.sendall(speech(text))
        self._sock.recv(1, socket.MSG_PEEK)
        self._thread = threading.Thread(target=self._read)

    def listen(self) -> None:
        self._thread.start()

    def _read(self) -> None:
        self.answer = read(self._sock)

    def heard(self) -> Answer:
        self._thread.join(4 * PATIENCE_S)
        self._sock.close()
        return self.answer


def refuses(port: int) -> bool:
    try:
        with connected(port) as sock:
            sock.sendall(request("GET", "/v1/test"))
            return read(sock).status == 0
    except ConnectionError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_server_that_is_asked_to_stop_finishes_what_it_began_and_takes_no_more(tmp_path: Path, number: int) -> None:
    with apart(tmp_path, OSCINE_DRAIN_SECONDS="600") as server:
        listener = _Listener(server, LONG[: len(LONG) // 8])
        with connected(server.port) as idle:
            assert server.is_up(), "it has taken the connections that came before this one"
            server.signal(number)
            assert idle.recv(1) == b"", "a connection without a request is closed"
        assert eventually(lambda: refuses(server.port))
        assert server.process.poll() is None
        listener.listen()
        heard = listener.heard()
        assert heard.whole
        assert len(heard.body) > 60 * 48_000
        assert server.ended() == 0
        assert server.log[-1]["event"] == "stopped"
        assert server.strange == []
        assert is_free(server.port)


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return True


def test_a_stream_that_is_longer_than_the_limit_is_cut_so_that_the_client_knows(tmp_path: Path) -> None:
    with apart(tmp_path, OSCINE_DRAIN_SECONDS="1") as server:
        stalled = _Listener(server)  # reads nothing until the end, so that it cannot be finished
        server.signal()
        assert server.ended() == 0
        stalled.listen()
        heard = stalled.heard()
        assert heard.status == 200
        assert not heard.whole
        assert [line["outcome"] for line in server.log if line.get("route") == "/v1/audio/speech"] == ["failed"]
        assert server.strange == []
        assert is_free(server.port)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT])
def test_a_second_signal_hurries(tmp_path: Path, number: int) -> None:
    with apart(tmp_path, OSCINE_DRAIN_SECONDS="600") as server:
        stalled = _Listener(server)
        server.signal(number)
        assert eventually(lambda: refuses(server.port))
        time.sleep(0.3)
        assert server.process.poll() is None
        server.signal(number)
        assert server.ended() == 0
        stalled.listen()
        assert not stalled.heard().whole
        assert server.strange == []


def test_a_server_with_nothing_to_do_stops_at_once(tmp_path: Path) -> None:
    with apart(tmp_path, ready=False, OSCINE_DRAIN_SECONDS="600") as server, connected(server.port) as idle:
        idle.sendall(request("GET", "/v1/test"))
        assert read(idle).status == 200
        with connected(server.port) as half:
            half.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: t\r\n")
            time.sleep(0.1)
            server.signal()
            assert server.ended() == 0
    assert server.strange == []


def test_a_server_that_is_still_loading_stops_when_asked(tmp_path: Path) -> None:
    with apart(tmp_path, ready=False) as server:
        server.signal()
        assert server.ended() == 0
        assert server.strange == []

"""A folder of ten thousand voices, and many who change one voice at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.echo import echo
from tests.http.conftest import Running, Serve, is_ready, running
from tests.http.raw import Answer, ask, connected, read, request, speech, upload
from tests.voices.recordings import recording
from tests.waiting import PATIENCE_S

VOICES = 10_000
LISTS = 3
ROUNDS = 5
"""On a busy machine whoever asks may stand still while a list is made; not each time."""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that clones, with very many voices."""
    volume = tmp_path_factory.mktemp("crowded")
    folder = volume / "voices"
    folder.mkdir()
    first = folder / "voice 00000.opus"
    first.write_bytes(recording("opus"))
    for number in range(1, VOICES):
        (folder / f"voice {number:05}.opus").hardlink_to(first)
    with running(volume, {"echo": echo(cloning=True)}, OSCINE_ENGINE="echo") as found:
        yield is_ready(found)


def listed(server: Running) -> list[str]:
    answer = ask(server.port, request("GET", "/v1/audio/voices?all=true"))
    assert answer.whole
    return [voice["id"] for voice in answer.json["voices"] if voice["type"] == "audio_sample"]


def test_ten_thousand_voices_are_listed_spoken_with_kept_and_deleted(crowded: Running) -> None:
    assert listed(crowded) == [f"voice {number:05}" for number in range(VOICES)]
    spoken = ask(crowded.port, speech(voice="voice 07777"))
    assert spoken.whole
    assert spoken.headers["x-oscine-voice"] == "voice 07777"
    vague = ask(crowded.port, speech(voice="voice 0")).error
    assert len(vague["message"]) < 600
    assert "more" in vague["message"]
    assert ask(crowded.port, upload("aaron", recording("opus"))).status == 200
    assert listed(crowded)[0] == "aaron"
    assert ask(crowded.port, request("GET", "/v1/audio/voices/voice%2000001/sample")).body == recording("opus")
    assert ask(crowded.port, request("DELETE", "/v1/audio/voices/aaron")).status == 200
    assert len(listed(crowded)) == VOICES


def test_making_a_long_list_does_not_hold_up_others(crowded: Running) -> None:
    """Answers to a short question keep coming while the list is made and sent, again and again."""

    def listing() -> None:
        for _ in range(LISTS):
            listed(crowded)

    most = 0
    for _ in range(ROUNDS):
        answers = 0
        with ThreadPoolExecutor(1) as pool, connected(crowded.port) as sock:
            lists = pool.submit(listing)
            while not lists.done():
                sock.sendall(request("GET", "/v1/test"))
                assert read(sock).status == 200
                answers += 1
            lists.result()
        most = max(most, answers)
        if most > 3 * LISTS:
            break
    assert most > 3 * LISTS  # one for each list and little more, where making one holds up the rest


def versions(count: int) -> list[bytes]:
    """Recordings that differ, in containers that differ too."""
    kinds = ("wav", "flac", "opus", "mp3")
    return [recording(kinds[number % len(kinds)], seed=number) for number in range(count)]


def at_once(server: Running, requests: list[bytes]) -> list[Answer]:
    start = threading.Barrier(len(requests))

    def one(data: bytes) -> Answer:
        with connected(server.port) as sock:
            start.wait(PATIENCE_S)
            sock.sendall(data)
            return read(sock)

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(one, requests))


def files(server: Running) -> list[str]:
    return sorted(path.name for path in server.settings.voice_home.iterdir() if path.name != ".oscine-lock")


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_of_uploads_of_one_name_at_once_exactly_one_is_kept(serve: Serve, count: int) -> None:
    server = serve(factories={"echo": echo(cloning=True)}, OSCINE_ENGINE="echo")
    offered = versions(count)
    answers = at_once(server, [upload("anna", data) for data in offered])
    assert sorted(answer.status for answer in answers) == [200] + [400] * (count - 1)
    assert {answer.error["code"] for answer in answers if answer.status == 400} == {"voice_exists"}
    (winner,) = [data for data, answer in zip(offered, answers, strict=True) if answer.status == 200]
    assert ask(server.port, request("GET", "/v1/audio/voices/anna/sample")).body == winner
    assert len(files(server)) == 1


@pytest.mark.parametrize("count", [2, 8])
def test_of_uploads_that_replace_one_another_a_whole_one_is_kept(serve: Serve, count: int) -> None:
    server = serve(factories={"echo": echo(cloning=True)}, OSCINE_ENGINE="echo")
    assert ask(server.port, upload("anna", recording("wav", seed=99))).status == 200
    offered = versions(count)
    answers = at_once(server, [upload("anna", data, replace="true") for data in offered])
    assert [answer.status for answer in answers] == [200] * count
    assert ask(server.port, request("GET", "/v1/audio/voices/anna/sample")).body in offered
    assert len(files(server)) == 1
    assert listed(server) == ["anna"]


def test_a_voice_that_is_deleted_while_it_is_uploaded_is_whole_or_gone(serve: Serve) -> None:
    server = serve(factories={"echo": echo(cloning=True)}, OSCINE_ENGINE="echo")
    old, new = versions(2)
    for _ in range(5):
        ask(server.port, upload("anna", old, replace="true"))
        remove = request("DELETE", "/v1/audio/voices/anna")
        kept, *removed = at_once(server, [upload("anna", new, replace="true"), remove, remove])
        assert kept.status == 200
        assert {answer.status for answer in removed} <= {200, 400, 404}
        sample = ask(server.port, request("GET", "/v1/audio/voices/anna/sample"))
        assert sample.status == 404 or sample.body == new
        assert len(files(server)) == (sample.status == 200)


def test_who_listens_to_a_voice_that_is_replaced_hears_one_of_them(serve: Serve) -> None:
    """Reading beside writing: never half of each, and never an error."""
    server = serve(factories={"echo": echo(cloning=True)}, OSCINE_ENGINE="echo")
    both = [recording("wav", seed=1), recording("wav", seed=2)]
    assert ask(server.port, upload("anna", both[0])).status == 200
    stop = threading.Event()

    def replace() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            assert ask(server.port, upload("anna", both[turn % 2], replace="true")).status == 200

    with ThreadPoolExecutor(1) as pool, closing(_Stop(stop)):
        writing = pool.submit(replace)
        for _ in range(30):
            assert ask(server.port, request("GET", "/v1/audio/voices/anna/sample")).body in both
            spoken = ask(server.port, speech(voice="anna"))
            assert spoken.status == 200, spoken.body
            assert spoken.whole
        stop.set()
        writing.result()


class _Stop:
    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def close(self) -> None:
        self._event.set()

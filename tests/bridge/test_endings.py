"""How an answer ends: whole, or broken off; and what a worker says that no worker of ours does."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any, Final

import httpx
import pytest

from tests.bridge.conftest import House
from tests.bridge.gate import Gate, Passed, refusal
from tests.bridge.house import Bridge, asked
from tests.bridge.test_failures import broken_off, last_event
from tests.bridge.test_leaving import asking
from tests.waiting import until

pytestmark = pytest.mark.long

LARGE: Final = bytes(480_000)
HELD_BACK: Final = 40 * len(LARGE)
"""More than what lies between a bridge and a client that does not read."""


def piece(index: int, sound: bytes = b"", **more: Any) -> dict[str, Any]:
    told = {"status": "streaming", "index": index, "chunk": index + 1, "format": "pcm_16", "sample_rate": 24_000}
    return {**told, "audio_chunk": base64.b64encode(sound or sound_of(index)).decode(), **more}


def sound_of(index: int) -> bytes:
    return bytes([index]) * 6


def last(pieces: int) -> dict[str, Any]:
    return {"status": "complete", "total_chunks": pieces}


def whole(pieces: int) -> bytes:
    return b"".join(sound_of(index) for index in range(pieces))


def says(gate: Gate, *polls: tuple[str, list[Any]], output: Any = ()) -> None:
    """Let a job answer /stream so, poll by poll, and the last one again; `output` is what /status has in the end."""
    left = [{"status": status, "stream": [{"output": item} for item in items]} for status, items in polls]

    def rule(passed: Passed) -> Any:
        match passed.kind:
            case "run":
                return refusal(200, {"id": "x", "status": "IN_QUEUE"})
            case "stream":
                return refusal(200, left.pop(0) if len(left) > 1 else left[0])
            case "status":
                return refusal(200, {"status": "COMPLETED", "output": list(output)})
            case _:
                return refusal(200, {})

    gate.passed.clear()
    gate.rule = rule


RUNS: Final = "IN_PROGRESS"
OVER: Final = "COMPLETED"


class TestWhatIsNotWhole:
    CASES: Final[dict[str, Any]] = {
        "a gap": [(RUNS, [piece(0)]), (RUNS, [piece(2)]), (OVER, [])],
        "the last answer was lost": [(RUNS, [piece(0)]), (OVER, [])],
        "a gap before the last document": [(RUNS, [piece(0)]), (RUNS, [piece(2), last(3)]), (OVER, [])],
        "an end that names more": [(RUNS, [piece(0)]), (OVER, [last(2)])],
        "an end that names no number": [(RUNS, [piece(0)]), (OVER, [piece(2), {"status": "complete"}])],
    }

    @pytest.mark.parametrize("polls", CASES.values(), ids=CASES)
    def test_it_breaks_off(self, house: House, gate: Gate, polls: Any):
        says(gate, *polls)
        assert broken_off(house.bridge, response_format="pcm") == 6
        says(gate, *polls)
        _, event = last_event(house.bridge, response_format="pcm")
        assert event["error"]["code"] == "incomplete"

    def test_it_is_not_kept(self, start: Callable[..., Bridge], gate: Gate):
        bridge = start(CACHE_SECONDS="600")
        for _ in range(2):
            says(gate, *self.CASES["the last answer was lost"])
            assert broken_off(bridge, response_format="pcm") == 6
            assert gate.counted()["run"] == 1

    def test_a_document_that_says_error_is_a_failure(self, house: House, gate: Gate):
        broken = {"status": "error", "message": "CUDA error in /workspace/inference.py"}
        says(gate, (RUNS, [piece(0)]), (OVER, [broken]))
        assert broken_off(house.bridge, response_format="pcm") == 6
        says(gate, (OVER, [broken]))
        answer = house.bridge.speech()
        assert answer.status_code == 500
        assert "workspace" not in answer.text


class TestTheEnd:
    def test_it_comes_with_the_last_document(self, house: House, gate: Gate):
        """Although the job is not over yet."""
        says(gate, (RUNS, [piece(0)]), (RUNS, [piece(1), last(2)]))
        assert house.bridge.speech(response_format="pcm").content == whole(2)
        assert gate.counted() == {"run": 1, "stream": 2}

    def test_what_a_job_said_last_is_heard_when_it_is_over(self, house: House, gate: Gate):
        """Of a long text /status has no sound any more."""
        gone = [piece(index) | {"audio_chunk": ""} for index in range(4)]
        rest = (OVER, [piece(1)]), (OVER, [piece(2), piece(3), last(4)])
        says(gate, (RUNS, [piece(0)]), *rest, output=[*gone, last(4)])
        assert house.bridge.speech(response_format="pcm").content == whole(4)
        assert gate.counted() == {"run": 1, "stream": 3}

    def test_a_job_that_is_over_is_not_asked_for_ever(self, house: House, gate: Gate):
        says(gate, (RUNS, [piece(0)]), (OVER, [piece(1)]), output=[piece(0), piece(1), last(2)])
        assert house.bridge.speech(response_format="pcm").content == whole(2)
        assert gate.counted() == {"run": 1, "stream": 3, "status": 1}

    def test_pieces_without_a_number_are_heard_once(self, house: House, gate: Gate):
        bare = [{"audio_chunk": piece(index)["audio_chunk"], "format": "pcm"} for index in range(3)]
        says(gate, (RUNS, bare[:1]), (RUNS, bare[1:2]), (OVER, []), output=[*bare, {"status": "complete"}])
        assert house.bridge.speech(response_format="pcm").content == whole(3)

    def test_older_workers_number_their_pieces_too(self, house: House, gate: Gate):
        """The answer with the first one was lost."""
        counted = [{name: value for name, value in piece(index).items() if name != "index"} for index in range(2)]
        says(gate, (RUNS, counted[1:]), (OVER, []), output=[*counted, last(2)])
        assert house.bridge.speech(response_format="pcm").content == whole(2)

    @pytest.mark.parametrize("name", ["audio_base64", "audio"])
    def test_a_result_has_its_sound_by_either_name(self, house: House, gate: Gate, name: str):
        says(gate, (OVER, []), output=[{"status": "completed", "format": "pcm", name: "AAAA"}])
        assert house.bridge.speech(response_format="pcm").content == bytes(3)

    def test_a_copy_in_a_store_is_not_heard_after_the_pieces(self, house: House, gate: Gate):
        end = last(2) | {"url": "https://store.example.com/x.wav"}
        says(gate, (OVER, [end]), output=[piece(0), piece(1), end])
        assert house.bridge.speech(response_format="pcm").content == whole(2)


def test_a_job_whose_worker_was_lost_goes_on_with_the_next(start: Callable[..., Bridge], gate: Gate):
    """RunPod puts it into the queue again; a cold start in the midst of it has the time of the job."""
    again = [("IN_QUEUE", list[Any]())] * 12
    says(gate, (RUNS, [piece(0)]), *again, (RUNS, [piece(0), piece(1)]), (OVER, [last(2)]))
    assert start(COLD_START_SECONDS="1").speech(response_format="pcm").content == whole(2)


def test_a_client_that_reads_slowly_hears_the_end(start: Callable[..., Bridge], gate: Gate):
    """Time in which it takes nothing is none in which the job is late."""
    polls = [(RUNS, [piece(poll * 10 + number, LARGE) for number in range(10)]) for poll in range(6)]
    says(gate, *polls, (OVER, [last(60)]))
    bridge = start(JOB_SECONDS="5", MAX_SUBREQUESTS="900")
    with bridge.client() as http, http.stream("POST", "/v1/audio/speech", json=asked(response_format="pcm")) as answer:
        parts = answer.iter_raw(65_536)
        count = len(next(parts))
        time.sleep(6)
        assert gate.counted()["stream"] < 6, "not all that there is waits in the bridge"
        count += sum(len(part) for part in parts)
    assert count == 60 * len(LARGE)


def test_a_client_that_leaves_without_reading_is_logged(house: House, gate: Gate):
    says(gate, (RUNS, [piece(number, LARGE) for number in range(HELD_BACK // len(LARGE))]))
    before = len(house.bridge.log)
    with asking(house.bridge, response_format="pcm") as connection:
        connection.recv(1000)
        time.sleep(0.5)
    until(lambda: gate.counted()["cancel"])
    lines = until(lambda: [line for line in house.bridge.log[before:] if line["event"] == "request"])
    assert [line["outcome"] for line in lines] == ["left"]


class TestOddWarnings:
    @pytest.mark.parametrize("told", [None, [5], {}, [None, {"a": 1}]], ids=json.dumps)
    @pytest.mark.parametrize("fields", [{}, {"stream_format": "sse"}], ids=["sound", "events"])
    def test_what_is_no_sentence_is_left_out(self, house: House, gate: Gate, told: Any, fields: Any):
        says(gate, (RUNS, [piece(0, warnings=told)]), (OVER, [last(1) | {"warnings": told}]))
        answer = house.bridge.speech(response_format="pcm", **fields)
        assert answer.status_code == 200, answer.text
        assert "x-oscine-warnings" not in answer.headers
        if fields:
            assert json.loads(answer.text.strip().splitlines()[-1][5:])["warnings"] == []

    def test_half_a_letter_is_replaced(self, house: House, gate: Gate):
        says(gate, (RUNS, [piece(0, warnings=["a \ud800 b, 5%"])]), (OVER, [last(1)]))
        assert house.bridge.speech(response_format="pcm").headers["x-oscine-warnings"] == "a %EF%BF%BD b, 5%25"

    def test_much_is_cut_between_two_letters(self, house: House, gate: Gate):
        says(gate, (RUNS, [piece(0, warnings=["й" * 600])]), (OVER, [last(1)]))
        told = house.bridge.speech(response_format="pcm").headers["x-oscine-warnings"]
        assert told.replace("%D0%B9", "") == " And more."
        assert 1200 < len(told) < 1510


def test_samples_are_counted_where_the_worker_tells_no_duration(house: House, gate: Gate):
    says(gate, (RUNS, [piece(0)]), (OVER, [piece(1), last(2)]))
    answer = house.bridge.speech(response_format="pcm", stream_format="sse")
    assert json.loads(answer.text.strip().splitlines()[-1][5:])["duration"] == len(whole(2)) / 2 / 24_000


def test_a_job_whose_answer_cannot_be_begun_is_cancelled(house: House, gate: Gate):
    says(gate, (RUNS, [piece(0, sample_rate="1\n2")]))
    assert house.bridge.speech(response_format="pcm").status_code == 500
    until(lambda: gate.counted()["cancel"])


def test_sound_that_is_none_ends_the_job(house: House, gate: Gate):
    says(gate, (RUNS, [piece(0), piece(1) | {"audio_chunk": "no base64!"}]))
    with pytest.raises(httpx.RemoteProtocolError):
        house.bridge.speech(response_format="pcm")
    until(lambda: gate.counted()["cancel"])


def test_timing_says_how_long_a_job_waited_for_a_worker(house: House, gate: Gate):
    started = time.monotonic()

    def rule(passed: Passed) -> Any:
        if passed.kind == "run":
            return refusal(200, {"id": "x", "status": "IN_QUEUE"})
        waits = time.monotonic() - started < 1.5
        told = {"status": "IN_QUEUE", "stream": []} if waits else {"status": OVER, "stream": [piece(0), last(1)]}
        return refusal(200, told)

    gate.rule = rule
    timing = house.bridge.speech(response_format="pcm").headers["server-timing"]
    told = {name: int(ms) for name, _, ms in (part.partition(";dur=") for part in timing.split(", "))}
    assert 700 < told["queue"] <= 1600
    assert told["queue"] + told["speak"] == told["first-audio"]

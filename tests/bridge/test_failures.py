"""What goes wrong behind the bridge, and what its client is told."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.bridge.conftest import House
from tests.bridge.gate import Gate, Passed, refusal
from tests.bridge.house import TEXT, Bridge, Bundle, asked, endpoint_of, running
from tests.runpod.engines import SECRETS
from tests.runpod.house import worker
from tests.runpod.plane import KEY
from tests.waiting import until

pytestmark = pytest.mark.long

INSIDE = re.compile(r"Traceback|File \"|worker|pod[0-9a-f]{6}|127\.0\.0\.1|/w/|runpod_worker|host", re.IGNORECASE)
ALLOWED = re.compile(r"The worker failed|No worker was ready|the worker|The worker", re.IGNORECASE)


def error_of(answer: httpx.Response, status: int, code: str | None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert error["message"].endswith(".")
    told = ALLOWED.sub("", json.dumps(error) + str(dict(answer.headers)))
    assert not INSIDE.search(told), told
    assert not any(secret in answer.text for secret in SECRETS)
    assert KEY not in answer.text
    return error


def broken_off(bridge: Bridge, **fields: Any) -> int:
    """Bytes that came of an answer whose end did not."""
    count = 0
    with bridge.client() as http, http.stream("POST", "/v1/audio/speech", json=asked(**fields)) as answer:
        assert answer.status_code == 200, answer.read()
        try:
            for part in answer.iter_bytes():
                count += len(part)
        except httpx.RemoteProtocolError:
            return count
    raise AssertionError("it came to an end")


def last_event(bridge: Bridge, **fields: Any) -> tuple[int, dict[str, Any]]:
    """How many events had sound, and what the last one says."""
    answer = bridge.speech(stream_format="sse", **fields)
    assert answer.status_code == 200, answer.text
    blocks = answer.text.strip().split("\n\n")
    assert blocks[-1].startswith("event: error\ndata: ")
    return len(blocks) - 1, json.loads(blocks[-1].partition("data: ")[2])


class TestTheWorker:
    def test_failing_before_the_first_piece_is_a_status(self, tones: House):
        error = error_of(tones.bridge.speech(input="It fails at once."), 500, None)
        assert error["type"] == "server_error"

    def test_failing_after_the_first_piece_ends_the_sound_without_its_end(self, tones: House):
        assert broken_off(tones.bridge, input="All is well. Then it fails here.", response_format="pcm") > 1000

    def test_failing_after_the_first_piece_is_the_last_event(self, tones: House):
        sounds, event = last_event(tones.bridge, input="All is well. Then it fails here.", response_format="pcm")
        assert sounds >= 1
        assert event["type"] == "error"
        assert event["error"]["type"] == "server_error"
        assert not INSIDE.search(ALLOWED.sub("", json.dumps(event)))

    @pytest.mark.parametrize("fields", [{}, {"stream": False}], ids=["stream", "file"])
    def test_failing_where_nobody_expects_it_tells_nothing_from_inside(self, house: House, fields: Any):
        error_of(house.bridge.speech(engine="haunted", **fields), 500, None)

    def test_an_exception_of_the_sdk_tells_nothing_from_inside(self, house: House, gate: Gate):
        """What RunPod's SDK makes of one has a traceback, the host and the worker's id."""
        for told in (
            'handler: boom \ntraceback: Traceback (most recent call last):\n  File "/srv/handler.py"',
            json.dumps({"error_type": "x", "error_traceback": "…", "hostname": "pod-1", "worker_id": "w1"}),
            "[Errno 2] No such file: '/runpod-volume/private/model.bin'",
            "Could not reach http://db.internal.example:5432",
            "Could not reach 10.1.2.3",
            "x" * 5000,
            {"not": "a sentence"},
            None,
        ):
            gate.rule = failed(told)
            error = error_of(house.bridge.speech(), 500, None)
            assert error["message"].startswith("The worker failed; ")

    def test_a_sentence_of_its_own_is_handed_on(self, house: House, gate: Gate):
        gate.rule = failed("The GPU ran out of memory; send a shorter text.")
        assert error_of(house.bridge.speech(), 500, None)["message"].startswith("The GPU ran out of memory")

    @pytest.mark.parametrize(
        "told",
        [
            "Cannot open `/runpod-volume/private/model.bin`.",
            "Error:/workspace/vibevoice/inference.py line 3",
            "Permission denied: '/data'",
            "Connection to db.internal.example:5432 refused",
            "worker 7f3kxq2 on host pod-7f3kxq2-64410f01 died",
            "Invalid token hf_abcdEFGH12345678",
            "fe80::1 unreachable",
            "KeyError: 'x' in model.py, line 5, in forward",
            "speed could not be read from '/data'",
            "The engine lost db.internal.example:5432",
            f"speed {'x' * 5000}",
        ],
        ids=lambda told: told[:40],
    )
    def test_what_an_older_worker_says_of_itself_stays_inside(self, house: House, gate: Gate, told: str):
        """It hands on whatever an exception says."""
        gate.rule = failed(told)
        error = error_of(house.bridge.speech(speed=1), 500, None)
        assert error["message"].startswith("The worker failed; ")

    @pytest.mark.parametrize(
        ("told", "fields", "param", "code"),
        [
            ("voice is not the name of a voice here; there are NAMES.", {"voice": "x"}, "voice", "voice_not_found"),
            ("voice fits several voices: NAMES; give one.", {"speaker_voice": "x"}, "speaker_voice", "voice_not_found"),
            ("speaker_name is not the name of a voice here; there are NAMES.", {"speaker": "x"}, "speaker",
             "voice_not_found"),
            ("text is too long.", {}, "input", None),
            ("text is too long; raise MAX_TEXT_LENGTH or --max-text.", {}, "input", None),
            ("text is too long.", {"input": ..., "text": "Hello."}, "text", None),
            ("engine must be one of hibari, vibevoice.", {"engine": "nope"}, "engine", "engine_not_found"),
        ],
    )  # fmt: skip
    def test_a_mistake_of_the_client_is_told_with_the_field_that_it_sent(
        self, house: House, gate: Gate, told: str, fields: Any, param: str, code: str | None
    ):
        names = ", ".join(f"long name number {number} of the library, v1.2.3.4" for number in range(40))
        gate.rule = failed(told.replace("NAMES", names))
        answer = house.bridge.speech(**{"voice": ..., **fields})
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["param"], error["code"]) == (param, code)
        assert error["message"].startswith(f"{param} ")
        assert "--max-text" not in error["message"], "which is an option of the command"

    def test_other_names_of_voices_are_told_as_they_were_sent(self, house: House):
        for name in ("speaker_voice", "voice"):
            fields: dict[str, Any] = {"voice": ..., name: "nobody"}
            error = error_of(house.bridge.speech(**fields), 400, "voice_not_found")
            assert error["param"] == name

    def test_an_engine_that_lacks_its_model_is_404(self, house: House):
        """Packages try a 500 again, and each time is paid for."""
        answer = house.bridge.speech(engine="vibevoice")
        assert answer.status_code == 404
        assert "oscine download vibevoice" in answer.json()["error"]["message"]

    def test_a_result_that_is_too_large_says_what_to_do(self, bundle: Bundle, alone: House, tmp_path: Any):
        """No status that packages try again after: the job would be paid for three times."""
        patient = running(bundle, endpoint_of(alone.gate))
        with worker(alone.plane, tmp_path, OSCINE_MAX_RESULT_MB="0.05"), patient as bridge:
            error = error_of(bridge.speech(response_format="wav", stream=False), 413, "result_too_large")
            assert "object store" in error["message"]
            assert bridge.speech(response_format="wav").status_code == 200, "pieces have no such limit"


def failed(told: object) -> Callable[[Passed], Any]:
    """Jobs that fail with what is told."""

    def rule(passed: Passed) -> Any:
        if passed.kind == "stream":
            return refusal(200, {"status": "FAILED", "stream": []})
        if passed.kind == "status":
            return refusal(200, {"id": "x", "status": "FAILED", "error": told})
        return None

    return rule


class TestThePlatform:
    def test_one_that_says_nothing_is_503(self, start: Callable[..., Bridge]):
        """It takes the connection, and that is all."""
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            bridge = start(f"http://127.0.0.1:{deaf.getsockname()[1]}/v2/ep")
            thread, answers = speaking(bridge)
            with bridge.client(None) as http:
                started = time.monotonic()
                health = http.get("/health").json()
                assert time.monotonic() - started < 18  # and not the 20 s of other requests
            thread.join()
        error_of(answers[0], 503, "upstream_unreachable")
        assert health["problem"] == "RunPod does not answer."

    def test_a_whole_file_waits_no_longer_for_a_worker(self, alone: House):
        started = time.monotonic()
        error_of(alone.bridge.speech(stream=False), 503, "cold_start")
        assert time.monotonic() - started < 45  # and not the 90 s that RunPod would
        (job,) = alone.plane.jobs.values()
        until(lambda: job.status == "CANCELLED")

    def test_a_whole_file_that_takes_longer_than_runsync_waits_comes_all_the_same(self, tones: House, bundle: Bundle):
        with running(bundle, endpoint_of(tones.gate), COLD_START_SECONDS="1") as bridge:
            thread, answers = speaking(bridge, input="It is held.", stream=False)
            until(lambda: tones.gate.counted()["stream"])
            tones.process.go()
            thread.join()
        assert answers[0].status_code == 200, answers[0].text
        assert len(answers[0].content) > 1000
        first, *_ = tones.gate.of("stream")
        assert int(first.query["wait"]) > 5000, "there is no first sound to wait for"

    def test_no_worker_in_time_is_503_and_the_job_is_cancelled(self, alone: House):
        answer = alone.bridge.speech()
        error_of(answer, 503, "cold_start")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        (job,) = alone.plane.jobs.values()
        until(lambda: job.status == "CANCELLED")

    def test_a_cold_start_is_survived(self, bundle: Bundle, alone: House, tmp_path: Any):
        """The job is in the queue before there is a worker."""
        with running(bundle, endpoint_of(alone.gate)) as patient:
            answers: list[httpx.Response] = []
            thread = threading.Thread(target=lambda: answers.append(patient.speech()))
            thread.start()
            until(lambda: alone.gate.counted()["stream"] >= 2)
            with worker(alone.plane, tmp_path):
                thread.join()
        assert answers[0].status_code == 200, answers[0].text
        assert len(answers[0].content) > 10_000

    def test_a_job_that_the_platform_ends_is_504(self, bundle: Bundle, tones: House):
        with running(bundle, endpoint_of(tones.gate), JOB_SECONDS="5") as bridge:
            error_of(bridge.speech(input="It is held."), 504, "timeout")
        (job,) = tones.plane.jobs.values()
        until(lambda: job.status in ("TIMED_OUT", "CANCELLED"))
        assert job.asked["policy"]["executionTimeout"] == 5000

    def test_timed_out_as_its_status_is_504(self, house: House, gate: Gate):
        gate.rule = lambda p: (
            refusal(200, {"status": "TIMED_OUT", "stream": []}) if p.kind in ("stream", "status") else None
        )
        error_of(house.bridge.speech(), 504, "timeout")

    def test_failed_for_its_time_is_504(self, house: House, gate: Gate):
        """As RunPod says it of a job that ran longer than its `executionTimeout`."""
        gate.rule = failed("executionTimeout exceeded")
        error_of(house.bridge.speech(), 504, "timeout")

    def test_a_job_that_others_cancel_is_503(self, tones: House):
        thread, answers = speaking(tones.bridge, input="It is held.")
        until(lambda: tones.gate.counted()["stream"])
        (job,) = tones.plane.jobs.values()
        tones.direct.call("POST", f"cancel/{job.id}")
        thread.join()
        error_of(answers[0], 503, "cancelled")

    def test_a_job_that_vanishes_is_502(self, tones: House):
        thread, answers = speaking(tones.bridge, input="It is held.")
        until(lambda: tones.gate.counted()["stream"])
        tones.plane.jobs.clear()
        thread.join()
        error_of(answers[0], 502, "job_vanished")

    @pytest.mark.parametrize("fields", [{}, {"stream": False}], ids=["stream", "file"])
    def test_too_many_requests_are_429_with_a_time_to_wait(self, house: House, gate: Gate, fields: Any):
        gate.rule = lambda passed: refusal(429)
        answer = house.bridge.speech(**fields)
        assert error_of(answer, 429, "rate_limit_exceeded")["type"] == "rate_limit_error"
        assert 1 <= int(answer.headers["retry-after"]) <= 60

    @pytest.mark.parametrize(
        ("status", "told", "code"),
        [(401, 502, "upstream_refused"), (403, 502, "upstream_refused"), (404, 502, "upstream_not_found"),
         (400, 502, "upstream_refused"), (413, 413, None), (500, 503, "upstream_failed"),
         (302, 503, "upstream_failed")],
    )  # fmt: skip
    def test_each_refusal_has_a_status_of_its_own(self, house: House, gate: Gate, status: int, told: int, code: Any):
        gate.rule = lambda passed: refusal(status)
        error_of(house.bridge.speech(), told, code)
        assert gate.counted() == {"run": 1}

    def test_a_platform_that_is_gone_is_503(self, start: Callable[..., Bridge]):
        answer = start("http://127.0.0.1:9/v2/ep").speech()
        error_of(answer, 503, "upstream_unreachable")

    def test_what_is_no_answer_of_the_platform_is_an_error(self, house: House, gate: Gate):
        gate.rule = lambda passed: refusal(200, [1]) if passed.kind == "run" else None
        error_of(house.bridge.speech(), 502, "upstream_failed")

    def test_polls_that_fail_now_and_then_do_no_harm(self, house: House, gate: Gate):
        wanted = house.bridge.speech().content
        refused: list[int] = []

        def rule(passed: Passed) -> Any:
            if passed.kind != "stream" or len(refused) >= 4:
                return None
            refused.append(1)
            return [refusal(429), refusal(500), "drop", refusal(404)][len(refused) - 1]

        gate.rule = rule
        assert house.bridge.speech().content == wanted

    def test_a_job_that_is_not_known_yet_is_asked_for_again(self, house: House, gate: Gate):
        gate.rule = lambda p: refusal(404) if p.kind == "stream" and gate.counted()["stream"] <= 3 else None
        assert house.bridge.speech().status_code == 200

    def test_an_end_that_cannot_be_asked_for_at_once_is_asked_for_again(self, house: House, gate: Gate):
        gate.rule = lambda p: refusal(500) if p.kind == "status" and gate.counted()["status"] <= 2 else None
        error_of(house.bridge.speech(voice="nobody"), 400, "voice_not_found")

    def test_polls_that_always_fail_end_with_503(self, house: House, gate: Gate):
        gate.rule = lambda passed: refusal(500) if passed.kind == "stream" else None
        error_of(house.bridge.speech(), 503, "upstream_unreachable")
        until(lambda: gate.counted()["cancel"])

    def test_pieces_whose_answer_was_lost_are_heard_all_the_same(self, tones: House):
        """/stream gives them once; the result has them all."""
        lost: list[str] = []

        def rule(passed: Passed) -> Any:
            if passed.kind == "stream" and len(tones.gate.of("stream")) in (1, 3):
                lost.append(passed.path)
                return "lose"
            return None

        tones.gate.rule = rule
        text = " ".join(f"This is number {number}." for number in range(12))
        answer = tones.bridge.speech(input=text, response_format="pcm")
        assert lost
        (job,) = tones.plane.jobs.values()
        assert answer.content == b"".join(sound for _, sound in heard_of(job))

    def test_pieces_that_come_twice_are_heard_once(self, tones: House):
        """The SDK sends a piece again whose receipt it did not see."""
        tones.gate.rule = None
        thread, answers = speaking(tones.bridge, input="This comes first. This is held back.", response_format="pcm")
        until(lambda: tones.plane.jobs and next(iter(tones.plane.jobs.values())).streamed)
        (job,) = tones.plane.jobs.values()
        job.pieces.extend(item for *_, item in job.streamed)
        tones.process.go()
        thread.join()
        assert answers[0].content == b"".join(sound for _, sound in heard_of(job))

    def test_pieces_that_are_lost_for_good_break_the_sound_off(self, house: House, gate: Gate):
        first = {"output": {"status": "streaming", "index": 0, "audio_chunk": "AAAA", "format": "pcm_16"}}
        gone = {"status": "streaming", "index": 1, "audio_chunk": ""}
        told = {"status": "complete", "total_chunks": 2}

        def rule(passed: Passed) -> Any:
            if passed.kind == "stream":
                return refusal(200, {"status": "COMPLETED", "stream": [first]})
            if passed.kind == "status":
                return refusal(200, {"status": "COMPLETED", "output": [first["output"], gone, told]})
            return None

        gate.rule = rule
        assert broken_off(house.bridge, response_format="pcm") == 3
        _, event = last_event(house.bridge, response_format="pcm")
        assert event["error"]["code"] == "incomplete"

    @pytest.mark.parametrize("output", [None, [], {}, [None], "sound", [{"status": "completed"}]])
    def test_a_job_without_sound_is_502(self, house: House, gate: Gate, output: Any):
        def rule(passed: Passed) -> Any:
            told = {"status": "COMPLETED", "stream": [], "output": output}
            return refusal(200, told) if passed.kind in ("stream", "status") else None

        gate.rule = rule
        error_of(house.bridge.speech(), 502, "no_sound")


def speaking(bridge: Bridge, **fields: Any) -> tuple[threading.Thread, list[httpx.Response]]:
    """A client that waits for its answer."""
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(bridge.speech(**fields)))
    thread.start()
    return thread, answers


def heard_of(job: Any) -> list[tuple[int, bytes]]:
    """The pieces of a job, each once and in order."""
    items = {item["index"]: item["audio_chunk"] for *_, item in job.streamed if "audio_chunk" in item}
    return [(index, base64.b64decode(items[index])) for index in sorted(items)]


def test_text_is_never_logged(house: House):
    house.bridge.speech(input=f"{TEXT} Nobody knows Rumpelstiltskin.")
    house.bridge.speech(input="Rumpelstiltskin.", voice="Rumpelstiltskin")
    found = until(lambda: [line for line in house.bridge.log if line.get("outcome") == "done"])
    assert "Rumpelstiltskin" not in "".join(house.bridge.said)
    assert "sk-" not in "".join(house.bridge.said)
    assert {"request_id", "status", "outcome", "subrequests", "first_audio_ms", "format", "ms"} <= found[0].keys()

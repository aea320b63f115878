"""scripts/try_endpoint.py tells an endpoint that keeps its promises from one that does not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from tests.delivery.seaweed import WRITER, seaweed
from tests.scripts.script import SCRIPT, try_endpoint
from tests.scripts.stand_in import ENDPOINT, Answer, StandIn, stand_in
from tests.waiting import until

KEY: Final = "rpa_of_the_tests"
SHORT: Final = ["--long", "200", "--patience", "200"]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandIn, str]]:
    with stand_in(tmp_path_factory.mktemp("volume"), key=KEY) as found:
        yield found


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script waits for nothing; what else runs in this process does."""
    monkeypatch.setattr(try_endpoint, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None))


@contextmanager
def spoiled(plane: StandIn, spoil: Any) -> Iterator[None]:
    before, plane.spoil = plane.spoil, spoil
    try:
        yield
    finally:
        plane.spoil = before


def attempt(url: str, *arguments: str, key: str | None = KEY) -> int:
    environ = {} if key is None else {"RUNPOD_API_KEY": key}
    return int(try_endpoint.main([ENDPOINT, "--url", url, *arguments], environ))


def test_an_endpoint_that_keeps_its_promises_passes_every_item(endpoint: tuple[StandIn, str]):
    _, url = endpoint
    done = subprocess.run(
        [sys.executable, str(SCRIPT), ENDPOINT, "--url", url, "--voices", *SHORT],
        env={"RUNPOD_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert KEY not in done.stdout
    table = done.stdout.partition("\n\n")[2].splitlines()
    assert [line.split()[:2] for line in table[1:-1]] == [[name, "pass"] for name in try_endpoint.ITEMS]
    assert table[-1] == f"{len(try_endpoint.ITEMS)} pass, 0 fail, 0 skipped"


def test_the_fields_that_are_looked_for_are_those_of_a_result(endpoint: tuple[StandIn, str]):
    plane, url = endpoint
    assert attempt(url, "--only", "short_job") == 0
    document = list(plane.jobs.values())[-1]["output"][0]
    assert set(document["metadata"]) == try_endpoint.METADATA
    assert set(document) - {"audio_base64"} == try_endpoint.RESULT


def documents(answer: Answer) -> Iterator[Answer]:
    """Those of a status or a stream."""
    output = answer.get("output")
    yield from output if isinstance(output, list) else []
    yield from (item["output"] for item in answer.get("stream", []))


def without_a_seed(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        document.get("metadata", {}).pop("seed", None)
    return answer


def no_sound(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        document.pop("audio_base64", None)
    return answer


def broken_base64(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if "audio_base64" in document:
            document["audio_base64"] = "=" + document["audio_base64"]
    return answer


def another_format(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if "audio_base64" in document:
            document["audio_base64"] = "SGVsbG8h"
    return answer


def silent_warnings(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        document["warnings"] = []
    return answer


def pieces_twice(operation: str, answer: Answer) -> Answer:
    if operation == "stream":
        answer["stream"] = answer["stream"][:1] * 2 + answer["stream"][1:] if answer["stream"] else []
    return answer


def no_end(operation: str, answer: Answer) -> Answer:
    if operation == "stream":
        answer["stream"] = [item for item in answer["stream"] if item["output"]["status"] != "complete"]
    return answer


def large_pieces(operation: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if operation == "stream" and "audio_chunk" in document:
            document["audio_chunk"] += "A" * 700_000
    return answer


def miscounted(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if "total_chunks" in document:
            document["total_chunks"] += 1
    return answer


def lost_pieces(operation: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if operation == "stream" and document.get("chunk", 0) > 1:
            document["audio_chunk"] = "AAAA"
    return answer


def not_aggregated(operation: str, answer: Answer) -> Answer:
    if operation == "status" and len(answer.get("output", [])) > 1:
        answer["output"] = []
    return answer


def not_cancelled(operation: str, answer: Answer) -> Answer:
    return {**answer, "status": "TIMED_OUT"} if answer.get("status") == "CANCELLED" else answer


def error_with(text: str) -> Any:
    return lambda _, answer: {**answer, "error": text} if "error" in answer else answer


def accepted(_: str, answer: Answer) -> Answer:
    return {"status": "COMPLETED", "output": []} if "error" in answer else answer


COUNT: Final = count()


def spoken_again(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if "metadata" in document:
            document["metadata"]["seed"] += next(COUNT)
    return answer


def one_name(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if "filename" in document:
            document["filename"] = "result.mp3"
    return answer


def unhealthy(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if "checks" in document:
            document["status"] = "unhealthy"
            document["checks"]["configuration"] = {"status": "fail", "details": "The volume is full."}
    return answer


def with_a_path(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if "checks" in document:
            document["checks"]["configuration"]["details"] = "All is well in /runpod-volume/vibevoice."
    return answer


def another_shape(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if "metadata" in document:
            document["metadata"] = None
    return answer


def without_names(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        document.pop("names", None)
    return answer


@pytest.mark.parametrize(
    ("item", "spoil", "told"),
    [
        ("health_check", unhealthy, "unhealthy: configuration fail: The volume is full."),
        ("list_voices", without_names, "{"),
        ("short_job", without_a_seed, "metadata lacks seed"),
        ("short_job", another_shape, "another shape"),
        ("audio", no_sound, "neither audio_base64 nor url"),
        ("audio", broken_base64, "no base64"),
        ("audio", another_format, "no mp3"),
        ("older_clients", silent_warnings, "not in warnings"),
        ("stream", pieces_twice, "piece 2 is"),
        ("stream", no_end, "the last item is"),
        ("stream", large_pieces, "piece 1 has 7"),
        ("stream", miscounted, "total_chunks is"),
        ("stream", lost_pieces, "s were sent of"),
        ("aggregate", not_aggregated, "the output is []"),
        ("cancel", not_cancelled, "the job is TIMED_OUT"),
        ("invalid", accepted, "is COMPLETED and not FAILED"),
        ("invalid", error_with("Wrong.\nVery wrong."), "no sentence"),
        ("invalid", error_with('Traceback (most recent call last): File "a.py", line 1.'), "a traceback"),
        ("invalid", error_with("text could not be written to /runpod-volume/indextts."), "a path"),
        ("invalid", error_with("text could not be sent to https://example.org."), "an address"),
        ("invalid", error_with("Something is wrong."), "does not name text"),
        ("same_session", spoken_again, "spoken again: seed differs"),
        ("at_once", one_name, "1 different files for 4 jobs"),
    ],
)
def test_a_promise_that_is_broken_fails_its_item(
    endpoint: tuple[StandIn, str], capsys: pytest.CaptureFixture[str], item: str, spoil: Any, told: str
):
    plane, url = endpoint
    with spoiled(plane, spoil):
        assert attempt(url, "--only", item, *SHORT) == 1
    printed = capsys.readouterr().out
    assert f"{item}: fail: " in printed
    assert told in printed


def test_a_path_in_any_answer_fails_the_last_item(endpoint: tuple[StandIn, str], capsys: pytest.CaptureFixture[str]):
    plane, url = endpoint
    with spoiled(plane, with_a_path):
        assert attempt(url, "--only", "health_check", "nothing_leaks") == 1
    assert "nothing_leaks: fail: an answer holds a path" in capsys.readouterr().out


def test_a_result_that_is_too_large_is_kept_and_that_is_as_promised(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with stand_in(tmp_path, {"OSCINE_MAX_RESULT_MB": "0.1"}) as (_, url):
        assert attempt(url, "--only", "long_text", "--long", "600", key=None) == 0
    assert "long_text: pass: too large for base64" in capsys.readouterr().out


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandIn, str]]:
    """An endpoint whose results are links to a real store."""
    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        settings = {
            "S3_ENDPOINT_URL": server.url,
            "S3_ACCESS_KEY_ID": WRITER[0],
            "S3_SECRET_ACCESS_KEY": WRITER[1],
            "S3_BUCKET_NAME": server.bucket,
        }
        with stand_in(tmp_path_factory.mktemp("volume"), settings) as found:
            yield found


def test_a_link_is_fetched_whole_and_in_parts_and_not_printed(
    stored: tuple[StandIn, str], capsys: pytest.CaptureFixture[str]
):
    assert attempt(stored[1], "--only", "health_check", "audio", "same_session", "long_text", *SHORT, key=None) == 0
    printed = capsys.readouterr().out
    assert "s3 pass" in printed
    assert "audio: pass: link, audio/mpeg, " in printed
    assert "long_text: pass" in printed
    assert "http" not in printed


def altered(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        if "url" in document:
            document["url"] = document["audio_url"] = document["audio_url"].replace(".mp3", ".mp4")
    return answer


def two_links(_: str, answer: Answer) -> Answer:
    for document in documents(answer):
        document["url"] = "https://example.org/another"
    return answer


@pytest.mark.parametrize(("spoil", "told"), [(altered, "the link answers 403"), (two_links, "url = audio_url")])
def test_a_link_that_does_not_work_fails(
    stored: tuple[StandIn, str], capsys: pytest.CaptureFixture[str], spoil: Any, told: str
):
    plane, url = stored
    with spoiled(plane, spoil):
        assert attempt(url, "--only", "audio", key=None) == 1
    assert told in capsys.readouterr().out


def test_a_worker_with_single_results_is_known_by_its_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with stand_in(tmp_path, {"OSCINE_SINGLE_RESULT": "true"}) as (_, url):
        assert attempt(url, "--only", "short_job", "stream", "aggregate", "invalid", key=None) == 0
    printed = capsys.readouterr().out
    assert "short_job: pass" in printed
    assert "stream: skipped: OSCINE_SINGLE_RESULT is set" in printed
    assert "aggregate: skipped" in printed


def test_what_would_change_the_volume_is_skipped_unless_it_is_asked_for(
    endpoint: tuple[StandIn, str], capsys: pytest.CaptureFixture[str]
):
    assert attempt(endpoint[1], "--only", "voice_actions") == 0
    assert "voice_actions: skipped: it writes to the volume; --voices tries it" in capsys.readouterr().out


def test_a_key_that_is_refused_ends_it_and_is_not_printed(
    endpoint: tuple[StandIn, str], capsys: pytest.CaptureFixture[str]
):
    assert attempt(endpoint[1], key="rpa_wrong") == 2
    printed = capsys.readouterr()
    assert printed.out == "try_endpoint: the key was refused (401); look at RUNPOD_API_KEY.\n"
    assert "rpa_wrong" not in printed.out + printed.err


def test_a_key_that_an_answer_repeats_is_not_printed(endpoint: tuple[StandIn, str], capsys: pytest.CaptureFixture[str]):
    plane, url = endpoint
    with spoiled(plane, error_with(f"text was sent with {KEY}")):
        assert attempt(url, "--only", "invalid") == 1
    printed = capsys.readouterr().out
    assert "text was sent with …" in printed
    assert KEY not in printed


@pytest.mark.parametrize(
    ("arguments", "key", "told"),
    [
        ([], None, "set RUNPOD_API_KEY"),
        (["--url", "http://plane.example/v2"], KEY, "the key would be sent in the clear"),
        (["--url", "ftp://127.0.0.1"], KEY, "must begin with https://"),
        (["--url", "http://127.0.0.1:9"], KEY, "cannot be reached"),
    ],
)
def test_what_cannot_be_tried_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    key: str | None,
    told: str,
):
    without_pauses(monkeypatch)
    assert try_endpoint.main([ENDPOINT, *arguments], {"RUNPOD_API_KEY": key} if key else {}) == 2
    printed = capsys.readouterr().out
    assert told in printed
    assert printed.startswith("try_endpoint: ")
    assert printed.endswith(".\n")


def test_an_endpoint_that_is_not_there_ends_it(endpoint: tuple[StandIn, str], capsys: pytest.CaptureFixture[str]):
    assert try_endpoint.main(["another", "--url", endpoint[1]], {"RUNPOD_API_KEY": KEY}) == 2
    assert "there is no such endpoint (404)" in capsys.readouterr().out


def unbegun(operation: str, answer: Answer) -> Answer:
    return {**answer, "status": "IN_QUEUE"} if operation == "status" else answer


def test_a_queue_without_a_worker_ends_it_and_leaves_no_job_there(
    endpoint: tuple[StandIn, str], capsys: pytest.CaptureFixture[str]
):
    plane, url = endpoint
    plane.asked.clear()
    with spoiled(plane, unbegun):
        assert attempt(url, "--only", "platform", "health_check", "list_voices", "--patience", "1") == 1
    printed = capsys.readouterr().out
    assert "health_check: fail: a job is IN_QUEUE after 1 s: no worker takes jobs" in printed
    assert "list_voices: skipped: an item before it could not be finished" in printed
    assert plane.asked[-1] == "cancel"


def test_whoever_waits_is_told_so(
    endpoint: tuple[StandIn, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    plane, url = endpoint
    monkeypatch.setattr(try_endpoint, "TELL_S", 0.2)
    polls = count()

    def late(operation: str, answer: Answer) -> Answer:
        return {"id": "a", "status": "IN_QUEUE"} if operation == "status" and next(polls) < 5 else answer

    with spoiled(plane, late):
        assert attempt(url, "--only", "health_check") == 0
    printed = capsys.readouterr()
    assert "a job is IN_QUEUE for " in printed.err
    assert "health_check: pass" in printed.out


def test_ctrl_c_ends_it_and_leaves_no_job_there(endpoint: tuple[StandIn, str]):
    plane, url = endpoint
    plane.asked.clear()
    command = [sys.executable, str(SCRIPT), ENDPOINT, "--url", url]
    with (
        spoiled(plane, unbegun),
        subprocess.Popen(
            command, env={"RUNPOD_API_KEY": KEY}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        until(lambda: plane.asked.count("status") > 2)  # a signal is lost in what is imported at the first
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=200)
    assert process.returncode == 130
    assert printed == b""
    assert plane.asked[-1] == "cancel"


def test_what_passes_is_tried_again_and_no_job_is_sent_twice(
    endpoint: tuple[StandIn, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    plane, url = endpoint
    without_pauses(monkeypatch)
    plane.fail[:] = [503, 429]
    assert attempt(url, "--only", "platform") == 0
    plane.fail[:] = [429]
    assert attempt(url, "--only", "runsync") == 0
    plane.fail[:], plane.asked[:] = [502], []
    assert attempt(url, "--only", "runsync") == 1
    assert plane.asked == []
    assert 'runsync: fail: /runsync answers 502: {"error": "not now"}' in capsys.readouterr().out


def test_no_link_and_no_sound_is_in_a_verdict():
    document = {"url": "https://example.org/secret", "audio_url": "x", "audio_base64": "AAAA", "deep": [{"url": "y"}]}
    shown = try_endpoint._shown(document)
    assert json.loads(shown.replace("\\u2026", "…")) == {
        "url": "…",
        "audio_url": "…",
        "audio_base64": "…",
        "deep": [{"url": "…"}],
    }

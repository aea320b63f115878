"""A job that is tried by hand, without RunPod: it is spoken, shown and kept, or refused in a sentence."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oscine.config import Settings
from oscine.errors import InvalidRequest
from oscine.runpod import trial
from oscine.runpod.start import _is_trial, _understood
from oscine.runpod.worker import Worker
from oscine.synthesis.studio import Studio
from tests.contract.sound import seconds
from tests.echo import echo
from tests.runpod.house import ROOT

Try = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def attempt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Try]:
    """Try a job of these fields; the exit code, and what is printed."""
    studios = []

    def attempt(fields: object, **names: str) -> tuple[int, dict[str, Any]]:
        settings = Settings.from_env({"OSCINE_VOLUME": str(tmp_path / "volume"), "OSCINE_ENGINE": "echo", **names})
        studios.append(Studio(settings, factories={"echo": echo()}))
        code = trial.tried(Worker(studios[-1]), trial.given(json.dumps({"input": fields})), tmp_path)
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, printed

    yield attempt
    for studio in studios:
        studio.close()


def test_a_job_that_is_tried_is_spoken_shown_and_kept_beside(attempt: Try, tmp_path: Path):
    code, shown = attempt({"text": "Hello world.", "session_id": "hello"})
    assert code == 0
    assert shown["status"] == "COMPLETED"
    (document,) = shown["output"]
    assert (document["filename"], document["segments"][0]["text"]) == ("hello.mp3", "Hello world.")
    assert len(document["audio_base64"]) < 50
    kept = (tmp_path / "hello.mp3").read_bytes()
    assert f"({len(base64.b64encode(kept)):,} characters)" in document["audio_base64"]
    assert seconds(kept) == pytest.approx(document["duration_sec"], abs=0.1)


def test_the_pieces_of_a_stream_that_is_tried_become_one_file(attempt: Try, tmp_path: Path):
    code, shown = attempt({"text": "Hello world. How are you?", "session_id": "hello", "stream": True})
    assert code == 0
    *pieces, last = shown["output"]
    assert [piece["status"] for piece in pieces] == ["streaming"] * last["total_chunks"]
    assert last["status"] == "complete"
    with wave.open(str(tmp_path / "hello.wav")) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(last["duration_sec"], abs=0.01)


def test_a_stream_that_is_tried_is_kept_whole_where_a_result_would_hold_less(attempt: Try, tmp_path: Path):
    fields = {"text": "Hello world. How are you?", "session_id": "hello", "stream": True}
    _, shown = attempt(fields, OSCINE_MAX_RESULT_MB="0.01")
    *pieces, last = shown["output"]
    assert pieces[0]["audio_chunk"] == ""
    with wave.open(str(tmp_path / "hello.wav")) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(last["duration_sec"], abs=0.01)


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"text": "Hello.", "speed": 9}, "speed must be"), ({}, "text is missing"), (None, "input must be an object")],
)
def test_a_job_that_is_wrong_ends_with_its_sentence_and_the_exit_code_of_a_failure(
    attempt: Try, fields: object, told: str
):
    code, shown = attempt(fields)
    assert code == 1
    assert shown["status"] == "FAILED"
    assert shown["error"].startswith(told)


def test_with_a_single_result_what_is_tried_is_shown_as_such(attempt: Try):
    code, shown = attempt({"text": "Hello."}, OSCINE_SINGLE_RESULT="true")
    assert (code, shown["output"]["status"]) == (0, "completed")


def test_each_job_without_a_session_is_spoken_for_itself():
    assert trial.given('{"input": {}}')["id"] != trial.given('{"input": {}}')["id"]
    assert trial.given('{"id": "mine", "input": {}}')["id"] == "mine"


@pytest.mark.parametrize("text", ["{bad", "[]", '{"text": "Hello."}', "null", "[" * 100_000])
def test_what_is_no_job_is_refused_with_an_example(text: str):
    with pytest.raises(InvalidRequest, match=r"^--test_input must be a job as JSON, such as \{"):
        trial.given(text)


def test_a_job_in_the_working_folder_is_taken_where_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequest, match=r"there is no test_input\.json here"):
        trial.given(None)
    (tmp_path / "test_input.json").write_text('{"input": {"text": "Hello."}}')
    assert trial.given(None)["input"] == {"text": "Hello."}


def test_an_argument_that_nobody_takes_is_refused(capsys: pytest.CaptureFixture[str]):
    for wrong in (["--foo"], ["--warmup", "foo"]):
        with pytest.raises(SystemExit) as ended:
            _understood(wrong)
        assert ended.value.code == 2
        assert wrong[-1] in capsys.readouterr().err
    asked = _understood(["--warmup", "--rp_log_level", "INFO", "--rp_api_port", "9000"])
    assert asked.warmup


def test_a_worker_that_runpod_has_started_takes_its_jobs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RUNPOD_WEBHOOK_GET_JOB", raising=False)
    assert _is_trial(_understood([]))
    assert not _is_trial(_understood(["--warmup"]))
    assert not _is_trial(_understood(["--rp_serve_api"]))
    monkeypatch.setenv("RUNPOD_WEBHOOK_GET_JOB", "http://127.0.0.1/")
    assert not _is_trial(_understood([]))
    assert _is_trial(_understood(["--test_input", "{}"]))


@pytest.mark.slow
def test_handler_py_speaks_a_job_of_its_command_line(tmp_path: Path):
    job = {"input": {"text": "Hello world.", "session_id": "hello", "format": "wav"}}
    done = subprocess.run(
        [sys.executable, str(ROOT / "handler.py"), "--test_input", json.dumps(job)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "OSCINE_VOLUME": str(tmp_path / "volume")},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"][0]["filename"] == "hello.wav"
    assert (tmp_path / "hello.wav").read_bytes().startswith(b"RIFF")
    assert "the sound is in hello.wav" in done.stderr

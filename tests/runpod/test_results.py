"""Results: streamed, too large for the platform, asked for again."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import wave
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from oscine.audio.formats import Format
from oscine.config import Settings
from oscine.errors import DeliveryFailed
from oscine.runpod.output import Output, Record, identity_of, session_of
from oscine.runpod.pieces import Copy
from oscine.runpod.worker import Worker
from oscine.synthesis.studio import Studio
from tests.echo import LETTER_MS, EchoEngine, echo
from tests.runpod.conftest import Start
from tests.runpod.house import Client, Process
from tests.runpod.test_checks import answers, last_of
from tests.voices.recordings import recording
from tests.waiting import until

pytestmark = pytest.mark.slow


def text_of(megabytes: float) -> str:
    """A text whose sound has about so many bytes as plain samples."""
    return ("Ababababab bababababa. " * 2000)[: round(megabytes * 1e6 / 48_000 / LETTER_MS * 1000)] + "."


def test_pieces_of_a_stream_arrive_while_it_is_spoken(tones: tuple[Client, Process]):
    platform, process = tones
    job = platform.run({"text": "One comes first. Two is held.", "stream": True})
    items = platform.stream(job)
    first = next(items)
    assert job.status == "IN_PROGRESS"
    assert first["status"] == "streaming"
    assert (first["chunk"], first["index"], first["format"], first["sample_rate"]) == (1, 0, "pcm_16", 24_000)
    process.go()
    *pieces, last = items
    assert [item["chunk"] for item in pieces] == list(range(2, len(pieces) + 2))
    assert last["status"] == "complete"
    assert last["total_chunks"] == len(pieces) + 1
    sound = b"".join(base64.b64decode(item["audio_chunk"]) for item in [first, *pieces])
    assert len(sound) == pytest.approx(last["duration_sec"] * 48_000, abs=48)
    assert job.output == [first, *pieces, last]
    assert all(size < 700_000 for _, size, _ in job.streamed)
    (process.volume / "go").unlink()


@pytest.mark.parametrize("format", ["mp3", "opus", "wav", "pcm"])
def test_a_stream_has_the_format_that_was_asked_for(tones: tuple[Client, Process], format: str):
    platform, _ = tones
    *pieces, last = platform.stream(platform.run({"text": "One. Two.", "stream": True, "format": format}))
    sound = b"".join(base64.b64decode(item["audio_chunk"]) for item in pieces)
    assert {item["format"] for item in pieces} == {format} == {last["format"]}
    assert sound.startswith({"mp3": b"", "opus": b"OggS", "wav": b"RIFF", "pcm": b""}[format])


def test_a_result_that_is_large_but_not_too_large_arrives_whole(tones: tuple[Client, Process]):
    platform, _ = tones
    job = platform.ended(platform.run({"text": text_of(0.62), "format": "wav"}))
    assert job.status == "COMPLETED"
    (document,) = job.output
    with wave.open(BytesIO(base64.b64decode(document["audio_base64"]))) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(document["duration_sec"], abs=0.01)
    assert job.result_bytes > 750_000
    assert [size < 700_000 for _, size, _ in job.streamed] == [True]
    assert job.refused == []


def test_a_result_that_is_too_large_is_kept_and_the_error_tells_how_to_get_it(tones: tuple[Client, Process]):
    platform, process = tones
    told = platform.failed({"text": text_of(1.5), "format": "wav", "session_id": "long-one"})
    assert "more than the platform delivers" in told
    assert "session_id long-one" in told
    assert "long-one.wav is kept for 2 days" in told
    assert str(process.volume) not in told
    begun = len(process.begun())
    assert platform.failed({"text": text_of(1.5), "format": "wav", "session_id": "long-one"}) == told
    assert len(process.begun()) == begun
    with wave.open(str(process.volume / "indextts" / "output_audio" / "long-one.wav")) as file:
        assert file.getnframes() > 24_000 * 20


def test_what_a_result_may_hold_counts_the_sound_as_base64_and_all_that_stands_beside_it(tmp_path: Path):
    asked = {"text": "One.", "format": "wav", "session_id": "measured"}

    def answered(most: float) -> dict[str, Any]:
        names = {"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo", "OSCINE_MAX_RESULT_MB": f"{most / 1e6:.6f}"}
        with Studio(Settings.from_env(names), factories={"echo": echo()}) as studio:
            return answers(Worker(studio), asked)[-1]

    document = answered(9_500_000)
    sound = base64.b64decode(document.pop("audio_base64"))
    whole = len(sound) * 4 / 3 + len(json.dumps(document))
    assert answered(whole - 10)["error_type"] == "result_too_large"
    assert base64.b64decode(answered(whole + 10)["audio_base64"]) == sound


def test_pieces_that_are_more_than_a_result_may_hold_are_streamed_alone(tones: tuple[Client, Process]):
    platform, _ = tones
    job = platform.run({"text": text_of(2.0), "stream": True})
    *pieces, last = platform.stream(job)
    sound = b"".join(base64.b64decode(item["audio_chunk"]) for item in pieces)
    assert len(sound) == pytest.approx(last["duration_sec"] * 48_000, abs=48)
    assert last["warnings"] == ["The pieces are more than a result may hold: their sound was sent to /stream alone."]
    assert job.status == "COMPLETED"
    assert job.result_bytes < 1_000_000
    assert {item["audio_chunk"] for item in job.output[:-1]} == {""}
    assert job.refused == []


def test_all_that_a_stream_leaves_for_the_result_is_no_more_than_that_may_hold(tmp_path: Path):
    """RunPod's package holds on to each item, and loses a result that is too large."""
    names = {"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo", "OSCINE_MAX_RESULT_MB": "0.3"}
    left = []
    with Studio(Settings.from_env(names), factories={"echo": echo()}) as studio:
        for megabytes in (0.1, 0.2, 0.25):
            items = answers(Worker(studio), {"text": text_of(megabytes), "stream": True})
            assert len(json.dumps(items)) <= 300_000
            left.append(bool(items[0]["audio_chunk"]))
    assert left == [True, False, False]


def test_the_same_session_again_finds_what_was_spoken(tones: tuple[Client, Process]):
    platform, process = tones
    asked = {"text": "Only once please.", "session_id": "again"}
    first = platform.done(asked)
    assert first["filename"] == "again.mp3"
    assert platform.done(asked) == first
    assert process.begun().count("Only once please.") == 1
    assert platform.done({"text": "Something else.", "session_id": "again"})["segments"][0]["text"] == "Something else."
    assert platform.done(asked)["segments"] == first["segments"]


def test_a_session_whose_other_job_ended_early_still_gives_its_own_sound(tones: tuple[Client, Process]):
    platform, process = tones
    asked = {"text": "This is the first text.", "session_id": "mixed"}
    first = platform.done(asked)
    other = platform.run({"text": "Another text is written here, and it is held.", "session_id": "mixed"})
    until(lambda: any("and it is held" in text for text in process.begun()))
    platform.call("POST", f"cancel/{other.id}")
    until(lambda: process.lanes() == 0)
    assert platform.done(asked)["audio_base64"] == first["audio_base64"]


def test_a_record_holds_for_the_file_that_it_was_written_for(tmp_path: Path):
    output = Output(Settings(output_audio_dir=tmp_path))
    file = tmp_path / "s.mp3"
    file.write_bytes(b"the sound of one")
    document = {"filename": "s.mp3"}
    assert output.keep("tones", "s", "one", Record(document, file), ["a voice"])
    assert output.recall("tones", "s", "one", ["a voice"]) == Record(document, file)
    assert output.recall("tones", "s", "one", None) == Record(document, file)
    assert output.recall("tones", "s", "two", ["a voice"]) is None
    assert output.recall("tones", "s", "one", ["the voice as it is now"]) is None
    file.write_bytes(b"the sound of another")
    assert output.recall("tones", "s", "one", ["a voice"]) is None
    file.write_bytes(b"the sound of one")
    output.forget("tones", "s")
    assert output.recall("tones", "s", "one", ["a voice"]) is None


def test_a_session_gives_no_sound_of_another_text_whose_worker_ended_before_it_wrote_that_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = {"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo", "OSCINE_STORE_URL": (tmp_path / "store").as_uri()}
    asked = {"text": "One.", "session_id": "s", "seed": 1}
    with Studio(Settings.from_env(names), factories={"echo": echo()}) as studio:
        worker = Worker(studio)

        def sound(fields: dict[str, Any]) -> bytes:
            assert answers(worker, fields)[-1]["s3_key"] == "s.mp3"
            return (tmp_path / "store" / "s.mp3").read_bytes()

        first = sound(asked)
        with monkeypatch.context() as patched:
            patched.setattr(worker.output, "keep", lambda *_: False)
            assert sound({**asked, "text": "Another one, which is longer."}) != first
            assert (worker.output.folder("echo") / "s.mp3").exists(), "nothing tells where else it is"
        assert sound(asked) == first


def test_two_streams_of_one_session_do_not_write_into_one_file(tmp_path: Path):
    copies = [Copy(tmp_path, "s", Format.PCM) for _ in range(2)]
    for number, copy in enumerate(copies):
        copy.write(bytes([number]) * 100, 24_000)
    assert len(list(tmp_path.iterdir())) == 2
    for copy in copies:
        copy.close()
        copy.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("required", ["true", "false"])
def test_a_stream_whose_copy_no_store_takes_fails_only_where_that_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: str
):
    names = {"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo", "OSCINE_STORE_URL": (tmp_path / "store").as_uri()}

    def full(*_: object, **__: object) -> None:
        raise DeliveryFailed("The object store is full.")

    with Studio(Settings.from_env({**names, "S3_REQUIRED": required}), factories={"echo": echo()}) as studio:
        worker = Worker(studio)
        monkeypatch.setattr(worker.store, "upload", full)
        *pieces, last = answers(worker, {"text": "One.", "stream": True})
    assert pieces
    if required == "true":
        assert last["error"] == "The object store is full."
    else:
        assert (last["status"], last["warnings"]) == ("complete", ["The object store is full. The audio was streamed."])
        assert "url" not in last


def test_a_store_that_gives_no_link_costs_nobody_the_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = {"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo", "OSCINE_STORE_URL": (tmp_path / "store").as_uri()}

    def refused(*_: object) -> str:
        raise DeliveryFailed("The object store refused the credentials.")

    with Studio(Settings.from_env(names), factories={"echo": echo()}) as studio:
        worker = Worker(studio)
        monkeypatch.setattr(worker.store, "link", refused)
        document = answers(worker, {"text": "One."})[-1]
    assert base64.b64decode(document["audio_base64"])
    assert "The audio is in audio_base64 instead." in document["warnings"][-1]


def test_a_cancelled_job_goes_only_when_what_it_stores_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Otherwise the next job of its session would meet it."""
    names = {"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo", "OSCINE_STORE_URL": (tmp_path / "store").as_uri()}
    begun, go = threading.Event(), threading.Event()

    def upload(*arguments: Any, **more: Any) -> Any:
        begun.set()
        go.wait(60)
        return stored(*arguments, **more)

    async def check(worker: Worker) -> None:
        job = asyncio.create_task(last_of(worker.answer({"id": "a-job", "input": {"text": "One."}})))
        assert await asyncio.to_thread(begun.wait, 60)
        job.cancel()
        await asyncio.wait([job], timeout=0.2)
        assert not job.done()
        go.set()
        await asyncio.wait([job])
        assert job.cancelled()

    with Studio(Settings.from_env(names), factories={"echo": echo()}) as studio:
        worker = Worker(studio)
        assert worker.store is not None
        stored = worker.store.upload
        monkeypatch.setattr(worker.store, "upload", upload)
        asyncio.run(check(worker))
    assert (tmp_path / "store" / "a-job.mp3").exists()


def test_what_a_job_is_called_is_a_file_name_whatever_its_id():
    assert session_of("mine", "6f1c-e1") == "mine"
    assert session_of(None, "sync-6f1c_a-e1") == "sync-6f1c_a-e1"
    assert session_of(None, "../a/b\\c.d\n") == "abcd"
    assert len(session_of(None, "a" * 300)) == 128
    assert session_of(None, "..") != session_of(None, "..") != ""


def test_a_record_leads_to_no_file_of_another_folder(tmp_path: Path):
    output = Output(Settings(output_audio_dir=tmp_path / "output"))
    (tmp_path / "secret.mp3").write_bytes(b"of somebody else")
    record = Record({"filename": "../secret.mp3"}, tmp_path / "secret.mp3")
    assert output.keep("tones", "s", "one", record)
    assert output.recall("tones", "s", "one") is None


def test_a_request_is_the_same_whatever_its_session_and_another_for_an_engine_that_speaks_otherwise():
    info = EchoEngine().info
    asked = {"text": "One.", "seed": 7}
    one = identity_of(asked, info)
    others = {"session_id": "s", "stream": False, "action": "speak", "stream_tail_ms": 50, "stream_crossfade_ms": 20}
    assert identity_of({**others, **asked}, info) == one
    assert identity_of({**asked, "seed": 8}, info) != one
    assert identity_of(asked, replace(info, version="another")) != one
    assert identity_of(asked, replace(info, name="another")) != one


def test_of_a_very_long_text_the_times_of_the_sentences_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("oscine.runpod.documents.ITEM_BYTES", 1_500)  # what is very long then, takes no time to speak
    settings = Settings.from_env({"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo"})
    with Studio(settings, factories={"echo": echo()}) as studio:
        for stream in (False, True):
            last = answers(Worker(studio), {"text": "One. " * 20, "stream": stream})[-1]
            assert last["segments"] == []
            assert "The segments are more than a result may hold and were left out." in last["warnings"]


def test_the_first_piece_of_a_stream_tells_what_is_known_before_it(tmp_path: Path):
    settings = Settings.from_env({"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo"})
    with Studio(settings, factories={"echo": echo()}) as studio:
        first, *pieces, last = answers(Worker(studio), {"text": "One. Two.", "stream": True, "no_field": 1})
    told = {name: last["metadata"][name] for name in ("engine", "voice", "seed")}
    assert (first["warnings"], first["metadata"]) == (last["warnings"], told)
    assert all("metadata" not in piece for piece in pieces)


def test_a_session_is_spoken_again_with_a_voice_that_was_replaced(tones: tuple[Client, Process]):
    platform, process = tones
    recordings = [base64.b64encode(recording(seconds=seconds)).decode() for seconds in (4, 5)]
    asked = {"text": "Whose voice is this?", "voice": "changed", "session_id": "voiced"}
    platform.done({"action": "add_voice", "name": "changed", "voice_audio": recordings[0]})
    first = platform.done(asked)
    assert platform.done(asked) == first
    platform.done({"action": "add_voice", "name": "changed", "voice_audio": recordings[1], "replace": True})
    platform.done(asked)
    assert process.begun().count("Whose voice is this?") == 2
    platform.done({"action": "delete_voice", "name": "changed"})
    assert platform.done(asked)["filename"] == "voiced.mp3"
    assert process.begun().count("Whose voice is this?") == 2


def test_a_place_that_is_taken_is_told_without_saying_where_it_is(tones: tuple[Client, Process]):
    platform, process = tones
    (process.volume / "indextts" / "output_audio" / "taken.mp3").mkdir()
    told = platform.failed({"text": "Where does it go?", "session_id": "taken"})
    assert told == "OUTPUT_AUDIO_DIR: taken.mp3 is a folder; name a file in it."


def test_any_number_of_warnings_fits_into_a_result(tones: tuple[Client, Process]):
    platform, _ = tones
    for stream in (False, True):
        job = platform.run({"text": "Good day.", "stream": stream, **{f"unknown_{n:05}": n for n in range(40_000)}})
        document = platform.ended(job).output[-1]
        assert job.refused == []
        assert len(document["warnings"]) <= 32
        assert any("more warnings" in warning for warning in document["warnings"])


def test_two_jobs_of_one_session_at_once_are_spoken_once(tones: tuple[Client, Process]):
    platform, process = tones
    asked = {"text": "Twins are held.", "session_id": "twins"}
    jobs = [platform.run(asked), platform.run(asked)]
    until(lambda: all(job.status == "IN_PROGRESS" for job in jobs))
    process.go()
    first, second = (platform.ended(job).output for job in jobs)
    assert first == second
    assert process.begun().count("Twins are held.") == 1
    (process.volume / "go").unlink()


def test_as_many_jobs_are_taken_as_the_engine_has_lanes(tones: tuple[Client, Process]):
    platform, process = tones
    jobs = [platform.run({"text": f"Job {number} is held."}) for number in range(5)]
    until(lambda: sum(job.status == "IN_PROGRESS" for job in jobs) == 3)
    assert [job.status for job in jobs].count("IN_QUEUE") == 2
    process.go()
    assert {platform.ended(job).status for job in jobs} == {"COMPLETED"}
    (process.volume / "go").unlink()


def test_with_a_single_result_the_output_is_the_bare_document(platform: Client, start: Start):
    start(OSCINE_SINGLE_RESULT="true", OSCINE_PRELOAD="never", OSCINE_ENGINE="tones")
    for asked in ({"text": "One."}, {"text": "One.", "stream": True}):
        job = platform.ended(platform.run(asked))
        assert job.status == "COMPLETED"
        assert job.output["status"] == "completed"
        assert base64.b64decode(job.output["audio_base64"])
        assert job.streamed == []
    job = platform.ended(platform.run({"text": ""}))
    assert job.status == "FAILED"
    assert job.error == "text is empty; give at least one word to speak."
    assert json.dumps(job.output) == '{"error_type": "invalid_request_error"}'

"""Results in an object store, and what becomes of them when it cannot be reached."""

from __future__ import annotations

import base64
import os
import signal
import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from oscine.config import Settings
from oscine.delivery.store import ObjectStore
from oscine.errors import DeliveryFailed
from oscine.runpod import pieces
from oscine.runpod.worker import Worker
from oscine.synthesis.studio import Studio
from tests.delivery.seaweed import NOBODY, OWNER, WRITER, Seaweed, seaweed
from tests.echo import echo
from tests.runpod.conftest import TONES, Start, housed
from tests.runpod.house import Client, Process
from tests.runpod.test_checks import answers
from tests.runpod.test_results import text_of
from tests.voices.recordings import recording
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as found:
        yield found


@pytest.fixture(scope="module")
def stored(server: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Process]]:
    """A platform with a worker that has a store, and may otherwise answer with a megabyte."""
    with housed(tmp_path_factory.mktemp("stored"), OSCINE_MAX_RESULT_MB="1", **TONES, **variables(server)) as found:
        yield found


def variables(server: Seaweed, **others: str) -> dict[str, str]:
    return {
        "S3_ENDPOINT_URL": server.url,
        "S3_ACCESS_KEY_ID": WRITER[0],
        "S3_SECRET_ACCESS_KEY": WRITER[1],
        "S3_BUCKET_NAME": server.bucket,
        **others,
    }


def unreachable() -> dict[str, str]:
    """A store at an address where nobody listens."""
    return {
        "S3_ENDPOINT_URL": NOBODY,
        "S3_ACCESS_KEY_ID": "key",
        "S3_SECRET_ACCESS_KEY": "the-secret-of-nobody",
        "S3_BUCKET_NAME": "speech",
        "S3_TIMEOUT_SECONDS": "1",
    }


def store_of(server: Seaweed) -> ObjectStore:
    found = ObjectStore.from_settings(Settings(**server.settings()))
    assert found is not None
    return found


def fetched(document: dict[str, Any]) -> bytes:
    """What anybody gets who follows the link."""
    answer = httpx.get(document["url"], timeout=PATIENCE_S, verify=False)
    assert answer.status_code == 200
    return answer.content


def test_a_result_is_a_link_to_the_file(stored: tuple[Client, Process], server: Seaweed):
    platform, process = stored
    document = platform.done({"text": "One goes away.", "session_id": "linked", "format": "wav"})
    assert document["url"] == document["audio_url"]
    assert document["s3_key"] == document["filename"] == "linked.wav"
    assert "audio_base64" not in document
    with wave.open(BytesIO(fetched(document))) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(document["duration_sec"], abs=0.01)
    assert "linked.wav" in server.files()
    assert not (process.volume / "indextts" / "output_audio" / "linked.wav").exists()


def test_a_result_of_any_size_is_delivered(stored: tuple[Client, Process]):
    document = stored[0].done({"text": text_of(3.0), "format": "wav"})
    assert len(fetched(document)) > 2_500_000


def test_the_same_session_again_is_neither_spoken_nor_sent_again(stored: tuple[Client, Process], server: Seaweed):
    platform, process = stored
    asked = {"text": "Stored only once.", "session_id": "twice"}
    first = platform.done(asked)
    before = store_of(server).find("twice.mp3")
    second = platform.done(asked)
    assert fetched(second) == fetched(first)
    assert store_of(server).find("twice.mp3") == before
    assert process.begun().count("Stored only once.") == 1


@pytest.mark.parametrize("lost", ["deleted", "replaced"])
def test_a_file_that_is_not_in_the_store_any_more_comes_back_without_being_spoken(
    stored: tuple[Client, Process], server: Seaweed, tmp_path: Path, lost: str
):
    platform, process = stored
    asked = {"text": f"Once it is {lost}.", "session_id": lost, "format": "wav"}
    sound = fetched(platform.done(asked))
    if lost == "deleted":
        store_of(server).delete(f"{lost}.wav")
    else:
        (tmp_path / "other").write_bytes(b"another")
        store_of(server).upload(tmp_path / "other", f"{lost}.wav", content_type="audio/wav", filename="other.wav")
    assert fetched(platform.done(asked)) == sound
    assert process.begun().count(f"Once it is {lost}.") == 1


def test_a_stream_ends_with_a_link_to_all_of_it(stored: tuple[Client, Process]):
    platform, process = stored
    job = platform.run({"text": "One flows. Two flows.", "stream": True, "session_id": "flow"})
    *pieces, last = platform.stream(job)
    sound = b"".join(base64.b64decode(item["audio_chunk"]) for item in pieces)
    assert last["status"] == "complete"
    assert (last["filename"], last["format"]) == ("flow.wav", "wav")
    with wave.open(BytesIO(fetched(last))) as file:
        assert file.readframes(file.getnframes()) == sound
    assert list((process.volume / "indextts" / "output_audio").glob("*.part")) == []


def test_a_job_may_bring_a_store_of_its_own(stored: tuple[Client, Process], server: Seaweed):
    platform, process = stored
    own = {"accessId": OWNER[0], "accessSecret": OWNER[1], "bucketName": server.bucket, "endpointUrl": server.url}
    document = platform.done({"text": "In my own place.", "session_id": "mine"}, s3Config=own)
    assert f"Credential={OWNER[0]}" in document["url"].replace("%3D", "=")
    assert fetched(document)
    wrong = platform.done({"text": "In no place."}, s3Config={**own, "accessSecret": "wrong-one"})
    assert base64.b64decode(wrong["audio_base64"])
    assert wrong["warnings"][0].endswith("The audio is in audio_base64 instead.")
    assert "bucketName" in platform.failed({"text": "Nowhere."}, s3Config={**own, "bucketName": ""})
    assert platform.failed({"text": "Nowhere."}, s3Config="s3") == "s3Config must be an object."
    for secret in (OWNER[1], WRITER[1], "wrong-one", server.url):
        assert secret not in process.log()


def test_a_voice_is_added_from_the_store_heard_and_deleted(
    stored: tuple[Client, Process], server: Seaweed, tmp_path: Path
):
    platform, _ = stored
    (tmp_path / "voice.wav").write_bytes(recording())
    store_of(server).upload(tmp_path / "voice.wav", "in/anna.wav", content_type="audio/wav", filename="anna.wav")
    added = platform.done({"action": "add_voice", "name": "anna", "s3_key": "in/anna.wav"})
    assert added == {"status": "completed", "voice": "anna"}
    assert "anna" in platform.done({"action": "list_voices"})["names"]
    assert platform.done({"text": "Hear me.", "voice": "anna"})["metadata"]["voice"] == "anna"
    assert "s3_key" in platform.failed({"action": "add_voice", "name": "bert", "s3_key": "in/bert.wav"})
    assert "s3_key" in platform.failed({"action": "add_voice", "name": "bert", "s3_key": "../bert.wav"})
    assert platform.done({"action": "delete_voice", "name": "anna"}) == {"status": "completed", "deleted": "anna"}
    assert "anna" not in platform.done({"action": "list_voices"})["names"]


def test_health_tells_that_the_store_works(stored: tuple[Client, Process], server: Seaweed):
    def healthy() -> dict[str, Any] | None:
        told = stored[0].done({"action": "health_check"})
        return told if told["status"] == "healthy" else None

    told = until(healthy)  # a store that stands still for some seconds is not
    assert told["checks"]["s3"] == {"status": "pass", "details": "The object store can be written and gives links."}
    assert [name for name in server.files() if name.startswith(".oscine")] == []


def test_a_job_whose_worker_is_killed_while_it_uploads_is_not_spoken_again(
    platform: Client, start: Start, server: Seaweed
):
    process = start(**TONES, **variables(server))
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        job = platform.run({"text": "One is on its way. Two is on its way.", "session_id": "midway"})
        until((process.volume / "indextts" / "output_audio" / "midway.result.json").exists)
        process.kill()
    finally:
        os.kill(server._process.pid, signal.SIGCONT)
    second = start(**TONES, **variables(server))
    document = platform.ended(job).output[0]
    assert fetched(document)
    assert (job.status, job.taken) == ("COMPLETED", 2)
    assert second.begun().count("One is on its way.") == 1
    assert second.begun().count("Two is on its way.") == 1


def test_without_a_store_that_answers_the_result_is_in_the_job_or_kept_until_there_is_one(
    platform: Client, start: Start, server: Seaweed
):
    process = start(OSCINE_MAX_RESULT_MB="1", **TONES, **unreachable())
    document = platform.done({"text": "Small enough."})
    assert base64.b64decode(document["audio_base64"])
    assert document["warnings"][0].startswith("The object store cannot be reached")
    large = {"text": text_of(1.5), "format": "wav", "session_id": "kept"}
    assert "session_id kept" in platform.failed(large)
    health = platform.done({"action": "health_check"})
    assert (health["status"], health["checks"]["s3"]["status"]) == ("unhealthy", "fail")
    for secret in ("the-secret-of-nobody", "127.0.0.1:"):
        assert secret not in process.log().replace(platform.plane.url, "")
    begun = len(process.begun())
    process.stop()
    process.ended()
    start(OSCINE_MAX_RESULT_MB="1", **TONES, **variables(server))
    assert len(fetched(platform.done(large))) > 1_000_000
    assert len(process.begun()) == begun + len(["Ready."])


def test_a_store_that_is_required_and_does_not_answer_fails_the_job_and_keeps_the_speech(
    platform: Client, start: Start, server: Seaweed
):
    process = start(S3_REQUIRED="true", **TONES, **unreachable())
    asked = {"text": "Must be stored.", "session_id": "required"}
    told = platform.failed(asked)
    assert told.startswith("The object store cannot be reached")
    assert "session_id required" in told
    process.stop()
    process.ended()
    start(S3_REQUIRED="true", **TONES, **variables(server))
    assert fetched(platform.done(asked))
    assert process.begun().count("Must be stored.") == 1


def test_a_store_that_is_required_and_not_configured_is_told_before_anything_is_spoken(platform: Client, start: Start):
    process = start(S3_REQUIRED="true", **TONES)
    for stream in (False, True):
        assert "S3_REQUIRED" in platform.failed({"text": "Never said.", "stream": stream})
    assert "Never said." not in process.begun()


@pytest.mark.parametrize("required", [False, True])
def test_a_stream_goes_on_without_its_copy_unless_that_is_required(
    required: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise DeliveryFailed("OUTPUT_AUDIO_DIR: the disk is full; free some space or choose another place.")

    monkeypatch.setattr(pieces.Copy, "write", full)
    settings = {"OSCINE_VOLUME": str(tmp_path), "OSCINE_ENGINE": "echo", "S3_REQUIRED": str(required).lower()}
    with Studio(Settings.from_env(settings | unreachable()), factories={"echo": echo()}) as studio:
        documents = answers(Worker(studio), {"text": "One is said. Two is said.", "stream": True})
    if required:
        assert documents[-1]["error"].startswith("OUTPUT_AUDIO_DIR: the disk is full")
    else:
        assert documents[-1]["status"] == "complete"
        (warning,) = documents[-1]["warnings"]
        assert warning.startswith("OUTPUT_AUDIO_DIR: the disk is full")
        assert warning.endswith("The audio was streamed, and is not in the object store.")
        assert "url" not in documents[-1]

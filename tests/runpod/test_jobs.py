"""Jobs that speak with the built-in voice, as a client of the platform sends them."""

from __future__ import annotations

import base64
import http.server
import json
import threading

import pytest

from oscine.audio.decode import decode
from oscine.voices.library import UPLOAD
from tests.runpod.house import HELLO, Client, Process
from tests.runpod.plane import RUN_BYTES
from tests.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def platform(house: tuple[Client, Process]) -> Client:
    return house[0]


def seconds_of(audio: str) -> float:
    """How long the sound of a file in base64 lasts."""
    return decode(base64.b64decode(audio), UPLOAD).duration


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav"])
def test_a_job_gives_one_document_with_the_whole_sound(platform: Client, format: str):
    job = platform.ended(platform.run({"text": HELLO, "format": format, "seed": 7}))
    (document,) = job.output
    assert document["status"] == "completed"
    assert document["format"] == format
    assert document["filename"] == f"{job.id}.{format}"
    assert seconds_of(document["audio_base64"]) == pytest.approx(document["duration_sec"], abs=0.1)
    assert document["metadata"]["seed"] == 7
    assert [segment["text"] for segment in document["segments"]] == [
        "Good morning to all of you.",
        "The train leaves at nine.",
    ]
    assert job.streamed[0][2] == document


def test_twenty_jobs_at_once_are_all_answered_each_with_its_own_text(platform: Client, house: tuple[Client, Process]):
    jobs = [platform.run({"text": f"This is job {number}."}) for number in range(20)]
    for number, job in enumerate(jobs):
        platform.ended(job)
        assert job.status == "COMPLETED", job.error
        assert job.output[0]["segments"][0]["text"] == f"This is job {number}."
        assert job.output[0]["audio_base64"]
        assert job.taken == 1
        assert job.late == []
    health = platform.call("GET", "health").json()
    assert health["jobs"]["inProgress"] == health["jobs"]["inQueue"] == 0
    assert health["workers"] == {"idle": 1, "running": 0}


def test_runsync_waits_for_the_result(platform: Client):
    told = platform.call("POST", "runsync", json={"input": {"text": HELLO}}).json()
    assert told["status"] == "COMPLETED"
    assert told["output"][0]["status"] == "completed"


def test_a_webhook_gets_the_result(platform: Client):
    got: list[dict] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        job = platform.run({"text": HELLO}, webhook=f"http://127.0.0.1:{server.server_port}/")
        until(lambda: got)
        server.shutdown()
    assert got[0]["id"] == job.id
    assert got[0]["output"][0]["status"] == "completed"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "text is missing; it takes the text to speak, as a string."),
        ({"text": " \n"}, "text holds only blanks; give at least one word to speak."),
        ({"text": "Hello.", "speed": 9}, "speed must be a number from 0.25 to 4."),
        ({"text": "Hello.", "format": "midi"}, "format must be one of mp3, opus, aac, flac, wav, pcm."),
        ({"text": "Hello.", "session_id": "../up"}, "session_id must be at most 128 letters, digits, dots, "),
        ({"text": "Hello.", "engine": "nobody"}, "engine must be one of "),
        ({"text": "Hello.", "voice": "nobody"}, "voice "),
        ({"text": "Hello.", "stream": True, "speed": "fast"}, "speed must be a number from 0.25 to 4."),
        ({"action": "dance"}, "action must be one of speak, health_check, list_voices, add_voice, delete_voice."),
    ],
)
def test_a_wrong_wish_is_one_sentence_that_names_the_field(platform: Client, asked: dict, sentence: str):
    told = platform.failed(asked)
    assert told.startswith(sentence)
    assert "\n" not in told


@pytest.mark.parametrize("sent", [None, "Hello.", ["Hello."], 3])
def test_an_input_that_is_no_object_is_told(platform: Client, sent: object):
    answer = platform.call("POST", "run", json={"input": sent})
    job = platform.ended(platform.plane.jobs[answer.json()["id"]])
    assert job.error == "input must be an object with the fields of a request, such as text."


def test_what_the_platform_does_not_take_never_reaches_the_worker(platform: Client):
    assert platform.call("POST", "run", json={"input": {"text": "a" * RUN_BYTES}}).status_code == 413
    assert (
        platform.http.post(f"{platform.plane.url}/v2/ep/run", headers={"Authorization": "Bearer other"}).status_code
        == 401
    )


def test_the_log_holds_neither_what_was_said_nor_the_sound(platform: Client, house: tuple[Client, Process]):
    document = platform.done({"text": "The heron stands in the reeds.", "format": "wav"})
    platform.ended(platform.run({"text": "The bittern booms at dusk.", "stream": True}))
    platform.failed({"text": "The coot dives.", "voice": "Moorhen"})
    log = house[1].log()
    for word in ("heron", "bittern", "coot", "Moorhen", document["audio_base64"][:40], "audio_chunk", "rpa_worker"):
        assert word not in log

"""What is heard through the bridge is what the worker says."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import json
import wave
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bridge.conftest import House
from tests.bridge.gate import Gate
from tests.bridge.house import MEDIA_TYPES, SEED, TEXT, Bridge, Bundle, asked, endpoint_of, running
from tests.runpod.house import client, worker
from tests.runpod.plane import Job, Plane
from tests.waiting import until


def pieces_of(house: House, **fields: Any) -> bytes:
    """The sound of a job that streams, asked for without the bridge."""
    job = house.direct.ended(house.direct.run({"text": TEXT, "seed": SEED, "stream": True, **fields}))
    return b"".join(base64.b64decode(item["audio_chunk"]) for item in job.output if "audio_chunk" in item)


def events_of(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:")]


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_every_format_is_byte_for_byte_what_the_worker_streams(house: House, format: str):
    answer = house.bridge.speech(response_format=format)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPES[format]
    assert answer.content == pieces_of(house, format=format)
    assert len(answer.content) > 10_000


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_a_whole_file_is_byte_for_byte_what_the_worker_makes(house: House, gate: Gate, format: str):
    answer = house.bridge.speech(response_format=format, stream=False)
    document = house.direct.done({"text": TEXT, "seed": SEED, "format": format})
    assert answer.content == base64.b64decode(document["audio_base64"])
    assert answer.headers["content-type"] == MEDIA_TYPES[format]
    assert gate.counted() == {"runsync": 1}


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_events_carry_the_same_bytes_and_the_facts_at_the_end(house: House, format: str):
    answer = house.bridge.speech(response_format=format, stream_format="sse")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *deltas, done = events_of(answer)
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == pieces_of(house, format=format)
    assert done["type"] == "speech.audio.done"
    assert done["seed"] == SEED
    assert done["duration"] == pytest.approx(3.05, abs=0.5)
    assert done["usage"] == {"input_tokens": 13, "output_tokens": 62, "total_tokens": 75}
    assert [segment["text"] for segment in done["segments"]] == [
        "Good morning to all of you.",
        "The train leaves at nine.",
    ]
    assert done["warnings"] == []


def test_headers_say_what_is_known_before_the_first_sound(house: House):
    headers = house.bridge.speech(response_format="wav", emo_alpha=0.5).headers
    assert headers["x-oscine-engine"] == "hibari"
    assert headers["x-oscine-voice"] == "heart"
    assert headers["x-oscine-seed"] == str(SEED)
    assert "emo_alpha" in headers["x-oscine-warnings"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"].startswith("req_")
    assert {part.split(";")[0] for part in headers["server-timing"].split(", ")} == {"queue", "speak", "first-audio"}


def test_a_seed_that_nobody_gave_is_told_and_gives_the_same_sound_again(house: House):
    first = house.bridge.speech(seed=..., response_format="pcm")
    again = house.bridge.speech(seed=int(first.headers["x-oscine-seed"]), response_format="pcm")
    assert first.content == again.content


def test_a_request_keeps_its_id(house: House):
    with house.bridge.client() as http:
        answer = http.post("/v1/audio/speech", json=asked(), headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"


def test_the_first_sound_comes_before_the_job_ends(tones: House):
    """The rest of the job waits for a word of ours, and that is said when the first sound is here."""
    with (
        tones.bridge.client() as http,
        http.stream(
            "POST", "/v1/audio/speech", json=asked(input="This comes first. This is held back.", response_format="pcm")
        ) as answer,
    ):
        parts = answer.iter_bytes()
        first = next(parts)
        (job,) = tones.plane.jobs.values()
        assert job.status == "IN_PROGRESS"
        tones.process.go()
        heard = first + b"".join(parts)
    assert len(heard) > len(first) > 0
    assert heard == sound_of(job)


def sound_of(job: Job) -> bytes:
    """What a worker said, as it came to the platform: the SDK drops it in the end where it is much."""
    return b"".join(base64.b64decode(item["audio_chunk"]) for *_, item in job.streamed if "audio_chunk" in item)


def test_pieces_that_come_in_many_polls_are_put_together_in_order(tones: House):
    text = " ".join(f"Sentence number {number} goes on for quite a while, and then it ends." for number in range(40))
    answer = tones.bridge.speech(input=text, response_format="pcm")
    (job,) = tones.plane.jobs.values()
    assert len(job.streamed) > 20
    assert answer.content == sound_of(job)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="stream"),
        pytest.param({"stream": False}, id="file", marks=pytest.mark.long),
        pytest.param({"stream_format": "sse"}, id="events", marks=pytest.mark.long),
    ],
)
def test_a_worker_that_gives_single_results_is_heard(bundle: Bundle, tmp_path: Path, fields: dict[str, Any]):
    with (
        Plane().running() as plane,
        client(plane) as direct,
        Gate(plane.url).running() as gate,
        worker(plane, tmp_path, OSCINE_SINGLE_RESULT="true"),
        running(bundle, endpoint_of(gate)) as bridge,
    ):
        answer = bridge.speech(response_format="wav", **fields)
        assert answer.status_code == 200, answer.text
        job = direct.ended(direct.run({"text": TEXT, "seed": SEED, "format": "wav"}))
    wanted = base64.b64decode(job.output["audio_base64"])
    if "stream_format" in fields:
        *deltas, done = events_of(answer)
        assert b"".join(base64.b64decode(event["audio"]) for event in deltas) == wanted
        assert done["duration"] == job.output["duration_sec"]
    else:
        assert answer.content == wanted
        assert answer.headers["x-oscine-engine"] == "hibari"
    with wave.open(io.BytesIO(wanted)) as file:
        assert file.getframerate() == 24_000


def test_a_result_that_is_too_large_for_the_stream_comes_from_the_end(house: House, gate: Gate):
    """The worker keeps the sound of one out of /stream, which takes less than a result may have."""
    text = " ".join(f"This is sentence number {number}, which is long enough." for number in range(12))
    answer = house.bridge.speech(input=text, response_format="wav", stream="false")
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getnframes() / file.getframerate() > 20


def test_other_names_of_fields_are_understood(house: House):
    same = house.bridge.speech(response_format="wav").content
    assert house.bridge.speech(input=..., text=TEXT, response_format=..., format="wav").content == same
    assert house.bridge.speech(response_format=..., output_format="wav", voice={"id": "heart"}).content == same
    assert house.bridge.speech(model="any", response_format="wav", stream="true", session_id="s-1").content == same


def test_nothing_but_speech_is_asked_of_a_worker(house: House):
    """A client of the bridge is none of the endpoint."""
    answer = house.bridge.speech(action="list_voices", s3_key="x", name="y", response_format="wav")
    assert answer.headers["content-type"] == "audio/wav"
    *_, job = house.plane.jobs.values()
    assert not {"action", "s3_key", "name"} & job.asked["input"].keys()
    assert job.asked["policy"] == {"executionTimeout": 600_000, "ttl": 720_000}


@pytest.mark.long
def test_a_job_lives_as_long_as_runpod_wants_at_the_least(house: House, gate: Gate, bundle: Bundle):
    """It refuses a job with a `ttl` below 10 s, or an `executionTimeout` below 5."""
    with running(bundle, endpoint_of(gate), COLD_START_SECONDS="1", JOB_SECONDS="5") as bridge:
        assert bridge.speech().status_code == 200
    *_, job = house.plane.jobs.values()
    assert job.asked["policy"] == {"executionTimeout": 5000, "ttl": 10_000}


def test_older_pages_are_heard_under_their_route(house: House):
    """As the bridge before this one: samples as a stream, and errors that are one string."""
    with house.bridge.client() as http:
        answer = http.post(
            "/api/tts/stream",
            json={"text": TEXT, "voice": "alloy", "service": "x", "seed": SEED, "stream_format": "sse"},
        )
        assert answer.headers["content-type"] == "audio/octet-stream"
        assert answer.content == pieces_of(house, format="pcm")
        wrong = http.post("/api/tts/stream", json={"text": " ", "voice": "alloy"})
    assert wrong.status_code == 400
    assert wrong.json() == {"error": "text holds only blanks; give at least one word to speak."}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": ...}, "input"),
        ({"input": "  "}, "input"),
        ({"input": 5}, "input"),
        ({"input": "..."}, "input"),
        ({"speed": 9}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"response_format": "ogg-vorbis"}, "response_format"),
        ({"response_format": "ogg"}, "response_format"),
        ({"stream_format": "smoke"}, "stream_format"),
        ({"stream": "maybe"}, "stream"),
        ({"voice": 5}, "voice"),
        ({"voice": "nobody"}, "voice"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**53 + 1}, "seed"),
        ({"loudness": 5}, "loudness"),
        ({"voices": {"Alice": "nobody"}, "input": "Alice: Hello."}, "voices"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_with_its_field(house: House, fields: dict[str, Any], param: str):
    answer = house.bridge.speech(**fields)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["param"] == param, error
    assert error["message"].startswith(param)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"null", b'{"input": "\xff"}'])
def test_a_body_that_is_no_object_is_refused(bridge_of: Bridge, body: bytes):
    with bridge_of.client() as http:
        answer = http.post("/v1/audio/speech", content=body)
    assert answer.status_code == 400
    assert "JSON object" in answer.json()["error"]["message"]


@pytest.mark.parametrize("fields", ['"x": ' + "[" * 200_000 + "]" * 200_000, '"stream": {"toString": 1}'])
def test_a_body_that_is_made_to_break_something_is_refused(bridge_of: Bridge, fields: str):
    with bridge_of.client() as http:
        answer = http.post("/v1/audio/speech", content=f'{{"input": "Hello.", {fields}}}'.encode())
    assert answer.status_code == 400


def test_of_two_texts_the_one_is_spoken_that_was_checked(house: House):
    both = house.bridge.speech(text="Something else that is long.", response_format="wav")
    assert both.content == house.bridge.speech(response_format="wav").content


def test_a_body_that_is_too_large_is_refused(bridge_of: Bridge):
    answer = bridge_of.speech(voice_audio="A" * 10_000_000)
    assert answer.status_code == 413
    body = json.dumps(asked(voice_audio="A" * 10_000_000)).encode()
    with bridge_of.client() as http:
        unannounced = http.post("/v1/audio/speech", content=iter([body]))
    assert unannounced.status_code == 413


@pytest.fixture
def bridge_of(house: House) -> Bridge:
    return house.bridge


def test_fifty_clients_at_once_are_all_heard(house: House, gate: Gate):
    wanted = house.bridge.speech(response_format="mp3").content
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: house.bridge.speech(response_format="mp3"), range(50)))
    assert [answer.status_code for answer in answers] == [200] * 50
    assert all(answer.content == wanted for answer in answers)
    until(lambda: not [job for job in house.plane.jobs.values() if job.status == "IN_PROGRESS"])
    ids = [passed.path.rsplit("/", 1)[1] for passed in gate.of("stream")]
    assert max(ids.count(found) for found in ids) <= 45

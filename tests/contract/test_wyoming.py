"""What wyoming-openai 0.8, Home Assistant's way to this server, sends and expects, with the same headers."""

from __future__ import annotations

import io
import json
import struct
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.wire import Answer, send
from tests.http.conftest import is_ready, running

KEY = "sk-ours"
PROBE = """
    Accept: */*
    Accept-Encoding: gzip, deflate
    Connection: keep-alive
    User-Agent: python-httpx2/2.16.2
"""
SPEECH = """
    Accept-Encoding: gzip, deflate
    Connection: keep-alive
    accept: application/octet-stream
    content-type: application/json
    user-agent: CustomAsyncOpenAI/Python 3.22.1
    x-stainless-lang: python
    x-stainless-package-version: 3.22.1
    x-stainless-os: Linux
    x-stainless-arch: x64
    x-stainless-runtime: CPython
    x-stainless-runtime-version: 3.13.0
    x-stainless-async: async:asyncio
    x-stainless-raw-response: stream
    x-stainless-retry-count: 0
    x-stainless-read-timeout: 600
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("volume")) as found:
        yield is_ready(found).url


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its probes and its list of voices carry no key, even when it has one."""
    with running(tmp_path_factory.mktemp("locked"), OSCINE_API_KEYS=KEY) as found:
        yield is_ready(found).url


def probe(url: str, path: str) -> Answer:
    return send(url, f"GET {path} HTTP/1.1\n{PROBE.strip()}")


def say(url: str, text: str, key: str | None = None, **fields: object) -> Answer:
    head = f"POST /v1/audio/speech HTTP/1.1\n{SPEECH.strip()}" + (f"\nauthorization: Bearer {key}" if key else "")
    body = {"input": text, "model": "tts-1", "voice": "heart", "response_format": "wav", **fields}
    return send(url, head, json.dumps(body, separators=(",", ":")).encode())


@pytest.mark.parametrize("path", ["/v1/readyz", "/readyz"])
def test_it_does_not_take_this_for_localai(locked: str, path: str):
    """Any 2xx there means LocalAI, whose voices are named like its models."""
    assert probe(locked, path).status == 404


def test_it_does_not_take_this_for_speaches(locked: str):
    answer = probe(locked, "/health")
    assert answer.status == 200
    assert answer.body != b"OK"


def test_it_takes_this_for_kokoro_which_is_whom_it_asks_for_voices(locked: str):
    answer = probe(locked, "/v1/test")
    assert answer.status == 200
    assert answer.json()["status"] == "ok"


def test_it_finds_the_voices_without_a_key(locked: str):
    voices = probe(locked, "/v1/audio/voices").json()["voices"]
    assert "heart" in [voice.get("id") or voice.get("name") for voice in voices]
    assert all(voice["available"] for voice in voices), "it offers them all"


def test_it_hears_a_wav_whose_length_is_open_from_the_first_bytes(url: str):
    """It reads the header as it arrives: sizes of 0xFFFFFFFF mean a stream, anything else would cut it there."""
    answer = say(url, "Hello there. How are you?")
    assert answer.status == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.body[:4] + answer.body[8:12] == b"RIFFWAVE"
    with wave.open(io.BytesIO(answer.body)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
    offset = answer.body.index(b"data") + 8
    assert struct.unpack("<I", answer.body[offset - 4 : offset]) == (0xFFFFFFFF,)
    assert offset <= 65_536
    assert (len(answer.body) - offset) % 2 == 0
    assert (len(answer.body) - offset) / 2 / 24_000 > 1


def test_it_may_ask_for_three_sentences_at_once(url: str):
    texts = ["The first sentence.", "The second, longer sentence.", "And the third."]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda text: say(url, text), texts))
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert all(len(answer.body) > 24_000 for answer in answers)


def test_its_speed_and_instructions_are_taken(url: str):
    usual = say(url, "One, two, three, four.", seed=1)
    faster = say(url, "One, two, three, four.", seed=1, speed=2.0, instructions="Hurry.")
    assert 0.3 < len(faster.body) / len(usual.body) < 0.7


@pytest.mark.parametrize("key", [None, "sk-wrong"])
def test_speech_itself_needs_the_key(locked: str, key: str | None):
    assert say(locked, "Hello.", key).status == 401
    assert say(locked, "Hello.", KEY).status == 200

"""What Open WebUI 0.12 sends and what it makes of the answers (its `routers/audio`), with the same headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.sound import seconds
from tests.contract.wire import Answer, send
from tests.http.conftest import is_ready, running

KEY = "sk-ours"
AGENT = """
    Accept: */*
    Accept-Encoding: gzip, deflate
    User-Agent: Python/3.11 aiohttp/3.14.5
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a key: that is where the lists, which it asks for without one, would fail."""
    with running(tmp_path_factory.mktemp("volume"), OSCINE_API_KEYS=KEY) as found:
        yield is_ready(found).url


def get(url: str, path: str) -> Answer:
    return send(url, f"GET /v1{path} HTTP/1.1\n{AGENT.strip()}")


def post(url: str, key: str = KEY, **payload: object) -> Answer:
    head = f"POST /v1/audio/speech HTTP/1.1\nContent-Type: application/json\nAuthorization: Bearer {key}\n"
    return send(url, head + AGENT.strip(), json.dumps(payload).encode())


def test_the_settings_page_lists_models_without_a_key(url: str):
    answer = get(url, "/audio/models")
    assert answer.status == 200
    assert "hibari" in [model["id"] for model in answer.json().get("models", [])]


def test_its_second_way_to_models_works_too(url: str):
    found = get(url, "/models").json()
    assert "hibari" in [model["id"] for model in found.get("data", found.get("models", []))]


def test_the_settings_page_lists_voices_without_a_key(url: str):
    answer = get(url, "/audio/voices")
    assert answer.status == 200
    voices = {voice["id"]: voice["name"] for voice in answer.json().get("voices", [])}
    assert "heart" in voices
    assert all(isinstance(name, str) and name for name in voices.values())
    assert all(voice["available"] for voice in answer.json()["voices"]), "it offers them all"


@pytest.mark.parametrize("voice", ["alloy", "heart"])
def test_a_chat_is_read_aloud_without_a_format_being_asked_for(url: str, voice: str):
    answer = post(url, input="Hello there, this is a chat.", voice=voice, model="tts-1")
    assert answer.status == 200
    assert answer.headers["content-type"] == "audio/mpeg", "anything else is transcoded, or refused by its slim build"
    assert seconds(answer.body) > 1


@pytest.mark.parametrize(
    ("format", "media"), [("wav", "audio/wav"), ("flac", "audio/flac"), ("opus", "audio/ogg"), ("aac", "audio/aac")]
)
def test_formats_from_its_openai_params_have_types_that_browsers_play(url: str, format: str, media: str):
    answer = post(url, input="Hello there.", voice="heart", model="tts-1", response_format=format)
    assert answer.headers["content-type"].split(";")[0].strip().lower() == media
    assert seconds(answer.body) > 0.5


def test_pcm_says_its_rate_so_that_it_is_not_played_at_another(url: str):
    answer = post(url, input="Hello there.", voice="heart", model="tts-1", response_format="pcm")
    kind, *told = answer.headers["content-type"].split(";")
    assert kind == "audio/pcm"
    assert dict(part.strip().split("=") for part in told) == {"rate": "24000"}


@pytest.mark.parametrize(
    ("wrong", "status", "word"),
    [
        ({"voice": "nobody-of-this-name"}, 400, "voice"),
        ({"input": ""}, 400, "input"),
        ({"key": "sk-wrong"}, 401, "key"),
        ({"speed": "fast"}, 400, "speed"),
    ],
)
def test_a_person_is_shown_what_is_wrong(url: str, wrong: dict[str, str], status: int, word: str):
    answer = post(url, **{"input": "Hello.", "voice": "heart", "model": "tts-1", **wrong})
    assert answer.status == status
    shown = _shown(answer)
    assert word in shown.lower(), shown


def _shown(answer: Answer) -> str:
    """As its `_raise_tts_error` words a failure."""
    told = answer.json()
    assert "error" in told
    message = told["error"]
    return f"External: {message.get('message', message) if isinstance(message, dict) else message}"


def test_sentences_that_it_asks_for_all_at_once_are_all_spoken(url: str):
    """It sends each sentence of an answer as a request of its own, as soon as the page has it."""
    sentences = [f"This is sentence number {number}." for number in range(12)]
    with ThreadPoolExecutor(len(sentences)) as pool:
        answers = list(pool.map(lambda text: post(url, input=text, voice="heart", model="tts-1"), sentences))
    assert [answer.status for answer in answers] == [200] * len(sentences)
    assert all(seconds(answer.body) > 0.5 for answer in answers)

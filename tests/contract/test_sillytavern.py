"""What SillyTavern's server sends for an OpenAI-compatible voice (its `endpoints/openai.js`), with the same headers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.contract.sound import seconds
from tests.contract.wire import Answer, send
from tests.http.conftest import is_ready, running

KEY = "sk-ours"
HEAD = """
    Content-Type: application/json
    User-Agent: node-fetch (+https://github.com/node-fetch/node-fetch)
    Accept: */*
    Accept-Encoding: gzip, deflate, br
    Connection: close
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("volume")) as found:
        yield is_ready(found).url


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("locked"), OSCINE_API_KEYS=KEY) as found:
        yield is_ready(found).url


def ask(url: str, key: str, **wanted: object) -> Answer:
    usual = {"input": "Hello there.", "response_format": "mp3", "voice": "alloy", "speed": 1, "model": "tts-1"}
    head = f"POST /v1/audio/speech HTTP/1.1\nAuthorization: Bearer {key}\n{HEAD.strip()}"
    return send(url, head, json.dumps({**usual, **wanted}, separators=(",", ":")).encode())


def test_a_line_is_spoken_where_no_key_was_given_to_either(url: str):
    """It then sends `Bearer` with nothing behind it."""
    answer = ask(url, "")
    assert answer.status == 200
    assert answer.headers["content-type"] == "audio/mpeg"
    assert seconds(answer.body) > 0.5


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav"])
def test_its_formats_are_spoken(locked: str, format: str):
    assert seconds(ask(locked, KEY, response_format=format).body) > 0.5


@pytest.mark.parametrize("key", ["", "sk-wrong"])
def test_a_server_with_keys_asks_for_one_in_words(locked: str, key: str):
    """What is in the body of an error is what it shows."""
    answer = ask(locked, key)
    assert answer.status == 401
    assert "key" in answer.body.decode()


def test_a_line_without_words_is_refused_in_words(url: str):
    """A message of a role play may be nothing but dots and stars."""
    answer = ask(url, "", input="*...*")
    assert answer.status == 400
    assert answer.json()["error"]["message"]

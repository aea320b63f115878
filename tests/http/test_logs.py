"""The log: one line of JSON for each request, with what whoever runs the server needs and nothing that is private."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.http.apart import Apart, apart
from tests.http.asking import HELLO, SPEECH, call, get, speak

KEY = "sk-very-secret-key"
SECRET = "The password of the safe is swordfish."
WITH_KEY = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """A server that logs as it does when nobody asked for more."""
    with apart(tmp_path_factory.mktemp("logged"), OSCINE_API_KEYS=KEY) as found:
        yield found


def spoken(logged: Apart, **fields: object) -> dict[str, object]:
    """The line of a speech request."""
    answer = speak(logged, SECRET, headers=WITH_KEY, **fields)
    return logged.line_of(answer.headers["x-request-id"])


def test_it_begins_with_where_the_server_listens(logged: Apart):
    first = logged.log[0]
    assert (first["event"], first["level"], first["engine"]) == ("listening", "INFO", "hibari")
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]*", str(first["url"]))


def test_a_speech_request_is_one_line_with_its_facts(logged: Apart):
    answer = speak(logged, SECRET, response_format="pcm", seed=1, headers={**WITH_KEY, "x-request-id": "mine-1"})
    line = logged.line_of("mine-1")
    told = {name: line[name] for name in ("event", "level", "method", "route", "status", "engine", "voice", "format")}
    assert told == {
        "event": "request",
        "level": "INFO",
        "method": "POST",
        "route": SPEECH,
        "status": 200,
        "engine": "hibari",
        "voice": "heart",
        "format": "pcm",
    }
    assert line["outcome"] == "done"
    assert line["characters"] == pytest.approx(len(SECRET), abs=2)
    assert line["audio_seconds"] == pytest.approx(len(answer.content) / 48_000, abs=0.001)
    assert 0 < line["first_audio_ms"] <= line["ms"]
    assert 0 < line["real_time_factor"] < 10
    now = datetime.now(UTC)
    at = datetime.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert now - timedelta(minutes=5) < at <= now + timedelta(seconds=1)


def test_events_are_logged_like_audio(logged: Apart):
    line = spoken(logged, stream_format="sse")
    assert (line["status"], line["outcome"], line["format"]) == (200, "done", "mp3")


def test_a_refused_request_says_which_kind_of_error_and_field_it_was(logged: Apart):
    line = spoken(logged, speed=9)
    assert (line["status"], line["error"], line["param"]) == (400, "invalid_request_error", "speed")
    refused = speak(logged, SECRET, headers={"authorization": "Bearer sk-wrong"})
    line = logged.line_of(refused.headers["x-request-id"])
    assert (line["status"], line["error"], line["code"]) == (401, "authentication_error", "invalid_api_key")
    line = logged.line_of(get(logged, "/nowhere/swordfish?key=swordfish").headers["x-request-id"])
    assert (line["status"], line["route"]) == (404, "none")


def test_a_client_that_left_is_logged_as_such(logged: Apart):
    body = f'{{"input": "{HELLO * 200}"}}'.encode()
    head = f"POST {SPEECH} HTTP/1.1\r\nhost: x\r\nx-request-id: left-1\r\nauthorization: Bearer {KEY}\r\n"
    with socket.create_connection(("127.0.0.1", logged.port), timeout=30) as client:
        client.sendall(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        assert client.recv(12) == b"HTTP/1.1 200"
    assert logged.line_of("left-1")["outcome"] == "left"


def test_what_is_asked_every_few_seconds_is_not_logged(logged: Apart):
    for path in ("/health", "/ping", "/v1/test"):
        get(logged, path)
    get(logged, "/metrics", headers=WITH_KEY)
    get(logged, "/v1/models", headers={"x-request-id": "after-them"})
    logged.line_of("after-them")
    assert not {"/health", "/ping", "/v1/test", "/metrics"} & {line.get("route") for line in logged.log}


def test_an_id_that_could_forge_a_line_is_not_taken(logged: Apart):
    answer = get(logged, "/v1/models", headers={"x-request-id": '","event":"forged'})
    assert logged.line_of(answer.headers["x-request-id"])["event"] == "request"
    assert "forged" not in logged.raw.decode()


def test_no_line_holds_text_keys_or_paths_and_every_line_is_an_object(logged: Apart):
    spoken(logged)
    spoken(logged, voice="swordfish")
    spoken(logged, pronunciations={"swordfish": "swordfish"}, instructions="Say swordfish.", swordfish=1)
    for path in ("/v1/audio/voices/swordfish", "/v1/models/swordfish", "/v1/audio/voices?engine=swordfish"):
        logged.line_of(get(logged, path, headers=WITH_KEY).headers["x-request-id"])
    call(logged, "POST", SPEECH, content=b'{"input": "swordfish', headers=WITH_KEY)
    written = logged.raw.decode()
    for secret in ("swordfish", SECRET, KEY, "sk-", "Bearer", "Traceback", str(logged.folder)):
        assert secret not in written, secret
    for line in logged.log:
        assert {"time", "level", "event"} <= set(line)


def test_the_text_is_logged_when_that_was_asked_for_and_the_key_even_then_is_not(tmp_path: Path):
    with apart(tmp_path, OSCINE_LOG_TEXT="true", OSCINE_API_KEYS=KEY) as found:
        for asked in (SECRET, "Schöne Grüße, 世界.", "Two\nlines."):
            answer = speak(found, asked, headers=WITH_KEY)
            assert found.line_of(answer.headers["x-request-id"])["text"] == asked
        found.signal()
        assert found.ended() == 0
    assert KEY not in found.raw.decode()
    assert "swordfish" in found.raw.decode()
    assert found.log[-1]["event"] == "stopped"

"""Whatever goes wrong, the answer has one shape, and neither it nor the log tells what is nobody's business."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oscine.engines.protocol import Missing
from tests.echo import EchoEngine, Failure, echo
from tests.http.apart import apart
from tests.http.conftest import Running, Serve
from tests.http.raw import Answer, ask, connected, events, head, read, request, speech, upload
from tests.voices.recordings import recording
from tests.waiting import PATIENCE_S, eventually

PRIVATE = "The secret is hidden under the mulberry tree."
KEY = "sk-very-secret-key"
JSON = {"Content-Type": "application/json"}
TONES: dict[str, Any] = {"factories": {"echo": echo()}, "OSCINE_ENGINE": "echo"}
"""A server that is up at once, for what needs no voice."""


def proper(answer: Answer, status: int, *, kind: str | None = None) -> dict[str, object]:
    """The error of an answer that is as every error is."""
    assert answer.status == status, answer.body
    assert answer.whole
    error = answer.error
    assert answer.headers["content-type"] == "application/json"
    assert 1 <= len(answer.headers["x-request-id"]) <= 128
    assert error["type"] == kind or kind is None
    if status in (429, 503):
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    private(answer.body + json.dumps(answer.headers).encode())
    return error


def private(said: bytes, *, is_sound: bool = False) -> None:
    """It holds no text of a user, no key, no path and nothing of the code."""
    secrets = [b"mulberry", KEY.encode(), b"Traceback", b'File "', b"site-packages"]
    if not is_sound:  # where so few bytes stand in a row by chance
        secrets += [b"/work", b"/tmp", b"/usr", b".py"]
    for secret in secrets:
        assert secret not in said, said


@pytest.fixture(autouse=True)
def private_log(caplog: pytest.LogCaptureFixture) -> object:
    """No line that the server logs, as it formats it, says what nobody may read."""
    from oscine.http.logs import _Lines

    caplog.set_level(logging.INFO, "oscine")
    yield None
    lines = [record for record in caplog.records if record.name.split(".")[0] in ("oscine", "uvicorn", "asyncio")]
    for record in lines:
        private(_Lines().format(record).encode())


def broken(**kinds: object) -> dict[str, Callable[[object], EchoEngine]]:
    return {"echo": echo(failures=[Failure("mulberry", times=99, **kinds)])}  # type: ignore[arg-type,dict-item]


def test_400_and_404_and_405_name_what_is_wrong(server: Running) -> None:
    assert proper(ask(server.port, speech(PRIVATE, speed=9)), 400)["param"] == "speed"
    assert proper(ask(server.port, speech(PRIVATE, voice="nobody")), 400)["param"] == "voice"
    assert proper(ask(server.port, speech(PRIVATE, engine="nothing")), 400)["param"] == "engine"
    proper(ask(server.port, request("GET", "/v1/audio/voices/nobody")), 404)
    proper(ask(server.port, request("GET", "/v1/models/nothing")), 404)
    for target in ("/v1/readyz", "/v1/audio/speech/", "/nothing", "/v1", "//", "/v1/audio/voices/", "/redoc"):
        answer = ask(server.port, request("GET", target))
        proper(answer, 404)
    for method, target in (("GET", "/v1/audio/speech"), ("PUT", "/v1/audio/voices"), ("POST", "/health"), ("X", "/")):
        answer = ask(server.port, request(method, target))
        proper(answer, 405)
        assert answer.headers["allow"]


def test_401_says_how_a_key_is_sent(serve: Serve) -> None:
    server = serve(**TONES, OSCINE_API_KEYS=KEY)
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": KEY},
        {"Authorization": "Bearer \xff\xfe"},
    ):
        for method, target in (
            ("POST", "/v1/audio/speech"),
            ("POST", "/v1/audio/voices"),
            ("DELETE", "/v1/audio/voices/x"),
            ("GET", "/v1/audio/voices/x"),
            ("GET", "/v1/audio/voices/x/sample"),
            ("GET", "/metrics"),
        ):
            answer = ask(server.port, request(method, target, b"", **headers))
            assert proper(answer, 401, kind="authentication_error")["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
    assert ask(server.port, request("GET", "/metrics", Authorization=f"Bearer {KEY}")).status == 200


def test_408_and_413_are_as_all_errors_are(serve: Serve) -> None:
    server = serve(**TONES, OSCINE_BODY_SECONDS="0.3", OSCINE_MAX_BODY_MB="0.01")
    with connected(server.port) as sock:
        sock.sendall(head("POST", "/v1/audio/speech", {**JSON, "Content-Length": "100"}) + PRIVATE.encode())
        proper(read(sock), 408, kind="invalid_request_error")
    proper(ask(server.port, speech(PRIVATE * 1000)), 413, kind="invalid_request_error")


def test_429_comes_at_once_with_a_time_to_come_back(serve: Serve) -> None:
    gate = threading.Event()
    gate.set()
    engine = EchoEngine(on_step=lambda: gate.wait(PATIENCE_S))
    server = serve(factories={"echo": lambda _: engine}, OSCINE_ENGINE="echo", OSCINE_MAX_REQUESTS="2")
    gate.clear()
    try:
        with connected(server.port) as one, connected(server.port) as other:
            one.sendall(speech(PRIVATE))
            other.sendall(speech(PRIVATE))
            assert eventually(lambda: server.server.service.places.active == 2)
            error = proper(ask(server.port, speech(PRIVATE)), 429, kind="rate_limit_error")
            assert error["code"] == "rate_limit_exceeded"
            gate.set()
            assert read(one).whole
            assert read(other).whole
    finally:
        gate.set()


def test_429_of_a_rate_limit_says_when_the_next_is_welcome(serve: Serve) -> None:
    server = serve(**TONES, OSCINE_RATE_LIMIT="2/minute", OSCINE_API_KEYS=KEY)
    answers = [
        ask(server.port, request("POST", "/v1/audio/speech", b'{"input": "Hi."}', Authorization=f"Bearer {KEY}"))
        for _ in range(3)
    ]
    assert [answer.status for answer in answers] == [200, 200, 429]
    proper(answers[2], 429, kind="rate_limit_error")


@pytest.mark.parametrize("kind", ["failed", "error", "broken", "noise"])
def test_500_and_503_of_an_engine_that_fails_before_any_sound_say_so(serve: Serve, kind: str) -> None:
    server = serve(factories=broken(kind=kind), OSCINE_ENGINE="echo")
    for way in ("audio", "sse"):
        answer = ask(server.port, speech(PRIVATE, stream_format=way))
        assert answer.status in (500, 503)
        proper(answer, answer.status, kind="server_error")


def test_503_of_an_engine_that_cannot_be_loaded_or_does_not_answer(serve: Serve, tmp_path: Path) -> None:
    server = serve(
        factories={"echo": echo(load_failures=[RuntimeError(f"{PRIVATE} {tmp_path}")] * 9)}, OSCINE_ENGINE="echo"
    )
    proper(ask(server.port, speech(PRIVATE)), 503, kind="server_error")
    assert ask(server.port, request("GET", "/ping")).status == 503
    private(ask(server.port, request("GET", "/health")).body)


def test_503_of_a_request_that_waited_too_long(serve: Serve) -> None:
    gate = threading.Event()
    gate.set()
    engine = EchoEngine(on_step=lambda: gate.wait(PATIENCE_S))
    server = serve(factories={"echo": lambda _: engine}, OSCINE_ENGINE="echo", OSCINE_WAIT_SECONDS="0.5")
    gate.clear()
    try:
        proper(ask(server.port, speech(PRIVATE)), 503, kind="server_error")
        assert eventually(lambda: server.server.service.places.active == 0)
    finally:
        gate.set()
    assert eventually(lambda: ask(server.port, speech("Hello.")).whole)  # a slow machine takes longer than the limit


def test_what_is_missing_is_named_without_a_path(serve: Serve) -> None:
    missing = Missing("its weights", "oscine download echo")
    server = serve(factories={"echo": echo(missing=missing)}, OSCINE_ENGINE="echo", wait=False)
    answer = ask(server.port, speech(PRIVATE))
    assert "oscine download echo" in str(proper(answer, answer.status)["message"])


@pytest.mark.parametrize("kind", ["failed", "error", "broken"])
@pytest.mark.parametrize("format", ["pcm", "mp3", "opus", "wav"])
def test_sound_that_breaks_midway_is_seen_to_be_broken(serve: Serve, kind: str, format: str) -> None:
    """The connection is closed without the last chunk: no client takes it for the whole."""
    server = serve(factories=broken(kind=kind, retryable=False, after_frames=3), OSCINE_ENGINE="echo")
    text = "One fine sentence that is spoken well. " * 4 + PRIVATE + " And one more that nobody hears."
    answer = ask(server.port, speech(text, response_format=format))
    assert answer.status == 200
    assert answer.body
    assert not answer.whole
    private(answer.body, is_sound=True)
    assert ask(server.port, speech("One fine sentence.")).whole


@pytest.mark.parametrize("kind", ["failed", "error", "broken"])
def test_events_that_break_midway_end_with_an_error_event(serve: Serve, kind: str) -> None:
    server = serve(factories=broken(kind=kind, retryable=False, after_frames=3), OSCINE_ENGINE="echo")
    text = "One fine sentence that is spoken well. " * 4 + PRIVATE + " And one more that nobody hears."
    answer = ask(server.port, speech(text, stream_format="sse"))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    *before, (name, last) = events(answer.body)
    assert before
    assert all(data["type"] == "speech.audio.delta" for _, data in before)
    assert name == "error"
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert last["error"]["type"] == "server_error"
    private(answer.body, is_sound=True)
    private(json.dumps(last).encode())


def test_a_folder_that_cannot_be_written_is_an_error_without_a_path(serve: Serve) -> None:
    server = serve(**TONES)
    server.settings.voice_home.parent.mkdir(parents=True, exist_ok=True)
    server.settings.voice_home.write_text("a file where the folder belongs")
    answer = ask(server.port, upload("anna", recording("wav")))
    assert answer.status == 500
    proper(answer, 500, kind="server_error")


def test_what_nobody_thought_of_is_a_500_that_tells_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only here something of the server is broken on purpose: nothing real is known to do it."""
    server = serve(**TONES)

    def breaks(*_: object) -> None:
        raise RuntimeError(f"{PRIVATE} in /work/secret.py")

    monkeypatch.setattr(server.studio.library, "list", breaks)
    answer = ask(server.port, request("GET", "/v1/audio/voices?all=true"))
    proper(answer, 500, kind="server_error")
    assert ask(server.port, request("GET", "/v1/test")).status == 200


def test_the_log_of_a_server_says_nothing_private_and_is_json_throughout(tmp_path: Path) -> None:
    with apart(tmp_path, OSCINE_API_KEYS=KEY, OSCINE_ENGINE="hibari") as server:
        authorised = {"Authorization": f"Bearer {KEY}", **JSON}
        for body in (
            json.dumps({"input": PRIVATE}).encode(),
            json.dumps({"input": PRIVATE, "speed": "mulberry"}).encode(),
            b"mulberry{",
        ):
            answer = ask(
                server.port, head("POST", "/v1/audio/speech", {**authorised, "Content-Length": str(len(body))}) + body
            )
            assert answer.status in (200, 400)
        for target in (
            "/v1/models/mulberry",
            "/mulberry?key=" + KEY,
            "/v1/audio/voices/mulberry",
            "/v1/models?q=mulberry",
        ):
            ask(server.port, request("GET", target))
            ask(server.port, request("GET", target, Authorization=f"Bearer {KEY}"))
        ask(
            server.port,
            request("POST", "/v1/audio/speech", b"{}", Authorization="Bearer mulberry", X_Request_Id="mul\tberry tree"),
        )
        ask(server.port, b"mulberry\r\n\r\n")
        assert eventually(lambda: sum(line["event"] == "request" for line in server.log) >= 12)
        assert server.strange == []
        private(json.dumps(server.log).encode().replace(str(tmp_path).encode(), b""))

"""Who may ask, how often, and from which pages."""

from __future__ import annotations

import sys
import threading
from typing import Any

import httpx
import pytest

from tests.echo import EchoEngine
from tests.http.asking import ECHO, SPEECH, call, get, refused, speak
from tests.http.conftest import Running, Serve
from tests.voices.recordings import recording
from tests.waiting import PATIENCE_S

TONES: dict[str, Any] = {"factories": {"echo": lambda _: EchoEngine(cloning=True)}, **ECHO}
KEYLESS = {
    ("GET", "/"),
    ("GET", "/page/page.css"),
    ("GET", "/health"),
    ("GET", "/ping"),
    ("GET", "/v1/test"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/v1/audio/models"),
    ("GET", "/v1/audio/voices"),
    ("GET", "/openapi.json"),
}
KEYED = {
    ("POST", SPEECH),
    ("POST", "/v1/audio/voices"),
    ("GET", "/v1/audio/voices/{voice_id}"),
    ("DELETE", "/v1/audio/voices/{voice_id}"),
    ("GET", "/v1/audio/voices/{voice_id}/sample"),
    ("GET", "/metrics"),
}


def bearer(key: str) -> dict[str, bytes]:
    return {"authorization": f"Bearer {key}".strip().encode()}


def asked(running: Running, method: str, path: str, **headers: Any) -> int:
    """The status of a request that is right but for its key."""
    path = path.format(model="tts-1", voice_id="low")
    body: dict[str, Any] = {}
    if method == "POST":
        body = {"json": {"input": "Hi."}}
        if path != SPEECH:
            body = {"files": {"audio_sample": ("a.wav", recording())}, "data": {"name": "Marie", "replace": "true"}}
    return call(running, method, path, headers=headers, **body).status_code


def test_with_keys_exactly_the_lists_the_health_and_the_page_stay_open(serve: Serve):
    running = serve(OSCINE_API_KEYS="right", **TONES)
    for method, path in KEYLESS:
        assert asked(running, method, path) == 200, path
        assert asked(running, method, path, **bearer("wrong")) == 200, path
    for method, path in KEYED:
        assert asked(running, method, path) == 401, path
        assert asked(running, method, path, **bearer("wrong")) == 401, path
        assert asked(running, method, path, **bearer("right")) != 401, path
    schema = get(running, "/openapi.json").json()
    documented = {(method.upper(), path) for path, item in schema["paths"].items() for method in item}
    assert documented == KEYED | {(m, p) for m, p in KEYLESS if p != "/openapi.json" and not p.startswith("/page")} - {
        ("GET", "/")
    }
    for method, path in documented:
        assert ("security" in schema["paths"][path][method.lower()]) == ((method, path) in KEYED), path


def test_without_keys_everything_is_open(serve: Serve):
    for keys in ({}, {"OSCINE_API_KEYS": ""}, {"OSCINE_API_KEYS": "   "}):
        running = serve(**keys, **TONES)
        for method, path in KEYLESS | KEYED:
            assert asked(running, method, path) != 401, path
        assert asked(running, "POST", SPEECH, **bearer("any")) == 200


def test_a_key_that_is_missing_or_wrong_is_told_as_openai_does(serve: Serve):
    running = serve(OSCINE_API_KEYS="right", **TONES)
    for headers, said in (({}, "needed"), (bearer("wrong"), "not valid"), (bearer(""), "needed")):
        answer = speak(running, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        error = refused(answer)
        assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
        assert said in error["message"]
        assert "wrong" not in answer.text
        assert "right" not in answer.text


def test_each_of_several_keys_opens_and_nothing_that_only_looks_like_one(serve: Serve):
    keys = ["first", "second key", "ключ-🔑", "größe", "sk-" + "x" * 500]
    running = serve(OSCINE_API_KEYS=" , ".join(keys) + ",,", **TONES)
    for key in keys:
        for scheme in ("Bearer", "bearer", "BEARER", "Bearer "):
            assert call(running, "GET", "/metrics", headers={"authorization": f"{scheme} {key}".encode()}).is_success
    assert call(running, "GET", "/metrics", headers={"authorization": "Bearer größe".encode("latin-1")}).is_success
    wrong = ["firs", "first2", "FIRST", "second", ",", "", "first,second key", "gröse", "x" * 9000, "ключ"]
    for key in wrong:
        assert call(running, "GET", "/metrics", headers=bearer(key)).status_code == 401, key
    for value in (b"first", b"Basic first", b"Basic Zmlyc3Q6", b"Bearerfirst", b"Token first"):
        assert call(running, "GET", "/metrics", headers={"authorization": value}).status_code == 401, value
    assert get(running, "/metrics", params={"api_key": "first", "key": "first"}).status_code == 401


def test_a_key_is_asked_for_before_the_body_is_looked_at(serve: Serve):
    running = serve(OSCINE_API_KEYS="right", **TONES)
    assert call(running, "POST", SPEECH, content=b"{no json").status_code == 401
    assert call(running, "POST", "/v1/audio/voices", content=b"no form").status_code == 401


def test_the_rate_is_counted_for_each_key_and_for_speech_and_uploads_only(serve: Serve):
    running = serve(OSCINE_API_KEYS="a,b", OSCINE_RATE_LIMIT="3/hour", **TONES)
    for _ in range(6):
        assert get(running, "/v1/models", headers=bearer("a")).status_code == 200
        assert speak(running, headers=bearer("wrong")).status_code == 401
    assert speak(running, headers=bearer("a")).status_code == 200
    assert asked(running, "POST", "/v1/audio/voices", **bearer("a")) == 200
    assert speak(running, "", headers=bearer("a")).status_code == 400
    answer = speak(running, headers=bearer("a"))
    assert answer.status_code == 429
    error = refused(answer)
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert "rate of 3 in an hour" in error["message"]
    assert speak(running, headers=bearer("b")).status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has every address of 127.0.0.0/8 without setup")
def test_without_keys_the_rate_is_counted_for_each_address_and_no_header_changes_that(serve: Serve):
    running = serve(OSCINE_RATE_LIMIT="2/hour", **TONES)

    def status(address: str, **headers: str) -> int:
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address, verify=False)) as client:
            asking = client.post(running.url + SPEECH, json={"input": "Hi."}, headers=headers, timeout=PATIENCE_S)
            return asking.status_code

    assert [status("127.0.0.1") for _ in range(3)] == [200, 200, 429]
    assert status("127.0.0.1", **{"x-forwarded-for": "10.0.0.1", "x-real-ip": "10.0.0.1"}) == 429
    assert status("127.0.0.1", authorization="Bearer another") == 429
    assert status("127.0.0.2") == 200


def test_who_waits_as_long_as_retry_after_says_is_welcome_again(serve: Serve):
    running = serve(OSCINE_RATE_LIMIT="2/2second", **TONES)
    answers = [speak(running, "Hi.") for _ in range(2)]
    while answers[-1].status_code == 200:
        answers.append(speak(running, "Hi."))
        assert len(answers) < 50
    wait = int(answers[-1].headers["retry-after"])
    assert 1 <= wait <= 2
    threading.Event().wait(wait)
    assert speak(running, "Hi.").status_code == 200


def test_several_rates_hold_together(serve: Serve):
    running = serve(OSCINE_RATE_LIMIT="50/minute;2/hour", **TONES)
    assert [speak(running, "Hi.").status_code for _ in range(3)] == [200, 200, 429]


def test_what_one_rate_refuses_does_not_use_up_another(serve: Serve):
    running = serve(OSCINE_RATE_LIMIT="3/hour;1/2second", **TONES)
    heard = 0
    while heard < 3:
        answer = speak(running, "Hi.")
        if answer.status_code == 200:
            heard += 1
        else:
            assert "1 in 2 seconds" in refused(answer)["message"], heard
            threading.Event().wait(0.2)
    assert "3 in an hour" in refused(speak(running, "Hi."))["message"]


def preflight(running: Running, origin: str, path: str = SPEECH, method: str = "POST") -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization, content-type, x-stainless-arch, x-stainless-retry-count",
    }
    return call(running, "OPTIONS", path, headers=headers)


def test_no_other_page_may_call_unless_a_setting_lets_it(server: Running):
    answer = preflight(server, "https://a.example")
    assert answer.status_code == 405
    for each in (answer, get(server, "/v1/models", headers={"origin": "https://a.example"})):
        assert not [name for name in each.headers if name.startswith("access-control")]


def test_pages_of_the_origins_that_are_named_may_call_and_no_others(serve: Serve):
    origin = "https://a.example"
    running = serve(
        OSCINE_CORS_ORIGINS=f"{origin}, http://localhost:3000",
        OSCINE_API_KEYS="right",
        OSCINE_RATE_LIMIT="9/hour",
        **TONES,
    )
    for name in (origin, "http://localhost:3000"):
        for path, method in ((SPEECH, "POST"), ("/v1/audio/voices/x", "DELETE"), ("/v1/audio/voices", "GET")):
            answer = preflight(running, name, path, method)
            assert answer.status_code == 200, (name, path)
            assert answer.headers["access-control-allow-origin"] == name
            assert method in answer.headers["access-control-allow-methods"]
            assert "access-control-allow-credentials" not in answer.headers
    for name in ("https://b.example", "https://a.example.evil", "https://evil-a.example", "null", "http://a.example"):
        assert "access-control-allow-origin" not in preflight(running, name).headers
        assert "access-control-allow-origin" not in get(running, "/v1/models", headers={"origin": name}).headers
    exposed = {"x-request-id", "server-timing", "retry-after", "x-oscine-seed", "x-oscine-warnings", "x-oscine-voice"}
    for headers, status in ((bearer("right"), 200), ({}, 401)):
        answer = speak(running, headers={"origin": origin, **headers})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == origin
        assert "origin" in answer.headers["vary"].lower()
        assert exposed <= set(answer.headers["access-control-expose-headers"].lower().split(", "))
    assert get(running, "/none", headers={"origin": origin}).headers["access-control-allow-origin"] == origin


def test_with_a_star_every_page_may_call_but_never_with_credentials(serve: Serve):
    running = serve(OSCINE_CORS_ORIGINS="*", **TONES)
    assert preflight(running, "https://any.example").status_code == 200
    for headers in ({}, {"cookie": "a=b"}):
        answer = speak(running, headers={"origin": "https://any.example", **headers})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] in ("*", "https://any.example")
        assert "access-control-allow-credentials" not in answer.headers

"""`/metrics`: what Prometheus reads is exactly what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.echo import EchoEngine, Failure
from tests.http.apart import apart
from tests.http.asking import ECHO, HELLO, SPEECH, Asking, Gated, call, get, speak
from tests.http.conftest import Running, Serve
from tests.http.raw import ask, request
from tests.waiting import until

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def figures(running: Running, **more: Any) -> Figures:
    """Every sample, by its name and labels."""
    answer = get(running, "/metrics", **more)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(found: Figures, name: str, **labels: str) -> float:
    return found.get((name, frozenset(labels.items())), 0.0)


def requests(running: Running, route: str) -> dict[tuple[str, str], float]:
    """How many requests a route answered, by method and status."""
    return {
        (dict(labels)["method"], dict(labels)["status"]): value
        for (name, labels), value in figures(running).items()
        if name == "oscine_http_requests_total" and dict(labels)["route"] == route
    }


def test_what_was_asked_and_said_is_counted(serve: Serve):
    running = serve(factories={"echo": lambda _: EchoEngine(lanes=3)}, **ECHO)
    before = figures(running)
    seconds = 0.0
    for _ in range(3):
        seconds += len(speak(running, seed=1, response_format="pcm").content) / 48_000
    speak(running, seed=1, stream_format="sse")
    seconds += seconds / 3
    until(lambda: requests(running, SPEECH) == {("POST", "200"): 4})
    found = figures(running)
    assert of(found, "oscine_speech_requests_total", engine="echo", format="pcm", outcome="done") == 3
    assert of(found, "oscine_speech_requests_total", engine="echo", format="mp3", outcome="done") == 1
    assert of(found, "oscine_audio_seconds_total", engine="echo") == pytest.approx(seconds, abs=0.05)
    assert of(found, "oscine_characters_total", engine="echo") == pytest.approx(4 * len(HELLO), abs=8)
    for name in ("oscine_first_audio_seconds", "oscine_real_time_factor"):
        assert of(found, f"{name}_count", engine="echo") == 4
        assert of(found, f"{name}_bucket", engine="echo", le="+Inf") == 4
        assert of(found, f"{name}_sum", engine="echo") > 0
    assert of(found, "oscine_lanes", engine="echo") == 3
    assert of(found, "oscine_requests_active") == of(found, "oscine_queue_depth") == 0
    assert not [name for name, _ in before if name.startswith("oscine_errors_total")]
    assert not [name for name, _ in found if name.startswith("oscine_errors_total")]


def test_what_is_running_and_what_waits_is_shown(serve: Serve):
    engine = Gated("Wait", lanes=2)
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    with Asking() as asking:
        for _ in range(4):
            asking.ask(running, "Wait for it.")
        until(lambda: of(figures(running), "oscine_queue_depth") == 4)
        until(lambda: of(figures(running), "oscine_lanes_busy", engine="echo") == 2)
        until(lambda: of(figures(running), "oscine_requests_active") == 4)
        engine.open_gate()
    until(lambda: of(figures(running), "oscine_requests_active") == 0)
    assert of(figures(running), "oscine_queue_depth") == 0
    until(lambda: of(figures(running), "oscine_lanes_busy", engine="echo") == 0)


def test_the_lanes_of_every_engine_that_is_loaded_are_shown(serve: Serve):
    engine = Gated("Wait", name="other", lanes=7)
    running = serve(factories={"echo": lambda _: EchoEngine(lanes=3), "other": lambda _: engine}, **ECHO)
    assert of(figures(running), "oscine_lanes", engine="echo") == 3
    assert ("oscine_lanes", frozenset({("engine", "other")})) not in figures(running)
    with Asking() as asking:
        asking.ask(running, "Wait for it.", engine="other")
        until(lambda: of(figures(running), "oscine_lanes_busy", engine="other") == 1)
        assert of(figures(running), "oscine_lanes", engine="other") == 7
        engine.open_gate()
    until(lambda: of(figures(running), "oscine_lanes_busy", engine="other") == 0)


def test_a_server_shows_no_figures_that_nobody_reads(tmp_path: Path):
    with apart(tmp_path) as running:
        shown = ask(running.port, request("GET", "/metrics")).body
        assert b"oscine_http_requests_total{" in shown
        assert b"_created" not in shown


def test_errors_are_counted_by_their_type_and_code(serve: Serve):
    engine = EchoEngine(failures=[Failure("unspeakable", times=99, retryable=False)])
    running = serve(factories={"echo": lambda _: engine}, OSCINE_API_KEYS="key", OSCINE_RATE_LIMIT="6/hour", **ECHO)
    key = {"authorization": "Bearer key"}
    speak(running)
    speak(running, headers={"authorization": "Bearer wrong"})
    speak(running, "", headers=key)
    speak(running, speed=9, headers=key)
    speak(running, voice="nobody", headers=key)
    speak(running, "This is unspeakable.", headers=key)
    speak(running, "All is well so far. " * 9 + "This is unspeakable.", stream_format="sse", headers=key)
    speak(running, headers=key)
    for _ in range(2):
        assert speak(running, headers=key).status_code == 429
    call(running, "GET", "/none")
    call(running, "PUT", "/health")

    def counted() -> dict[tuple[str, str], float]:
        return {
            (dict(labels)["type"], dict(labels)["code"]): value
            for (name, labels), value in figures(running, headers=key).items()
            if name == "oscine_errors_total"
        }

    expected = {
        ("authentication_error", "invalid_api_key"): 2,
        ("invalid_request_error", ""): 4,
        ("invalid_request_error", "voice_not_found"): 1,
        ("server_error", ""): 2,
        ("rate_limit_error", "rate_limit_exceeded"): 2,
    }
    until(lambda: counted() == expected, f"{counted()}")
    found = figures(running, headers=key)
    assert of(found, "oscine_speech_requests_total", engine="echo", format="mp3", outcome="failed") == 2
    assert of(found, "oscine_speech_requests_total", engine="echo", format="mp3", outcome="done") == 1


def test_addresses_that_nobody_serves_do_not_become_labels(serve: Serve):
    running = serve(factories={"echo": lambda _: EchoEngine()}, **ECHO)
    for number in range(5):
        get(running, f"/none/{number}")
        get(running, f"/v1/models/none-{number}")
        get(running, f"/v1/audio/voices/none-{number}")
        call(running, f"STRANGE{number}", "/health")
    until(lambda: requests(running, "none") == {("GET", "404"): 5})
    until(lambda: requests(running, "/v1/models/{model}") == {("GET", "404"): 5})
    until(lambda: requests(running, "/v1/audio/voices/{voice_id}") == {("GET", "404"): 5})
    until(lambda: requests(running, "/health") == {("other", "405"): 5})

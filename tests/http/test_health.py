"""How the server is: for people, for RunPod's load balancer and for clients that look for a speech server."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from oscine import __version__
from oscine.engines.protocol import Missing, Progress
from tests.echo import EchoEngine
from tests.http.asking import ECHO, Asking, Gated, call, get, refused, speak
from tests.http.conftest import Running, Serve
from tests.waiting import PATIENCE_S, until


class SlowToLoad(EchoEngine):
    """Tones whose engine is loaded when `may_load` is set."""

    def __init__(self, **kinds: Any) -> None:
        super().__init__(**kinds)
        self.may_load = threading.Event()

    def load(self, progress: Progress) -> None:
        self.may_load.wait(PATIENCE_S)
        super().load(progress)


def ping(running: Running) -> int:
    return get(running, "/ping").status_code


def health(running: Running) -> dict[str, Any]:
    answer = get(running, "/health")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def test_a_ready_server_says_so_and_what_it_speaks_with(server: Running):
    assert ping(server) == 200
    found = health(server)
    assert (found["status"], found["ready"], found["problem"]) == ("ok", True, None)
    assert found["version"] == __version__
    info = server.studio.registry.get("hibari").info
    assert found["engine"] == {
        "name": "hibari",
        "version": info.version,
        "device": info.device,
        "cloning": False,
        "speakers": 1,
        "sample_rate": 24_000,
        "languages": ["en"],
    }
    assert found["lanes"]["total"] == info.max_lanes
    assert found["queue"]["limit"] == server.settings.max_requests


def test_a_server_that_loads_its_engine_says_so_and_a_request_waits_for_it(serve: Serve):
    engine = SlowToLoad()
    running = serve(factories={"echo": lambda _: engine}, wait=False, **ECHO)
    assert ping(running) == 204
    found = health(running)
    assert (found["status"], found["ready"]) == ("loading", False)
    assert get(running, "/v1/models").status_code == get(running, "/v1/audio/voices").status_code == 200
    with Asking() as asking:
        asking.ask(running)
        until(lambda: health(running)["queue"]["waiting"] == 1)
        assert asking.answers == [None]
        engine.may_load.set()
        (answer,) = asking.join()
    assert answer.status_code == 200
    until(lambda: ping(running) == 200)
    assert health(running)["status"] == "ok"
    assert engine.counts.loads == 1


@pytest.mark.parametrize("error", [RuntimeError("secret detail"), OSError(2, "no such file", "/secret/path")])
def test_an_engine_that_cannot_be_loaded_makes_the_server_broken_and_is_tried_again(serve: Serve, error: Exception):
    engine = EchoEngine(load_failures=[error] * 99)
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    until(lambda: ping(running) == 503)
    found = health(running)
    assert (found["status"], found["ready"]) == ("broken", False)
    assert "echo could not be loaded" in found["problem"]
    assert "secret" not in found["problem"]
    engine.load_failures.clear()
    running.studio.rest_s = 0
    assert speak(running).status_code == 200
    until(lambda: ping(running) == 200)
    assert health(running)["problem"] is None


def test_a_request_to_an_engine_that_cannot_be_loaded_is_told_when_to_come_back(serve: Serve):
    engine = EchoEngine(load_failures=[RuntimeError("no")] * 99)
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    until(lambda: ping(running) == 503)
    running.studio.rest_s = 300  # longer than the test takes on any machine
    for _ in range(3):
        answer = speak(running)
        assert answer.status_code == 503
        assert refused(answer)["type"] == "server_error"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert ping(running) == 503
    assert engine.counts.loads == 1, "it is left alone until then"


@pytest.mark.parametrize("preload", ["auto", "always"])
def test_an_engine_that_misses_something_makes_the_server_broken_and_says_what_to_do(serve: Serve, preload: str):
    engine = EchoEngine(missing=Missing("its weights", "oscine download echo"))
    running = serve(factories={"echo": lambda _: engine}, OSCINE_PRELOAD=preload, **ECHO)
    assert ping(running) == 503
    assert "oscine download echo" in health(running)["problem"]
    answer = speak(running)
    assert answer.status_code == 404
    assert "oscine download echo" in refused(answer)["message"]
    assert engine.counts.loads == 0


def test_an_engine_that_is_not_installed_makes_the_server_broken_and_names_those_that_are(serve: Serve):
    running = serve(factories={"echo": lambda _: EchoEngine()}, OSCINE_ENGINE="nothing")
    assert ping(running) == 503
    assert "echo" in health(running)["problem"]
    assert speak(running).status_code == 404
    assert speak(running, engine="echo").status_code == 200


@pytest.mark.parametrize("preload", ["auto", "always"])
def test_the_engine_has_spoken_before_the_server_says_that_it_is_ready(serve: Serve, preload: str):
    engine = Gated("")  # says nothing at all yet
    running = serve(factories={"echo": lambda _: engine}, OSCINE_PRELOAD=preload, wait=False, **ECHO)
    until(lambda: engine.open_lanes)
    assert ping(running) == 204
    assert health(running)["ready"] is False
    engine.open_gate()
    until(lambda: ping(running) == 200)
    assert health(running)["ready"] is True
    assert engine.counts.loads == 1
    assert engine.counts.opened == engine.counts.closed == 1


def test_with_preload_never_the_server_is_ready_and_the_engine_is_loaded_by_the_first_request(serve: Serve):
    engine = EchoEngine()
    running = serve(factories={"echo": lambda _: engine}, OSCINE_PRELOAD="never", **ECHO)
    assert ping(running) == 200
    found = health(running)
    assert found["ready"] is True
    assert found["engine"]["name"] == "echo"
    assert engine.counts.loads == 0
    assert speak(running).status_code == 200
    assert engine.counts.loads == 1
    assert ping(running) == 200
    assert health(running)["status"] == "ok"


def test_what_the_queue_and_the_lanes_hold_is_true_under_load(serve: Serve):
    engine = Gated("Wait", lanes=2)
    running = serve(factories={"echo": lambda _: engine}, OSCINE_MAX_REQUESTS="7", **ECHO)
    with Asking() as asking:
        for _ in range(5):
            asking.ask(running, "Wait for it.")
        until(lambda: health(running)["queue"] == {"active": 5, "waiting": 5, "limit": 7})
        until(lambda: health(running)["lanes"] == {"busy": 2, "total": 2})
        assert ping(running) == 200
        engine.open_gate()
    assert {answer.status_code for answer in asking.join()} == {200}
    until(lambda: health(running)["queue"] == {"active": 0, "waiting": 0, "limit": 7})
    until(lambda: health(running)["lanes"]["busy"] == 0)


def test_home_assistants_bridge_takes_it_for_what_it_can_speak_with(server: Running):
    assert get(server, "/v1/test").json() == {"status": "ok"}
    assert get(server, "/v1/readyz").status_code == 404
    assert get(server, "/health").text != "OK"


@pytest.mark.parametrize("path", ["/health", "/ping", "/v1/test", "/v1/models", "/"])
def test_monitors_may_ask_with_head(server: Running, path: str):
    answer = call(server, "HEAD", path)
    assert answer.status_code == 200
    assert answer.content == b""
    assert call(server, "GET", path).status_code == 200

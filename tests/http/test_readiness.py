"""`/ping` and `/health` say what a request would meet, whatever went wrong before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from oscine.config import Settings
from oscine.engines.protocol import Engine, Missing
from oscine.http.readiness import Readiness, State
from oscine.synthesis.job import Pace
from oscine.synthesis.plan import Plan
from tests.echo import EchoEngine, Failure
from tests.http.apart import apart
from tests.http.asking import ECHO, speak
from tests.http.conftest import Serve
from tests.http.raw import ask, connected, request, speech
from tests.http.test_health import health, ping
from tests.http.test_kill import refuses
from tests.synthesis.house import in_thread, studio_with
from tests.waiting import eventually, until


def failing(error: Exception) -> Callable[[Settings], Engine]:
    def construct(_: Settings) -> Engine:
        raise error

    return construct


def test_an_engine_that_cannot_be_constructed_makes_the_server_broken(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    running = serve(factories={"echo": failing(RuntimeError("secret detail"))}, **ECHO)
    assert ping(running) == 503
    problem = health(running)["problem"]
    assert "echo could not be constructed (RuntimeError)" in problem
    assert "secret" not in problem + "".join(capfd.readouterr())


def test_what_was_missing_is_forgotten_when_it_is_there(serve: Serve) -> None:
    engine = EchoEngine(missing=Missing("its weights", "oscine download echo"))
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    assert ping(running) == 503
    engine._missing = None
    assert speak(running).status_code == 200
    assert ping(running) == 200
    found = health(running)
    assert (found["status"], found["problem"]) == ("ok", None)


def test_an_engine_that_cannot_speak_its_first_word_makes_the_server_broken_until_it_speaks_another(
    serve: Serve,
) -> None:
    engine = EchoEngine(failures=[Failure("", times=99, retryable=False)])
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    until(lambda: ping(running) == 503)
    assert "echo could not speak" in health(running)["problem"]
    assert speak(running).status_code == 500
    assert ping(running) == 503
    engine.failures.clear()
    assert speak(running).status_code == 200
    until(lambda: ping(running) == 200)
    assert health(running)["problem"] is None


def test_an_unexpected_fault_in_the_first_word_is_told_by_its_type(tmp_path: Path) -> None:
    with studio_with(EchoEngine(), tmp_path) as studio:

        def plan(*_: object, **__: object) -> Plan:
            raise KeyError("secret")

        studio.plan = plan  # type: ignore[method-assign]
        readiness = Readiness(studio)
        readiness.prepare()
        assert readiness.state is State.BROKEN
        assert readiness.problem is not None
        assert readiness.problem.message == "The engine echo could not speak its first word (KeyError)."


def test_a_server_whose_voices_are_not_there_yet_is_ready_for_those_that_come(serve: Serve) -> None:
    engine = EchoEngine(cloning=True)
    engine.info = replace(engine.info, presets=(), default_preset=None)
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    assert speak(running).status_code == 404
    assert ping(running) == 200


def test_an_engine_that_others_keep_busy_is_ready_when_it_is_loaded(tmp_path: Path) -> None:
    with studio_with(EchoEngine(), tmp_path, OSCINE_MAX_REQUESTS="1") as studio:
        readiness = Readiness(studio)
        with studio.scheduler("echo").job(Pace.LISTENER):
            readiness.prepare()
            assert readiness.state is State.READY


def test_what_settles_the_server_comes_after_loading_and_before_it_is_ready(tmp_path: Path) -> None:
    engine = EchoEngine()
    with studio_with(engine, tmp_path) as studio:
        readiness = Readiness(studio)
        seen = []

        def settle() -> None:
            loaded = in_thread(lambda: studio.scheduler("echo").ready)()
            seen.append((engine.counts.loads, loaded, readiness.state))

        readiness.when_loaded = settle
        readiness.prepare()
        assert seen == [(1, True, State.LOADING)]
        assert readiness.state is State.READY


def test_a_ready_server_has_all_its_places_free(tmp_path: Path) -> None:
    with studio_with(EchoEngine(), tmp_path, OSCINE_MAX_REQUESTS="1") as studio:
        readiness = Readiness(studio)
        prepared = in_thread(readiness.prepare)
        until(lambda: readiness.state is State.READY)
        studio.scheduler("echo").job(Pace.LISTENER).close()
        prepared()


def test_a_fault_of_what_settles_the_server_does_not_keep_it_from_being_ready(tmp_path: Path) -> None:
    with studio_with(EchoEngine(), tmp_path) as studio:
        readiness = Readiness(studio)
        readiness.when_loaded = lambda: 1 / 0  # type: ignore[assignment]
        readiness.prepare()
        assert readiness.state is State.READY
        assert readiness.problem is None


_STUCK = """
import time
from oscine.engines.hibari import HibariEngine
HibariEngine.{call} = lambda *given: time.sleep(3600)
"""


@pytest.mark.parametrize(("drain_s", "signals"), [("1", 1), ("600", 2)])
@pytest.mark.parametrize(("call", "lanes"), [("load", 0), ("step", 1)])
def test_a_server_whose_engine_does_not_come_back_ends_when_it_is_asked_to(
    tmp_path: Path, call: str, lanes: int, drain_s: str, signals: int
) -> None:
    program = _STUCK.format(call=call)
    with apart(tmp_path, ready=False, program=program, OSCINE_DRAIN_SECONDS=drain_s) as server:

        def busy() -> int:
            found: int = ask(server.port, request("GET", "/health")).json["lanes"]["busy"]
            return found

        assert eventually(lambda: busy() == lanes)
        with connected(server.port) as waiting:
            waiting.sendall(speech("Does anybody hear me?"))
            assert eventually(lambda: ask(server.port, request("GET", "/health")).json["queue"]["waiting"] == 1)
            for _ in range(signals):
                server.signal()
                assert eventually(lambda: refuses(server.port))
            assert server.ended() == 0
        assert server.log[-1]["event"] == "stopped"
        assert server.strange == []

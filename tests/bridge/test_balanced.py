"""A load-balancing endpoint: the worker's own server behind the bridge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from tests.bridge.gate import Gate, refusal
from tests.bridge.house import MEDIA_TYPES, Bridge, Bundle, asked, running
from tests.bridge.test_leaving import asking, reads_sound
from tests.http.apart import Apart, apart
from tests.runpod.plane import KEY
from tests.waiting import until

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    with apart(tmp_path_factory.mktemp("served"), OSCINE_API_KEYS=KEY) as found:
        yield found


@pytest.fixture(scope="module")
def passage(server: Apart) -> Iterator[Gate]:
    with Gate(server.url).running() as found:
        yield found


@pytest.fixture
def gate(passage: Gate) -> Iterator[Gate]:
    passage.passed.clear()
    yield passage
    passage.rule = None


@pytest.fixture(scope="module")
def bridge(bundle: Bundle, passage: Gate) -> Iterator[Bridge]:
    with running(bundle, passage.url, UPSTREAM="load-balancing", kv='{"default": "heart"}') as found:
        yield found


def direct(server: Apart, **fields: Any) -> Any:
    with Bridge(server.url).client(KEY) as http:
        return http.post("/v1/audio/speech", json=asked(**fields))


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_its_answer_goes_through_byte_for_byte(server: Apart, bridge: Bridge, gate: Gate, format: str):
    answer, wanted = bridge.speech(response_format=format), direct(server, response_format=format)
    assert answer.content == wanted.content
    for name in ("content-type", "x-oscine-engine", "x-oscine-voice", "x-oscine-seed"):
        assert answer.headers[name] == wanted.headers[name]
    (passed,) = gate.passed
    assert json.loads(passed.body)["voice"] == "heart"
    assert "sk-client" not in str(passed.headers)


def test_events_go_through(server: Apart, bridge: Bridge, gate: Gate):
    answer = bridge.speech(response_format="pcm", stream_format="sse")
    wanted = direct(server, response_format="pcm", stream_format="sse")
    assert answer.headers["content-type"] == wanted.headers["content-type"]
    assert answer.text.splitlines()[-2] == wanted.text.splitlines()[-2]


def test_older_pages_hear_samples(server: Apart, bridge: Bridge, gate: Gate):
    with bridge.client() as http:
        answer = http.post("/api/tts/stream", json=asked())
        wrong = http.post("/api/tts/stream", json=asked(voice="nobody"))
    assert answer.headers["content-type"] == "audio/octet-stream"
    assert answer.content == direct(server, response_format="pcm").content
    assert isinstance(wrong.json()["error"], str)


def test_a_busy_server_says_when_to_come_again(bridge: Bridge, gate: Gate):
    error = {"message": "All places are taken.", "type": "rate_limit_error", "param": None, "code": "overloaded"}
    headers = {"retry-after": "7", "x-runpod-worker-id": "7f3kxq2"}
    gate.rule = lambda _: web.json_response({"error": error}, status=429, headers=headers)
    answer = bridge.speech()
    assert answer.status_code == 429
    assert answer.json()["error"] == error
    assert answer.headers["retry-after"] == "7"
    assert "x-runpod-worker-id" not in answer.headers
    assert len(gate.passed) == 1


def test_its_errors_go_through(bridge: Bridge, gate: Gate):
    answer = bridge.speech(voice="nobody")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "voice_not_found"
    assert answer.json()["error"]["param"] == "voice"


def test_it_is_asked_again_while_workers_start(bridge: Bridge, gate: Gate):
    starting: list[Any] = [
        refusal(502),
        refusal(503, "no workers"),
        "drop",
        refusal(400, {"error": "no worker available"}),
    ]
    gate.rule = lambda _: starting.pop(0) if starting else None
    answer = bridge.speech()
    assert answer.status_code == 200, answer.text
    assert len(gate.passed) == 5


def test_it_is_not_asked_for_ever(bundle: Bundle, gate: Gate):
    gate.rule = lambda _: refusal(502, {"trace": "pod-7.internal"})
    with running(bundle, gate.url, UPSTREAM="load-balancing", COLD_START_SECONDS="1") as impatient:
        answer = impatient.speech()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "cold_start"
    assert answer.headers["retry-after"]
    assert "pod-7" not in answer.text


@pytest.mark.parametrize("end", ["/", "/v1", "/v1/"])
def test_an_address_may_end_as_openais_do(bundle: Bundle, gate: Gate, end: str):
    with running(bundle, f"{gate.url}{end}", UPSTREAM="load-balancing") as bridge:
        assert bridge.speech().status_code == 200


@pytest.mark.parametrize(
    ("status", "told"),
    [(500, "worker 7f3kxq2 died"), (503, "The engine at db.internal:5432 is gone."), (400, "speed: see '/data'")],
)
def test_what_another_server_says_of_itself_stays_inside(bridge: Bridge, gate: Gate, status: int, told: str):
    gate.rule = lambda _: refusal(status, {"error": {"message": told, "type": "x"}})
    answer = bridge.speech()
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"].startswith("The worker failed; ")


def test_a_key_that_the_server_refuses_is_not_the_clients(bridge: Bridge, gate: Gate):
    told = {"message": "The key is not valid.", "type": "authentication_error", "param": None, "code": "x"}
    gate.rule = lambda _: refusal(401, {"error": told})
    answer = bridge.speech()
    assert answer.status_code == 502
    assert "RUNPOD_API_KEY" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("status", "told"), [(401, 502), (403, 502), (404, 502), (429, 429)])
def test_what_the_platform_refuses_is_told(bridge: Bridge, gate: Gate, status: int, told: int):
    gate.rule = lambda _: refusal(status)
    assert bridge.speech().status_code == told
    assert len(gate.passed) == 1


def test_an_endpoint_of_the_other_kind_is_told(bridge: Bridge, gate: Gate):
    """And not asked again until there is a worker: there will be none."""
    gate.rule = lambda _: refusal(400, {"error": "not allowed for QB API"})
    answer = bridge.speech()
    assert answer.status_code == 502
    assert "UPSTREAM" in answer.json()["error"]["message"]
    assert len(gate.passed) == 1


def test_a_client_that_leaves_ends_the_speech(server: Apart, bridge: Bridge, gate: Gate):
    text = "This sentence is one of very many that nobody waits for any more. " * 400
    with asking(bridge, input=text, response_format="wav") as connection:
        reads_sound(connection)
    until(lambda: any(line.get("outcome") == "left" for line in server.log))


def test_health_wakes_nobody(bridge: Bridge, gate: Gate):
    with bridge.client(None) as http:
        assert http.get("/health").json() == {
            "status": "ok", "ready": True, "problem": None, "upstream": "load-balancing",
        }  # fmt: skip
        assert http.get("/v1/audio/voices").status_code == 200
    assert not gate.passed

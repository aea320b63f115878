"""Who may use the bridge, and what it refuses to be."""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.bridge.conftest import House
from tests.bridge.gate import Gate, refusal
from tests.bridge.house import BRIDGE, CLIENT_KEY, OTHER_KEY, Bridge, asked, endpoint_of, node

pytestmark = pytest.mark.long


@pytest.mark.parametrize("key", [None, "wrong", CLIENT_KEY[:-1], f"{CLIENT_KEY}x", "sk-other,sk-client", "ключ"])
def test_speech_needs_one_of_the_keys(house: House, key: str | None):
    house.gate.passed.clear()
    with house.bridge.client(None) as http:
        headers = {} if key is None else {b"authorization": f"Bearer {key}".encode()}
        answer = http.post("/v1/audio/speech", json=asked(), headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert not house.gate.passed


@pytest.mark.parametrize("key", [CLIENT_KEY, OTHER_KEY])
def test_each_of_the_keys_is_right(house: House, key: str):
    assert house.bridge.speech(key).status_code == 200


@pytest.mark.parametrize("scheme", ["Basic", "Token"])
def test_another_scheme_is_no_key(house: House, scheme: str):
    with house.bridge.client(None) as http:
        answer = http.post("/v1/audio/speech", json=asked(), headers={"authorization": f"{scheme} {CLIENT_KEY}"})
    assert answer.status_code == 401


def test_a_scheme_is_the_same_in_small_letters(house: House):
    with house.bridge.client(None) as http:
        answer = http.post("/v1/audio/speech", json=asked(), headers={"authorization": f"bearer {CLIENT_KEY}"})
    assert answer.status_code == 200


def test_the_older_route_needs_a_key_too(house: House):
    with house.bridge.client(None) as http:
        answer = http.post("/api/tts/stream", json={"text": "Hello.", "voice": "alloy"})
    assert answer.status_code == 401
    assert isinstance(answer.json()["error"], str)


def test_the_name_of_the_bridge_before_this_one_is_a_key(start: Callable[..., Bridge]):
    """One key, whatever is in it."""
    bridge = start(OSCINE_API_KEYS=None, AUTH_TOKEN="older, but good\n")
    assert bridge.speech("older, but good").status_code == 200
    assert bridge.speech("older").status_code == 401


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"OSCINE_API_KEYS": None}, "OSCINE_API_KEYS"),
        ({"OSCINE_API_KEYS": " , ", "AUTH_TOKEN": " "}, "OSCINE_API_KEYS"),
        ({"RUNPOD_API_KEY": None}, "RUNPOD_API_KEY"),
        ({"RUNPOD_URL": None}, "RUNPOD_ENDPOINT_ID"),
        ({"RUNPOD_URL": "http://api.example.com/v2/ep"}, "RUNPOD_URL"),
        ({"STORE_ORIGINS": "http://store.example.com"}, "STORE_ORIGINS"),
        ({"MAX_SUBREQUESTS": "many"}, "MAX_SUBREQUESTS"),
        ({"WORKER": "other"}, "WORKER"),
        ({"UPSTREAM": "loadbalancing"}, "UPSTREAM"),
    ],
)
def test_a_bridge_that_is_not_configured_does_nothing(
    house: House, start: Callable[..., Bridge], settings: dict[str, Any], named: str
):
    bridge = start(**settings)
    house.gate.passed.clear()
    answer = bridge.speech()
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "not_configured"
    assert named in answer.json()["error"]["message"]
    with bridge.client() as http:
        assert http.get("/health").status_code == 500
    assert not house.gate.passed


@pytest.mark.parametrize("end", [" ", "/", "/runsync\n", "/run", "/runsync?wait=1000", "/health/"])
def test_an_address_may_come_as_it_was_copied(house: House, start: Callable[..., Bridge], end: str):
    assert start(f" {endpoint_of(house.gate)}{end}").speech().status_code == 200


def test_an_address_without_its_scheme_is_https(start: Callable[..., Bridge]):
    """Nothing listens there: it is asked, and not refused as no address."""
    assert start("127.0.0.1:9/v2/ep").speech().json()["error"]["code"] == "upstream_unreachable"


READ = """
const { readSettings } = await import(process.argv[1]);
const read = (env) => {
  const { base, balanced } = readSettings({ OSCINE_API_KEYS: "x", RUNPOD_API_KEY: "y", ...env });
  return [base, balanced];
};
console.log(JSON.stringify(JSON.parse(process.argv[2]).map(read)));
"""


def test_an_address_tells_the_kind_of_the_endpoint():
    queue, balanced = "https://api.runpod.ai/v2/abc123", "https://abc123.api.runpod.ai"
    cases: dict[str, tuple[dict[str, Any], list[Any]]] = {
        "id": ({"RUNPOD_ENDPOINT_ID": " abc123\n"}, [queue, False]),
        "queue": ({"RUNPOD_URL": f"{queue}/runsync"}, [queue, False]),
        "balanced": ({"RUNPOD_URL": balanced}, [balanced, True]),
        "as OpenAI's": ({"RUNPOD_URL": f"{balanced}/v1/"}, [balanced, True]),
        "no scheme": ({"RUNPOD_URL": "abc123.api.runpod.ai"}, [balanced, True]),
        "both": ({"RUNPOD_URL": balanced, "RUNPOD_ENDPOINT_ID": "other"}, [balanced, True]),
        "told": ({"RUNPOD_URL": "https://tts.example.com/v1", "UPSTREAM": "load-balancing"},
                 ["https://tts.example.com", True]),
        "empty": ({"RUNPOD_URL": "", "UPSTREAM": "", "RUNPOD_ENDPOINT_ID": "abc123"}, [queue, False]),
        "empty number": ({"RUNPOD_URL": queue, "JOB_SECONDS": ""}, [queue, False]),
    }  # fmt: skip
    told = json.dumps([env for env, _ in cases.values()])
    done = subprocess.run(
        [node(), "--input-type=module", "--eval", READ, BRIDGE / "src" / "settings.js", told],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert dict(zip(cases, json.loads(done.stdout), strict=True)) == {name: want for name, (_, want) in cases.items()}


def test_whoever_wants_it_open_has_to_say_so(start: Callable[..., Bridge]):
    bridge = start(OSCINE_API_KEYS=None, ALLOW_ANONYMOUS="true")
    assert bridge.speech(None).status_code == 200
    assert bridge.speech("any").status_code == 200


def test_lists_and_health_need_no_key_and_wake_no_worker(house: House):
    house.gate.passed.clear()
    with house.bridge.client(None) as http:
        assert http.get("/v1/test").json() == {"status": "ok"}
        assert http.get("/ping").status_code == 200
        models = http.get("/v1/models").json()
        assert [model["id"] for model in models["data"]] == ["hibari", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"]
        assert http.get("/v1/models/tts-1").json()["object"] == "model"
        assert http.get("/v1/models/none").json()["error"]["code"] == "model_not_found"
        assert http.get("/v1/audio/models").json()["models"][0] == {"id": "hibari", "name": "hibari"}
        voices = http.get("/v1/audio/voices").json()["voices"]
        assert voices[0].keys() >= {"id", "name", "object"}
        health = http.get("/health").json()
        assert health["status"] == "ok"
        assert health["ready"] is True
        assert health["workers"].keys() == {"idle", "running", "initializing", "throttled", "unhealthy"}
        head = http.head("/health")
        assert head.status_code == 200
        assert head.content == b""
    assert set(house.gate.counted()) <= {"health"}
    assert len(house.plane.jobs) == 0 or not house.gate.counted()["run"]


def test_health_says_what_is_wrong(start: Callable[..., Bridge]):
    with start(RUNPOD_API_KEY="wrong").client(None) as http:
        told = http.get("/health").json()
    assert told["status"] == "broken"
    assert told["ready"] is False
    assert "RUNPOD_API_KEY" in told["problem"]


def test_health_of_an_endpoint_that_is_none_says_so(house: House, start: Callable[..., Bridge], gate: Gate):
    gate.rule = lambda passed: refusal(404)
    with start().client(None) as http:
        assert "RUNPOD_ENDPOINT_ID" in http.get("/health").json()["problem"]


@pytest.mark.parametrize(
    ("workers", "status"),
    [
        ({"idle": 1}, "ok"),
        ({"running": 1, "initializing": 1}, "ok"),
        ({"idle": 0, "initializing": 1, "throttled": 2}, "loading"),
        ({"throttled": 2, "unhealthy": 1}, "idle"),
        (None, "idle"),
    ],
    ids=str,
)
def test_health_tells_of_the_workers(start: Callable[..., Bridge], gate: Gate, workers: Any, status: str):
    gate.rule = lambda passed: refusal(200, {"jobs": {"inQueue": 3}, "workers": workers})
    with start().client(None) as http:
        told = http.get("/health").json()
    assert told["status"] == status
    assert told["queue"] == {"active": 0, "waiting": 3}
    assert told["workers"] == dict.fromkeys(told["workers"], 0) | (workers or {})


def test_many_that_ask_for_health_at_once_are_one_question(start: Callable[..., Bridge], gate: Gate):
    """It needs no key, and each question counts against what RunPod takes."""
    bridge = start()
    with bridge.client(None) as http, concurrent.futures.ThreadPoolExecutor(30) as pool:
        told = list(pool.map(lambda _: http.get("/health").json()["status"], range(60)))
    assert set(told) == {"ok"}
    assert gate.counted() == {"health": 1}


def test_a_model_with_a_slash_in_its_name_is_found(start: Callable[..., Bridge]):
    with start(MODELS="vibevoice/VibeVoice-7B-hf").client(None) as http:
        for name in ("vibevoice/VibeVoice-7B-hf", "vibevoice%2FVibeVoice-7B-hf"):
            assert http.get(f"/v1/models/{name}").json()["id"] == "vibevoice/VibeVoice-7B-hf"
        assert http.get("/v1/models/%E0%A4%A").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("POST", "/v1/audio/transcriptions", 404), ("GET", "/constructor", 404),
     ("GET", "/v1/audio/speech", 405), ("POST", "/v1/models", 405), ("DELETE", "/v1/audio/voices", 405)],
)  # fmt: skip
def test_what_is_not_there_says_so(house: House, method: str, path: str, status: int):
    with house.bridge.client() as http:
        answer = http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
    if status == 405:
        assert answer.headers["allow"]


class TestPages:
    ORIGIN = "https://app.example.com"

    def preflight(self, bridge: Bridge, origin: str) -> Any:
        headers = {"origin": origin, "access-control-request-method": "POST"}
        with bridge.client(None) as http:
            return http.options("/v1/audio/speech", headers=headers)

    def test_any_may_ask_where_a_key_is_needed(self, house: House):
        answer = self.preflight(house.bridge, self.ORIGIN)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "authorization" in answer.headers["access-control-allow-headers"]
        with house.bridge.client() as http:
            heard = http.post("/v1/audio/speech", json=asked(), headers={"origin": self.ORIGIN})
            refused = http.post("/v1/audio/speech", json={}, headers={"origin": self.ORIGIN})
        assert heard.headers["access-control-allow-origin"] == "*"
        assert refused.headers["access-control-allow-origin"] == "*", "a page reads errors too"

    def test_only_those_that_are_listed(self, start: Callable[..., Bridge]):
        bridge = start(OSCINE_CORS_ORIGINS=self.ORIGIN)
        assert self.preflight(bridge, self.ORIGIN).headers["access-control-allow-origin"] == self.ORIGIN
        refused = self.preflight(bridge, "https://evil.example.com")
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "origin_not_allowed"
        assert "access-control-allow-origin" not in refused.headers
        assert refused.headers["vary"] == "origin"

    def test_an_origin_may_come_as_the_browser_shows_it(self, start: Callable[..., Bridge]):
        bridge = start(OSCINE_CORS_ORIGINS=f"https://other.example.com/ {self.ORIGIN}/")
        assert self.preflight(bridge, self.ORIGIN).headers["access-control-allow-origin"] == self.ORIGIN

    def test_none_where_nobody_needs_a_key(self, start: Callable[..., Bridge]):
        bridge = start(OSCINE_API_KEYS=None, ALLOW_ANONYMOUS="true")
        assert self.preflight(bridge, self.ORIGIN).status_code == 400

    def test_none_makes_a_job_without_having_asked(self, house: House, start: Callable[..., Bridge]):
        """A browser sends text without a question before it."""
        bridge = start(OSCINE_API_KEYS=None, ALLOW_ANONYMOUS="true", OSCINE_CORS_ORIGINS="https://app.example.com")
        house.gate.passed.clear()
        headers = {"content-type": "text/plain", "origin": "https://evil.example.com"}
        with bridge.client(None) as http:
            answer = http.post("/v1/audio/speech", json=asked(), headers=headers)
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == "origin_not_allowed"
            assert not house.gate.passed
            headers["origin"] = "https://app.example.com"
            assert http.post("/v1/audio/speech", json=asked(), headers=headers).status_code == 200

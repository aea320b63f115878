"""Where CACHE_SECONDS is set, the same request of the same key is spoken once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.bridge.conftest import House
from tests.bridge.gate import Gate, refusal
from tests.bridge.house import OTHER_KEY, Bridge
from tests.runpod.house import until

pytestmark = pytest.mark.long


@pytest.fixture
def bridge(start: Callable[..., Bridge]) -> Bridge:
    return start(CACHE_SECONDS="600")


def runs(gate: Gate) -> int:
    return gate.counted()["run"] + gate.counted()["runsync"]


def kept(bridge: Bridge, **fields: Any) -> Any:
    """The answer of a request that is kept by now: keeping follows the last byte."""
    first = bridge.speech(**fields)
    assert "x-oscine-cache" not in first.headers
    until(lambda: bridge.speech(**fields).headers.get("x-oscine-cache") == "hit")
    return first


def test_the_same_request_is_spoken_once(bridge: Bridge, gate: Gate):
    first = kept(bridge, response_format="opus")
    before = runs(gate)
    again = bridge.speech(response_format="opus")
    assert runs(gate) == before
    assert again.content == first.content
    for name in ("content-type", "x-oscine-seed", "x-oscine-engine", "cache-control"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


@pytest.mark.parametrize(
    "fields",
    [{"seed": 8}, {"input": "Another text."}, {"response_format": "flac"}, {"speed": 1.1}, {"voice": "heart"},
     {"loudness": -20}, {"stream": False}, {"stream_format": "sse"}, {"seed": ...}],
    ids=str,
)  # fmt: skip
def test_whatever_differs_is_spoken(bridge: Bridge, gate: Gate, fields: dict[str, Any]):
    kept(bridge, response_format="opus")
    before = runs(gate)
    assert "x-oscine-cache" not in bridge.speech(**{"response_format": "opus", **fields}).headers
    assert runs(gate) == before + 1


def test_another_key_does_not_hear_it(bridge: Bridge, gate: Gate):
    kept(bridge)
    assert "x-oscine-cache" not in bridge.speech(OTHER_KEY).headers


def test_a_wrong_key_does_not_hear_it(bridge: Bridge):
    kept(bridge)
    assert bridge.speech("wrong").status_code == 401


def test_what_broke_is_not_kept(bridge: Bridge, gate: Gate):
    first = {"output": {"status": "streaming", "index": 0, "audio_chunk": "AAAA", "format": "pcm_16"}}

    def rule(passed: Any) -> Any:
        if passed.kind == "stream":
            return refusal(200, {"status": "FAILED", "stream": [first]})
        return refusal(200, {"status": "FAILED", "error": "It broke."}) if passed.kind == "status" else None

    gate.rule = rule
    for _ in range(2):
        with bridge.client() as http, pytest.raises(httpx.RemoteProtocolError):
            http.post("/v1/audio/speech", json={"input": "Hello.", "response_format": "pcm"})
    assert runs(gate) == 2


def test_nothing_is_kept_where_it_is_not_asked_for(house: House, gate: Gate):
    for _ in range(2):
        assert "x-oscine-cache" not in house.bridge.speech().headers
    assert runs(gate) == 2

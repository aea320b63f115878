"""Where CACHE_SECONDS is set, the same request of the same key is spoken once."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bridge.conftest import House
from tests.bridge.gate import Gate, refusal
from tests.bridge.house import OTHER_KEY, Bridge, Bundle, node
from tests.waiting import until

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


KEPT = """
const { default: bridge } = await import(process.argv[1]);
const kept = new Map();
globalThis.caches = { default: {
  match: async (url) => kept.get(url)?.clone(),
  put: async (url, answer) => { answer.headers.set("age", "5"); kept.set(url, answer); },
} };
Uint8Array.fromBase64 ??= (text) => Buffer.from(text, "base64");
Uint8Array.prototype.toHex ??= function () { return Buffer.from(this).toString("hex"); };
let pieces;
globalThis.fetch = async (url) => {
  if (url.endsWith("/run")) return Response.json({ id: "x", status: "IN_QUEUE" });
  const stream = pieces.map((audio_chunk, index) => ({ output: { index, audio_chunk, format: "pcm_16" } }));
  stream.push({ output: { status: "complete", total_chunks: pieces.length } });
  return Response.json({ id: "x", status: "COMPLETED", stream });
};
const env = { ALLOW_ANONYMOUS: "true", RUNPOD_API_KEY: "y", RUNPOD_ENDPOINT_ID: "ep", CACHE_SECONDS: "60" };
globalThis.scheduler = { wait: async () => {} };
for (const [path, count, size] of JSON.parse(process.argv[2])) {
  pieces = Array(count).fill("A".repeat(size));
  const told = [];
  for (let time = 0; time < 2; time += 1) {
    const body = JSON.stringify({ input: `${path} ${count}`, response_format: "pcm" });
    const request = new Request(`http://x${path}`, { method: "POST", body });
    const answer = await bridge.fetch(request, env, { waitUntil() {} });
    const { length } = await answer.bytes();
    told.push({ length, hit: answer.headers.has("x-oscine-cache"), old: answer.headers.has("age"),
                timed: answer.headers.has("server-timing") });
  }
  console.error(JSON.stringify(told));
}
"""


def test_what_is_kept_is_whole_or_nothing(bundle: Bundle, tmp_path: Path):
    """With a cache of the test's own: what is too large to keep is spoken again, and what the older route asks for."""
    script = tmp_path / "worker.mjs"
    shutil.copy(bundle.script, script)
    cases = [("/v1/audio/speech", 2, 400), ("/v1/audio/speech", 21, 1_400_000), ("/api/tts/stream", 2, 400)]
    told = subprocess.run(
        [node(), "--input-type=module", "--eval", KEPT, script, json.dumps(cases)],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    small, large, older = map(json.loads, told.splitlines())
    spoken = {"hit": False, "old": False, "timed": True}
    assert small == [{"length": 600, **spoken}, {"length": 600, "hit": True, "old": False, "timed": False}]
    assert large == [{"length": 21 * 1_050_000, **spoken}] * 2
    assert older == [{"length": 600, **spoken}] * 2


def test_nothing_is_kept_where_it_is_not_asked_for(house: House, gate: Gate):
    for _ in range(2):
        assert "x-oscine-cache" not in house.bridge.speech().headers
    assert runs(gate) == 2

"""How often RunPod is asked: a free plan has 50 sub-requests for each request of a client."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.conftest import House
from tests.bridge.gate import Gate, Passed, refusal
from tests.bridge.house import BRIDGE, Bundle, node
from tests.bridge.test_failures import speaking
from tests.waiting import until

pytestmark = pytest.mark.long

MOST = 45

SIMULATED = """
const { pause } = await import(process.argv[1]);
const [seconds, budget, horizon, whole] = JSON.parse(process.argv[2]);
let elapsed = 0, polls = budget, waits = [];
while (elapsed < seconds && polls > 0) {
  waits.push(pause(elapsed, polls, horizon, whole));
  elapsed += waits.at(-1);
  polls -= 1;
}
console.log(JSON.stringify({ elapsed, waits }));
"""


def simulated(seconds: float, budget: int = MOST - 5, horizon: float = 600, whole: bool = False) -> Any:
    told = [seconds, budget, horizon, whole]
    done = subprocess.run(
        [node(), "--input-type=module", "--eval", SIMULATED, BRIDGE / "src" / "pause.js", json.dumps(told)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize("seconds", [0.05, 1, 5, 20, 60, 300, 599])
def test_no_job_is_left_before_its_time_is_over(seconds: float):
    assert simulated(seconds)["elapsed"] >= seconds


def test_the_first_questions_come_soon_and_later_ones_wait_a_quarter_of_the_time_at_most():
    """So a worker that needs less than 0.8 s for a second of sound is never too late for a listener."""
    told = simulated(600)
    assert told["waits"][0] <= 0.1
    at = 0.0
    for wait in told["waits"]:
        assert wait <= max(0.1, 0.24 * at) + 1e-9
        at += wait


@pytest.mark.parametrize("seconds", [1, 10, 60])
def test_a_plan_that_pays_is_asked_more_often(seconds: float):
    assert max(simulated(seconds, budget=900)["waits"]) <= 1


@pytest.mark.parametrize("horizon", [600, 1800])
def test_a_whole_file_is_asked_for_before_its_minute_is_over(horizon: float):
    """RunPod keeps the result of a /runsync for a minute."""
    told = simulated(horizon - 1, horizon=horizon, whole=True)
    assert told["elapsed"] >= horizon - 1
    assert max(told["waits"]) <= 45
    assert max(simulated(1700, horizon=3600, whole=True)["waits"]) <= 45


BY_ANOTHER_CLOCK = """
const { default: bridge } = await import(process.argv[1]);
let [now, questions, given, queued, runs, whole, first, over] = [];
Date.now = () => (1e9 + now) * 1000;
globalThis.scheduler = { wait: async (ms) => { now += ms / 1000; } };
Uint8Array.fromBase64 ??= (text) => Buffer.from(text, "base64");
const sound = { status: "streaming", index: 0, format: "pcm_16", audio_chunk: "AAAA" };
const document = { status: "completed", audio_base64: "AAAA" };
const hold = (until, seconds) => { now = Math.max(now, Math.min(until, now + seconds)); };
globalThis.fetch = async (url) => {
  questions += 1;
  const wait = Number(new URL(url).searchParams.get("wait") ?? 10_000) / 1000;
  if (url.includes("/runsync")) hold(over, wait);
  if (url.includes("/stream")) hold(given ? over : first, wait);
  const items = now >= first && !given ? [whole ? {} : sound] : [];
  given ||= items.length > 0;
  const done = now >= over;
  if (done && !whole) items.push({ status: "complete", total_chunks: 1 });
  const status = now < queued ? "IN_QUEUE" : done ? "COMPLETED" : "IN_PROGRESS";
  const stream = items.map((output) => ({ output }));
  return Response.json({ id: "x", status, ...(done && { output: [whole ? document : sound] }), stream });
};
const env = { ALLOW_ANONYMOUS: "true", RUNPOD_API_KEY: "y", RUNPOD_ENDPOINT_ID: "ep" };
for (const wanted of JSON.parse(process.argv[2])) {
  [queued, runs, whole] = wanted;
  [now, questions, given, over] = [0, 0, false, queued + runs];
  first = whole ? over : queued + 0.02;
  const body = JSON.stringify({ input: "Hello.", response_format: "pcm", stream: !whole });
  const request = new Request("http://x/v1/audio/speech", { method: "POST", body });
  const answer = await bridge.fetch(request, env, { waitUntil() {} });
  const late = now - first;
  const { length } = await answer.bytes();
  console.error(JSON.stringify({ wanted, status: answer.status, length, late, questions }));
}
"""


def test_the_first_sound_is_not_late_however_long_it_is_waited_for(bundle: Bundle, tmp_path: Path):
    """By a clock of the test's own, with a platform that holds questions back as RunPod does."""
    script = tmp_path / "worker.mjs"
    shutil.copy(bundle.script, script)
    cases = list(itertools.product([0, 0.05, 0.2, 8, 25, 60, 110], [2, 60, 500], [False, True]))
    told = subprocess.run(
        [node(), "--input-type=module", "--eval", BY_ANOTHER_CLOCK, script, json.dumps(cases)],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    found = [json.loads(line) for line in told.splitlines()]
    assert len(found) == len(cases)
    for case in found:
        assert (case["status"], case["length"]) == (200, 3), case
        assert case["late"] <= 0.02, case
        assert case["questions"] <= MOST, case


@pytest.mark.slow
def test_a_job_of_a_minute_needs_at_most_45(house: House, gate: Gate):
    """The job lasts a minute by the clock, with a piece every second; what is counted is what passed the gate."""
    given = 0
    started = time.monotonic()

    def rule(passed: Passed) -> Any:
        nonlocal given
        if passed.kind != "stream":
            return refusal(200, {"id": "job-1", "status": "IN_QUEUE"}) if passed.kind == "run" else None
        seconds = time.monotonic() - started
        upto, over = min(60, int(seconds)), seconds >= 60
        items = [{"output": piece(number)} for number in range(given, upto)]
        given = upto
        if over:
            items.append({"output": {"status": "complete", "total_chunks": 60}})
        return refusal(200, {"status": "COMPLETED" if over else "IN_PROGRESS", "stream": items})

    def piece(number: int) -> dict[str, Any]:
        return {"status": "streaming", "index": number, "format": "pcm_16", "sample_rate": 24000, "audio_chunk": "AAAA"}

    gate.rule = rule
    answer = house.bridge.speech(response_format="pcm")
    assert answer.status_code == 200, answer.text
    assert answer.content == bytes(3 * 60)
    assert len(gate.passed) <= MOST
    assert time.monotonic() - started >= 60


def test_questions_are_held_back_until_there_is_something_to_say(tones: House):
    """So nothing is late that RunPod knows, however long the interval is. It holds them for 1 to 300 s, and 10 else."""
    thread, answers = speaking(tones.bridge, input="It is held.")
    until(lambda: tones.gate.counted()["stream"] >= 4)
    tones.process.go()
    thread.join()
    assert answers[0].status_code == 200, answers[0].text
    held = [int(passed.query["wait"]) for passed in tones.gate.of("stream")]
    assert all(1000 <= wait <= 30_000 for wait in held)


def test_the_budget_is_never_exceeded(house: House, gate: Gate, start: Any):
    """Not even where the job does not end: it is cancelled within it."""
    gate.rule = lambda p: refusal(200, {"status": "IN_PROGRESS", "stream": []}) if p.kind == "stream" else None
    answer = start(MAX_SUBREQUESTS="12", JOB_SECONDS="5").speech()
    assert answer.status_code == 504
    until(lambda: gate.counted()["cancel"] == 1)
    assert len(gate.passed) <= 12

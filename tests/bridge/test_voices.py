"""voices.json: what a name of OpenAI's means to the worker."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.conftest import House
from tests.bridge.house import BRIDGE, Bridge, Bundle, bundled, endpoint_of, node, running

pytestmark = pytest.mark.long

TABLE = {
    "alloy": "heart",
    "nova": {"voice": "heart", "engine": "hibari", "options": {"speed": 1.5, "loudness": -20}},
    "Storyteller": "emma",
    "default": "heart",
}


def asked_of(house: House) -> dict[str, Any]:
    """The input of the last job."""
    found: dict[str, Any] = list(house.plane.jobs.values())[-1].asked["input"]
    return found


@pytest.fixture(params=["file", "kv", "r2", "older r2"])
def bridge(request: Any, house: House, start: Callable[..., Bridge], tmp_path: Path) -> Any:
    text = json.dumps(TABLE)
    if request.param == "file":
        with running(bundled(tmp_path, text), endpoint_of(house.gate)) as found:
            yield found
    elif request.param == "kv":
        yield start(kv=text)
    else:
        yield start(r2={"VOICES_BUCKET" if request.param == "r2" else "VIBEVOICE_BUCKET": text})


def test_names_mean_what_the_table_says(house: House, bridge: Bridge):
    assert bridge.speech(voice="Alloy").status_code == 200
    assert asked_of(house)["voice"] == "heart"
    bridge.speech(voice={"id": "nova"})
    assert asked_of(house) | {"voice": "heart", "engine": "hibari", "speed": 1.5, "loudness": -20} == asked_of(house)
    bridge.speech(voice="nova", speed=0.9)
    assert asked_of(house)["speed"] == 0.9, "what a client asks for comes before the table"
    bridge.speech(voice=" storyteller ")
    assert asked_of(house)["voice"] == "emma", "in large letters or small"
    bridge.speech(voice="shimmer")
    assert asked_of(house)["voice"] == "heart", "OpenAI's names that are not in the table mean the default"
    bridge.speech(voice=...)
    assert asked_of(house)["voice"] == "heart"
    bridge.speech(voice="emma")
    assert asked_of(house)["voice"] == "emma", "other names are the worker's own"
    bridge.speech(input="Bob: Hello.", voices={"Bob": "alloy"})
    assert asked_of(house)["voices"] == {"Bob": "heart"}
    with bridge.client(None) as http:
        assert [voice["id"] for voice in http.get("/v1/audio/voices").json()["voices"]] == [
            "alloy",
            "nova",
            "Storyteller",
        ]


@pytest.mark.parametrize("name", ["speaker_voice", "speaker_name", "speaker"])
def test_other_names_for_a_voice_mean_what_the_table_says(house: House, start: Callable[..., Bridge], name: str):
    bridge = start(kv=json.dumps({"alloy": "heart", "default": "nobody"}))
    fields: dict[str, Any] = {"voice": ..., name: "alloy"}
    assert bridge.speech(**fields).status_code == 200
    told = asked_of(house)
    assert told[name] == "heart"
    assert "voice" not in told, "the default is for those that name none"
    bridge.speech(**{"voice": "alloy", name: "somebody"})
    assert asked_of(house)["voice"] == "heart"
    assert name not in asked_of(house)


@pytest.mark.parametrize(("worker", "field"), [("vibevoice", "speaker_name"), ("indextts", "speaker_voice")])
def test_an_older_worker_hears_them_by_its_own_name(
    house: House, start: Callable[..., Bridge], worker: str, field: str
):
    bridge = start(kv=json.dumps({"alloy": "heart", "default": "nobody"}), WORKER=worker)
    for name in ("voice", "speaker_voice", "speaker_name", "speaker"):
        fields: dict[str, Any] = {"voice": ..., name: "alloy"}
        bridge.speech(**fields)
        named = {key: value for key, value in asked_of(house).items() if "voice" in key or "speaker" in key}
        assert named == {field: "heart"}


def test_what_the_table_says_stays_where_a_client_says_nothing(house: House, start: Callable[..., Bridge]):
    table = {"nova": {"voice": "heart", "options": {"speed": 1.5, "format": "opus", "loudness": -20}}}
    bridge = start(kv=json.dumps(table))
    answer = bridge.speech(voice="nova", speed=None)
    assert asked_of(house)["speed"] == 1.5
    assert answer.headers["content-type"] == "audio/ogg"
    answer = bridge.speech(voice="nova", response_format="wav", loudness=None)
    assert answer.headers["content-type"] == "audio/wav"
    assert "x-oscine-warnings" not in answer.headers
    assert asked_of(house)["loudness"] is None, "which means as loud as it is"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [(None, "not there"), ("{", "not valid JSON"), ("[]", "an object"), ('{"x": 5}', '"x"'),
     ('{"x": {"voice": 5}}', '"x"'), ('{"x": {"voice": "Alice", "speed": 0.9}}', '"x"'), ('{"x": " "}', '"x"'),
     ('{"x": {"voice": "Alice", "language": "en"}}', '"x"'),
     ('{"x": {"voice": "Alice", "options": 5}}', '"x"'), ('{"x": {"engine": ""}}', '"x"')],
)  # fmt: skip
def test_a_table_that_is_broken_is_an_error_that_says_where(start: Callable[..., Bridge], text: str | None, wrong: str):
    answer = start(r2={"VOICES_BUCKET": text}).speech()
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "voices_json_broken"
    assert wrong in answer.json()["error"]["message"]


LATER = """
const { default: bridge } = await import(process.argv[1]);
const [now, tables, told] = [Date.now(), JSON.parse(process.argv[2]), []];
const get = async () => { const table = tables.shift(); if (!table) throw new Error("KV is gone"); return table; };
for (const seconds of [0, 59, 61, 122]) {
  Date.now = () => now + seconds * 1000;
  const env = { OSCINE_API_KEYS: "x", RUNPOD_API_KEY: "y", RUNPOD_ENDPOINT_ID: "ep", VOICES: { get } };
  const answer = await bridge.fetch(new Request("http://x/v1/audio/voices"), env, {});
  told.push((await answer.json()).voices.map(({ id }) => id));
}
console.log(JSON.stringify(told));
"""


def test_a_table_is_read_again_after_a_minute(bundle: Bundle, tmp_path: Path):
    """Where it cannot be, the one from before holds."""
    script = tmp_path / "worker.mjs"
    shutil.copy(bundle.script, script)
    tables = json.dumps(['{"first": "heart"}', '{"second": "heart"}'])
    done = subprocess.run(
        [node(), "--input-type=module", "--eval", LATER, script, tables], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [["first"], ["first"], ["second"], ["second"]]


@pytest.mark.parametrize("path", sorted(BRIDGE.glob("voices.*.json")), ids=lambda path: path.name)
def test_the_examples_are_tables_with_a_default(start: Callable[..., Bridge], path: Path):
    text = path.read_text()
    with start(kv=text).client(None) as http:
        listed = {voice["id"] for voice in http.get("/v1/audio/voices").json()["voices"]}
    assert listed == json.loads(text).keys() - {"default"}
    assert "default" in json.loads(text)


def test_there_is_an_example_for_each_model():
    assert {path.name for path in BRIDGE.glob("voices.*.json")} == {"voices.vibevoice.json", "voices.indextts.json"}

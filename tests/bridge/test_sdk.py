"""OpenAI's packages against the bridge: Python's current one, the last of its first generation, and JavaScript's."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.conftest import House
from tests.bridge.engines import entry_points
from tests.bridge.gate import Gate, refusal
from tests.bridge.house import BRIDGE, CLIENT_KEY, MEDIA_TYPES, Bundle, endpoint_of, node, running
from tests.contract.sdk_checks import CHECKS
from tests.contract.test_sdk import CURRENT, FIRST
from tests.runpod.house import worker
from tests.runpod.plane import Plane

SERVERS_OWN = {"voices", "a_voice_from_a_prompt_is_refused"}
"""The bridge keeps no recordings: they lie on the endpoint's volume."""
NAMES = [name for name in CHECKS if name not in SERVERS_OWN]


@pytest.fixture(scope="module")
def addresses(house: House, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        open_ = {"OSCINE_API_KEYS": None, "ALLOW_ANONYMOUS": "true", "MODELS": "hibari"}

        def bridge(gate: Gate, **settings: Any) -> str:
            return stack.enter_context(running(bundle, endpoint_of(gate), **settings)).url

        limited = stack.enter_context(Gate(house.plane.url).running())
        count = itertools.count()
        limited.rule = lambda passed: refusal(429) if passed.kind == "run" and next(count) % 3 == 1 else None
        folder = tmp_path_factory.mktemp("broken")
        plane = stack.enter_context(Plane().running())
        engines = entry_points(folder / "engines")
        stack.enter_context(worker(plane, folder, engines=engines, OSCINE_ENGINE="broken"))
        broken = stack.enter_context(Gate(plane.url).running())
        yield {
            "open": bridge(house.gate, **open_),
            "locked": bridge(house.gate),
            "key": CLIENT_KEY,
            "limited": bridge(limited, **open_),
            "broken": bridge(broken, **open_),
        }


@pytest.fixture(scope="module", params=[CURRENT, pytest.param(FIRST, marks=pytest.mark.long)], ids=["current", "1.x"])
def problems(request: Any, addresses: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    python: Path = request.param
    if not python.exists():
        pytest.fail("the old client is not here: run `make .tools/openai1/ready`")
    checks = Path(__file__).parents[1] / "contract" / "sdk_checks.py"
    done = subprocess.run(
        [python, checks, json.dumps(addresses), tmp_path_factory.mktemp("sound")],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")},
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return {line["check"]: line["problem"] for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", NAMES)
def test_pythons_package_gets_what_it_asks_for(problems: dict[str, Any], name: str):
    assert problems[name] is None


def test_javascripts_package_gets_what_it_asks_for(house: House, tmp_path: Path):
    done = subprocess.run(
        [node(), Path(__file__).with_name("sdk.mjs"), BRIDGE, house.bridge.url, CLIENT_KEY, tmp_path],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 7
    assert [line for line in told if line["problem"]] == []
    for format in MEDIA_TYPES:
        assert (tmp_path / f"js.{format}").read_bytes() == house.bridge.speech(response_format=format).content
    pcm = (tmp_path / "js.pcm").read_bytes()
    assert (tmp_path / "js-stream.pcm").read_bytes() == pcm
    assert (tmp_path / "js-sse.pcm").read_bytes() == pcm

"""scripts/try_endpoint.py finds every promise kept by a real worker under the platform."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.delivery.seaweed import seaweed
from tests.runpod.conftest import Start
from tests.runpod.house import Client
from tests.runpod.plane import ENDPOINT, KEY, Plane
from tests.scripts.script import SCRIPT, try_endpoint


def tried(plane: Plane, *arguments: str) -> list[list[str]]:
    """The verdicts of the table, with what was seen."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), ENDPOINT, "--url", f"{plane.url}/v2", "--long", "400", *arguments],
        env={"PATH": os.environ["PATH"], "RUNPOD_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert KEY not in done.stdout + done.stderr
    told, _, _ = done.stdout.partition("\n\n")
    return [line.split(": ", 2) for line in told.splitlines()]


@pytest.mark.long
def test_every_item_passes(start: Start, platform: Client, tmp_path: Path):
    (tmp_path / "store").mkdir()
    with seaweed(tmp_path / "store") as server:
        start(**{name.upper(): value for name, value in server.settings().items()})
        verdicts = tried(platform.plane, "--voices")
    assert [line[:2] for line in verdicts] == [[name, "pass"] for name in try_endpoint.ITEMS]
    told = {name: text for name, _, text in verdicts}
    assert "s3 pass" in told["health_check"]
    assert told["audio"].startswith("link, audio/mpeg")


@pytest.mark.long
def test_a_worker_with_single_results_passes_but_for_what_it_does_not_do(start: Start, platform: Client):
    start(OSCINE_SINGLE_RESULT="true")
    verdicts = tried(platform.plane, "--only", "short_job", "audio", "stream", "aggregate", "cancel", "invalid")
    told = {name: text for name, _, text in verdicts}
    assert {name for name, verdict, _ in verdicts if verdict != "pass"} == {"stream", "aggregate"}
    assert told["stream"] == "OSCINE_SINGLE_RESULT is set: the worker does not stream"
    assert told["audio"].startswith("base64, ")

"""OpenAI's own package against the server: the current one, and the last of its first generation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from oscine.config import Settings
from tests.contract import sound
from tests.contract.running import running
from tests.contract.sdk_checks import CHECKS, MEDIA_TYPES
from tests.echo import EchoEngine, Failure
from tests.http.conftest import is_ready
from tests.http.conftest import running as in_a_thread

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CURRENT = Path(sys.executable)
FIRST = ROOT / ".tools" / "openai1" / "bin" / "python"
FRAME_S = {"mp3": 0.024, "opus": 0.02, "aac": 0.043, "flac": 0, "wav": 0, "pcm": 0}
"""A frame of each codec: so far the length of the sound may be from that of the samples."""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:

        def start(name: str, **settings: str) -> str:
            return stack.enter_context(running(tmp_path_factory.mktemp(name), **settings))

        def broken(_: Settings) -> EchoEngine:
            return EchoEngine(name="hibari", failures=[Failure("little", times=1_000_000, after_frames=3)])

        thread = stack.enter_context(in_a_thread(tmp_path_factory.mktemp("broken"), {"hibari": broken}))
        yield {
            "open": start("open"),
            "locked": start("locked", OSCINE_API_KEYS="sk-other,sk-ours"),
            "key": "sk-ours",
            "limited": start("limited", OSCINE_RATE_LIMIT="1/2 second"),
            "broken": is_ready(thread).url,
        }


class Run:
    """One run of all checks with one version."""

    def __init__(self, python: Path, addresses: dict[str, str], folder: Path) -> None:
        self.folder = folder
        script = Path(__file__).with_name("sdk_checks.py")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
        done = subprocess.run(
            [python, script, json.dumps(addresses), folder],
            capture_output=True,
            text=True,
            env=environment,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        told = [json.loads(line) for line in done.stdout.splitlines()]
        self.version = told[0]["openai"]
        self.problems = {line["check"]: line["problem"] for line in told}


@pytest.fixture(scope="module", params=[CURRENT, FIRST], ids=["current", "1.x"])
def run(request: Any, addresses: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    python: Path = request.param
    if not python.exists():
        pytest.fail("the old client is not here: run `make .tools/openai1/ready`")
    return Run(python, addresses, tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("name", CHECKS)
def test_the_package_gets_what_it_asks_for(run: Run, name: str):
    assert run.problems[name] is None


def test_both_generations_were_there(addresses: dict[str, str]):
    versions = [
        subprocess.run(
            [python, "-c", "import openai; print(openai.__version__)"], capture_output=True, text=True, check=True
        ).stdout
        for python in (CURRENT, FIRST)
    ]
    assert [int(version.split(".")[0]) >= 3 for version in versions] == [True, False]
    assert versions[1].startswith("1.")


@pytest.mark.parametrize("format", MEDIA_TYPES)
@pytest.mark.parametrize("way", ["create", "stream", "sse"])
def test_every_format_lasts_as_long_as_the_samples(run: Run, way: str, format: str):
    wanted = seconds(run.folder / "create.wav")
    assert wanted > 3
    assert seconds(run.folder / f"{way}.{format}") == pytest.approx(wanted, abs=FRAME_S[format] + 1 / 24_000)


@pytest.mark.parametrize("name", ["create.wav", "stream.wav", "sse.wav", "sse-class.wav", "async.wav", "key.wav"])
def test_one_seed_is_one_sound_on_every_way(run: Run, name: str):
    assert samples(run.folder / name) == samples(run.folder / "create.wav")


@pytest.mark.parametrize("name", ["file.mp3", "streamed.flac", "default.mp3", "object.wav", "instructions.wav"])
def test_what_was_saved_is_speech(run: Run, name: str):
    assert seconds(run.folder / name) == pytest.approx(seconds(run.folder / "create.wav"), abs=0.05)
    assert any(samples(run.folder / name))


def seconds(path: Path) -> float:
    return len(samples(path)) / 2 / 24_000


def samples(path: Path) -> bytes:
    data = path.read_bytes()
    return data if path.suffix == ".pcm" else sound.samples(data)

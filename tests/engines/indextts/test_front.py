"""From the command and the server to a file: the engines with everything around them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from oscine import Oscine
from oscine.config import Settings
from oscine.engines.indextts.engine import IndexTTS25Engine
from oscine.engines.protocol import Lane, Utterance
from tests.cli.machine import Machine, decoded
from tests.cli.test_bad_input import recording
from tests.http.asking import speak, warnings_of
from tests.http.conftest import is_ready, running
from tests.waiting import PATIENCE_S

TEXT = "Hello world. Why not?"
MAIN = """
from oscine.engines.indextts.grammars import Grammars, Plain
Grammars.get = lambda self, language: Plain()  # compiling a real one takes half a minute
from oscine.cli import main
main()
"""


@pytest.fixture
def machine(home: Path, tmp_path: Path) -> Machine:
    """A machine with both models and two voices in its library."""
    made = Machine(tmp_path, {"OSCINE_ENGINE": "indextts2", "OSCINE_LOG": "warning", "OSCINE_DEVICE": "cpu"})
    made.variables["OMP_NUM_THREADS"] = "1"  # with two, operations as small as these wait for each other
    voices = made.volume / "voices"
    voices.mkdir(parents=True)
    for name in ("indextts", "indextts25", "huggingface-cache"):
        (made.volume / name).symlink_to(home / name)
    (voices / "anna.wav").write_bytes(recording(4.0))
    (voices / "sad bert.wav").write_bytes(recording(5.0, rate=22_050))
    return made


@pytest.mark.parametrize("engine", ["indextts2", "indextts25"])
@pytest.mark.long
def test_the_command_says_a_text_into_a_file(machine: Machine, engine: str) -> None:
    wish = ["say", TEXT, "--engine", engine, "--voice", "anna", "--seed", "3", "-o", "out.opus"]
    for field in ("fast=true", "cfg_scale=2", "emo_audio_prompt=sad bert", "emo_alpha=0.5"):
        wish += ["--set", field]
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *wish],
        cwd=machine.work,
        env=machine.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert "cfg_scale" in done.stderr
    for told in ("Traceback", "Warning:", "it/s]", "[transformers]"):
        assert told not in done.stderr
    sound, _ = decoded(machine.work / "out.opus")
    assert 0.3 < len(sound) / 48_000 < 30
    assert float(np.abs(sound).max()) > 0.05


def test_engines_shows_the_licence_with_its_limits(machine: Machine) -> None:
    told = machine.oscine("engines", "--json")
    assert told.code == 0, told.err
    facts = {each["name"]: each for each in json.loads(told.said)}
    for name in ("indextts2", "indextts25"):
        assert facts[name]["ready"]
        assert facts[name]["cloning"]
        assert "100 million" in facts[name]["licence"]
    assert "Bilibili Model Use License" in machine.oscine("engines").said


def test_the_server_speaks_opus_and_warns_of_wishes_that_the_engine_does_not_know(
    machine: Machine, unwritten: None
) -> None:
    with running(machine.volume, OSCINE_ENGINE="indextts25", OSCINE_DEVICE="cpu") as found:
        is_ready(found)
        answer = speak(
            found,
            TEXT,
            voice="anna",
            response_format="opus",
            seed=3,
            fast=True,
            cfg_scale=2,
            use_emo_text=True,
            speed=1.25,
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("audio/ogg")
        for name in ("cfg_scale", "use_emo_text"):
            assert name in warnings_of(answer)
        assert "fast" not in warnings_of(answer)
        with av.open(io.BytesIO(answer.content)) as container:
            assert container.streams.audio[0].codec_context.name.endswith("opus")
        for fields, name in (
            ({"voice": "nobody"}, "voice"),
            ({"voice": "anna", "emo_audio_prompt": "nobody"}, "emo_audio_prompt"),
            ({"voice": "anna", "emo_vector": [2.0] * 8}, "emo_vector"),
            ({"voice": "anna", "emo_vector": [0.1] * 7}, "emo_vector"),
            ({"voice": "anna", "emo_alpha": -1}, "emo_alpha"),
        ):
            refused = speak(found, TEXT, **fields)
            assert refused.status_code in (400, 404), refused.text
            assert refused.json()["error"]["param"] == name


def test_a_greater_speed_is_shorter_whoever_does_it(
    machine: Machine, unwritten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken: list[float] = []
    opened = IndexTTS25Engine.open

    def watched(engine: IndexTTS25Engine, wanted: Utterance, stop: threading.Event) -> Lane:
        spoken.append(wanted.speed)
        return opened(engine, replace(wanted, seed=3), stop)  # else each speed has a seed of its own

    monkeypatch.setattr(IndexTTS25Engine, "open", watched)
    settings = Settings(volume=machine.volume, engine="indextts25", device="cpu")
    with Oscine(settings=settings, voice="anna", seed=3, fast=True, steps=4) as oscine:
        speeds = (1.0, 1.25, 0.5, 2.0)
        lengths = [oscine.say("Hello world.", speed=speed).duration for speed in speeds]
        low, high = oscine.engine.capabilities.speed or (1.0, 1.0)
    assert spoken[:3] == [1.0, 1.25, 0.5]
    assert low <= spoken[3] <= high < 2.0
    plain, faster, slowest, fastest = lengths
    assert slowest > 1.4 * plain > 1.4 * faster > 1.6 * fastest  # less the silence around it that is trimmed

"""Voices, engines, downloads and the doctor; and how the command ends when something nobody thought of happens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.machine import REPOSITORY, Ended, Machine
from tests.cli.test_bad_input import recording

NO_NETWORK = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}


def test_voices_are_added_listed_shown_and_removed(machine: Machine):
    (machine.work / "anna.wav").write_bytes(recording(5))
    assert said(machine.oscine("voices", "add", "Anna", "anna.wav")) == "added Anna\n"
    listed = said(machine.oscine("voices", "list"))
    assert any(line.startswith("heart ") and "default" in line for line in listed.splitlines())
    assert any(line.startswith("Anna ") and "recording" in line for line in listed.splitlines())
    shown = said(machine.oscine("voices", "show", "anna"))
    facts = {line[:12].strip(): line[12:].strip() for line in shown.splitlines()}
    assert list(facts) == ["name", "format", "duration", "sample rate", "channels", "loudness"]
    assert (facts["name"], facts["duration"], facts["sample rate"]) == ("Anna", "5.00 s", "24000 Hz")
    assert facts["format"].startswith("wav")
    assert facts["loudness"].endswith("LUFS")
    told = json.loads(said(machine.oscine("voices", "list", "--json")))
    assert {"name": "Anna", "kind": "recording", "usable": False}.items() <= told[-1].items()
    assert {"name": "heart", "kind": "preset", "default": True, "usable": True}.items() <= told[0].items()
    refused(machine.oscine("voices", "add", "anna", "anna.wav"), 2, "exists")
    assert said(machine.oscine("voices", "add", "anna", "anna.wav", "--replace")) == "added anna\n"
    refused(machine.oscine("say", "Hello there.", "--voice", "anna"), 2, "clone")
    assert said(machine.oscine("voices", "remove", "anna")) == "removed anna\n"
    refused(machine.oscine("voices", "remove", "anna"), 2, "voice")
    refused(machine.oscine("voices", "show", "anna"), 2, "voice")
    refused(machine.oscine("voices", "add", "../anna", "anna.wav"), 2, "voice")
    refused(machine.oscine("voices", "add", "bob", "none.wav"), 2, "file")
    refused(machine.oscine("voices", "add", "bob", "/dev/zero"), 2, "64 MB")
    assert machine.unfinished() == ["volume/voices/.oscine-lock"]  # empty, and there to be locked


def test_engines_says_what_each_can_do_and_what_is_missing(machine: Machine):
    told = said(machine.oscine("engines"))
    assert told.startswith("hibari ")
    for fact in ("default", "24000 Hz", "Apache-2.0", "heart", "oscine download hibari"):
        assert fact in told
    hibari, *others = json.loads(said(machine.oscine("engines", "--json")))
    assert {"name": "hibari", "default": True, "ready": True, "cloning": False, "voices": ["heart"]}.items() <= (
        hibari.items()
    )
    speakers = {"indextts2": 1, "indextts25": 1, "vibevoice": 4}
    assert [engine["name"] for engine in others] == list(speakers)
    for engine in others:
        facts = {"default": False, "ready": False, "cloning": True, "voices": []}
        assert facts.items() <= engine.items()
        assert engine["speakers"] == speakers[engine["name"]]
        brought = (f"oscine download {engine['name']}", f'pip install "oscine[{engine["name"]}]"')
        assert engine["remedy"] in brought
    for fact in ("Bilibili Model Use License", "100 million monthly users", "may not improve other AI models"):
        assert told.count(fact) == 2, "those who could switch IndexTTS on are told what its licence asks of them"


def test_a_download_without_network_ends_in_one_sentence_and_leaves_nothing(machine: Machine):
    ended = machine.oscine("download", "hibari", variables=NO_NETWORK)
    assert ended.code == 3
    assert [line for line in ended.lines if line.startswith("oscine: ")] == ended.lines[-1:]
    assert "connection" in ended.lines[-1]
    assert [path for path in machine.home.rglob("*") if path.is_file()] == []
    refused(machine.oscine("download", "nothing"), 2, "hibari")
    refused(machine.oscine("say", "Hello there.", "--voice", "emma"), 3, "oscine download hibari")
    blocked = machine.home / "blocked"
    blocked.write_text("a file where a folder should be")
    ended = machine.oscine("download", "hibari", variables={**NO_NETWORK, "HIBARI_HOME": str(blocked)})
    assert ended.code == 3
    assert "unexpected" not in ended.err


def test_the_doctor_finds_this_machine_well(machine: Machine):
    told = said(machine.oscine("doctor"))
    assert "FAIL" not in told
    for what in ("Python", "GPU", "data folder", "voices", "codecs", "mp3, opus, aac, flac, wav, pcm", "hibari"):
        assert what in told
    assert machine.unfinished() == []
    assert not machine.volume.exists(), "a check changes nothing"


def test_the_doctor_names_a_data_folder_that_cannot_be_written_and_its_remedy(machine: Machine):
    machine.volume.write_text("a file where a folder should be")
    ended = machine.oscine("doctor")
    assert ended.code == 3
    failed = [line for line in ended.said.splitlines() if line.startswith("FAIL")]
    assert ["data folder" in line and "OSCINE_VOLUME" in line for line in failed] == [True, False]
    assert ["AUDIO_VOICES_DIR" in line for line in failed] == [False, True]
    assert len(ended.lines) == 1
    assert "FAIL" in ended.err


def test_a_wrong_setting_is_named(machine: Machine):
    refused(machine.oscine("say", "Hello there.", variables={"MAX_TEXT_LENGTH": "many"}), 2, "MAX_TEXT_LENGTH")
    refused(machine.oscine("say", "Hello there.", variables={"OSCINE_ENGINE": "nothing"}), 3, "OSCINE_ENGINE")


def test_help_and_version_are_told_on_standard_output(machine: Machine):
    assert said(machine.oscine("--version")).startswith("oscine ")
    for command in (["--help"], ["say", "--help"], ["voices", "--help"]):
        assert "Usage: oscine" in said(machine.oscine(*command))
    bare = machine.oscine()
    assert bare.code == 2
    assert "Usage: oscine" in bare.err + bare.said


def test_the_command_also_runs_as_a_module(machine: Machine):
    done = subprocess.run(
        [sys.executable, "-m", "oscine", "say", "Hello.", "--voice", "nobody"],
        cwd=machine.work,
        env=machine.environment,
        capture_output=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"oscine: voice is not the name of a voice here")


@pytest.fixture
def plugged(machine: Machine, tmp_path: Path) -> Machine:
    """A machine with engines of other people: one that cannot be made, one that speaks tones and fails at a word."""
    place = tmp_path / "plugins"
    facts = place / "plugged-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[oscine.engines]\nbroken = plugged:broken\ntones = plugged:tones\n")
    (place / "plugged.py").write_text(
        "from tests.echo import Failure, echo\n"
        "def broken(settings):\n"
        "    raise RuntimeError('the secret is 1234')\n"
        "tones = echo(failures=[Failure('ship', times=99)])\n"
    )
    machine.variables["PYTHONPATH"] = f"{place}:{REPOSITORY}"
    return machine


def test_what_nobody_thought_of_is_one_line_and_a_traceback_for_those_who_ask(plugged: Machine):
    ended = plugged.oscine("say", "Hello there.", "--engine", "broken")
    assert ended.code == 4
    assert ended.lines == ["oscine: an unexpected RuntimeError happened; set OSCINE_DEBUG=1 to see where."]
    asked = plugged.oscine("say", "Hello there.", "--engine", "broken", variables={"OSCINE_DEBUG": "1"})
    assert asked.code == 4
    assert "Traceback" in asked.err
    assert "the secret is 1234" in asked.err


def test_a_piece_that_cannot_be_spoken_ends_the_command_with_4_and_leaves_no_file(plugged: Machine):
    text = "The train is here. The ship is not. Good night."
    ended = plugged.oscine("say", text, "--engine", "tones", "-o", "out.mp3")
    assert ended.code == 4
    assert len(ended.lines) == 1
    assert ended.err.startswith("oscine: ")
    assert list(plugged.work.iterdir()) == []
    streamed = plugged.oscine("say", text, "--engine", "tones", "-o", "-", "--format", "pcm")
    assert streamed.code == 4
    assert len(streamed.lines) == 1


def test_engines_of_others_are_listed_also_where_one_is_broken(plugged: Machine):
    told = said(plugged.oscine("engines"))
    assert "Tones for tests." in told
    assert "hibari" in told
    assert "broken\n  missing    does not start (RuntimeError)" in told
    facts = {engine["name"]: engine for engine in json.loads(said(plugged.oscine("engines", "--json")))}
    assert sorted(facts) == ["broken", "hibari", "indextts2", "indextts25", "tones", "vibevoice"]
    assert (facts["broken"]["ready"], facts["tones"]["ready"]) == (False, True)
    checked = said(plugged.oscine("doctor"))
    assert [line[:12] for line in checked.splitlines() if "does not start" in line] == ["warn  broken"]


def test_names_for_voices_can_be_edited(machine: Machine):
    (machine.volume / "voices").mkdir(parents=True)
    (machine.volume / "voices" / "voices.json").write_text(json.dumps({"narrator": "heart"}))
    assert "voice heart" in said(machine.oscine("say", "Good morning to all of you.", "--voice", "narrator"))


def said(ended: Ended) -> str:
    assert (ended.code, ended.err) == (0, "")
    return ended.said


def refused(ended: Ended, code: int, names: str) -> None:
    assert ended.code == code, ended.err
    assert ended.out == b""
    assert len(ended.lines) == 1, ended.err
    assert names in ended.err
    assert "unexpected" not in ended.err

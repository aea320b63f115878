"""`oscine say`: text in, a finished file out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from oscine import Oscine
from oscine.cli.options import as_options
from oscine.config import Settings
from oscine.synthesis.assemble import FILE_END_MS, FILE_START_MS
from oscine.synthesis.studio import Studio
from tests.cli.machine import Ended, Machine, decoded, tags_of
from tests.echo import echo

TEXT = "Good morning to all of you. The train to the coast leaves at nine, and it will be on time today."
SUMMARY = re.compile(
    r"(?P<path>.+): (?P<duration>\d+\.\d\d) s of speech in \d+\.\d\d s \(real-time factor \d+\.\d{3}\), "
    r"(?P<loudness>-?\d+\.\d) LUFS, voice (?P<voice>\w+), seed (?P<seed>\d+)"
    r"(, (?P<reused>\d+) of (?P<pieces>\d+) pieces were there already)?\n"
)
ENCODER_FRAME_S = {"mp3": 576 / 24_000, "opus": 0.02, "aac": 1024 / 24_000, "flac": 0.0, "wav": 0.0, "pcm": 0.0}


@pytest.mark.parametrize("format", ENCODER_FRAME_S)
def test_every_format_is_whole_tagged_and_as_long_as_it_is_said_to_be(machine: Machine, format: str, ffprobe: str):
    facts = done(machine.oscine("say", TEXT, "-o", f"out.{format}", "--title", "The train"))
    path = machine.work / f"out.{format}"
    assert facts["path"] == f"out.{format}"
    samples, rate = decoded(path)
    assert abs(len(samples) / rate - float(facts["duration"])) <= ENCODER_FRAME_S[format] + 0.005
    assert float(facts["loudness"]) == pytest.approx(-18, abs=0.5)
    assert np.max(np.abs(samples)) > 0.1
    assert machine.unfinished() == []
    if format not in ("aac", "pcm"):
        assert warnings_of(ffprobe, path) == []
        tags = tags_of(path)
        assert tags["title"] == "The train"
        assert tags["comment"] == "synthetic speech"
        assert "heart" in tags["artist"]
        assert "hibari" in tags["encoded_by"]


def test_tags_stay_away_where_they_are_not_wanted(machine: Machine):
    done(machine.oscine("say", TEXT, "-o", "out.flac", "--no-tags"))
    assert set(tags_of(machine.work / "out.flac")) <= {"encoder"}


def test_the_format_given_needs_no_ending_and_names_the_file_where_no_name_is_given(machine: Machine):
    done(machine.oscine("say", TEXT, "--format", "FLAC"))
    assert (machine.work / "speech.flac").read_bytes()[:4] == b"fLaC"
    done(machine.oscine("say", TEXT, "--format", "wav", "-o", "speech"))
    assert (machine.work / "speech").read_bytes()[:4] == b"RIFF"
    done(machine.oscine("say", TEXT, "-o", "SPEECH.OGG"))
    assert (machine.work / "SPEECH.OGG").read_bytes()[:4] == b"OggS"


def test_text_comes_from_a_file_from_standard_input_or_from_the_command_line(machine: Machine):
    (machine.work / "text.txt").write_text("\ufeff" + TEXT, encoding="utf-8")
    made = []
    for arguments, typed in (([TEXT], ""), (["-f", "text.txt"], ""), (["-"], TEXT), ([], TEXT), (["-f", "-"], TEXT)):
        done(machine.oscine("say", *arguments, "--seed", "3", typed=typed.encode()))
        made.append((machine.work / "speech.mp3").read_bytes())
    assert len(set(made)) == 1


def test_a_text_that_begins_with_a_hyphen_is_spoken_after_two_of_them(machine: Machine):
    done(machine.oscine("say", "--seed", "3", "--", "-v is not an option."))


def test_the_same_seed_gives_the_same_bytes_anywhere(tmp_path: Path):
    made = []
    for name in ("here", "there"):
        machine = Machine(tmp_path / name)
        facts = done(machine.oscine("say", TEXT, "-o", "out.mp3", "--seed", "1234567890123456789"))
        assert facts["seed"] == "1234567890123456789"
        made.append((machine.work / "out.mp3").read_bytes())
    assert made[0] == made[1]
    other = done(machine.oscine("say", TEXT, "-o", "out.wav", "--seed", "5", "--set", "enable_crossfade=false"))
    assert other["seed"] == "5"


def test_a_path_keeps_its_seed_until_another_is_asked_for(machine: Machine):
    seeds = [done(machine.oscine("say", TEXT, "-o", "out.wav"))["seed"] for _ in range(2)]
    assert seeds[0] == seeds[1]
    assert done(machine.oscine("say", TEXT, "-o", "other.wav"))["seed"] != seeds[0]


def test_speech_is_slower_or_faster_by_the_speed_that_was_asked_for(machine: Machine):
    seconds = {}
    for speed in ("0.25", "1", "2", "4"):
        facts = done(machine.oscine("say", TEXT, "-o", "out.wav", "--seed", "1", "--speed", speed))
        seconds[speed] = float(facts["duration"]) - (FILE_START_MS + FILE_END_MS) / 1000
    slow, plain, fast, fastest = seconds.values()
    assert slow / plain == pytest.approx(4, rel=0.2)
    assert plain / fast > 1.5  # the built-in voice keeps its pauses
    assert plain / fastest > 3


def test_loudness_is_what_was_asked_for_or_left_alone(machine: Machine):
    assert float(done(machine.oscine("say", TEXT, "--loudness", "-23"))["loudness"]) == pytest.approx(-23, abs=0.5)
    left = [
        float(done(machine.oscine("say", TEXT, "--loudness", none, "-o", f"{none}.wav", "--seed", "1"))["loudness"])
        for none in ("none", "-18")
    ]
    assert abs(left[0] - left[1]) > 0.5


def test_a_voice_is_found_whatever_its_case_and_by_its_beginning(machine: Machine):
    for name in ("HEART", "hea", "alloy"):
        assert done(machine.oscine("say", TEXT, "--voice", name))["voice"] == "heart"


def test_a_script_is_spoken_without_its_labels_and_its_captions_name_the_speakers(machine: Machine):
    (machine.work / "script.txt").write_text("Alice: Good morning.\n[pause:800ms]\nBob: The same to you.\n")
    arguments = ["say", "-f", "script.txt", "-o", "out.wav", "--voices", "Alice=heart,Bob=heart"]
    done(machine.oscine(*arguments, "--captions", "out.srt"))
    cues = subtitles((machine.work / "out.srt").read_text())
    assert [text for _, _, text in cues] == ["Alice: Good morning.", "Bob: The same to you."]
    assert cues[1][0] - cues[0][1] == pytest.approx(0.8, abs=0.15)


def test_captions_cover_the_speech_in_order_and_end_with_it(machine: Machine):
    text = " ".join([TEXT, "Tea & cake <cost> nothing.", "He said: we will see each other again, will we not?"])
    for kind in ("srt", "vtt"):
        facts = done(machine.oscine("say", text, "-o", "out.opus", "--captions", f"out.{kind}"))
        written = (machine.work / f"out.{kind}").read_text(encoding="utf-8")
        assert written.startswith("WEBVTT\n\n") == (kind == "vtt")
        cues = subtitles(written)
        assert len(cues) >= 4
        times = [time for start, end, _ in cues for time in (start, end)]
        assert times == sorted(times)
        assert 0 <= times[0] < 0.5
        assert float(facts["duration"]) - 1 < times[-1] <= float(facts["duration"]) + 0.01
        assert " ".join(text for _, _, text in cues).replace("\n", " ").count("morning") == 1


def test_a_lexicon_changes_what_is_said(machine: Machine):
    (machine.work / "words.txt").write_text("# how we say it\nnine = half past a quarter to eleven in the evening\n")
    plain = done(machine.oscine("say", TEXT, "--seed", "1"))
    spoken = done(machine.oscine("say", TEXT, "--seed", "1", "--lexicon", "words.txt"))
    assert float(spoken["duration"]) > float(plain["duration"]) + 1


def test_rules_fields_and_the_limit_can_be_changed(machine: Machine):
    plain = float(
        done(machine.oscine("say", "Hi 🐦🐦🐦🐦🐦 there. And now?", "--seed", "1", "-o", "a.wav"))["duration"]
    )
    for option in (["--set", "chunk_pause_ms=2000"], ["--set", "chunk_pause_ms=2000", "--no-rule", "emoji"]):
        longer = done(machine.oscine("say", "Hi 🐦🐦🐦🐦🐦 there. And now?", "--seed", "1", "-o", "a.wav", *option))
        assert float(longer["duration"]) > plain + 1
    assert "20 allowed" in machine.oscine("say", TEXT, "--max-text", "20").err
    assert machine.oscine("say", TEXT, "-o", "a.wav", "--max-text", "0").code == 0


def test_what_is_said_of_fields_names_the_options_of_the_command(tmp_path: Path):
    settings = Settings.from_env({"OSCINE_ENGINE": "echo", "OSCINE_VOLUME": str(tmp_path)})
    script = "".join(
        f"{name}: {said}\n" for said in ("Did you hear that?", "I did, yes.") for name in ("Anna", "Ben", "Cleo")
    )
    with Oscine(studio=Studio(settings, factories={"echo": echo()})) as oscine:
        told = " ".join(map(as_options, oscine.say(script).report.warnings))
    for option in ("name their voices with --voices.", "name them with --voices,", "or give --no-rule script."):
        assert option in told


def test_quiet_says_nothing_and_what_cannot_be_done_is_said_otherwise(machine: Machine):
    arguments = ["say", TEXT, "-o", "out.wav", "--bitrate", "64", "--set", "cfg_scale=2"]
    assert machine.oscine(*arguments, "--quiet") == Ended(0, b"", "")
    loud = machine.oscine(*arguments)
    assert [line.startswith("warning: ") for line in loud.lines] == [True, True]
    assert "bitrate" in loud.err
    assert "cfg_scale" in loud.err
    streamed = machine.oscine(*arguments[:2], "-o", "-", *arguments[4:], "--format", "wav")
    assert sorted(line for line in streamed.lines if "real-time factor" not in line) == sorted(loud.lines)
    assert machine.oscine(*arguments[:2], "-o", "-", *arguments[4:], "--format", "wav", "-q").err == ""


def test_a_file_is_replaced_and_a_link_to_it_stays_one(machine: Machine):
    (machine.work / "real.mp3").write_bytes(b"old")
    (machine.work / "link.mp3").symlink_to("real.mp3")
    done(machine.oscine("say", TEXT, "-o", "link.mp3"))
    assert (machine.work / "link.mp3").is_symlink()
    assert (machine.work / "real.mp3").stat().st_size > 1000


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.mp3", "ümlaut und 字.mp3".encode(), ("字" * 83 + ".mp3").encode(), b"-x.mp3"]
)
def test_any_file_name_that_the_system_takes_can_be_written(machine: Machine, name: bytes):
    ended = machine.oscine("say", "Good morning.", b"-o" + name)
    assert (ended.code, ended.err) == (0, "")
    assert [each.name for each in machine.work.iterdir()] == [name.decode("utf-8", "surrogateescape")]


def test_a_locale_without_letters_like_these_keeps_nobody_from_speaking(machine: Machine):
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    ended = machine.oscine("say", "Good morning.", "-o", "ü.mp3".encode(), variables=plain)
    assert (ended.code, ended.err) == (0, "")


def done(ended: Ended) -> dict[str, str]:
    """The facts of the summary."""
    assert ended.code == 0, ended.err
    assert ended.err == ""
    found = SUMMARY.fullmatch(ended.said)
    assert found, ended.said
    return found.groupdict()


def warnings_of(ffprobe: str, path: Path) -> list[str]:
    command = [ffprobe, "-v", "warning", "-hide_banner", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0
    return told.stderr.splitlines()


def subtitles(text: str) -> list[tuple[float, float, str]]:
    """Start, end and text of each cue of an SRT or VTT file."""
    clock = r"(\d\d):(\d\d):(\d\d)[,.](\d{3})"
    found = re.findall(rf"^{clock} --> {clock}\n((?:.+\n)+)", text, flags=re.MULTILINE)
    assert found
    return [(seconds(cue[:4]), seconds(cue[4:8]), cue[8].strip()) for cue in found]


def seconds(parts: tuple[str, ...]) -> float:
    hours, minutes, whole, ms = map(int, parts)
    return hours * 3600 + minutes * 60 + whole + ms / 1000

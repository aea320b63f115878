"""Speech that is heard while it is made: standard output, the loudspeaker, and text that is still being written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.machine import OSCINE, Machine, decoded, terminal
from tests.waiting import until

SENTENCES = ["Good morning to all of you.", "The train leaves at nine.", "It will be on time today."]
SUMMARY = re.compile(
    r"\d+\.\d\d s of speech in \d+\.\d\d s \(real-time factor \d+\.\d{3}\), .*, voice heart, seed \d+\n"
)
LONG = " ".join(f"This is sentence number {n}, and the train to the coast is on time." for n in range(24))


@pytest.mark.parametrize("format", ["mp3", "wav", "pcm"])
def test_sound_comes_before_the_text_has_ended(machine: Machine, format: str):
    with machine.start("say", "-", "-o", "-", "--format", format) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{SENTENCES[0]} {SENTENCES[1]} And".encode())
        process.stdin.flush()
        first = os.read(process.stdout.fileno(), 1 << 16)
        while len(first) < 2000:  # a header alone is no sound
            first += os.read(process.stdout.fileno(), 1 << 16)
        process.stdin.write(f" so on. {SENTENCES[2]}\n".encode())
        rest, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert SUMMARY.fullmatch(err.decode())
    path = machine.work / f"heard.{format}"
    path.write_bytes(first + rest)
    samples, rate = decoded(path)
    assert 5 < len(samples) / rate < 15
    assert machine.unfinished() == []


def test_a_letter_cut_in_two_on_its_way_arrives_whole(machine: Machine):
    with machine.start("say", "-o", "-", "--format", "wav") as process:
        assert process.stdin is not None
        for byte in "Café — über alles. Good night.".encode():
            process.stdin.write(bytes([byte]))
            process.stdin.flush()
            time.sleep(0.002)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert SUMMARY.fullmatch(err.decode())
    assert len(out) > 50_000
    assert machine.oscine("say", "Good night.", "-o", "-", "--quiet").err == ""


def test_a_file_too_can_be_spoken_while_its_text_arrives(machine: Machine):
    with machine.start("say", "-", "--live", "-o", "out.wav") as process:
        assert process.stdin is not None
        process.stdin.write(f"{SENTENCES[0]} {SENTENCES[1]} And".encode())
        process.stdin.flush()
        until(machine.pieces, "nothing was spoken before the text had ended")
        process.stdin.write(f" so on. {SENTENCES[2]}\n".encode())
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"out.wav: ")
    samples, rate = decoded(machine.work / "out.wav")
    assert 5 < len(samples) / rate < 15


def test_where_the_only_player_takes_files_speech_is_played_when_it_is_finished(machine: Machine):
    """The player is a script: it stands in for that of macOS, and keeps what it is asked to play."""
    script = machine.home / "afplay"
    script.write_text('#!/bin/sh\n/bin/cp "$1" "$(/usr/bin/dirname "$0")/played.wav"\n')
    script.chmod(0o755)
    ended = machine.oscine("say", SENTENCES[0], "--play", variables={"PATH": str(machine.home)})
    assert (ended.code, ended.out) == (0, b"")
    assert SUMMARY.fullmatch(ended.err)
    samples, rate = decoded(machine.home / "played.wav")
    assert 1 < len(samples) / rate < 5
    assert list(machine.work.iterdir()) == []
    assert "ok    player         afplay" in machine.oscine("doctor", variables={"PATH": str(machine.home)}).said
    assert list((machine.volume / "spool").glob("jobs/*")) == []


def test_a_reader_that_leaves_ends_the_command_without_a_word(machine: Machine):
    (machine.work / "long.txt").write_text(LONG)
    line = f'{{ "{OSCINE}" say -f long.txt -o -; echo "code $?" >&2; }} | head -c 100'
    done = subprocess.run(["/bin/sh", "-c", line], cwd=machine.work, env=machine.environment, capture_output=True)
    assert len(done.stdout) == 100
    assert done.stderr == b"code 141\n"


def test_a_full_disk_behind_standard_output_is_an_error(machine: Machine):
    line = f'exec "{OSCINE}" say "{SENTENCES[0]}" -o - > /dev/full'
    done = subprocess.run(["/bin/sh", "-c", line], cwd=machine.work, env=machine.environment, capture_output=True)
    assert done.returncode == 4
    assert done.stderr == b"oscine: output: the disk is full; free some space or choose another place.\n"


def test_sound_is_never_poured_into_a_terminal(machine: Machine):
    with terminal() as (screen, read):
        with machine.start("say", SENTENCES[0], "-o", "-", stdout=screen) as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert b"redirect it" in err
        assert read() == ""


@pytest.mark.slow
def test_a_bar_is_shown_on_a_terminal_only(machine: Machine):
    (machine.work / "long.txt").write_text(LONG)
    arguments = ["say", "-f", "long.txt", "-o", "out.mp3", "--seed", "1"]
    with terminal() as (screen, read), machine.start(*arguments, stderr=screen) as process:
        while process.poll() is None:
            read()
            time.sleep(0.02)
        shown = read()
        assert process.communicate()[0].startswith(b"out.mp3: ")
        assert process.returncode == 0
    assert "speaking" in shown
    assert "%" in shown
    assert "real-time factor" in shown
    assert machine.oscine(*arguments).err == ""
    with terminal() as (screen, read), machine.start(*arguments, "--quiet", stderr=screen) as process:
        assert process.communicate()[0] == b""
        assert process.returncode == 0
        assert read() == ""


def test_a_player_hears_the_first_sentence_while_the_second_is_written(machine: Machine):
    """The player is a script: it stands in for a sound device, which test machines do not have."""
    heard = player(machine, "aplay")
    with machine.start("say", "-", "--play", variables={"PATH": str(heard.parent)}) as process:
        assert process.stdin is not None
        process.stdin.write(f"{SENTENCES[0]} {SENTENCES[1]} ".encode())
        process.stdin.flush()
        until(lambda: heard.exists() and heard.stat().st_size > 24_000, "nothing was played")
        process.stdin.write(SENTENCES[2].encode())
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"")
    assert SUMMARY.fullmatch(err.decode())
    assert "-r 24000" in (heard.parent / "arguments").read_text()
    streamed = machine.oscine("say", "-", "-o", "-", "--format", "pcm", typed=" ".join(SENTENCES).encode())
    assert heard.stat().st_size == pytest.approx(len(streamed.out), rel=0.1)


def test_the_doctor_names_the_player_and_leaves_nothing_open(machine: Machine):
    player(machine, "aplay")
    variables = {"PATH": str(machine.home), "PYTHONWARNINGS": "always::ResourceWarning"}
    ended = machine.oscine("doctor", variables=variables)
    assert "ok    player         aplay" in ended.said
    assert ended.err == ""


def test_a_file_is_played_when_it_is_finished(machine: Machine):
    """The player is a script, as above."""
    player(machine, "aplay")
    ended = machine.oscine("say", SENTENCES[0], "-o", "out.wav", "--play", variables={"PATH": str(machine.home)})
    assert ended.code == 0
    assert str(machine.work / "out.wav") in (machine.home / "arguments").read_text()


def test_without_a_player_nothing_is_spoken_and_the_remedy_is_named(machine: Machine):
    for arguments in (["--play"], ["--play", "-o", "out.wav"]):
        ended = machine.oscine("say", SENTENCES[0], *arguments, variables={"PATH": str(machine.home)})
        assert ended.code == 3
        assert len(ended.lines) == 1
        assert "install one of paplay, aplay" in ended.err
    assert list(machine.work.iterdir()) == []


def test_a_player_that_finds_no_sound_device_is_named(machine: Machine):
    broken = machine.home / "aplay"
    broken.write_text("#!/bin/sh\necho 'ALSA lib confmisc.c:855' >&2\nexit 1\n")
    broken.chmod(0o755)
    ended = machine.oscine("say", SENTENCES[0], "--play", variables={"PATH": str(machine.home)})
    assert ended.code == 3
    assert len(ended.lines) == 1
    assert "aplay could not play" in ended.err


def player(machine: Machine, name: str) -> Path:
    """A script that keeps what it is fed, beside its arguments; returns the file that it writes to."""
    script = machine.home / name
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, pathlib, sys\n"
        "here = pathlib.Path(__file__).parent\n"
        "(here / 'arguments').write_text(' '.join(sys.argv[1:]))\n"
        "with (here / 'heard').open('wb', buffering=0) as heard:\n"
        "    while data := os.read(0, 65536):\n"
        "        heard.write(data)\n"
    )
    script.chmod(0o755)
    return machine.home / "heard"

"""Stopped in the middle: no half file, and the same command goes on where it was."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.machine import Ended, Machine, powerless
from tests.waiting import PATIENCE_S, until

LINES = [f"Line {n} is for the {word}." for n in range(20) for word in ("train", "ship")]
TEXT = "\n".join(LINES)
LONG = "\n".join(LINES * 50)
"""What is still being spoken when a test stops it, however long the test itself stood still."""
LATEST = len(LINES) - 5
"""So many pieces may be finished when a command counts as stopped in the middle."""
OLD = b"what was there before"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    """The file that nobody disturbed, and of how many pieces it is."""
    machine = Machine(tmp_path_factory.mktemp("undisturbed"))
    ended = speak(machine)
    assert ended.code == 0, ended.err
    return (machine.work / "out.mp3").read_bytes(), len(machine.pieces())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_tidies_up_and_goes_on_later(
    machine: Machine, undisturbed: tuple[bytes, int], number: int, code: int
):
    out = machine.work / "out.mp3"
    out.write_bytes(OLD)
    ended = stopped_after(machine, 5, number)
    assert ended.code == code
    assert ended.lines == ["oscine: stopped; the same command goes on where it was."]
    assert machine.unfinished() == []
    assert out.read_bytes() == OLD
    finished = len(machine.pieces())
    assert 5 <= finished < undisturbed[1]
    again = speak(machine)
    assert reused(again) >= finished
    assert out.read_bytes() == undisturbed[0]


@pytest.mark.parametrize("share", [0.1, pytest.param(0.7, marks=pytest.mark.slow)])
def test_a_command_that_was_killed_speaks_no_finished_piece_again(
    machine: Machine, undisturbed: tuple[bytes, int], share: float
):
    out = machine.work / "out.mp3"
    out.write_bytes(OLD)
    whole, pieces = undisturbed
    assert stopped_after(machine, max(1, round(share * pieces)), signal.SIGKILL).code == -signal.SIGKILL
    assert out.read_bytes() == OLD
    finished = len(machine.pieces())
    assert finished < pieces, "it was too late to kill it"
    before = {path: path.read_bytes() for path in machine.pieces()}
    again = speak(machine)
    assert reused(again) == finished
    assert out.read_bytes() == whole
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(each.name for each in machine.work.iterdir()) == ["out.mp3", "text.txt"]


@pytest.mark.slow
def test_a_killed_command_goes_on_also_where_no_seed_was_named(machine: Machine, tmp_path: Path):
    stopped_after(machine, 5, signal.SIGKILL, seed=())
    again = speak(machine, seed=())
    assert reused(again) >= 5
    seed = re.search(rb"seed (\d+)", again.out)
    assert seed
    other = Machine(tmp_path / "other")
    speak(other, seed=("--seed", seed[1].decode()))
    assert (other.work / "out.mp3").read_bytes() == (machine.work / "out.mp3").read_bytes()


@pytest.mark.slow
def test_a_corrected_line_costs_one_line(machine: Machine, undisturbed: tuple[bytes, int]):
    first = speak(machine)
    assert reused(first) == 0
    assert reused(speak(machine)) == undisturbed[1]
    corrected = speak(machine, TEXT.replace(LINES[25], "This line is quite another one."))
    assert reused(corrected) == undisturbed[1] - 1
    assert (machine.work / "out.mp3").read_bytes() != undisturbed[0]
    assert reused(speak(machine, TEXT + "\nAnd one line more.")) >= undisturbed[1] - 1


def test_a_second_ctrl_c_does_not_disturb_the_tidying(machine: Machine):
    process = started(machine, LONG)
    until(lambda: len(machine.pieces()) >= 3)
    for _ in range(5):
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert err.count(b"\n") == 1
    assert machine.unfinished() == []


def test_a_command_that_has_only_begun_to_listen_can_be_stopped():
    code = (
        "import os, signal, oscine.cli.endings as endings\n"
        "endings.keep_heaps_few = lambda: os.kill(os.getpid(), signal.SIGTERM)\n"
        "endings.run(lambda: print('went on'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "oscine: stopped.\n")


@pytest.mark.parametrize("stands_still", [False, True], ids=["", "while the signal is put off"])
def test_a_command_that_is_importing_is_stopped_when_that_lets_go_of_its_lock(stands_still: bool):
    """Python forgets what is raised in a callback of its imports, and never gives the lock back."""
    slow = (
        "import threading\n"
        "class Slow(threading.Timer):\n left = [0.3]\n def start(self):\n"
        "  super().start()\n  time.sleep(self.left.pop() if self.left else 0)\n"
        "threading.Timer = Slow\n"
    )
    code = (
        "import os, signal, time, oscine.cli.endings as endings\n"
        f"{slow if stands_still else ''}"
        "importing = 'def cb():\\n os.kill(os.getpid(), signal.SIGTERM)\\n print(\"let go\", flush=True)'\n"
        "space = {'os': os, 'signal': signal}\n"
        "exec(compile(importing, '<frozen importlib._bootstrap>', 'exec'), space)\n"
        "def command():\n space['cb']()\n time.sleep(50)\n"
        "endings.run(command)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (143, "let go\n", "oscine: stopped.\n")


@pytest.mark.parametrize(
    ("seconds", "number"),
    [(0.1, signal.SIGTERM), (0.3, signal.SIGTERM), (0.5, signal.SIGHUP), (0.7, signal.SIGHUP)],
)
def test_a_command_can_be_stopped_at_any_time(machine: Machine, seconds: float, number: int):
    process = started(machine, LONG)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (128 + number, -number)  # the latter before Python listens
    assert machine.unfinished() == []
    assert not (machine.work / "out.mp3").exists()


def test_a_command_in_the_background_of_nohup_survives_its_terminal(machine: Machine):
    process = started(machine, through=("nohup",))
    until(lambda: len(machine.pieces()) >= 3)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def test_a_file_that_grows_too_large_for_its_place_leaves_nothing(machine: Machine):
    """A limit on the size of files stands in for a full disk, where none can be mounted."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    (machine.work / "out.wav").write_bytes(OLD)
    ended = speak(machine, output="out.wav", before=limit)
    assert ended.code == 4
    assert ended.lines == ["oscine: output: the file would be larger than this place allows; choose another place."]
    assert (machine.work / "out.wav").read_bytes() == OLD
    assert machine.unfinished() == []


@pytest.mark.parametrize(
    ("full", "size", "field"),
    [("output", "300k", "output:"), ("captions", "4k", "captions:"), ("volume", "300k", "OSCINE_VOLUME")],
)
def test_a_full_disk_is_named_and_nothing_half_written_stays(machine: Machine, full: str, size: str, field: str):
    disk = machine.volume if full == "volume" else machine.work / "disk"
    disk.mkdir(parents=True)
    small = small_disk(disk, size)
    out = "disk/out.wav" if full == "output" else "out.wav"
    captions = "disk/out.srt" if full == "captions" else "out.srt"
    ended = speak(machine, output=out, more=("--captions", captions), through=small)
    assert ended.code == 4, ended.err
    assert len(ended.lines) == 1
    assert field in ended.err
    assert "free some space" in ended.err
    assert [each for each in ended.said.split() if each.endswith((".wav", ".srt", ".part"))] == []
    assert sorted(each.name for each in machine.work.iterdir() if each != disk) == ["text.txt"]


def test_a_data_folder_that_cannot_be_written_is_a_warning_that_names_it(machine: Machine):
    machine.volume.mkdir(mode=0o555)
    ended = speak(machine, before=powerless)
    assert ended.code == 0
    assert len(ended.lines) == 1
    assert ended.err.startswith("warning: ")
    assert "OSCINE_VOLUME" in ended.err
    assert sorted(each.name for each in machine.work.iterdir()) == ["out.mp3", "text.txt"]


def small_disk(place: Path, size: str) -> tuple[str, ...]:
    """A command that runs another one with a tiny file system at `place`, and lists what is in it at the end."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no `unshare` here; test_a_file_that_grows_too_large_for_its_place_leaves_nothing runs everywhere")
    alone = (unshare, "--mount") if os.geteuid() == 0 else (unshare, "--mount", "--map-root-user")
    mounting = f'mount -t tmpfs -o size={size} tmpfs "{place}" || exit 99; head -c 4096 /dev/zero > "{place}/full"'
    if subprocess.run([*alone, "/bin/sh", "-c", mounting], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here; the test with a limit on the size of files runs everywhere")
    return (*alone, "/bin/sh", "-c", f'{mounting}; "$@"; code=$?; find "{place}" -type f; exit $code', "sh")


def speak(
    machine: Machine,
    text: str = TEXT,
    *,
    output: str = "out.mp3",
    seed: tuple[str, ...] = ("--seed", "7"),
    more: tuple[str, ...] = (),
    **how: object,
) -> Ended:
    (machine.work / "text.txt").write_text(text)
    return machine.oscine("say", "-f", "text.txt", "-o", output, *seed, *more, **how)  # type: ignore[arg-type]


def started(
    machine: Machine, text: str = TEXT, *, seed: tuple[str, ...] = ("--seed", "7"), through: tuple[str, ...] = ()
) -> subprocess.Popen[bytes]:
    (machine.work / "text.txt").write_text(text)
    return machine.start("say", "-f", "text.txt", "-o", "out.mp3", *seed, through=through)


def stopped_after(machine: Machine, pieces: int, number: int, *, seed: tuple[str, ...] = ("--seed", "7")) -> Ended:
    """Send the signal as soon as so many pieces are finished, and begin anew where nearly all were by then.

    The command stands still while they are counted.
    """
    out = machine.work / "out.mp3"
    before = out.read_bytes() if out.exists() else None
    for _ in range(5):
        process = started(machine, seed=seed)
        until(lambda process=process: len(machine.pieces()) >= pieces or process.poll() is not None)  # type: ignore[misc]
        process.send_signal(signal.SIGSTOP)
        if len(machine.pieces()) <= LATEST:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            said, err = process.communicate(timeout=PATIENCE_S)
            return Ended(process.returncode, said, err.decode())
        process.kill()
        process.communicate()
        shutil.rmtree(machine.volume)
        out.unlink(missing_ok=True) if before is None else out.write_bytes(before)
    pytest.fail("it was too late each time")


def reused(ended: Ended) -> int:
    assert ended.code == 0, ended.err
    found = re.search(r", (\d+) of \d+ pieces were there already", ended.said)
    return int(found[1]) if found else 0

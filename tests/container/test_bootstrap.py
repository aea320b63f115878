"""bootstrap.sh for real: a scratch folder as volume, the built-in voice, packages from the index."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.container.container import (
    STARTED,
    copy_app,
    environment,
    kill_all,
    members,
    start,
    starting,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FOLDERS = [
    "vibevoice/demo/voices",
    "vibevoice/output",
    "indextts/audio_voices",
    "indextts/output_audio",
    "indextts/checkpoints",
]
OLD_FLAG = "Setup completed on a day of 2024"


@dataclass(frozen=True)
class Started:
    """A volume on which the first start is over."""

    app: Path
    volume: Path
    output: str
    report: dict[str, Any]


def report(output: str) -> dict[str, Any]:
    """What the handler said of itself."""
    (line,) = [line for line in output.splitlines() if line.startswith(STARTED)]
    told: dict[str, Any] = json.loads(line.removeprefix(STARTED))
    return told


def log(volume: Path) -> str:
    return (volume / "indextts" / "bootstrap.log").read_text()


def flag(volume: Path) -> Path:
    return volume / "vibevoice" / ".first_run_complete"


def environments(volume: Path) -> set[str]:
    return {path.name for path in (volume / "vibevoice").glob("venv-*")}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Started:
    """The first start, on a volume that both of the workers from before have used."""
    folder = tmp_path_factory.mktemp("first")
    app, volume = copy_app(folder / "app"), folder / "volume"
    (volume / "vibevoice" / "venv" / "bin").mkdir(parents=True)
    (volume / "vibevoice" / "venv" / "bin" / "activate").write_text("theirs")
    flag(volume).write_text(OLD_FLAG + "\n")
    (volume / "indextts").mkdir()
    (volume / "indextts" / "bootstrap.log").write_text("from before\n")
    done = start(app, volume, "--first", BOOTSTRAP_ROOM_MB="10")
    assert done.returncode == 0, done.stdout + done.stderr
    return Started(app, volume, done.stdout + done.stderr, report(done.stdout))


def test_the_first_start_makes_the_folders_and_an_environment_and_hands_over(first: Started):
    for name in FOLDERS:
        assert (first.volume / name).is_dir()
    (made,) = environments(first.volume)
    folder = first.volume / "vibevoice" / made
    assert first.report["arguments"] == ["--first"]
    assert first.report["VIRTUAL_ENV"] == str(folder)
    assert Path(first.report["python"]).is_relative_to(folder)
    assert first.report["PATH"].startswith(f"{folder}/bin:")
    spoken = subprocess.run(
        [folder / "bin" / "oscine", "say", "Hello.", "-o", first.volume / "hello.wav"],
        env=environment(first.volume),
        capture_output=True,
        text=True,
    )
    assert spoken.returncode == 0, spoken.stderr
    assert (first.volume / "hello.wav").stat().st_size > 20_000


def test_what_workers_from_before_left_on_the_volume_stays(first: Started):
    assert (first.volume / "vibevoice" / "venv" / "bin" / "activate").read_text() == "theirs"
    assert log(first.volume).startswith("from before\n")
    assert "installed" in log(first.volume)
    assert OLD_FLAG in flag(first.volume).read_text().splitlines()


def test_a_later_start_goes_straight_to_the_handler(first: Started):
    before = flag(first.volume).read_bytes()
    began = time.monotonic()
    with starting(first.app, first.volume, "--wait") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(STARTED):
                break
        took = time.monotonic() - began
        pid = process.pid
    print(f"second start: {took:.2f} s to the handler")
    told = report(line)
    assert told["pid"] == pid, "the handler has not taken the place of the script"
    assert told["VIRTUAL_ENV"] == first.report["VIRTUAL_ENV"]
    assert flag(first.volume).read_bytes() == before
    assert took < 100  # well under two seconds on a machine that does nothing else


def test_the_real_handler_loads_the_engine_in_what_was_installed(first: Started, tmp_path: Path):
    app = shutil.copytree(first.app, tmp_path / "app")
    shutil.copy(Path(__file__).parents[2] / "handler.py", app)
    done = start(app, first.volume, "--warmup")
    assert done.returncode == 0, done.stderr
    assert "installing" not in done.stderr


def test_another_program_of_the_environment_can_be_started_in_its_place(first: Started):
    done = start(first.app, first.volume, "oscine", "--version")
    assert done.stdout.startswith("oscine ")


def test_variables_are_filled_in_and_never_overridden(first: Started):
    assert first.report["HF_HOME"] == str(first.volume / "huggingface-cache")
    assert Path(first.report["TORCH_HOME"]).is_relative_to(first.volume)
    assert first.report["RUNPOD_LOG_LEVEL"] == "INFO"
    given = {"HF_HOME": "/elsewhere", "TORCH_HOME": "/there", "RUNPOD_LOG_LEVEL": "ERROR", "PYTHONUNBUFFERED": "2"}
    told = report(start(first.app, first.volume, **given).stdout)
    assert {name: told[name] for name in given} == given


def test_the_end_of_the_container_reaches_the_handler(first: Started):
    with starting(first.app, first.volume, "--wait") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(STARTED):
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(100) == 7
    assert rest == "told to leave\n"


@pytest.mark.long
def test_a_full_volume_does_not_keep_a_later_start_back(first: Started):
    """Only what is told in the log is lost."""
    output = in_a_small_volume(
        first.app,
        f'cp -R "$FIRST/vibevoice" "$FIRST/indextts" "$OSCINE_VOLUME"/; {FILL}; {START}',
        FIRST=first.volume,
        SIZE="900m",
    )
    assert STARTED in output


@pytest.mark.long
def test_a_new_version_is_installed_beside_the_one_that_others_still_use(first: Started, tmp_path: Path):
    volume = Path(shutil.copytree(first.volume, tmp_path / "volume", symlinks=True))
    (before,) = environments(volume)
    app = shutil.copytree(first.app, tmp_path / "app")
    about = app / "src" / "oscine" / "__about__.py"
    about.write_text(re.sub(r'"\d+\.\d+\.\d+[^"]*"', '"99.0.0"', about.read_text()))
    assert start(app, volume, "oscine", "--version").stdout == "oscine 99.0.0\n"
    (new,) = environments(volume) - {before}
    assert (volume / "vibevoice" / before / "bin" / "python").exists()
    # Who still has the version before finds it, and neither installs again.
    for which, folder in ((first.app, before), (app, new)):
        done = start(which, volume)
        assert report(done.stdout)["VIRTUAL_ENV"] == str(volume / "vibevoice" / folder)
        assert "installing" not in done.stderr


@pytest.mark.long
def test_a_flag_that_was_removed_has_all_of_it_installed_again(first: Started, tmp_path: Path):
    """The volume takes little here: what counts is that the start does not take what lies there for finished."""
    volume = tmp_path / "volume"
    shutil.copytree(first.volume / "vibevoice", volume / "vibevoice", symlinks=True)
    flag(volume).unlink()
    done = start(first.app, volume, BOOTSTRAP_ROOM_MB="999999999")
    assert done.returncode == 1
    assert "999999999 MB must be free" in done.stderr
    assert environments(volume) == set()


@pytest.mark.long
def test_two_workers_on_one_volume_install_once(tmp_path: Path):
    app, volume = copy_app(tmp_path / "app"), tmp_path / "volume"
    done: list[subprocess.CompletedProcess[str]] = []
    threads = [
        threading.Thread(target=lambda: done.append(start(app, volume, BOOTSTRAP_STALE_SECONDS="60"))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.returncode for each in done] == [0, 0], [each.stderr for each in done]
    (folder,) = environments(volume)
    assert {report(each.stdout)["VIRTUAL_ENV"] for each in done} == {str(volume / "vibevoice" / folder)}
    said = [each.stderr for each in done]
    assert sum("installing: packages" in each for each in said) == 1
    assert sum("another worker is setting up this volume" in each for each in said) == 1
    assert list((volume / "vibevoice").glob(".bootstrap*")) == []


def made(volume: Path, pattern: str) -> Callable[[], bool]:
    """Whether something appeared in the folder of environments that is not there now."""
    folder = volume / "vibevoice"
    before = set(folder.glob(pattern))
    return lambda: bool(set(folder.glob(pattern)) - before)


def told(volume: Path, text: str) -> Callable[[], bool]:
    """Whether something was logged that is not there now."""
    file = volume / "indextts" / "bootstrap.log"
    before = file.stat().st_size if file.exists() else 0
    return lambda: file.exists() and text in file.read_text()[before:]


@pytest.mark.long
def test_a_start_that_was_killed_at_any_point_leaves_nothing_that_counts_and_the_next_one_succeeds(tmp_path: Path):
    app, volume = copy_app(tmp_path / "app"), tmp_path / "volume"
    for reached, what in (
        (made, ".bootstrap.lock/beat"),
        (made, "venv-*/pyvenv.cfg"),
        (made, "venv-*/lib/python3*/site-packages/numpy"),
        (told, "installing: oscine"),
        (told, "installing: check"),
    ):
        so_far = reached(volume, what)
        with starting(app, volume) as process:
            wait_until(so_far, process)
            kill_all(process, volume)
        assert not flag(volume).exists(), what
        assert (volume / "vibevoice" / ".bootstrap.lock").is_dir(), what
    done = start(app, volume)
    assert done.returncode == 0, done.stderr
    assert "gives no sign of life" in done.stderr
    (folder,) = environments(volume)
    assert report(done.stdout)["VIRTUAL_ENV"] == str(volume / "vibevoice" / folder)
    assert list((volume / "vibevoice").glob(".bootstrap.lock")) == []


@pytest.mark.long
def test_a_start_that_is_asked_to_stop_cleans_up_at_once(tmp_path: Path):
    app, volume = copy_app(tmp_path / "app"), tmp_path / "volume"
    with starting(app, volume) as process:
        wait_until(made(volume, "venv-*/lib/python3*/site-packages/numpy"), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(100) == 143
        wait_until_nobody_is_left(volume)
    assert environments(volume) == set()
    assert list((volume / "vibevoice").glob(".bootstrap*")) == []
    assert not flag(volume).exists()


def wait_until_nobody_is_left(volume: Path) -> None:
    end = time.monotonic() + 60
    while members(volume) and time.monotonic() < end:
        time.sleep(0.05)
    assert members(volume) == []


@pytest.mark.long
def test_who_waits_for_another_worker_does_not_wait_for_ever(tmp_path: Path):
    app, volume = copy_app(tmp_path / "app"), tmp_path / "volume"
    lock = volume / "vibevoice" / ".bootstrap.lock"
    lock.mkdir(parents=True)
    (lock / "beat").write_text("somebody 0\n")
    stop = threading.Event()

    def beat() -> None:
        count = 0
        while not stop.wait(0.3):
            count += 1
            (lock / "beat").write_text(f"somebody {count}\n")

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        done = start(app, volume, BOOTSTRAP_WAIT_SECONDS="3", BOOTSTRAP_STALE_SECONDS="30")
    finally:
        stop.set()
        thread.join()
    assert done.returncode == 1
    assert "Another worker has been setting up this volume for too long" in done.stderr
    assert lock.is_dir(), "the lock of a worker that lives was taken away"


def test_secrets_do_not_reach_the_log(tmp_path: Path):
    app, volume = copy_app(tmp_path / "app"), tmp_path / "volume"
    done = start(
        app,
        volume,
        UV_DEFAULT_INDEX="http://someone:index-secret@127.0.0.1:9/simple",
        UV_CACHE_DIR=str(tmp_path / "empty"),
        UV_HTTP_RETRIES="0",
        HF_TOKEN="hf_secret",
        S3_SECRET_ACCESS_KEY="store-secret",
        RUNPOD_AI_API_KEY="platform-secret",
    )
    assert done.returncode == 1
    assert "Installing failed at the step packages" in done.stderr.splitlines()[-1]
    assert "127.0.0.1:9" in log(volume), "the log does not say why"
    for text in (log(volume), done.stdout, done.stderr):
        assert "secret" not in text
    assert environments(volume) == set()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"BOOTSTRAP_PYTHON": "/nowhere/python"}, "Python 3.11 or newer was not found; install it"),
        ({"BOOTSTRAP_PYTHON": "/nowhere/python", "BOOTSTRAP_LOCK": "gpu"}, "Python 3.12 was not found; install it"),
        ({"BOOTSTRAP_LOCK": "none"}, "BOOTSTRAP_LOCK must be gpu, cpu or worker."),
        ({"BOOTSTRAP_ROOM_MB": "999999999"}, "The volume is full: 999999999 MB must be free"),
        ({"BOOTSTRAP_ENVIRONMENT": "/nowhere"}, "BOOTSTRAP_ENVIRONMENT holds no environment"),
        ({"OSCINE_VOLUME": "/proc/volume"}, "The volume cannot be written; attach it with write access"),
    ],
)
def test_what_keeps_it_from_starting_is_one_sentence(tmp_path: Path, settings: dict[str, str], sentence: str):
    app = copy_app(tmp_path / "app")
    done = start(app, tmp_path / "volume", **settings)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"bootstrap: {sentence}")
    assert line.endswith(".")
    assert done.stdout == ""


FILL = 'head -c 2000000000 /dev/zero >"$OSCINE_VOLUME/filled" 2>/dev/null || true'
START = '"$APP/bootstrap.sh"; echo "ended with $?"'


def in_a_small_volume(app: Path, script: str, **settings: object) -> str:
    """What `script` says, with a file system of $SIZE as its volume that nobody else sees."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
        pytest.skip("this system lets nobody mount a small file system of their own")
    told = environment(app.parent / "small", APP=str(app), **{name: str(value) for name, value in settings.items()})
    Path(told["OSCINE_VOLUME"]).mkdir(exist_ok=True)
    mount = 'mount -t tmpfs -o size="$SIZE",mode=755 volume "$OSCINE_VOLUME"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{mount} && {script}"],
        env=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    return done.stdout


@pytest.mark.long
def test_a_volume_that_becomes_full_is_one_sentence_and_gets_its_room_back(tmp_path: Path):
    output = in_a_small_volume(
        copy_app(tmp_path / "app"),
        START + '; df -m --output=used "$OSCINE_VOLUME"; ls "$OSCINE_VOLUME/vibevoice"',
        SIZE="60m",
        BOOTSTRAP_ROOM_MB="1",
    )
    assert "bootstrap: The volume takes nothing more; it is probably full: make room on it" in output
    assert "ended with 1" in output
    assert "venv-" not in output.partition("ended with")[2]
    used = re.search(r"Used\n\s*(\d+)", output)
    assert used is not None
    assert int(used[1]) < 2, "megabytes of an installation that failed are left"


def test_a_volume_that_is_full_from_the_start_is_one_sentence(tmp_path: Path):
    output = in_a_small_volume(copy_app(tmp_path / "app"), f"{FILL}; {START}", SIZE="1m", BOOTSTRAP_ROOM_MB="1")
    assert re.search(r"^bootstrap: The volume (is full|takes nothing more).*\.$", output, re.MULTILINE)
    assert "ended with 1" in output


@pytest.mark.parametrize("used", [False, True])
def test_a_volume_that_can_only_be_read_is_one_sentence(tmp_path: Path, used: bool):
    folders = " ".join(f'"$OSCINE_VOLUME/{name}"' for name in FOLDERS)
    before = f"mkdir -p {folders}; " if used else ""
    output = in_a_small_volume(
        copy_app(tmp_path / "app"), f'{before}mount -o remount,ro "$OSCINE_VOLUME"; {START}', SIZE="1m"
    )
    assert output == (
        "bootstrap: The volume cannot be written; attach it with write access, or set OSCINE_VOLUME to a folder that "
        "can be written.\nended with 1\n"
    )


@pytest.mark.long
def test_without_uv_the_locked_one_is_brought_for_the_installation(tmp_path: Path):
    app, volume = copy_app(tmp_path / "app"), tmp_path / "volume"
    path = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "uv").exists()
    )
    done = start(app, volume, "oscine", "--version", PATH=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("oscine ")

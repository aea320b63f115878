"""Finished pieces on disk: whole or not there, and never in anybody's way."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from oscine.errors import DeliveryFailed
from oscine.synthesis.spool import Spool
from tests.echo import RATE, tone

SOUND = tone("A piece that was finished earlier.")


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def spool_in(folder: Path, *, max_age_s: float = 1000, max_bytes: float = 1e9) -> Spool:
    return Spool(folder, max_age_s=max_age_s, max_bytes=max_bytes)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_piece_comes_back_as_it_was_given_on(tmp_path: Path) -> None:
    given_on = spool_in(tmp_path).write(key("a"), SOUND, RATE)
    back = spool_in(tmp_path).read(key("a"), RATE)
    assert back is not None
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, given_on)
    noise = back - SOUND
    assert 20 * np.log10(np.abs(noise).max() / np.abs(SOUND).max()) < -90


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, st.integers(0, 50), elements=st.floats(-4, 4, width=32)))
def test_any_samples_survive_within_16_bit_of_their_peak(
    tmp_path_factory: pytest.TempPathFactory, samples: np.ndarray
) -> None:
    spool = spool_in(tmp_path_factory.mktemp("spool"))
    kept = spool.write(key("a"), samples, RATE)
    assert len(kept) == len(samples)
    peak = float(np.abs(samples).max(initial=0))
    assert np.abs(kept - samples).max(initial=0) <= max(peak, 1e-6) / 32767


def test_a_piece_without_sound_is_kept_too(tmp_path: Path) -> None:
    spool_in(tmp_path).write(key("a"), np.zeros(0, np.float32), RATE)
    back = spool_in(tmp_path).read(key("a"), RATE)
    assert back is not None
    assert len(back) == 0


def test_what_was_never_written_is_not_there(tmp_path: Path) -> None:
    assert spool_in(tmp_path).read(key("a"), RATE) is None


def test_a_piece_at_another_rate_is_not_taken(tmp_path: Path) -> None:
    spool_in(tmp_path).write(key("a"), SOUND, RATE)
    assert spool_in(tmp_path).read(key("a"), 22_050) is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"\0\0",
        lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
        lambda data: b"RIFF" + data[4:],
        lambda data: os.urandom(len(data)),
    ],
)
def test_a_damaged_piece_counts_as_not_there_and_is_spoken_again(tmp_path: Path, harm) -> None:
    spool = spool_in(tmp_path)
    spool.write(key("a"), SOUND, RATE)
    (path,) = files(tmp_path)
    path.write_bytes(harm(path.read_bytes()))
    assert spool.read(key("a"), RATE) is None
    spool.write(key("a"), SOUND, RATE)
    assert spool.read(key("a"), RATE) is not None


def test_nothing_is_left_when_a_piece_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        assert source.exists()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DeliveryFailed, match=r"No space left on device.*OSCINE_VOLUME") as caught:
        spool_in(tmp_path).write(key("a"), SOUND, RATE)
    assert str(tmp_path) not in caught.value.message
    assert spool_in(tmp_path).seed_for("one.mp3") >= 0
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_made_gives_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeliveryFailed) as caught:
        spool_in(tmp_path / "file" / "spool").write(key("a"), SOUND, RATE)
    assert caught.value.message.count(".") == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_pieces_are_read_from_a_folder_that_can_only_be_read(tmp_path: Path) -> None:
    spool_in(tmp_path).write(key("a"), SOUND, RATE)
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        assert spool_in(tmp_path).read(key("a"), RATE) is not None
        with pytest.raises(DeliveryFailed):
            spool_in(tmp_path).write(key("b"), SOUND, RATE)
        spool_in(tmp_path, max_age_s=0).prune()
    finally:
        for folder in folders:
            folder.chmod(0o700)


def test_times_that_cannot_be_changed_lose_neither_piece_nor_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spool_in(tmp_path)
    spool.write(key("a"), SOUND, RATE)
    seed = spool.seed_for("job")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not yours")

    monkeypatch.setattr(os, "utime", refuse)
    assert spool.read(key("a"), RATE) is not None
    assert spool.seed_for("job") == seed


def test_old_pieces_go_and_used_ones_stay(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, max_age_s=1000)
    for name in "abc":
        spool.write(key(name), SOUND, RATE)
    long_ago = time.time() - 2000
    for path in files(tmp_path):
        os.utime(path, (long_ago, long_ago))
    spool.read(key("b"), RATE)
    spool.prune()
    assert [spool.read(key(name), RATE) is not None for name in "abc"] == [False, True, False]


def test_the_oldest_go_when_there_is_too_much(tmp_path: Path) -> None:
    size = 2 * len(SOUND) + 20
    spool = spool_in(tmp_path, max_bytes=2.5 * size)
    for age, name in enumerate("dcba"):
        spool.write(key(name), SOUND, RATE)
        (path,) = tmp_path.rglob(f"{key(name)}.osp")
        then = time.time() - 10 * (4 - age)
        os.utime(path, (then, then))
    spool.prune()
    assert [spool.read(key(name), RATE) is not None for name in "abcd"] == [True, True, False, False]


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, max_age_s=0, max_bytes=1)
    spool.write(key("a"), SOUND, RATE)
    (path,) = files(tmp_path)
    beside = path.with_name(f".{path.name}.0badcafe")
    beside.write_bytes(b"half a piece")
    orphan = path.with_name(f".{path.name}.deadbeef")
    orphan.write_bytes(b"of a process that was killed")
    yesterday = time.time() - 86_400
    os.utime(orphan, (yesterday, yesterday))
    os.utime(path, (yesterday, yesterday))
    spool.prune()
    assert [path for path in files(tmp_path) if path.name != "last-pruned"] == [beside]


def test_cleaning_up_looks_through_the_folder_once_an_hour(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, max_age_s=1000)
    spool.prune()
    assert files(tmp_path) == []
    spool.write(key("a"), SOUND, RATE)
    spool.prune()
    (path,) = tmp_path.rglob("*.osp")
    os.utime(path, (1, 1))
    spool_in(tmp_path, max_age_s=1000).prune()
    assert path.exists()
    an_hour_ago = time.time() - 3601
    os.utime(tmp_path / "last-pruned", (an_hour_ago, an_hour_ago))
    spool.prune()
    assert not path.exists()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_nobody_else_can_read_what_was_spoken(tmp_path: Path) -> None:
    spool = spool_in(tmp_path / "data" / "spool")
    spool.write(key("a"), SOUND, RATE)
    spool.seed_for("one.mp3")
    spool.prune()
    paths = [tmp_path / "data" / "spool", *(tmp_path / "data" / "spool").rglob("*")]
    assert len(paths) == 7
    assert {(path.is_dir(), path.stat().st_mode & 0o777) for path in paths} == {(True, 0o700), (False, 0o600)}


def test_where_the_folder_cannot_be_written_pieces_last_as_long_as_the_program(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = spool_in(tmp_path / "file" / "spool").usable()
    assert spool.warning is not None
    assert "OSCINE_VOLUME" in spool.warning
    spool.write(key("a"), SOUND, RATE)
    assert spool.read(key("a"), RATE) is not None
    passing = spool._folder
    assert passing.stat().st_mode & 0o077 == 0 or os.name != "posix"
    del spool
    assert not passing.exists()
    assert spool_in(tmp_path / "spool").usable().warning is None
    assert files(tmp_path / "spool") == []


def test_cleaning_up_a_folder_that_is_not_there_is_fine(tmp_path: Path) -> None:
    spool_in(tmp_path / "nowhere").prune()


def test_two_processes_that_write_one_piece_do_not_harm_it(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom oscine.synthesis.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), max_age_s=1000, max_bytes=1e9)\n"
        "sound = np.linspace(-1, 1, 50_000, dtype=np.float32)\n"
        "for _ in range(100):\n"
        "    spool.write(sys.argv[2], sound, 24_000)\n"
        "    assert spool.read(sys.argv[2], 24_000) is not None\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), key("a")]) for _ in range(2)]
    assert [one.wait(240) for one in both] == [0, 0]
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("bad", ["", "a", "../../etc/passwd", "A" * 64, "g" * 64, key("a") + "/"])
def test_a_key_never_becomes_a_path_outside_the_folder(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        spool_in(tmp_path).read(bad, RATE)


def test_a_job_keeps_its_seed_until_it_is_done_with_another(tmp_path: Path) -> None:
    seed = spool_in(tmp_path).seed_for("one.mp3")
    assert 0 <= seed < 2**63
    assert spool_in(tmp_path).seed_for("one.mp3") == seed
    spool_in(tmp_path).keep_seed("one.mp3", 7)
    assert spool_in(tmp_path).seed_for("one.mp3") == 7
    spool_in(tmp_path).forget_seed("one.mp3")
    assert files(tmp_path) == []
    assert len({spool_in(tmp_path).seed_for(f"{n}.mp3") for n in range(5)}) > 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"seed": "x"}', '{"seed": -1}', '{"seed": 1e400}', '{"seed": null}', "\ud800"]
)
def test_a_damaged_note_of_a_seed_is_replaced(tmp_path: Path, content: str) -> None:
    spool = spool_in(tmp_path)
    spool.seed_for("one.mp3")
    (note,) = files(tmp_path)
    note.write_bytes(content.encode("utf-8", "surrogatepass"))
    seed = spool.seed_for("one.mp3")
    assert 0 <= seed < 2**63
    assert json.loads(note.read_text())["seed"] == seed


def test_a_seed_that_cannot_be_remembered_is_still_given(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert spool_in(tmp_path / "file").seed_for("one.mp3") >= 0
    spool_in(tmp_path / "file").keep_seed("one.mp3", 7)

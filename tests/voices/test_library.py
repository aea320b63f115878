"""The library: what it finds, and that nothing outside its folders is ever found."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.errors import InvalidRequest, NotAvailable
from oscine.voices.library import VoiceFile, VoiceLibrary
from tests.voices.hostile import WANTED
from tests.voices.recordings import CONTAINERS, encoded, recording, speech


def place(folder: Path, *filenames: str, data: bytes = b"sound") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for filename in filenames:
        (folder / filename).write_bytes(data)


def test_voices_of_all_folders_and_all_endings_are_listed_by_name(tmp_path: Path) -> None:
    place(tmp_path / "one", "Zoe.WAV", "bob.mp3", "carl.m4a", "dora.ogg", "notes.txt", "README", ".hidden.wav", ".wav")
    place(tmp_path / "two", "emil.flac", "fay.webm", "gus.aac", "hal.Opus", "Dr. Who.wav")
    place(tmp_path / "one" / "folder.wav", "inner.wav")
    library = VoiceLibrary([tmp_path / "one", tmp_path / "two", tmp_path / "missing"], tmp_path / "home")
    assert library.names() == ("bob", "carl", "dora", "Dr. Who", "emil", "fay", "gus", "hal", "Zoe")
    listed = library.list()
    assert [voice.name for voice in listed] == list(library.names())
    assert {voice.size for voice in listed} == {5}
    assert all(abs(voice.modified - time.time()) < 600 for voice in listed)
    assert not (tmp_path / "home").exists()


def test_an_empty_or_missing_library_lists_nothing(tmp_path: Path) -> None:
    assert VoiceLibrary([], tmp_path / "none").list() == ()
    place(tmp_path, "file")
    assert VoiceLibrary([tmp_path / "file"], tmp_path / "file" / "home").list() == ()


def test_the_home_comes_first_then_the_folders_in_their_order(tmp_path: Path) -> None:
    for folder in ("home", "one", "two"):
        place(tmp_path / folder, f"{folder}.wav", "anna.wav", data=folder.encode())
    library = VoiceLibrary([tmp_path / "one", tmp_path / "two"], tmp_path / "home")
    assert library.find("anna").path.read_bytes() == b"home"
    (tmp_path / "home" / "anna.wav").unlink()
    assert library.find("anna").path.read_bytes() == b"one"
    assert library.names() == ("anna", "home", "one", "two")


def test_of_two_recordings_of_one_name_in_one_folder_the_newest_counts(tmp_path: Path) -> None:
    place(tmp_path, "anna.wav", "anna.mp3")
    os.utime(tmp_path / "anna.wav", (1, 1))
    library = VoiceLibrary([], tmp_path)
    assert library.find("anna").path.name == "anna.mp3"
    assert len(library.list()) == 1


def test_a_name_in_decomposed_unicode_on_disk_is_found_by_its_composed_form(tmp_path: Path) -> None:
    place(tmp_path, "Jose\u0301.wav")
    library = VoiceLibrary([], tmp_path)
    assert library.names() == ("Jos\u00e9",)
    assert library.find("jos\u00e9.WAV").path.is_file()


def test_files_whose_names_cannot_be_printed_do_not_count(tmp_path: Path) -> None:
    place(tmp_path, "fine.wav", "line\nbreak.wav", "bell\a.wav")
    (tmp_path / os.fsdecode(b"broken\xff.wav")).touch()
    assert VoiceLibrary([], tmp_path).names() == ("fine",)


def test_a_link_inside_the_folder_is_a_voice_and_one_that_leads_out_is_not(tmp_path: Path) -> None:
    folder, outside = tmp_path / "voices", tmp_path / "voices-secret"
    place(folder, "anna.wav")
    place(folder / "archive", "old.wav")
    place(outside, "secret.wav")
    (folder / "nick.wav").symlink_to("anna.wav")
    (folder / "deep.wav").symlink_to(folder / "archive" / "old.wav")
    (folder / "out.wav").symlink_to(outside / "secret.wav")
    (folder / "up.wav").symlink_to("../voices-secret/secret.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "gone.wav").symlink_to("nothing.wav")
    (folder / "dir.wav").symlink_to(folder / "archive")
    library = VoiceLibrary([], folder)
    assert library.names() == ("anna", "deep", "nick")
    assert [voice.path for voice in library.list()] == [
        (folder / name).resolve() for name in ("anna.wav", "archive/old.wav", "anna.wav")
    ]
    for name in ("out", "up.wav", "LOOP", "gone"):
        with pytest.raises(InvalidRequest, match="leads out of the folder") as caught:
            library.find(name)
        assert str(tmp_path) not in caught.value.message
        assert library.exact(name) is None


def test_a_folder_of_the_library_may_itself_be_a_link(tmp_path: Path) -> None:
    place(tmp_path / "volume", "anna.wav")
    (tmp_path / "voices").symlink_to(tmp_path / "volume")
    library = VoiceLibrary([tmp_path / "voices", tmp_path / "volume"], tmp_path / "home")
    assert library.find("anna").path == (tmp_path / "volume" / "anna.wav").resolve()
    assert library.names() == ("anna",)


def test_a_recording_that_turned_into_a_link_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "voices"
    place(folder, "anna.wav", "bea.wav")
    place(tmp_path, "secret.wav")
    library = VoiceLibrary([], folder)
    anna, bea = library.find("anna"), library.find("bea")
    (folder / "anna.wav").unlink()
    (folder / "anna.wav").symlink_to(tmp_path / "secret.wav")
    (folder / "bea.wav").unlink()
    os.mkfifo(folder / "bea.wav")
    forged = VoiceFile("forged", tmp_path / "secret.wav", 5, 0.0)
    for voice in (anna, bea, forged):
        with pytest.raises(NotAvailable) as caught:
            library.open(voice)
        assert str(tmp_path) not in caught.value.message
    assert library.names() == ()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> tuple[VoiceLibrary, Path]:
    """A library with secrets around it: above it, under a name that begins like its folder's, behind links."""
    top = tmp_path_factory.mktemp("guarded")
    place(top / "voices", "voice.wav", "secret agent.wav", "..wav", "%2e%2e%2fsecret.wav", "C:secret.wav")
    place(top / "voices2", "secret.wav", "voice.wav")
    place(top, "secret.wav", "voices.wav")
    place(top / "voices" / "inner", "secret.wav")
    (top / "voices" / "linked.wav").symlink_to(top / "secret.wav")
    (top / "voices" / "linked").symlink_to(top / "voices2")
    return VoiceLibrary([top / "extra"], top / "voices"), top / "voices"


@given(WANTED, st.booleans())
@settings(deadline=None, max_examples=400)
def test_no_name_is_ever_found_outside_the_folders(
    guarded: tuple[VoiceLibrary, Path], wanted: str, loose: bool
) -> None:
    library, folder = guarded
    found = [library.exact(wanted)]
    with contextlib.suppress(InvalidRequest):
        found.append(library.find(wanted, loose=loose))
    for voice in found:
        if voice is not None:
            assert os.path.realpath(voice.path) == str(voice.path)
            assert os.path.commonpath([voice.path, os.path.realpath(folder)]) == os.path.realpath(folder)
            assert voice.path.parent.name == "voices"
            assert voice.name in library.names()


@pytest.mark.parametrize(
    "wanted",
    [
        *(
            "../secret",
            "../secret.wav",
            "..%2fsecret.wav",
            "%2e%2e/secret",
            "....//secret",
            "/etc/passwd",
            "inner/secret",
        ),
        *("linked/secret.wav", "secret.wav\0.mp3", "voice\0", "C:\\voices\\voice", "\\\\host\\share\\voice.wav", "~/x"),
        *("voices/voice", "./voice", "file:voice.wav", "x" * 100_000, "\ud800"),
    ],
    ids=lambda wanted: ascii(wanted[:20]),
)
def test_a_name_that_looks_like_a_path_is_an_unknown_voice(guarded: tuple[VoiceLibrary, Path], wanted: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        guarded[0].find(wanted)
    assert caught.value.param == "voice"
    assert "secret agent" in caught.value.message
    assert wanted not in caught.value.message


@pytest.mark.parametrize("extension", CONTAINERS)
def test_show_says_what_a_recording_is_whatever_it_is_called(tmp_path: Path, extension: str) -> None:
    place(tmp_path, "anna.wav", data=recording(extension))
    details = VoiceLibrary([], tmp_path).show("anna")
    usual = {"mp4": "m4a"}.get(extension, extension)
    codec = {"m4a": "aac", "ogg": "flac", "wav": "pcm_s16le", "webm": "opus"}.get(usual, usual)
    assert (details.format, details.codec) == (usual, codec)
    assert details.channels == 1
    assert details.sample_rate == (48_000 if codec == "opus" else 24_000)
    assert details.duration == pytest.approx(4.0, abs=0.1)
    assert details.loudness is not None
    assert -40 < details.loudness < -10


def test_show_counts_channels_and_refuses_what_is_no_recording(tmp_path: Path) -> None:
    stereo = speech() * [[1.0], [0.5]]
    place(tmp_path, "anna.flac", data=encoded(stereo.astype("float32"), "flac"))
    place(tmp_path, "text.wav", data=b"Dear diary,\n" * 100)
    library = VoiceLibrary([], tmp_path)
    assert library.show("anna").channels == 2
    with pytest.raises(InvalidRequest, match="voice"):
        library.show("text")


def test_ten_thousand_voices_are_found_without_asking_for_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(10_000):
        (tmp_path / f"voice{n:05}.wav").touch()
    library = VoiceLibrary([], tmp_path)
    asked: list[object] = []
    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, _counted(getattr(os, name), asked, tmp_path))
    assert library.find("VOICE07777.wav").name == "voice07777"
    assert len(asked) < 40
    assert len(library.list()) == 10_000
    assert len(asked) < 10_080


def _counted(ask: Callable[..., os.stat_result], asked: list[object], folder: Path) -> Callable[..., os.stat_result]:
    """What asks for files, and notes which of `folder` it was asked for; other threads may ask for others."""

    def counted(path: Any, **options: Any) -> os.stat_result:
        if not isinstance(path, str | Path) or Path(path).is_relative_to(folder):
            asked.append(path)
        return ask(path, **options)

    return counted

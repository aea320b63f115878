"""Adding and removing voices: whole or not at all, also when killed, with a full disk and when two do it at once."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings

from oscine.errors import DeliveryFailed, InvalidRequest, OscineError
from oscine.voices.library import VoiceLibrary
from oscine.voices.names import clean_name
from tests.voices.hostile import NAMES
from tests.voices.recordings import CONTAINERS, recording


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("extension", CONTAINERS)
def test_a_new_voice_gets_the_ending_of_what_it_really_is(tmp_path: Path, extension: str) -> None:
    library = VoiceLibrary([], tmp_path / "new" / "home")
    added = library.add("Anna.wav", recording(extension))
    assert added.name == "Anna"
    assert visible(library.home) == [f"Anna.{'m4a' if extension == 'mp4' else extension}"]
    assert added.path.read_bytes() == recording(extension)
    assert library.find("anna") == added


def test_an_mp3_with_tags_before_it_is_an_mp3(tmp_path: Path) -> None:
    bare = recording("mp3")
    bare = bare[bare.index(b"\xff\xfb") :] if b"\xff\xfb" in bare[:4096] else bare[bare.index(b"\xff\xf3") :]
    library = VoiceLibrary([], tmp_path)
    assert library.add("bare", bare).path.suffix == ".mp3"
    assert library.add("tagged", b"ID3\x04\0\0\0\0\x01\x00" + bytes(128) + bare).path.suffix == ".mp3"


def test_a_voice_is_not_overwritten_unless_asked_for(tmp_path: Path) -> None:
    library = VoiceLibrary([], tmp_path)
    library.add("anna", recording("wav"))
    for name in ("anna", "ANNA", "anna.mp3"):
        with pytest.raises(InvalidRequest, match="exists") as caught:
            library.add(name, recording("mp3"))
        assert caught.value.param == "voice"
    assert visible(tmp_path) == ["anna.wav"]
    library.add("Anna", recording("mp3"), replace=True)
    assert visible(tmp_path) == ["Anna.mp3"]
    assert library.find("anna").path.read_bytes() == recording("mp3")


def test_replacing_a_voice_of_another_folder_leaves_that_one_and_comes_before_it(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "anna.wav").write_bytes(b"old")
    library = VoiceLibrary([tmp_path / "old"], tmp_path / "home")
    with pytest.raises(InvalidRequest, match="exists"):
        library.add("anna", recording())
    library.add("anna", recording("flac"), replace=True)
    assert library.find("anna").path.suffix == ".flac"
    assert library.remove("anna").path.suffix == ".flac"
    assert library.find("anna").path.read_bytes() == b"old"


@pytest.mark.parametrize("data", [b"", b"Dear diary", recording()[:60], b"RIFF" + bytes(100)], ids=range(4))
def test_what_is_no_recording_leaves_no_trace(tmp_path: Path, data: bytes) -> None:
    library = VoiceLibrary([], tmp_path / "home")
    with pytest.raises(InvalidRequest) as caught:
        library.add("anna", data)
    assert caught.value.param == "voice_audio"
    assert not (tmp_path / "home").exists()


@given(NAMES)
@settings(deadline=None, max_examples=60)
def test_whatever_a_new_voice_is_called_it_lands_in_the_home_and_nowhere_else(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    top = tmp_path_factory.mktemp("top")
    library = VoiceLibrary([], top / "home")
    try:
        added = library.add(name, recording("opus", 3.2))
    except InvalidRequest:
        assert list(top.iterdir()) == []
        return
    assert added.name == clean_name(name)
    assert [path.name for path in top.iterdir()] == ["home"]
    assert visible(top / "home") == [f"{added.name}.opus"]
    assert library.find(name) == added


def test_remove_takes_the_very_name_and_every_ending_of_it(tmp_path: Path) -> None:
    for filename in ("anna.wav", "anna.mp3", "annabel.wav"):
        (tmp_path / filename).write_bytes(b"sound")
    library = VoiceLibrary([], tmp_path)
    for part in ("ann", "nna", "", "../anna", "*"):
        with pytest.raises(InvalidRequest):
            library.remove(part)
    assert library.remove("ANNA.wav").name == "anna"
    assert visible(tmp_path) == ["annabel.wav"]


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "anna.wav").write_bytes(b"sound")
    (tmp_path / "nick.wav").symlink_to("anna.wav")
    VoiceLibrary([], tmp_path).remove("nick")
    assert visible(tmp_path) == ["anna.wav"]


def test_adding_over_a_link_that_leads_out_never_writes_through_it(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"secret")
    home = tmp_path / "home"
    home.mkdir()
    (home / "anna.wav").symlink_to(tmp_path / "secret.wav")
    library = VoiceLibrary([], home)
    with pytest.raises(InvalidRequest, match="exists"):
        library.add("anna", recording())
    library.add("anna", recording(), replace=True)
    assert (tmp_path / "secret.wav").read_bytes() == b"secret"
    assert not (home / "anna.wav").is_symlink()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_is_full_or_broken_leaves_the_old_voice_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    library = VoiceLibrary([], tmp_path)
    library.add("anna", recording("wav"))

    fsync, own = os.fsync, threading.get_ident()

    def fails(descriptor: int) -> None:
        if threading.get_ident() != own:
            return fsync(descriptor)
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(DeliveryFailed) as caught:
        library.add("anna", recording("mp3"), replace=True)
    assert os.strerror(number) in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert visible(tmp_path) == ["anna.wav"]
    assert not list(tmp_path.glob(".*part"))


def test_a_home_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DeliveryFailed, match="AUDIO_VOICES_DIR") as caught:
        VoiceLibrary([], tmp_path / "file" / "home").add("anna", recording())
    assert str(tmp_path) not in caught.value.message


def test_of_threads_that_add_one_name_at_once_exactly_one_wins(tmp_path: Path) -> None:
    library = VoiceLibrary([], tmp_path)
    extensions = list(CONTAINERS)
    outcomes: list[str] = []
    start = threading.Barrier(len(extensions))

    def add(extension: str) -> None:
        data = recording(extension)
        start.wait()
        try:
            outcomes.append(library.add("anna", data).name)
        except OscineError as error:
            outcomes.append(str(error.code))

    for extension in extensions:
        recording(extension)
    threads = [threading.Thread(target=add, args=(extension,)) for extension in extensions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["anna"] + ["voice_exists"] * (len(extensions) - 1)
    assert len(visible(tmp_path)) == 1


ADD = """
import pathlib, sys
from oscine.errors import InvalidRequest
from oscine.voices.library import VoiceLibrary
library = VoiceLibrary([], pathlib.Path(sys.argv[1]))
data = pathlib.Path(sys.argv[2]).read_bytes()
print("ready", flush=True)
sys.stdin.readline()
try:
    library.add("anna", data, replace=sys.argv[3] == "replace")
    print("added")
except InvalidRequest as error:
    print(error.code)
"""


def child(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    import oscine

    environment = {**os.environ, "PYTHONPATH": str(Path(next(iter(oscine.__path__))).parent)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("mode", ["keep", "replace"])
def test_processes_that_add_one_name_at_once_leave_one_whole_voice(tmp_path: Path, mode: str) -> None:
    home = tmp_path / "home"
    contents = {extension: recording(extension) for extension in ("wav", "mp3", "flac")}
    children = []
    for extension, data in contents.items():
        (tmp_path / extension).write_bytes(data)
        children.append(child(ADD, home, tmp_path / extension, mode))
    for process in children:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in children:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    outcomes = sorted(process.communicate(timeout=60)[0].strip() for process in children)
    assert outcomes == (["added", "voice_exists", "voice_exists"] if mode == "keep" else ["added"] * 3)
    (only,) = visible(home)
    assert (home / only).read_bytes() == contents[only.removeprefix("anna.")]


KILLED = """
import os, pathlib, sys, time
from oscine.voices.library import VoiceLibrary

def pause_before(owner, name, when):
    real = getattr(owner, name)
    def paused(*arguments, **options):
        if when(*arguments):
            print("now", flush=True)
            time.sleep(600)
        return real(*arguments, **options)
    setattr(owner, name, paused)

place = sys.argv[3]
if place == "before the new voice is on disk":
    pause_before(os, "fsync", lambda descriptor: True)
elif place == "before the new voice is in place":
    pause_before(pathlib.Path, "replace", lambda path, target: True)
elif place == "before the old voice is away":
    pause_before(pathlib.Path, "unlink", lambda path: path.name == "anna.wav")
VoiceLibrary([], pathlib.Path(sys.argv[1])).add("anna", pathlib.Path(sys.argv[2]).read_bytes(), replace=True)
"""


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("before the new voice is on disk", "wav"),
        ("before the new voice is in place", "wav"),
        ("before the old voice is away", "mp3"),
    ],
)
def test_a_kill_while_adding_leaves_the_old_voice_or_the_new_one_whole(tmp_path: Path, place: str, kept: str) -> None:
    home = tmp_path / "home"
    library = VoiceLibrary([], home)
    library.add("anna", recording("wav"))
    os.utime(home / "anna.wav", (1, 1))
    (tmp_path / "new").write_bytes(recording("mp3"))
    process = child(KILLED, home, tmp_path / "new", place)
    assert process.stdout
    assert process.stdout.readline() == "now\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert library.names() == ("anna",)
    assert library.find("anna").path.read_bytes() == recording(kept)
    for left in home.glob(".*part"):
        os.utime(left, (1, 1))
    library.add("anna", recording("flac"), replace=True)
    assert visible(home) == ["anna.flac"]
    assert not list(home.glob(".*part"))

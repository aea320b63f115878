"""Chapters in files: players find them where they start, and the sound is the same with and without them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import av
import pytest

from oscine.audio.chapters import MOST, Chapter, comments, titled
from oscine.audio.encode import Encoder
from oscine.audio.formats import Format
from tests.audio.signals import RATE, Samples, decoded, murmur

FILES = {"book.mp3": Format.MP3, "book.opus": Format.OPUS, "book.flac": Format.FLAC, "book.m4b": Format.AAC}
TOLD = [Chapter("Before", 0.0), Chapter("Chapter One: Grüße, 世界", 0.7254), Chapter("Two; = \\ #", 1.5)]


def written(
    path: Path, format: Format, samples: Samples, chapters: list[Chapter], titles: list[str] | None = None
) -> bytes:
    if titles is None:
        titles = [chapter.title for chapter in chapters]
    mp4 = path.suffix == ".m4b"
    with Encoder(format, RATE, tags={"title": "Book"}, sink=path, mp4=mp4, chapters=titles) as encoder:
        encoder.push(samples)
        encoder.mark(chapters)
        encoder.finish()
    return path.read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_chapters_are_where_they_were_marked_and_the_sound_is_the_same(name: str, tmp_path: Path, ffprobe: str) -> None:
    samples = murmur(2 * RATE + 77)
    data = written(tmp_path / name, FILES[name], samples, TOLD)
    mp4 = name.endswith(".m4b")
    command = [ffprobe, "-v", "warning", "-show_chapters", "-show_format", "-show_streams", "-of", "json"]
    done = subprocess.run([*command, str(tmp_path / name)], capture_output=True, check=True, timeout=120)
    # QuickTime's list of chapters is a track of text, which FFmpeg reads and has no decoder for.
    assert all(mp4 and b"Unsupported codec with id 98314" in line for line in done.stderr.splitlines())
    told = json.loads(done.stdout)
    assert [one["tags"]["title"] for one in told["chapters"]] == [one.title for one in TOLD]
    starts = [float(one["start_time"]) for one in told["chapters"]]
    assert starts == pytest.approx([one.start for one in TOLD], abs=0.001)
    assert float(told["chapters"][-1]["end_time"]) == pytest.approx(len(samples) / RATE, abs=0.05)
    tags = told["format"].get("tags") or told["streams"][0]["tags"]
    assert {key.lower(): value for key, value in tags.items()}["title"] == "Book"
    plain = written(tmp_path / f"plain{name}", FILES[name], samples, [])
    with_chapters, rate, _ = decoded(data, FILES[name], RATE, mp4=mp4)
    without, _, _ = decoded(plain, FILES[name], RATE, mp4=mp4)
    assert rate == (48_000 if name.endswith(".opus") else RATE)
    assert with_chapters.tobytes() == without.tobytes()


@pytest.mark.parametrize("format", [Format.WAV, Format.AAC, Format.PCM])
def test_formats_without_a_place_for_chapters_leave_them_out(format: Format, tmp_path: Path) -> None:
    path = tmp_path / f"book{format.extension}"
    assert written(path, format, murmur(RATE), TOLD) == written(path, format, murmur(RATE), [])


@pytest.mark.parametrize("name", FILES)
def test_more_chapters_than_players_count_leave_the_first_ones(name: str, tmp_path: Path) -> None:
    many = [Chapter(f"Chapter {n} {'長' * 100}"[:89], n / 200) for n in range(300)]
    written(tmp_path / name, FILES[name], murmur(2 * RATE), many)
    with av.open(str(tmp_path / name)) as container:
        found = container.chapters()
    assert [one["metadata"]["title"] for one in found] == [one.title for one in many[:MOST]]


def test_a_chapter_without_sound_starts_with_the_next_one() -> None:
    found = titled([Chapter("One", 0.0), Chapter("Three", 2.0)], ["One", "Two", "Three", "Four"])
    assert found == [Chapter("One", 0.0), Chapter("Two", 2.0), Chapter("Three", 2.0), Chapter("Four", 2.0)]


def test_comments_are_as_long_before_the_times_are_known_as_after() -> None:
    late = [Chapter("A", 0.0), Chapter("B", 359_999.9996), Chapter("C", 1e7)]
    early = [Chapter(one.title, 0.0) for one in late]
    assert {key: len(value) for key, value in comments(late).items()} == {
        key: len(value) for key, value in comments(early).items()
    }
    assert comments(late)["CHAPTER002"] == "99:59:59.999"


def test_in_mp4_a_chapter_without_length_is_left_out(tmp_path: Path) -> None:
    written(tmp_path / "book.m4b", Format.AAC, murmur(RATE), [Chapter("A", 0), Chapter("B", 0.5), Chapter("C", 0.5)])
    with av.open(str(tmp_path / "book.m4b")) as container:
        assert [one["metadata"]["title"] for one in container.chapters()] == ["A", "C"]

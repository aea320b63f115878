"""Chapters of a file: their titles, where each starts, and where its header tells so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from oscine.audio.formats import Format

if TYPE_CHECKING:
    from av.container.core import Chapter as Entry

MOST: Final = 255
"""ID3's table of contents and Nero's list in MP4 count them in one byte."""


@dataclass(frozen=True)
class Chapter:
    """A chapter and where it starts."""

    title: str
    start: float
    """Seconds."""


def titled(chapters: Sequence[Chapter], titles: Sequence[str]) -> list[Chapter]:
    """One chapter for each of `titles`, in order; those that `chapters` lacks start with the next one."""
    found: list[Chapter] = []
    rest = list(chapters)
    for title in titles:
        if rest and rest[0].title == title:
            found.append(rest.pop(0))
        else:
            found.append(Chapter(title, rest[0].start if rest else found[-1].start if found else 0.0))
    return found


def entries(chapters: Sequence[Chapter], end: float) -> list[Entry]:
    """As FFmpeg's muxers take them; each ends where the next one starts, the last at `end` seconds."""
    starts = [round(chapter.start * 1000) for chapter in chapters]
    ends = [*starts[1:], max(round(end * 1000), starts[-1])] if starts else []
    return [
        {
            "id": number,
            "start": first,
            "end": last,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": chapter.title},
        }
        for number, (chapter, first, last) in enumerate(zip(chapters, starts, ends, strict=True))
    ]


def lasting(chapters: Sequence[Chapter], end: float) -> list[Chapter]:
    """Those that last: MP4 has no place for one of no length."""
    following = [*chapters[1:], Chapter("", end)]
    return [one for one, after in zip(chapters, following, strict=True) if after.start - one.start >= _SHORTEST_S]


def comments(chapters: Sequence[Chapter]) -> dict[str, str]:
    """As comments of Ogg and FLAC (Xiph's Chapter Extension), whose length does not depend on the times."""
    found: dict[str, str] = {}
    for number, chapter in enumerate(chapters):
        minutes, ms = divmod(min(round(chapter.start * 1000), _LAST_MS), 60_000)
        found[f"CHAPTER{number:03}"] = f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}.{ms % 1000:03}"
        found[f"CHAPTER{number:03}NAME"] = chapter.title
    return found


def tags_span(format: Format, header: bytes) -> tuple[int, int]:
    """Where a file that starts with `header` has its tags: first byte and the one past the last."""
    if format is Format.MP3:  # an ID3 tag, whose size stands in 4 times 7 bits
        size = 0
        for byte in header[6:10]:
            size = size << 7 | byte
        return 0, 10 + size
    if format is Format.FLAC:  # blocks of metadata; the first one tells what the sound is like
        start = 8 + int.from_bytes(header[5:8], "big")
        return start, start + 4 + int.from_bytes(header[start + 1 : start + 4], "big")
    assert format is Format.OPUS
    at = packets = 0  # the pages of Ogg that hold the first two packets; one ends where a segment is shorter than 255
    start = 0
    while packets < 2:
        segments = header[at + 27 : at + 27 + header[at + 26]]
        packets += sum(size < 255 for size in segments)
        at += 27 + len(segments) + sum(segments)
        start = start or at
    return start, at


_SHORTEST_S: Final = 0.001
_LAST_MS: Final = 360_000_000 - 1
"""Hours have two digits."""

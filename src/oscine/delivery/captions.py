"""Captions (SRT, WebVTT) from the times of the sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from oscine.errors import InvalidRequest
from oscine.synthesis.assemble import Segment
from oscine.text.characters import MARKS, SPACELESS, is_wide

LINE_CHARS: Final = 42
"""Characters in a line of a caption, as broadcasters and streaming services set them (EBU-TT-D: 37 to 42); one of
Chinese, Japanese or Korean takes the room of two."""
LINES: Final = 2
MIN_SECONDS: Final = 0.8
"""Seconds that a caption stays at least, where the next one leaves room: nobody reads what flashes."""
MIN_LAST_SECONDS: Final = 0.2
"""The same for the last one, which shall not outlast the sound."""
SUFFIXES: Final = (".srt", ".vtt")


def check_captions(path: Path) -> None:
    """Raises InvalidRequest for a name that does not say which kind of captions it is."""
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidRequest("captions must be a file that ends in .srt or .vtt.", param="captions")


def captions(segments: Sequence[Segment], suffix: str) -> str:
    """The text of a caption file; `suffix` is `.srt` or `.vtt`.

    Long sentences become several captions, timed by their characters. No caption outlasts the next one's start.
    """
    vtt = suffix.lower() == ".vtt"
    blocks = []
    for number, (start, end, text) in enumerate(_cues(segments), start=1):
        times = f"{_time(start, vtt)} --> {_time(end, vtt)}"
        blocks.append(f"{times}\n{_escaped(text)}\n" if vtt else f"{number}\n{times}\n{text}\n")
    return ("WEBVTT\n\n" if vtt else "") + "\n".join(blocks)


def _cues(segments: Sequence[Segment]) -> list[tuple[float, float, str]]:
    cues: list[tuple[float, float, str]] = []
    several = len({segment.speaker for segment in segments}) > 1
    for segment, following in zip(segments, [*segments[1:], None], strict=True):
        said = f"{segment.speaker}: {segment.text}" if several and segment.speaker else segment.text
        lines = _lines(said)
        texts = ["\n".join(lines[i : i + LINES]) for i in range(0, len(lines), LINES)]
        total = sum(len(text) for text in texts) or 1
        least = MIN_SECONDS * len(texts) if following else MIN_LAST_SECONDS
        start, length = segment.start, max(segment.end - segment.start, least)
        if following and following.start > start:
            length = min(length, following.start - start)
        for text in texts:
            share = length * len(text) / total
            cues.append((start, start + share, text))
            start += share
    return cues


def _lines(text: str) -> list[str]:
    """`text` in lines of like length: as few captions as it takes, none of which holds only the last word."""
    words = _words(text)
    lines = _filled(words, LINE_CHARS)
    slots = len(lines) if len(lines) <= LINES else -(-len(lines) // LINES) * LINES
    low = max(max(columns for _, columns, _ in words), sum(columns for _, columns, _ in words) // slots)
    high = LINE_CHARS
    while low < high:
        width = (low + high) // 2
        if len(tried := _filled(words, width)) <= slots:
            lines, high = tried, width
        else:
            low = width + 1
    return [line.strip() for line in lines]


def _filled(words: Sequence[tuple[str, int, int]], width: int) -> list[str]:
    """`words` in lines of at most `width` columns."""
    lines = [""]
    used = 0
    for word, columns, blank in words:
        if used and used + columns > width:
            lines.append("")
            used = 0
        lines[-1] += word
        used += columns + blank
    return lines


def _words(text: str) -> list[tuple[str, int, int]]:
    """What is not parted between two lines, with its columns and those of the blank after it; of long words parts."""
    found = []
    for match in _word().finditer(" ".join(text.split())):
        word, part, columns = match[0], "", 0
        for character in word:
            wide = 0 if character == " " else 2 if is_wide(character) else 1
            if columns + wide > LINE_CHARS:
                found.append((part, columns, 0))
                part, columns = "", 0
            part, columns = part + character, columns + wide
        found.append((part, columns, word.endswith(" ")))
    return found or [(text, 0, 0)]


@cache
def _word() -> re.Pattern[str]:
    """A word, or a letter of a script without spaces, with the signs that stay with it and the blank after it."""
    return re.compile(rf"(?:[{_OPENING}]*[{SPACELESS}][{MARKS}]*|[^{SPACELESS}{_CLOSING}\s]+|\S)[{_CLOSING}]*\s?")


def _time(seconds: float, vtt: bool) -> str:
    ms = round(seconds * 1000)
    hours, ms = divmod(ms, 3_600_000)
    minutes, ms = divmod(ms, 60_000)
    whole, ms = divmod(ms, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{'.' if vtt else ','}{ms:03}"


def _escaped(text: str) -> str:
    """WebVTT section 4.2.2: `&` and `<` are markup; `-->` must not appear in a cue."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_OPENING: Final = "({「『（【《〈“‘"
_CLOSING: Final = "、。，．・：；？！ー」』）】》〉々〜っゃゅょぁぃぅぇぉッャュョァィゥェォ"
"""No line of Chinese or Japanese begins with one of these."""

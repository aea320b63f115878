"""Captions (SRT, WebVTT) from the times of the sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oscine.errors import InvalidRequest
from oscine.synthesis.assemble import Segment

LINE_CHARS: Final = 42
"""Characters in a line of a caption, as broadcasters and streaming services set them (EBU-TT-D: 37 to 42)."""
LINES: Final = 2
MIN_SECONDS: Final = 0.2
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
        lines = textwrap.wrap(said, LINE_CHARS) or [said]
        texts = ["\n".join(lines[i : i + LINES]) for i in range(0, len(lines), LINES)]
        total = sum(len(text) for text in texts) or 1
        start, length = segment.start, max(segment.end - segment.start, MIN_SECONDS)
        if following and following.start > start:
            length = min(length, following.start - start)
        for text in texts:
            share = length * len(text) / total
            cues.append((start, start + share, text))
            start += share
    return cues


def _time(seconds: float, vtt: bool) -> str:
    ms = round(seconds * 1000)
    hours, ms = divmod(ms, 3_600_000)
    minutes, ms = divmod(ms, 60_000)
    whole, ms = divmod(ms, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{'.' if vtt else ','}{ms:03}"


def _escaped(text: str) -> str:
    """WebVTT section 4.2.2: `&` and `<` are markup; `-->` must not appear in a cue."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

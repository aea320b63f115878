"""Subtitles as running text: without numbers and times, their lines joined to sentences (SRT, WebVTT)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from oscine.text.characters import ends_sentence, joint
from oscine.text.lines import Idle, Piece

LONGEST: Final = 1000
"""Characters of lines that are joined where none ends a sentence."""


def without_times(pieces: Iterable[Piece | Idle]) -> Iterator[Piece | Idle]:
    """The lines of a text, those of subtitles joined, and without what tells when they are shown.

    Only a line of two times and an arrow begins a subtitle; any other text passes as it is.
    """
    held: list[Piece] = []
    said = ""
    inside = begun = False
    for piece in pieces:
        if isinstance(piece, Idle) or not (piece.starts and piece.ends):
            if said:
                yield Piece(said, True, True)
            yield from held
            yield piece
            held, said, begun = [], "", True
            continue
        text = piece.text.strip()
        apart = not held[-1].text.strip() if held else not begun
        if _TIMES.match(text):
            if held and held[-1].text.strip():
                held.pop()  # the number of the subtitle
            if said and any(one.text.strip() for one in held):
                yield Piece(said, True, True)
                said = ""
            yield from (one for one in held if one.text.strip())
            held, inside, begun = [], True, True
        elif len(held) < _MOST_HELD and (not text or (text.isdecimal() and apart)):
            held.append(piece)
        elif text == "WEBVTT" and not begun and not any(one.text.strip() for one in held):
            held = [_BLANK]
        else:
            begun = True
            if held and said:
                yield Piece(said, True, True)
                said = ""
            inside = inside and not held
            yield from held
            held = []
            if not inside:
                yield piece
                continue
            line = _TAG.sub("", _VOICE.sub(r"\1: ", text))
            if said and (line.startswith(("-", "–", "—")) or _VOICE.match(text)):
                yield Piece(said, True, True)
                said = ""
            said += joint(said[-2:], line) + line
            if ends_sentence(said) or len(said) > LONGEST:
                yield Piece(said, True, True)
                said = ""
    if said:
        yield Piece(said, True, True)
    yield from held


_MOST_HELD: Final = 8
_BLANK: Final = Piece("", True, True)
_TIMES: Final = re.compile(
    r"(?:\d{1,3}:)?\d{1,2}:\d\d[.,]\d{1,3}[ \t]+-->[ \t]+(?:\d{1,3}:)?\d{1,2}:\d\d[.,]\d{1,3}(?!\d)"
)
_VOICE: Final = re.compile(r"<v(?:\.[\w.]{1,40})?[ \t]+([^<>]{1,60})>")
_TAG: Final = re.compile(r"</?(?:v|c|lang|font)(?:[. ][^<>]{0,80})?>|<\d[\d:.]{1,20}>|\{\\[^{}]{1,40}\}")

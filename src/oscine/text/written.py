"""Text as it was written, for those who read along while its respelling is spoken."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from typing import NamedTuple

from oscine.text.characters import speakable
from oscine.text.marks import Mark, MarkKind, marks


class Respelling(NamedTuple):
    """A part of a text that is spoken, and what was written there."""

    start: int
    end: int
    written: str


def with_marks(
    text: str, respellings: tuple[Respelling, ...], kinds: Collection[MarkKind]
) -> tuple[str, tuple[Respelling, ...]]:
    """`text` as an engine that reads `kinds` gets it, with its pronunciations among its respellings.

    For a pronunciation its word was written. Of an annotation in pinyin the pinyin remains where only that is read.
    """
    found = marks(text)
    if not found:
        return text, respellings
    told: list[Respelling] = []
    words = [Respelling(mark.start, mark.end, mark.word) for mark in found]
    for one in sorted([*respellings, *words], key=lambda one: (one.start, -one.end)):
        if not told or one.start >= told[-1].end:
            told.append(one)
    return _shortened(text, told, [mark for mark in found if mark.kind not in kinds], kinds)


class Written:
    """What was written where the parts of a text are spoken; the parts come in their order."""

    def __init__(self, text: str, respellings: tuple[Respelling, ...]) -> None:
        self._text = text
        self._respellings = respellings
        self._at = 0
        self._next = 0

    def of(self, part: str) -> str:
        """What was written for `part`; a respelling that is parted counts to where it starts."""
        start = self._text.find(part, self._at) if self._respellings else -1
        if start < 0:
            return part
        end = done = start
        end += len(part)
        written = ""
        while self._next < len(self._respellings) and (one := self._respellings[self._next]).start < end:
            if one.start >= start:
                written += self._text[done : one.start] + one.written
            done = max(done, min(one.end, end))
            if one.end > end:
                break
            self._next += 1
        self._at = end
        written = (written + self._text[done:end]).strip()
        return written if speakable(written) else part


def _shortened(
    text: str, respellings: list[Respelling], found: list[Mark], kinds: Collection[MarkKind]
) -> tuple[str, tuple[Respelling, ...]]:
    """`text` with the marks that were `found` reduced to what is said of them, and the respellings moved with it."""
    parts: list[str] = []
    ends: list[int] = []
    lost = [0]
    at = 0
    for mark in found:
        said = mark.pronunciation if mark.is_pinyin(kinds) else mark.word
        parts += [text[at : mark.start], said]
        ends.append(mark.end)
        lost.append(lost[-1] + mark.end - mark.start - len(said))
        at = mark.end

    def moved(place: int) -> int:
        return place - lost[bisect_right(ends, place)]

    return "".join([*parts, text[at:]]), tuple(
        one._replace(start=moved(one.start), end=moved(one.end)) for one in respellings
    )

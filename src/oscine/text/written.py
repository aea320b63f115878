"""Text as it was written, for those who read along while its respelling is spoken."""

from __future__ import annotations

from typing import NamedTuple

from oscine.text.characters import speakable
from oscine.text.normalise import phonemes


class Respelling(NamedTuple):
    """A part of a text that is spoken, and what was written there."""

    start: int
    end: int
    written: str


def with_phonemes(text: str, respellings: tuple[Respelling, ...]) -> tuple[Respelling, ...]:
    """The respellings of `text` and its `[word](/phonemes/)`, for which the word was written."""
    found = [Respelling(start, end, word) for start, end, word in phonemes(text)]
    if not found:
        return respellings
    kept: list[Respelling] = []
    for one in sorted([*respellings, *found], key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return tuple(kept)


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

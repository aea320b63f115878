"""Lines from text that arrives bit by bit."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from oscine.text.characters import CLOSERS, SPACELESS, ends_sentence, is_wide, joint, speakable
from oscine.text.language import ENGLISH, Language
from oscine.text.marks import LONGEST as LONGEST_MARK
from oscine.text.marks import masked
from oscine.text.sentences import sentence_ends

LONGEST: Final = 4000
"""Characters of a line that are held back before it is handed on in parts."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A line, or the next part of one."""

    text: str
    starts: bool
    """Stands at the start of a line."""
    ends: bool
    """Stands at the end of a line."""
    whole: bool = True
    """Ends with a sentence or a line, not in the middle of a sentence."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing more is at hand: what is complete should go out now."""

    inside: bool
    """A further line has begun."""


def lines(pieces: Iterable[str], *, live: bool, language: Language = ENGLISH) -> Iterator[Piece | Idle]:
    """Lines without their ends, long ones in parts.

    With `live` every complete sentence is handed on, and `Idle` follows each piece.
    """
    line = _Line(language)
    swallow = False
    for piece in pieces:
        for at in range(0, len(piece), LONGEST):
            part = piece[at : at + LONGEST]
            if swallow and part.startswith("\n"):
                part = part[1:]
            swallow = part.endswith("\r")
            *ended, rest = part.replace("\r\n", "\n").translate(_LINE_ENDS).split("\n")
            for text in ended:
                line.add(text)
                yield from line.shorten()
                yield line.end()
            line.add(rest)
            yield from line.shorten()
        if live:
            yield from line.complete()
            yield Idle(inside=not (line.text.isspace() or not line.text))
    if line.text or not line.starts:
        yield line.end()


class Wrapping:
    """Tells from the lines seen so far whether a line end only wraps a paragraph.

    A text is hard-wrapped when the next word would have found no room on most of its lines, and most lines end
    inside of a sentence.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int, bool, bool]] = deque(maxlen=60)
        self._words: set[str] = set()
        self._pairs = self._parted = 0

    def learn(self, text: str) -> None:
        """Take note of the words of an example of the text."""
        self._words.update(_ANY_WORD.findall(_FRAGMENTS.sub(" ", text.lower())))

    def joint(self, before: str, after: str) -> str | None:
        """What stands between two lines that are one text; None: nothing, and the hyphen goes that parted a word.

        In a text from printed pages one line in thirty or more ends so. The parts of a compound are words of their own,
        which the text often has.
        """
        found = _PARTED.search(before[-40:])
        if found and after[:1].islower() and self._parted > 0.03 * self._pairs:
            part, following = found[1].lower(), _ANY_WORD.match(after)
            rest = following[0] if following else ""
            compound = part in _COMPOUNDED or (part in self._words and rest in self._words)
            if part + rest in self._words or not compound:
                return None
        return joint(before[-2:], after)

    def see(self, line: str, following: str) -> None:
        """Take note of two lines that follow each other inside of a paragraph."""
        width = _width(line)
        self._pairs += 1
        self._parted += bool(_PARTED.search(line[-40:])) and following.lstrip()[:1].islower()
        if width <= 130:
            word = _FIRST_WORD.match(following)
            first = following.lstrip()[:1]
            self._seen.append(
                (width, width + 1 + _width(word[1] if word else ""), ends_sentence(line), first.isupper())
            )

    def joins(self, line: str, following: str) -> bool:
        """Whether `following` goes on with the paragraph of `line`."""
        width, first = _width(line), following.lstrip()[:1]
        if first.islower() and 8 <= width <= 130 and _PARTED.search(line[-40:]):
            return True
        if width > 130 or width < 25:
            return False
        if edge := self._edge():
            word = _FIRST_WORD.match(following)
            return width + 1 + _width(word[1] if word else "") > edge - 10
        return width >= 40 and not ends_sentence(line) and (first.islower() or is_wide(first))

    def _edge(self) -> int:
        """The width at which the text is wrapped; 0: it is not."""
        if not self._seen:
            return 0
        count = len(self._seen)
        edge = max(width for width, *_ in self._seen)
        full = sum(with_word > edge - 4 for _, with_word, _, _ in self._seen)
        ended = sum(end for *_, end, _ in self._seen)
        capital = sum(upper for *_, upper in self._seen)
        return edge if edge >= 40 and full >= 0.55 * count and ended <= 0.4 * count and capital <= 0.6 * count else 0


def cut_point(text: str, limit: int) -> tuple[int, bool]:
    """Where to part `text` that is longer than `limit`, and whether a sentence ends there; 0: nowhere."""
    text = masked(text, arriving=True)
    ends = [found.end() for found in _SENTENCE.finditer(text, limit // 2, limit)]
    if ends:
        return ends[-1], True
    blanks = [found.end() for found in _BLANK.finditer(text, limit // 2, limit)]
    if not blanks and not text.isascii():
        blanks = [found.end() for found in _between_letters().finditer(text, limit // 2, limit)]
    return (blanks[-1], False) if blanks else (0, False)


def complete_end(text: str, fresh: int, language: Language) -> int:
    """The end of the last sentence in `text` after which another one has begun; 0: none.

    `fresh` is where the text starts that has not been looked at.
    """
    if not _CANDIDATE.search(text, max(0, fresh - 8)):
        return 0
    base = max(0, len(text) - 400)
    plain = masked(text[max(0, base - LONGEST_MARK) :], arriving=True)
    plain = plain[len(plain) - len(text) + base :]
    ends = [base + end for end in sentence_ends(plain, language.of(plain))]
    for end in reversed(ends[:-1]):
        if _may_part(text, end):
            return end
    return 0


class _Line:
    """The line that is arriving."""

    def __init__(self, language: Language) -> None:
        self.text = ""
        self.starts = True
        self._language = language
        self._looked = 0
        self._stuck = 0

    def add(self, text: str) -> None:
        self.text += text

    def end(self) -> Piece:
        piece = Piece(self.text, self.starts, True)
        self.text, self.starts, self._looked, self._stuck = "", True, 0, 0
        return piece

    def shorten(self) -> Iterator[Piece]:
        """Parts of a line that has become too long to hold."""
        while len(self.text) > LONGEST:
            at, whole = (0, False) if self._stuck else cut_point(self.text, LONGEST)
            if not at:
                at = _next_blank(self.text, max(LONGEST, self._stuck))
                self._stuck = len(self.text)
                at = at or (len(self.text) if len(self.text) > _HARD_LIMIT else 0)
            if not at:
                return
            yield self._part(at, whole)

    def complete(self) -> Iterator[Piece]:
        """The sentences that are complete."""
        if _HELD.match(self.text):
            return
        end = complete_end(self.text, self._looked, self._language)
        self._looked = len(self.text)
        if end and speakable(self.text[:end]):
            yield self._part(end, True)

    def _part(self, at: int, whole: bool) -> Piece:
        piece = Piece(self.text[:at], self.starts, False, whole)
        self.text, self.starts, self._looked, self._stuck = self.text[at:], False, 0, 0
        return piece


_ANY_WORD: Final = re.compile(r"[^\W\d_]+")
_FRAGMENTS: Final = re.compile(r"(?<!\w)[^\W\d_]{1,40}+-[ \t]{0,3}+\n\s{0,20}+[^\W\d_]{1,40}+")
_PARTED: Final = re.compile(r"(?<![\w-])([^\W\d_]{2,30})-\s*$")
"""A line whose last word goes on in the next one."""
_COMPOUND_WORDS: Final = (
    "well self half ill all ever so non ex long short high low old new full two three four five six seven eight nine "
    "ten twenty thirty forty fifty sixty seventy eighty ninety first third mother father sister brother good bad "
    "ready far near hard soft cold hot red blue green white black grey gray broad middle upper lower"
)
_COMPOUNDED: Final = frozenset(_COMPOUND_WORDS.split())
"""Words that compounds with a hyphen begin with."""
_HARD_LIMIT: Final = 4 * LONGEST
"""A word this long is cut; no engine would speak it (`oscine.text.split.check_words`)."""
_LINE_ENDS: Final = str.maketrans(
    {"\r": "\n", "\x0b": "\n", "\x85": "\n", "\u2028": "\n", "\u2029": "\n\n", "\x0c": "\n\n"}
)
_FIRST_WORD: Final = re.compile(r"\s*(\S{0,60})")
_SENTENCE: Final = re.compile(
    rf"(?:(?<![A-Z]\.)(?<=\w\w\w)\.|[!?…])[{re.escape(CLOSERS)}*_]{{0,4}}+\s++|[。！？][{re.escape(CLOSERS)}]{{0,4}}+"
)
_BLANK: Final = re.compile(r"\s++|[，、；]")
_CANDIDATE: Final = re.compile(r"[.!?…؟।॥][^\s\w]{0,6}+\s+\S|[。！？][^\w]{0,6}+\w")
_HELD: Final = re.compile(r"[ \t>]*+(?:\||`{3}|~{3}|<!--)")


@cache
def _between_letters() -> re.Pattern[str]:
    return re.compile(rf"(?<=[{SPACELESS}])(?=[{SPACELESS}])(?!ー)")


def _next_blank(text: str, start: int) -> int:
    """The end of the first word that ends at `start` or later; 0: there is none."""
    base = max(0, start - LONGEST_MARK)
    found = _BLANK.search(masked(text[base:], arriving=True), start - base)
    return base + found.end() if found else 0


def _may_part(text: str, end: int) -> bool:
    """No bracket, link, tag or code stays open before `end`, and no pause tag begins right after it."""
    recent = text[max(0, end - 300) : end]
    if not (recent[-1:].isspace() or recent.rstrip(CLOSERS)[-1:] in tuple("。！？")):
        return False
    if (
        recent.rfind("[") > recent.rfind("]")
        or recent.rfind("](") > recent.rfind(")")
        or recent.count("`") % 2
        or recent.rfind("<") > recent.rfind(">") >= 0
    ):
        return False
    following = text[end:]
    return not (following.startswith("[") and "]" not in following and len(following) < 80)


def _width(text: str) -> int:
    """Columns in a fixed-width font."""
    text = text.strip()
    return len(text) if text.isascii() else len(text) + sum(map(is_wide, text))

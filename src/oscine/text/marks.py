"""Pronunciations that are written into a text: `[word](/phonemes/)` and `<word|pronunciation>`.

Such a mark is one word. Rules, lexicons and cuts leave it as it is where the engine reads it, byte for byte; for other
engines its word remains.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import Final, Literal, NamedTuple

from oscine.text.characters import SPACELESS

MarkKind = Literal["phonemes", "annotations", "pinyin"]
"""What an engine may read inside the text.

`phonemes`: `[word](/phonemes/)`. `annotations`: `<word|pronunciation>`. `pinyin`: syllables with a number for their
tone (`XING2`), which then stand for an annotated word.
"""

NO_MARKS: Final[frozenset[MarkKind]] = frozenset()
ALL_MARKS: Final[frozenset[MarkKind]] = frozenset({"phonemes", "annotations", "pinyin"})


class Mark(NamedTuple):
    """A word with its pronunciation, and where it stands."""

    start: int
    end: int
    word: str
    pronunciation: str
    kind: Literal["phonemes", "annotations"]

    def reaches(self, kinds: Collection[MarkKind]) -> bool:
        """Whether its pronunciation is of use to an engine that reads `kinds`."""
        return self.kind in kinds or self.is_pinyin(kinds)

    def is_pinyin(self, kinds: Collection[MarkKind]) -> bool:
        """Whether an engine that reads `kinds` takes the pronunciation alone.

        Only that of a Chinese word: `ER1` may be English too.
        """
        return (
            "pinyin" in kinds
            and self.kind not in kinds
            and any("\u4e00" <= character <= "\u9fff" for character in self.word)
            and bool(_PINYIN.fullmatch(self.pronunciation))
        )


def marks(text: str) -> list[Mark]:
    """The marks in `text`, in their order."""
    return [_mark(found) for found in _MARK.finditer(text)] if _may_hold(text) else []


def plain_marks(text: str, kinds: Collection[MarkKind] = NO_MARKS) -> str:
    """`text` with those marks reduced to their word that an engine which reads `kinds` has no use for."""
    if not _may_hold(text):
        return text
    return _MARK.sub(lambda found: found[0] if (mark := _mark(found)).reaches(kinds) else mark.word, text)


def take_out(text: str, kinds: Collection[MarkKind]) -> tuple[str, list[str]]:
    """`text` with a sign in place of each mark that is of use, and those marks; of the others the word remains.

    No rule takes these signs for anything, and no two are equal, so that none is lost or changes places.
    """
    if not text.isascii():
        text = _SIGN.sub("", text)
    if not _may_hold(text):
        return text, []
    kept: list[str] = []

    def sign(found: re.Match[str]) -> str:
        mark = _mark(found)
        if not mark.reaches(kinds) or len(kept) > ord(_LAST_SIGN) - ord(_FIRST_SIGN):
            return mark.word
        kept.append(found[0])
        return chr(ord(_FIRST_SIGN) + len(kept) - 1)

    return _MARK.sub(sign, text), kept


def without_strays(text: str) -> str:
    """`text` without what an engine that reads annotations would take for a part of one.

    IndexTTS-2.5 begins one at any `<` and ends it at the next `>` after a bar, and reads `<|...|>` as a command.
    """
    if "<" not in text:
        return text
    return _OPENED.sub(lambda found: found[0].replace("<", " ") if found["sign"] else found[0], text.replace("|", " "))


def put_back(text: str, kept: list[str]) -> str:
    """`text` with the marks that `take_out` took."""
    return _SIGN.sub(lambda found: kept[ord(found[0]) - ord(_FIRST_SIGN)], text) if kept else text


def is_sign(character: str) -> bool:
    """Whether `character` stands in place of a mark."""
    return _FIRST_SIGN <= character <= _LAST_SIGN


def masked(text: str, *, arriving: bool = False) -> str:
    """`text` with letters in place of its marks, as long as it is: nothing that looks for places finds one in a mark.

    A mark in a script without spaces looks like one letter of it. With `arriving` a mark that has only begun at the end
    of `text` is covered too.
    """
    if _may_hold(text):
        text = _MARK.sub(lambda found: _cover(found[0], found["word"] or found["said"]), text)
    if arriving and (found := _BEGUN.search(text, max(0, len(text) - LONGEST))):
        text = text[: found.start()] + _cover(found[0], found[0][1:])
    return text


LONGEST: Final = 620
"""More characters than any mark has."""

_FIRST_SIGN: Final = "\U000f0000"
_LAST_SIGN: Final = "\U0010ffff"
SIGNS: Final = f"{_FIRST_SIGN}-{_LAST_SIGN}"
"""Inside of `[]`: what stands in place of marks; Unicode leaves these characters to private use."""

_SIGN: Final = re.compile(f"[{SIGNS}]")
_PHONEMES: Final = (
    r"\[(?P<said>[^\[\]|\n]{1,200}+)\]\(/(?P<phonemes>(?=[^/()\n]{0,200}[^\x00-\x7f])[^/()\n]{1,400}+)/\)"
)
"""Known by a character beyond ASCII between the slashes, because `[guide](/guide/)` is a link."""
_WORD: Final = r"(?![\s!/?])[^<>|\[\]`\n]{1,200}+(?<!\s)"
_ANNOTATION: Final = (
    rf"<(?P<word>{_WORD})\|(?P<pronunciation>(?! )(?:[\u3040-\u30ff ]{{1,400}}+"
    r"|(?=[^a-zü>]{0,400}+>|[^0-9>]{0,400}+[0-5])(?=[^A-Za-z>]{0,400}+[A-Za-z])[A-Za-züÜ0-5 .'-]{1,400}+)(?<! ))>"
)
"""In kana, or in letters and tones or stresses: capitals, or with a number, because `List<string|number>` is none."""
_MARK: Final = re.compile(f"{_PHONEMES}|{_ANNOTATION}")
_BEGUN: Final = re.compile(
    r"(?:<(?![\s!/?])(?:[^<>|\[\]`\n]{0,60}+|[^<>|\[\]`\n]{1,200}+\|[^<>|\n]{0,400}+)"
    r"|\[[^\[\]|\n]{1,200}+(?:\](?:\((?:/[^/()\n]{0,400}+/?+)?)?)?)\Z"
)
"""Before its bar only what is short: `I <3 you. And ...` shall not wait for long."""
_SYLLABLE: Final = (
    "(?:(?:[zcs]h|[bpmfdtnlgkhjqxzcsryw])?(?:[uüv]ang|uai|i[ao]ng|ia[no]|[aeio]ng|[uüv]an|[uüv]e|[ae]i|u[aio]|ao|ou"
    "|i[aue]|[aeiuv]n|[aeiouüv])|ng|er)[1-5]"
)
"""A syllable with its tone, as IndexTTS knows it (`PINYIN_TONE_PATTERN` in its `utils/front.py`)."""
_PINYIN: Final = re.compile(rf"{_SYLLABLE}(?:[ .'-]{{0,3}}{_SYLLABLE})*+", re.IGNORECASE)
_OPENED: Final = re.compile(f"<[^>{SIGNS}]*+(?=(?P<sign>[{SIGNS}])?)")


def _may_hold(text: str) -> bool:
    return "](/" in text or ("<" in text and "|" in text)


def _mark(found: re.Match[str]) -> Mark:
    if (word := found["word"]) is not None:
        return Mark(found.start(), found.end(), word, found["pronunciation"], "annotations")
    return Mark(found.start(), found.end(), found["said"], found["phonemes"], "phonemes")


def _cover(mark: str, word: str) -> str:
    if _spaceless().match(word):
        return "漢" + "ー" * (len(mark) - 1)
    return ("x" if word[:1].islower() else "X") + "x" * (len(mark) - 1)


@cache
def _spaceless() -> re.Pattern[str]:
    return re.compile(f"[{SPACELESS}]")

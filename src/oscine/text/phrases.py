"""Where words belong together: which blanks of a long sentence are better to cut at than others."""

from __future__ import annotations

import re
from typing import Final, Literal

Blank = Literal["joint", "blank", "tight"]


def kind_of_blank(text: str, before: int, after: int) -> Blank:
    """What the blank `text[before:after]` is.

    `joint`: a part of the sentence begins after it; `tight`: what stands before it leans on what follows, as an
    article, a title, initials or a number do.
    """
    said = text[max(0, before - 24) : before]
    if said[-1:].isdigit() or text[after : after + 1].isdigit() or _ABBREVIATED.search(said):
        return "tight"
    last = said[said.rfind(" ") + 1 :].lower()
    if last in _LEANING or (last in _JOINTS and text[after : after + 1] not in "\"'“‘«"):
        return "tight"
    found = _WORD.match(text, after)
    return "joint" if found and found[0] in _JOINTS else "blank"


_ABBREVIATED: Final = re.compile(r"(?<!\w)(?:[^\W\d_]\.){1,3}$|(?<!\w)[A-ZÀ-ÖØ-ÞЀ-Я][^\W\d_]{0,4}\.$")
"""Initials, titles and the like."""
_WORD: Final = re.compile(r"[^\W\d_]{1,12}")
_JOINT_WORDS: Final = (
    "and but or because which who whom whose that when where while if although though since until so than "
    "und aber oder weil dass denn wenn während obwohl sondern damit "
    "et mais ou parce que qui quand lorsque donc dont où puis "
    "y e o u pero porque cuando donde mientras aunque si sino "
    "ma perché che quando dove mentre mas quem onde enquanto "
    "maar omdat dat terwijl "
    "и но а или что который которая которые потому когда если чтобы где "
    "i ale lub że który która które ponieważ gdy ve ama veya çünkü và nhưng hoặc vì khi och eller som att"
)
_JOINTS: Final = frozenset(_JOINT_WORDS.split())
"""Conjunctions and relative pronouns: words that a part of a sentence begins with."""
_LEANING_WORDS: Final = (
    "the a an of to in on at by for with from into my your his her its our their this these those no not very "
    "der die das dem den des ein eine einen einem einer im am zum zur von mit für nach bei aus "
    "le la les l un une des du de au aux à dans sur sans ce cette "
    "el los las una del al con por para su "
    "il lo gli i di della dei nel nella al alla da "
    "os as um uma do dos das no na em "
    "het van op te в на с к у о от до из за по не без для w z na do po ze bir"
)
_LEANING: Final = frozenset(_LEANING_WORDS.split())
"""Articles, prepositions and the like."""

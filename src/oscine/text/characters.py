"""Classes of characters that several rules share."""

from __future__ import annotations

from typing import Final

SPACELESS: Final = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0eff\u1000-\u103f\u1050-\u108f\u1780-\u17d3\u2e80-\u2fdf\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Inside of `[]`: letters of scripts that put no space between words (Thai, Lao, Burmese, Khmer, kana, Han).

Patterns that hold it take a millisecond or more to compile, so they are made when they are first needed.
"""

MARKS: Final = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8"
    "\u06ea-\u06ed\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u0981-\u0983\u09bc-\u09cd\u0a01-\u0a03\u0a3c-\u0a4d\u0abc-\u0acd"
    "\u0b3c-\u0b4d\u0bbe-\u0bcd\u0c3e-\u0c4d\u0cbc-\u0ccd\u0d3b-\u0d4d\u0dca-\u0ddf\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
"""Inside of `[]`: combining marks that belong to a word, which `\\w` leaves out."""

TERMINALS: Final = ".!?…。！？｡؟।॥"
"""Characters that end a sentence."""

CLOSERS: Final = "\"'”’»›)]}）］】」』》〉"
"""Characters that may follow the end of a sentence and still belong to it."""


def is_wide(character: str) -> bool:
    """Whether a character is as wide as two Latin ones (Unicode TR 11)."""
    return character > "\u10ff" and any(low <= character <= high for low, high in _WIDE)


def ends_sentence(text: str) -> bool:
    """Whether `text` ends with sentence punctuation, quotes and brackets aside."""
    return text[-40:].rstrip(CLOSERS + " *_")[-1:] in tuple(TERMINALS)


def speakable(text: str) -> bool:
    """Whether there is any letter or digit to speak."""
    return any(map(str.isalnum, text))


def joint(before: str, after: str) -> str:
    """What stands between two lines that are one text: a space, but nothing between Han or kana and after a hyphen."""
    if not before or not after:
        return ""
    if is_wide(before[-1]) and is_wide(after[0]) and not ("\uac00" <= before[-1] <= "\ud7a3"):
        return ""
    if before[-1] == "-" and before[-2:-1].isalpha() and after[0].isalpha():
        return ""
    return " "


_WIDE: Final = (
    ("\u1100", "\u115f"),
    ("\u2e80", "\ua4cf"),
    ("\uac00", "\ud7a3"),
    ("\uf900", "\ufaff"),
    ("\ufe30", "\ufe4f"),
    ("\uff00", "\uff60"),
    ("\U00020000", "\U0003ffff"),
)

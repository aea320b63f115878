"""Which scripts a text is written in, beside the Latin one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import Final

_SCRIPTS: Final = {
    "Cyrillic": ("\u0400-\u052f\u1c80-\u1c8f", "ru uk be bg sr mk kk ky mn tg tt"),
    "Greek": ("\u0370-\u03ff\u1f00-\u1fff", "el"),
    "Hebrew": ("\u05d0-\u05ea", "he yi"),
    "Arabic": ("\u0620-\u06ff\u0750-\u077f", "ar fa ur ps sd ug"),
    "Devanagari": ("\u0900-\u097f", "hi mr ne sa"),
    "Thai": ("\u0e01-\u0e4e", "th"),
    "Korean": ("\u1100-\u11ff\uac00-\ud7a3", "ko"),
    "Japanese": ("\u3041-\u30ff", "ja"),
    "Chinese": ("\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", "zh yue ja ko"),
    "Indian": ("\u0980-\u0dff", "bn as pa gu or ta te kn ml si"),
    "Georgian or Armenian": ("\u0530-\u058f\u10a0-\u10ff", "ka hy"),
}
"""Letters inside of `[]`, and the languages that are written with them (BCP 47)."""
_FAR: Final = re.compile("[\u0370-\u1cff\u1f00-\u1fff\u3041-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]")
"""Any of these letters."""
_SINGLE: Final = frozenset(["Chinese", "Japanese", "Korean"])
"""Of these one letter is a word; of others it may be a sign, such as `π`."""


def foreign(text: str, languages: Collection[str]) -> Iterator[tuple[str, str]]:
    """Scripts that none of `languages` is written in, each with its first word in `text`."""
    if text.isascii() or not _FAR.search(text):
        return
    spoken = {language.lower().partition("-")[0] for language in languages}
    for script, (_, written) in _SCRIPTS.items():
        if spoken.isdisjoint(written.split()) and (found := _words(script).search(text)):
            yield script, found[0]


@cache
def _words(script: str) -> re.Pattern[str]:
    letters = _SCRIPTS[script][0]
    return re.compile(rf"[{letters}]{{{1 if script in _SINGLE else 2},20}}")

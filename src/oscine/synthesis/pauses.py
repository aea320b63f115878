"""How long the silence between two pieces is: what was asked for, else what fits the punctuation."""

from __future__ import annotations

from typing import Final

from oscine.text.characters import CLOSERS
from oscine.text.script import Break

CHAPTER_MS: Final = 1500
"""Before a chapter and between scenes."""
PARAGRAPH_MS: Final = 700
TURN_MS: Final = 420
LINE_MS: Final = 380
UNFINISHED_MS: Final = 60
"""After a word in the middle of a clause, where only the length limit made the cut."""
BY_MARK_MS: Final = {
    ".": 340,
    "!": 340,
    "?": 360,
    "…": 450,
    ":": 280,
    ";": 260,
    ",": 150,
    "—": 200,
    "–": 200,
    ")": 200,
}
"""Silence between the end of one piece and the start of the next, by the last mark. Read speech pauses 0.3 to 0.5 s
between sentences and 0.1 to 0.25 s between clauses (Goldman-Eisler 1972; Campione & Veronis 2002: medians near
0.15 and 0.5 s)."""
_SAME_AS: Final = (
    dict.fromkeys("。｡．।॥۔", ".")
    | dict.fromkeys("！", "!")
    | dict.fromkeys("？؟", "?")
    | dict.fromkeys("，、､،", ",")
    | dict.fromkeys("；؛", ";")
    | dict.fromkeys("：", ":")
    | dict.fromkeys("⋯‥", "…")
    | dict.fromkeys("）］】〕", ")")
)


def pause_after(text: str, following: Break, *, asked_ms: int | None, speed: float) -> int:
    """Milliseconds of silence after a piece that ends with `text` and is followed by `following`.

    `asked_ms` (`chunk_pause_ms`) replaces what the punctuation would give; a pause tag replaces both. Pauses that were
    not asked for shrink and grow with `speed`.
    """
    if following.kind == "pause" and following.ms is not None:
        return following.ms
    if asked_ms is not None:
        return asked_ms
    natural = _by_mark(text)
    if following.kind == "chapter":
        natural = max(natural, CHAPTER_MS)
    elif following.kind == "paragraph":
        natural = max(natural, PARAGRAPH_MS)
    elif following.kind == "turn":
        natural = max(natural, TURN_MS)
    elif following.kind == "line":
        natural = max(natural, LINE_MS)
    return round(natural / speed)


def _by_mark(text: str) -> int:
    said = text.rstrip()
    bare = said.rstrip(CLOSERS + " ")
    if bare.endswith("..."):
        return BY_MARK_MS["…"]
    marks = (_SAME_AS.get(end, end) for end in (bare[-1:], said[-1:]))
    return next((BY_MARK_MS[mark] for mark in marks if mark in BY_MARK_MS), UNFINISHED_MS)

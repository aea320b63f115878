"""Lines sorted by what they are: text, items, headings, rows of tables, gaps; code and comments are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from oscine.text.hidden import visible
from oscine.text.lines import Idle, Piece
from oscine.text.markdown import Mark, classify, is_delimiter, split_tags, table_row
from oscine.text.subtitles import without_times


class Block(NamedTuple):
    """A line, or the next part of one, without its marks."""

    mark: Mark
    text: str
    starts: bool = True
    ends: bool = True
    whole: bool = True
    fresh: bool = False
    """Never goes on with the line before."""


def blocks(
    pieces: Iterable[Piece | Idle],
    *,
    markdown: bool,
    live: bool = False,
    cut: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> Iterator[Block | Idle]:
    """Blocks of the lines; without `markdown` only text and gaps.

    `cut`: the text goes on after the last piece.
    """
    held: Piece | None = None
    table = False
    kind: Mark = "text"
    empty = apart = False
    if markdown:
        pieces = visible(pieces if live else without_times(pieces), live=live, cut=cut, warn=warn)
    for piece in pieces:
        if isinstance(piece, Idle):
            if held and not piece.inside:
                yield _text(held)
                held = None
            yield piece
            continue
        text = piece.text
        blank = piece.starts and piece.ends and (not text or text.isspace())
        if blank and empty:
            continue
        apart, empty = empty, blank
        if not markdown:
            yield Block(
                "text" if text.strip() or not piece.starts else "gap", text, piece.starts, piece.ends, piece.whole
            )
            continue
        if held:
            table = is_delimiter(text)
            yield Block("row", table_row(held.text), fresh=True) if table else _text(held)
            held = None
            if table:
                continue
        if not piece.starts:
            yield Block(kind, text, False, piece.ends, piece.whole)
            continue
        if table and "|" in text and text.strip():
            yield Block("row", table_row(text), fresh=True)
            continue
        table = False
        parts = [part for part in split_tags(text) if part.strip()] or [""]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            kind, said = classify(part)
            if kind == "rule" and not apart and not text.strip().strip("-"):
                kind = "gap"  # the underline of a heading
            if kind == "text" and " | " in said and last and piece.ends:
                held = Piece(said, True, True)
            elif kind != "nothing":
                yield Block(kind, said, True, piece.ends or not last, piece.whole or not last, fresh=number > 0)
    if held:
        yield _text(held)


def _text(piece: Piece) -> Block:
    return Block("text", piece.text)

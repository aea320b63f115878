"""What nobody wants to hear is left out: code, comments, scripts and styles, and only what is surely one.

A block is hidden when its end is found; without one, the sign that seemed to open it is text like any other.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from oscine.text.characters import CLOSERS, ends_sentence
from oscine.text.lines import Idle, Piece

LONGEST: Final = 1_000_000
"""Characters in which the end of a block is looked for."""
LONGEST_LIVE: Final = 4000
"""The same where a listener waits for what comes next; code in backticks may be longer."""


def visible(
    pieces: Iterable[Piece | Idle],
    *,
    live: bool = False,
    cut: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> Iterator[Piece | Idle]:
    """The lines without hidden blocks, each of which leaves a blank line.

    `cut`: the text goes on after the last piece, so a block that is open there is hidden.
    """
    source = _Source(_without_front_matter(pieces, warn))
    # By sign of a block: there is no end for blocks of this length or longer up to this piece.
    nowhere: dict[str, tuple[int, float]] = {}
    for piece in source:
        if isinstance(piece, Idle):
            yield piece
            continue
        piece, found = _opening(piece, nowhere, source.at, warn)
        if found is None:
            yield piece
            continue
        held: list[Piece] = []
        last = piece
        rest: str | None = None
        count, size = 1, 0
        endless = live and found.sign == "`"
        ended = True
        for following in source:
            if isinstance(following, Idle):
                yield following
                continue
            last = following
            count += following.starts
            size += len(following.text)
            if not endless:
                held.append(following)
            rest = _after(found, following)
            scene = found.bare and _is_blank(following) and len(held) == 1
            if rest is not None or scene or (size > (LONGEST_LIVE if live else LONGEST) and not endless):
                ended = False
                break
        if found.bare and held and (_is_blank(held[0]) or (rest is not None and _is_prose(held[:-1]))):
            source.back(held)
            yield _BLANK
        elif rest is None and ended and endless:
            warn(f"A block of code that was never closed was left out ({count:,} {'line' if count == 1 else 'lines'}).")
        elif rest is None and not (ended and cut):
            nowhere[found.sign] = (found.length, float("inf") if ended else source.at)
            source.back([piece, *held])
        else:
            warn(CODE_LEFT_OUT if found.length else COMMENTS_LEFT_OUT)
            if piece.text[: found.start].strip():
                yield Piece(piece.text[: found.start], piece.starts, True)
            yield _BLANK
            if rest and rest.strip():
                source.back([Piece(rest, True, last.ends, last.whole)])


CODE_LEFT_OUT: Final = "Blocks of code in the text were left out."
COMMENTS_LEFT_OUT: Final = "Comments, scripts and styles in the text were left out."
FRONT_LEFT_OUT: Final = "The front matter of the text, its title, author and such, was left out."


class _Block(NamedTuple):
    """Where a block that its line does not close seems to open."""

    sign: str
    start: int = 0
    length: int = 0
    """Of a fence around code; 0: a comment, a script or a style."""
    bare: bool = False
    """Only tildes, which may also part scenes."""


class _Source(Iterator[Piece | Idle]):
    """Pieces that can be put back."""

    def __init__(self, pieces: Iterable[Piece | Idle]) -> None:
        self._pieces = iter(pieces)
        self._back: deque[Piece] = deque()
        self.at = 0
        """Number of the piece that was taken last."""

    def __next__(self) -> Piece | Idle:
        piece = self._back.popleft() if self._back else next(self._pieces)
        self.at += isinstance(piece, Piece)
        return piece

    def back(self, pieces: list[Piece]) -> None:
        self._back.extendleft(reversed(pieces))
        self.at -= len(pieces)


_BLANK: Final = Piece("", True, True)
_FENCE: Final = re.compile(r"[ \t>]{0,20}+(?:[-*+] )?+(`{3,}+|~{3,}+)(.*)", re.DOTALL)
_OPENING: Final = re.compile(r"<(!--|(?:script|style|head)(?=[\s>]))", re.IGNORECASE)
_CLOSING: Final = {
    "!--": re.compile(r"-->"),
    "script": re.compile(r"</script\s*+>", re.IGNORECASE),
    "style": re.compile(r"</style\s*+>", re.IGNORECASE),
    "head": re.compile(r"</head\s*+>", re.IGNORECASE),
}


def _without_front_matter(pieces: Iterable[Piece | Idle], warn: Callable[[str], None]) -> Iterator[Piece | Idle]:
    """The lines without the YAML between two lines of dashes that a file may start with."""
    source = iter(pieces)
    held: list[Piece | Idle] = []
    known = False
    for piece in source:
        held.append(piece)
        if isinstance(piece, Idle):
            continue
        text = piece.text.rstrip()
        first = not any(isinstance(one, Piece) for one in held[:-1])
        if first and text.removeprefix("\ufeff") == "---" and piece.starts and piece.ends:
            continue
        if not first and text in ("---", "...") and piece.starts and known:
            warn(FRONT_LEFT_OUT)
            held = [_BLANK, *(one for one in held if isinstance(one, Idle))]
            break
        if first or not piece.starts or not _YAML.fullmatch(text) or len(held) > _LONGEST_FRONT:
            break
        known = known or bool(_FRONT.match(text))
    yield from held
    yield from source


_LONGEST_FRONT: Final = 300
_YAML: Final = re.compile(r"[ \t]*+(?:#.*|- .*|[\w.-]{1,60}+:(?: .*)?|[ \t].*)?")
_FRONT: Final = re.compile(
    r"(?:title|layout|date|author|authors|tags|categories|category|description|slug|permalink|draft|lang|language|"
    r"keywords|published|summary|subtitle|aliases|weight|sidebar_position|nav_order|publish|created|updated):",
    re.IGNORECASE,
)


def _opening(
    piece: Piece, nowhere: dict[str, tuple[int, float]], at: int, warn: Callable[[str], None]
) -> tuple[Piece, _Block | None]:
    """The piece without the blocks it closes itself, and the block that it leaves open."""
    if piece.starts and (fence := _FENCE.match(piece.text)):
        sign, length, info = fence[1][0], len(fence[1]), fence[2]
        least, until = nowhere.get(sign, (0, -1))
        if sign not in info and not (length >= least and at <= until):
            return piece, _Block(sign, 0, length, sign == "~" and not info.strip())
    kept: list[str] = []
    done = 0
    open_block: _Block | None = None
    for found in _OPENING.finditer(piece.text) if "<" in piece.text else ():
        sign = found[1].lower()
        if found.start() < done or piece.text.count("`", 0, found.start()) % 2 or at <= nowhere.get(sign, (0, -1))[1]:
            continue
        end = _CLOSING[sign].search(piece.text, found.end())
        if end is None:
            open_block = _Block(sign, found.start())
            break
        kept.append(piece.text[done : found.start()])
        done = end.end()
    if not done:
        return piece, open_block
    warn(COMMENTS_LEFT_OUT)
    text = " ".join([*kept, piece.text[done:]])
    if open_block:
        open_block = open_block._replace(start=open_block.start - len(piece.text) + len(text))
    return replace(piece, text=text), open_block


def _after(block: _Block, piece: Piece) -> str | None:
    """What follows the end of the block in `piece`, or None where it goes on."""
    if not block.length:
        end = _CLOSING[block.sign].search(piece.text)
        return piece.text[end.end() :] if end else None
    found = _FENCE.match(piece.text) if piece.starts else None
    closes = found and found[1][0] == block.sign and len(found[1]) >= block.length and not found[2].strip()
    return "" if closes else None


def _is_blank(piece: Piece) -> bool:
    return piece.starts and piece.ends and not piece.text.strip()


def _is_prose(lines: list[Piece]) -> bool:
    """Whether what stands between two lines of tildes is a scene rather than code."""
    if not lines or _is_blank(lines[-1]):
        return bool(lines)
    first = lines[0].text.strip().lstrip(_QUOTES)[:1]
    return lines[0].text[:1] == lines[0].text.strip()[:1] and first.isupper() and ends_sentence(lines[-1].text)


_QUOTES: Final = CLOSERS + "“‘«‹—–*_"

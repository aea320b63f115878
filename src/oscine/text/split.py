"""Text in pieces that an engine speaks well: by sentence, then clause, then word; nothing is lost, doubled or moved."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, NamedTuple

from oscine.errors import InvalidRequest
from oscine.text.characters import SPACELESS, speakable
from oscine.text.marks import masked
from oscine.text.phrases import kind_of_blank
from oscine.text.sentences import inner_ends, sentence_ends

Ending = Literal["clause", "sentence", "word"]


@dataclass(frozen=True)
class Chunk:
    """What an engine speaks in one go."""

    text: str
    sentences: tuple[str, ...]
    """The text's sentences, or parts of one where it was too long."""
    ending: Ending
    """Where the chunk ends."""


def split(
    text: str, *, limit: int, pack: int = 0, shortest: int = 0, first: int | None = None, language: str = "en"
) -> Iterator[Chunk]:
    """Chunks of `text`, all lengths in characters.

    A sentence longer than `limit` is cut at clauses, then between words, in parts of like length; only a single word
    may be longer. Sentences are joined up to `pack` (0: each alone). A last chunk shorter than `shortest` joins the one
    before where `limit` allows. The first chunk is at most about `first`, if there is a clause to cut at. A
    pronunciation is one word.
    """
    plain = masked(text)
    limit = max(1, limit)
    pack = min(pack, limit)
    held: list[_Span] = []
    current: list[_Span] = []
    room = pack if first is None else min(first, pack)
    for span in _spans(plain, limit, first, language):
        if plain[span.start : span.end].isspace():
            continue
        mute = not speakable(plain[span.start : span.end])
        if current and not mute and _length(plain, current[0].start, span.end) > room and not _is_mute(plain, current):
            if held:
                yield _chunk(text, held)
            held, current, room = current, [], pack
        current.append(span)
    if held and current:
        tiny = _length(plain, current[0].start, current[-1].end) < shortest
        if _is_mute(plain, current) or (tiny and _length(plain, held[0].start, current[-1].end) <= limit):
            held, current = held + current, []
    for spans in (held, current):
        if spans:
            yield _chunk(text, spans)


def check_words(text: str, longest: int = 1000) -> None:
    """Refuse a word that no engine can speak and nothing can cut. Raises InvalidRequest with `param="text"`.

    Scripts without spaces are cut between characters, and repeated symbols count once.
    """
    for run in re.finditer(rf"[^\s{SPACELESS}]{{{longest + 1},}}+", text):
        length = len(_REPEATED.sub(r"\1", run[0]))
        if length > longest and speakable(run[0]):
            raise InvalidRequest(
                f"text has a word of more than {longest:,} characters; put spaces in it or leave it out.", param="text"
            )


class _Span(NamedTuple):
    start: int
    end: int
    ending: Ending


_REPEATED: Final = re.compile(r"([^\w\s])\1++")
_WEIGHT: Final = {
    "sentence": 1.5, "strong": 1.0, "weak": 0.8, "joint": 0.4, "blank": 0.0, "letter": -0.2, "tight": -0.6,
}  # fmt: skip
_NO_START: Final = frozenset(
    "、。，．・：；？！゛゜ヽヾゝゞ々ー）］｝〉》」』】ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ”’…‥.,;:!?)]}%๎ะาำๅๆฯ\u200c\u200d\ufe0e\ufe0f"
)
_NO_END: Final = frozenset("（［｛〈《「『【“‘([{เแโใไ\u200d$£€¥#")


def _spans(text: str, limit: int, first: int | None, language: str) -> Iterator[_Span]:
    start = 0
    fresh = first is not None
    for end in sentence_ends(text, language):
        if fresh and first is not None and speakable(text[start:end]):
            fresh = False
            if _length(text, start, end) > first and (cut := _first_clause(text, start, end, first, limit)):
                yield _Span(start, cut, "clause")
                start = cut
        if _length(text, start, end) <= limit:
            yield _Span(start, end, "sentence")
        else:
            yield from _cut(text, start, end, limit, language)
        start = end


def _first_clause(text: str, start: int, end: int, first: int, limit: int) -> int | None:
    """The last clause that ends within `first` characters, else the next; with enough to speak on both sides of it."""
    best = None
    start += len(text[start:end]) - len(text[start:end].lstrip())
    for found in _breaks().finditer(text, start, min(end, start + min(2 * first, limit))):
        if found.lastgroup not in ("strong", "weak") or _tears(text, found.end()):
            continue
        said, rest = text[start : found.end()], text[found.end() : end].strip()
        if len(said.split()) + len(said) / 12 < 3 or len(rest) < 10:
            continue
        if best is None or len(said) <= first:
            best = found.end()
        if len(said) >= first:
            break
    return best


def _cut(text: str, start: int, end: int, limit: int, language: str) -> Iterator[_Span]:
    """Parts of one long sentence, none longer than `limit` unless it is one word."""
    inner = [start + at for at in inner_ends(text[start:end], language)[:-1]]
    following = 0
    while True:
        start = _after_blanks(text, start, end)
        rest = _length(text, start, end)
        if rest <= limit:
            yield _Span(start, end, "sentence")
            return
        target = rest / math.ceil(rest / limit)
        while following < len(inner) and inner[following] <= start:
            following += 1
        best, ending = _best_break(text, start, end, limit, target, inner[following : following + limit])
        yield _Span(start, best, ending)
        if best >= end:
            return
        start = best


def _best_break(text: str, start: int, end: int, limit: int, target: float, inner: list[int]) -> tuple[int, Ending]:
    best, best_score, best_kind = 0, -math.inf, "blank"
    for at in inner:
        if _length(text, start, at) > limit:
            break
        score = _score("sentence", at - start, target)
        if score > best_score:
            best, best_score, best_kind = at, score, "sentence"
    for found in _breaks_for(text).finditer(text, start, min(end, start + limit + 1)):
        kind, at = found.lastgroup or "blank", found.end()
        if _length(text, start, at) > limit or at >= end or at == start:
            continue
        if kind != "blank" and (_tears(text, at) or (kind == "letter" and not _may_part(text, at))):
            continue
        if kind == "blank":
            kind = kind_of_blank(text, found.start(), at)
        score = _score(kind, at - start, target)
        if score > best_score:
            best, best_score, best_kind = at, score, kind
    if not best:
        best, best_kind = _next_break(text, start + 1, end), "blank"
    return best, "sentence" if best_kind == "sentence" or best >= end else "clause" if best_kind in (
        "strong",
        "weak",
    ) else "word"


@cache
def _breaks(spaceless: str = "") -> re.Pattern[str]:
    """Where a sentence may be cut; with letters of scripts without spaces also between those."""
    close = r"[\"'”’»)\]）」』】》]{0,4}+"
    letter = rf"|(?P<letter>[{spaceless}]|.(?=[{spaceless}]))" if spaceless else ""
    return re.compile(
        rf"(?P<strong>[;:؛]{close}(?=\s)|[；：]{close}|\s[–—-](?=\s)|—|(?<=\S)\s(?=[(\[“«])|(?:\.\.\.|…){close}(?=\s))"
        rf"|(?P<weak>[,،]{close}(?=\s)|[，、]{close}(?=[^\x00-\x7f\s]|\s)|…{{1,2}}{close}(?=[^\x00-\x7f\s…]))"
        rf"|(?P<blank>\s){letter}",
        re.DOTALL,
    )


def _breaks_for(text: str) -> re.Pattern[str]:
    return _breaks() if text.isascii() else _breaks(SPACELESS)


def _score(kind: str, length: int, target: float) -> float:
    away = abs(length - target) / target
    weight = _WEIGHT[kind]
    return (weight if weight < 0 or length / target > 0.45 else 0.1 * weight) - away


def _next_break(text: str, start: int, end: int) -> int:
    """The end of the word that `start` stands in."""
    for found in _breaks_for(text).finditer(text, start, end):
        if _may_part(text, found.end()) if found.lastgroup == "letter" else not _tears(text, found.end()):
            return found.end()
    return end


def _may_part(text: str, at: int) -> bool:
    """Whether text without spaces may be broken before `text[at]`: in no grapheme cluster, before no closing mark."""
    if not 0 < at < len(text):
        return False
    return text[at] not in _NO_START and text[at - 1] not in _NO_END and not _tears(text, at)


def _tears(text: str, at: int) -> bool:
    """Whether `text[at]` belongs to the character before it."""
    return at < len(text) and (unicodedata.category(text[at])[0] == "M" or text[at] in "\u200c\u200d")


def _after_blanks(text: str, start: int, end: int) -> int:
    while start < end and text[start].isspace():
        start += 1
    return start


def _length(text: str, start: int, end: int) -> int:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return end - start


def _is_mute(text: str, spans: list[_Span]) -> bool:
    return not speakable(text[spans[0].start : spans[-1].end])


def _chunk(text: str, spans: list[_Span]) -> Chunk:
    sentences: list[str] = []
    start = spans[0].start
    for span, after in zip(spans, [*spans[1:], None], strict=True):
        if span.ending == "sentence" or after is None:
            if sentence := text[start : span.end].strip():
                sentences.append(sentence)
            start = span.end
    return Chunk(text[spans[0].start : spans[-1].end].strip(), tuple(sentences), spans[-1].ending)

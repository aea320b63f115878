"""Where a text of too many tokens is parted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from oscine.text.measure import letters

_BORDERS: Final = (
    re.compile(r"[.!?…。！？]+['\"’”]*$"),
    re.compile(r"[,;:，、；：-]['\"’”]*$"),
)
"""Ends of sentences and of clauses, the better first."""
_PAUSES_MS: Final = (200, 120)
_WORD: Final = "▁"
"""With it begins the token that begins a word."""

_PHONEMES: Final = re.compile(r"(?P<mark><\|SPECIAL_TOKEN_\d+\|>)(?P<said>.*?)(?P=mark)", re.IGNORECASE)
_NO_LETTERS: Final = re.compile(r"[\W\d_]+")
_BEFORE_WIDE: Final = re.compile("\\s+(?=[\u3000-\u9fff\uff00-\uffef])")
"""Space that stands between the characters of Chinese as the tokenizer wants them."""
_DIGIT: Final = re.compile(r"(?<![^\W\d_])(?<![^\W\d_]\d)\d")
"""Not that of a tone."""
_LETTERS_OF_DIGIT: Final = 5


@dataclass(frozen=True)
class Part:
    """Some of the tokens of a text."""

    tokens: tuple[str, ...]
    pause_ms: int

    @property
    def letters(self) -> float:
        """See `spoken`."""
        return spoken("".join(self.tokens).replace(_WORD, " "))


def pause_after(text: str) -> int:
    """Milliseconds of silence between a part that ends so and the next."""
    return next((ms for border, ms in zip(_BORDERS, _PAUSES_MS, strict=True) if border.search(text.rstrip())), 0)


def parted(tokens: Sequence[str], most: int) -> list[Part]:
    """The tokens in parts of at most `most`, about as long as each other, parted at the best border there is.

    That is the end of a sentence, else of a clause, else of a word, near to where an even part would end.
    """
    parts = []
    start = 0
    while start < len(tokens):
        left = len(tokens) - start
        count = -(-left // most)
        end = len(tokens) if count == 1 else start + _cut(tokens[start : start + most + 1], left // count, most)
        parts.append(Part(tuple(tokens[start:end]), pause_after(tokens[end - 1])))
        start = end
    return parts


def spoken(read: str) -> float:
    """How long what a model reads takes to say, in letters of English; a number that is no word is read out too."""
    read = _PHONEMES.sub(lambda found: _NO_LETTERS.sub("", found["said"]), read)
    return letters(_BEFORE_WIDE.sub("", read)) + (_LETTERS_OF_DIGIT - 1) * len(_DIGIT.findall(read))


def _cut(tokens: Sequence[str], even: int, most: int) -> int:
    """How many of the tokens the next part has: 1 to `most`, more than half of what an even part would have."""
    least = max(1, even // 2)
    places = range(least, min(most, len(tokens) - 1) + 1)
    for border in _BORDERS:
        found = [place for place in places if border.search(tokens[place - 1])]
        if found:
            return min(found, key=lambda place: abs(place - even))
    words = [place for place in places if tokens[place].startswith(_WORD)]
    return min(words or places, key=lambda place: abs(place - even))

"""How a user wants words to be spoken."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from oscine.errors import InvalidRequest
from oscine.text.characters import MARKS, SPACELESS
from oscine.text.marks import ALL_MARKS, MarkKind, marks, plain_marks
from oscine.text.written import Respelling

MAX_ENTRIES: Final = 1000
"""Entries of a lexicon, as docs/request.md says of `pronunciations`."""
MAX_LENGTH: Final = 200
"""Characters of a word or of a spoken form."""

_END: Final = ""
_Trie = dict[str, Any]


@dataclass(frozen=True)
class Lexicon:
    """Words and phrases with their spoken forms.

    A key without capitals stands for the word in any case (`gif`: gif, Gif, GIF); a key with capitals only for itself
    (`SQL`). Whole words are replaced, the longest key first, in one pass: a replacement is never replaced again.
    """

    entries: Mapping[str, str]
    _exact: _Trie = field(init=False, repr=False, compare=False)
    _folded: _Trie = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        exact: _Trie = {}
        folded: _Trie = {}
        for key, spoken in self.entries.items():
            node = folded if key == key.lower() else exact
            for token in _tokens(key.strip()):
                node = node.setdefault(token, {})
            node[_END] = spoken
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_folded", folded)

    @classmethod
    def from_mapping(cls, mapping: object, *, param: str = "pronunciations") -> Lexicon:
        """A lexicon from outside. Raises InvalidRequest with `param`."""
        if not isinstance(mapping, Mapping):
            raise InvalidRequest(f"{param} must be an object of words and their spoken forms.", param=param)
        if len(mapping) > MAX_ENTRIES:
            raise InvalidRequest(
                f"{param} has {len(mapping):,} entries; it takes at most {MAX_ENTRIES:,}.", param=param
            )
        for number, (key, spoken) in enumerate(mapping.items(), 1):
            if wrong := _wrong(key, spoken):
                raise InvalidRequest(f"{param}, entry {number}: {wrong}", param=param)
        return cls(dict(mapping))

    @classmethod
    def from_file(cls, path_text: str) -> Lexicon:
        """A lexicon from the text of a file: a JSON object, or lines `word = spoken form`.

        A tab may stand for the sign; lines that start with `#` are comments. Raises InvalidRequest with
        `param="lexicon"` that names the line.
        """
        path_text = path_text.removeprefix("\ufeff")
        if path_text.lstrip().startswith("{"):
            return cls.from_mapping(_json(path_text), param="lexicon")
        entries: dict[str, str] = {}
        for number, line in enumerate(path_text.splitlines(), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            separator = next((s for s in ("\t", " = ", "=") if s in line), None)
            if separator is None:
                raise InvalidRequest(
                    f"lexicon, line {number}: write `word = spoken form`, or put a tab between them.", param="lexicon"
                )
            key, _, spoken = (part.strip() for part in line.partition(separator))
            if wrong := _wrong(key, spoken):
                raise InvalidRequest(f"lexicon, line {number}: {wrong}", param="lexicon")
            entries[key] = spoken
            if len(entries) > MAX_ENTRIES:
                raise InvalidRequest(
                    f"lexicon, line {number}: more than the {MAX_ENTRIES:,} entries that are allowed.", param="lexicon"
                )
        return cls(entries)

    def merge(self, other: Lexicon) -> Lexicon:
        """Both lexicons in one; where both know a word, `other` wins."""
        return Lexicon({**self.entries, **other.entries})

    def apply(self, text: str) -> str:
        """`text` with every known word in its spoken form."""
        return self.respell(text)[0]

    def respell(self, text: str, *, kinds: Collection[MarkKind] = ALL_MARKS) -> tuple[str, tuple[Respelling, ...]]:
        """`text` with every known word in its spoken form, and where in it those are.

        Words inside of pronunciations (`oscine.text.marks`) stay. In a spoken form their word remains where they are of
        no use to an engine that reads `kinds`.
        """
        if not self.entries or not text:
            return text, ()
        tokens = _apart(text)
        spoken: list[str] = []
        respellings: list[Respelling] = []
        at = length = 0
        while at < len(tokens):
            hits = [_longest(self._exact, tokens, at, fold=False), _longest(self._folded, tokens, at, fold=True)]
            end, form = max(hits, key=lambda hit: hit[0])
            if form is None:
                form, end = tokens[at], at + 1
            else:
                form = plain_marks(form, kinds)
                respellings.append(Respelling(length, length + len(form), "".join(tokens[at:end])))
            spoken.append(form)
            at, length = end, length + len(form)
        return "".join(spoken), tuple(respellings)


def _wrong(key: object, spoken: object) -> str | None:
    if not isinstance(key, str) or not isinstance(spoken, str):
        return "the word and its spoken form must both be strings."
    if not key.strip():
        return "the word is empty."
    if not spoken.strip():
        return "the spoken form is empty."
    if len(key) > MAX_LENGTH or len(spoken) > MAX_LENGTH:
        return f"the word and its spoken form take at most {MAX_LENGTH} characters each."
    return None


def _json(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"lexicon, line {error.lineno}: this is not valid JSON ({error.msg}).", param="lexicon"
        ) from None
    except RecursionError:
        raise InvalidRequest(
            "lexicon, line 1: this JSON is nested too deeply; it must be one object of strings.", param="lexicon"
        ) from None


@cache
def _token() -> re.Pattern[str]:
    return re.compile(rf"[{SPACELESS}]|[^\W{SPACELESS}](?:[^\W{SPACELESS}]|[{MARKS}])*+|\s++|.", re.DOTALL)


def _apart(text: str) -> list[str]:
    """The tokens of `text`, each pronunciation as one."""
    tokens: list[str] = []
    at = 0
    for mark in marks(text):
        tokens += [*_token().findall(text, at, mark.start), text[mark.start : mark.end]]
        at = mark.end
    return tokens + _token().findall(text, at)


def _tokens(text: str) -> list[str]:
    return [" " if token.isspace() else token for token in _token().findall(text)]


def _longest(trie: _Trie, tokens: list[str], at: int, *, fold: bool) -> tuple[int, str | None]:
    node = trie
    best: tuple[int, str | None] = (at, None)
    for position in range(at, len(tokens)):
        token = tokens[position]
        following = node.get(" " if token.isspace() else token.lower() if fold else token)
        if following is None:
            break
        node = following
        if _END in node:
            best = (position + 1, node[_END])
    return best

"""Lexicons, from what people have them in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from oscine.errors import InvalidRequest
from oscine.text.measure import decode_utf8
from oscine.text.pronounce import Lexicon

MAX_FILE_BYTES: Final = 256 * 1024 * 1024
Words = Lexicon | Mapping[str, str] | str | Path
"""A lexicon, words with their spoken form, or the path of a file with a line for each: `word = spoken form`."""


def lexicon_of(words: Words | None) -> Lexicon | None:
    """The lexicon. Raises InvalidRequest, also for a file that cannot be read."""
    if words is None or isinstance(words, Lexicon):
        return words
    if isinstance(words, Mapping):
        return Lexicon.from_mapping(words, param="lexicon")
    if not isinstance(words, str | Path):
        raise InvalidRequest("lexicon must be a Lexicon, a mapping of words or the path of a file.", param="lexicon")
    return Lexicon.from_file(read_text(Path(words), "lexicon"))


def read_text(file: Path, field: str) -> str:
    """The text of a UTF-8 file that `field` names. Raises InvalidRequest."""
    try:
        if file.is_dir():
            raise InvalidRequest(f"{field}: {file} is a folder; name a text file.", param=field)
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise InvalidRequest(f"{field}: {file} does not exist; check the name.", param=field) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such name"
        raise InvalidRequest(f"{field}: {file} cannot be read ({why}); name a file that can.", param=field) from None
    if len(data) > MAX_FILE_BYTES:
        raise InvalidRequest(f"{field}: {file} is larger than 256 MB; split it.", param=field)
    return decode_utf8(data, name=field)

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
    return plain_text(data, field)


def plain_text(data: bytes, name: str) -> str:
    """The text of what a file holds. Raises InvalidRequest, which for a document says how it becomes plain text."""
    for begins, holds, kind, command in _DOCUMENTS:
        if data.startswith(begins) and holds in data:
            raise InvalidRequest(
                f"{name} is {kind}, not plain text; convert it first, for example with `{command}`.", param=name
            )
    return decode_utf8(data, name=name)


_ZIP: Final = b"PK\x03\x04"
_PANDOC: Final = "pandoc -t plain --wrap=none -o text.txt FILE"
_DOCUMENTS: Final = (
    (b"%PDF-", b"", "a PDF", "pdftotext FILE text.txt"),
    (_ZIP, b"application/epub+zip", "an EPUB", _PANDOC),
    (_ZIP, b"application/vnd.oasis.opendocument.text", "an OpenDocument text", _PANDOC),
    (_ZIP, b"word/document.xml", "a Word document", _PANDOC),
    (_ZIP, b"", "a ZIP archive", "unzip FILE"),
    (b"{\\rtf", b"", "an RTF document", _PANDOC),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", "a document of an office program", "soffice --convert-to txt FILE"),
    (b"\x1f\x8b", b"", "compressed", "gunzip FILE"),
)
"""How a document begins, what else is in it, what it is, and what makes text of it."""

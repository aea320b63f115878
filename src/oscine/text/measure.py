"""Whether a text can be spoken at all, and how bytes become text."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from oscine.errors import InvalidRequest
from oscine.text.characters import speakable as speakable

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WIDE: Final = 3.5
"""Letters of English that take as long to say as one wide character."""


def check_text(text: object, *, max_length: int) -> None:
    """Refuse what nobody can speak. `max_length` is in characters; 0: no limit.

    Raises InvalidRequest with `param="text"`.
    """
    if not isinstance(text, str):
        raise InvalidRequest("text must be a string; give the words to speak as plain text.", param="text")
    if not text:
        raise InvalidRequest("text is empty; give at least one word to speak.", param="text")
    if max_length and len(text) > max_length:
        raise InvalidRequest(
            f"text has {len(text):,} characters, more than the {max_length:,} allowed here; shorten it, or raise "
            "the limit with MAX_TEXT_LENGTH or --max-text (0 = no limit).",
            param="text",
        )
    if found := _SURROGATE.search(text):
        raise InvalidRequest(
            f"text holds half of a surrogate pair at character {found.start() + 1:,}; send valid Unicode (UTF-8).",
            param="text",
        )
    if text.isspace():
        raise InvalidRequest("text holds only blanks; give at least one word to speak.", param="text")
    if not speakable(text):
        printable = any(c.isprintable() and not c.isspace() for c in text)
        held = "only punctuation, symbols or emoji" if printable else "only control characters"
        raise InvalidRequest(
            f"text has nothing that can be spoken, {held}; give at least one letter or digit.", param="text"
        )


def letters(text: str) -> float:
    """Its length in letters of English that take as long to say; a character of Chinese or Japanese takes several."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + (_WIDE - 1) * wide


def room(text: str) -> float:
    """What it takes of a language model's memory, to say and to read, in letters of English.

    Vocabularies made of byte pairs take the more tokens for a text the more bytes it has in UTF-8: a character of Hindi
    or Thai about one, a word of English as well.
    """
    return max(letters(text), len(text.encode()))


def decode_utf8(data: bytes, name: str = "text") -> str:
    """The text of a UTF-8 file, with or without a byte order mark. Raises InvalidRequest with `param=name`."""
    if data.startswith(_UTF16):
        raise _is_utf16(name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        marked = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
        raise _is_not_utf8(name, error.start + marked) from None


def decode_stream(chunks: Iterable[bytes], name: str = "text") -> Iterator[str]:
    """Text from UTF-8 bytes that arrive bit by bit, each bit as soon as its characters are whole.

    Raises InvalidRequest with `param=name` that counts bytes from the start of the stream.
    """
    head = b""
    done = 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    started = False
    for chunk in chunks:
        if not started:
            head += chunk
            if len(head) < 3 and (codecs.BOM_UTF8.startswith(head) or head in (b"\xff", b"\xfe")):
                continue
            if head.startswith(_UTF16):
                raise _is_utf16(name)
            started = True
            chunk = head.removeprefix(codecs.BOM_UTF8)
            done = len(head) - len(chunk)
        text, done = _decode(decoder, chunk, done, name, final=False)
        if text:
            yield text
    text, _ = _decode(decoder, b"" if started else head.removeprefix(codecs.BOM_UTF8), done, name, final=True)
    if text:
        yield text


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, done: int, name: str, *, final: bool) -> tuple[str, int]:
    held = len(decoder.getstate()[0])
    try:
        return decoder.decode(chunk, final), done + len(chunk)
    except UnicodeDecodeError as error:
        raise _is_not_utf8(name, done - held + error.start) from None


def _is_utf16(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name} is UTF-16, not UTF-8; save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`.", param=name
    )


def _is_not_utf8(name: str, offset: int) -> InvalidRequest:
    return InvalidRequest(
        f"{name} is not valid UTF-8 at byte {offset:,}; save it as UTF-8, for example with "
        "`iconv -f WINDOWS-1252 -t UTF-8`.",
        param=name,
    )

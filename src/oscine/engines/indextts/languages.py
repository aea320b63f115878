"""The language of a text where nobody named it, as far as its letters tell."""

from __future__ import annotations

import re
from typing import Final

_HAN: Final = re.compile("[\u3400-\u9fff]")
_KANA: Final = re.compile("[\u3040-\u30ff]")
_ARABIC: Final = re.compile("[\u0600-\u06ff]+")
_PINYIN: Final = re.compile(r"(?<![^\W\d_])[bpmfdtnlgkhjqxzcsryw]{0,2}[aeiouüv][a-züv]{0,4}[1-5](?!\w)", re.IGNORECASE)
"""Syllables with their tone, and what looks like them: `XING2`, but also the gate `A3` and the office `MI5`."""
_WORD: Final = re.compile(r"(?<!\w)[^\W\d_\u0600-\u06ff\u3040-\u30ff\u3400-\u9fff]+(?![\w])")
"""Words of other alphabets, but not names such as `A3`."""
_SPANISH_SIGNS: Final = re.compile("[¿¡ñÑ]")
_SPANISH: Final = re.compile(
    r"\b(?:el|la|los|las|de|del|que|y|en|un|una|con|por|para|es|se|lo|al|como|su|le|más)\b", re.IGNORECASE
)
_ENGLISH: Final = re.compile(
    r"\b(?:the|of|and|to|in|is|was|that|it|he|she|you|for|with|on|at|his|her|this|are|not)\b", re.IGNORECASE
)
_SYLLABLE: Final = 2
"""Words of another language that a character of Chinese or Japanese outweighs: texts in these have many signs and names
from English."""
_LONGEST: Final = 200_000
"""Characters that are looked at: enough to know."""


def two(text: str, main: str | None = None) -> str | None:
    """`en` or `zh`, as IndexTTS-2 reads them; None: the text has no letters that tell.

    With `main`, the language of the whole, `text` is a piece of it: another language only where it has no letter of
    that one, or marks its own with tones.
    """
    found = _told(text[:_LONGEST], main)
    return "zh" if found == "ja" else found if found in (None, "zh") else "en"


def two_five(text: str, main: str | None = None) -> str | None:
    """The same for IndexTTS-2.5: `ja`, `zh`, `ar`, `es` or `en`."""
    return _told(text[:_LONGEST], main)


def _told(text: str, main: str | None) -> str | None:
    han, kana = len(_HAN.findall(text)), len(_KANA.findall(text))
    arabic, words = len(_ARABIC.findall(text)), _WORD.findall(text)
    tones = sum(len(found) > 2 for found in _PINYIN.findall(text))
    if tones and not kana and main != "ja" and (han or tones > 1 or (main is None and not words)):
        return "zh"
    if main is not None and {"ja": kana or han, "zh": han, "ar": arabic}.get(main, len(words)):
        return main
    asian = _SYLLABLE * (han + kana)
    most = max(asian, arabic, len(words))
    if not most:
        return main
    if asian == most:
        return "ja" if kana * 10 >= han else "zh"
    if arabic == most:
        return "ar"
    spanish = _SPANISH_SIGNS.search(text) and len(_SPANISH.findall(text)) >= len(_ENGLISH.findall(text))
    return "es" if spanish else "en"

"""The language that a text is written in, as far as its letters and its small words tell."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_LOOKED_AT: Final = 4000
"""Characters by which a text is judged."""


class Language:
    """The language of a text that is read bit by bit: the one that was asked for, else what its words tell."""

    def __init__(self, asked: str | None) -> None:
        self._asked = asked
        self._main: str | None = None

    def learn(self, text: str) -> None:
        """Take `text` for an example of the whole."""
        if self._asked is None:
            self._main = told(text, self._main)

    def of(self, text: str) -> str:
        """That of a part of the text: BCP 47, `en` where nothing tells."""
        return self._asked or told(text, self._main) or "en"


ENGLISH: Final = Language("en")


def told(text: str, main: str | None = None) -> str | None:
    """The language of `text`; that of the whole, `main`, where it tells no other clearly. None: nothing tells."""
    text = text[:_LOOKED_AT]
    if not text.isascii() and (found := _by_letters(text)):
        return found
    hits = dict.fromkeys(_SMALL_WORDS, 0)
    known = _by_word()
    for word in _WORD.findall(text.lower()):
        for language in known.get(word, ()):
            hits[language] += 1
    if not text.isascii():
        for language, signs in _SIGNS.items():
            hits[language] += 2 * _count(f"[{signs}]", text)
    best = max(hits, key=lambda language: (hits[language], language == main))
    if not hits[best]:
        return main
    return best if main is None or main not in hits or hits[best] >= hits[main] + 2 else main


_WORD: Final = re.compile(r"(?<![\w@./-])[^\W\d_]+(?![\w@/]|\.\w)")
"""Not the parts of an address or an abbreviation."""
_SMALL_WORDS: Final = {
    "en": "the of and to in is was that it he she you for with on at his her this are not have from they but a an as i "
    "be by or we my me so do no if what when who all there their which would could said will can come here go now has "
    "had were been your our its one out up into then them him son man die war also dan van hat bad pour sur au per "
    "mi la de more most old us see am how per ten pan con sin",
    "de": "der die das und ist nicht ich sie es ein eine einen zu mit auf den dem von im war auch sich wir wie für "
    "aber hat du er bei nach noch nur aus oder wenn dass als sind man ja nein am zum zur des was um hier kam ihr mir",
    "fr": "le la les et est une des dans que qui pas pour il elle je vous nous sur avec ce cette au aux du était mais "
    "son sa ne un en de se on par plus où qu tu mon ma à oui non c d l j n y",
    "es": "el la los las y que en un una es por con para no se lo del al su como más pero está yo de le me mi muy a "
    "ya o son fue ha hay usted cuando donde qué",
    "it": "il lo la gli le e è che di un una non per con del della sono si mi ti ma come nel anche al dal questo "
    "lei lui io in da ho ha ci più perché era sì no i l d a alla "
    "dalla della nella dei nei dell nell all",
    "pt": "o a os as e é que de um uma não para com do da dos das no na em se por mais mas ele ela eu foi ao como seu "
    "sua muito está você isso são",
    "nl": "de het een en van is dat niet ik je op te zijn met voor maar er aan ook hij zij in wij was naar deze die om "
    "bij nog uit als wat geen dan heeft",
    "pl": "i w nie się na to jest że z do jak ale był co za po od jego czy tak już o przy są dla jej ten tylko było ma",
    "tr": "ve bir bu da de için çok ne ben sen o ile gibi ama daha var değil olarak mi mı ki ya en kadar evet hayır",
    "vi": "và của là không có người được một các trong cho tôi này đã với những ông bà anh em ở đó sẽ rất cũng như",
    "sv": "och att det som en är på inte jag har för med den av till ett han hon var om så men de vi du kan från",
    "da": "og at det som en er på ikke jeg har for med den af til et han hun var om så men de vi du kan fra",
    "cs": "a se je na v že to s z do jsem ale jako by byl o i po tak si ve jsou který co jeho když",
}
"""Some of the most frequent words of each; one that two languages share stands in both."""
_SIGNS: Final = {
    "de": "ßẞ",
    "es": "¿¡ñÑ",
    "pt": "ãõÃÕ",
    "pl": "łŁąęśźżŚŻ",
    "tr": "ğıİşŞ",
    "vi": "ơưđƠƯĐ\u1ea0-\u1ef9",
    "cs": "řŘěůĚ",
}
"""Letters and signs that few other languages have."""
_FAR: Final = re.compile("[\u0370-\uffdc]")
_OTHERS: Final = {
    "ru": "[\u0400-\u052f]+",
    "el": "[\u0370-\u03ff\u1f00-\u1fff]+",
    "he": "[\u05d0-\u05ea]+",
    "ar": "[\u0620-\u06ff]+",
    "hi": "[\u0900-\u097f]+",
    "th": "[\u0e01-\u0e4e]{1,4}",
    "ko": "[\uac00-\ud7a3]+",
    "zh": "[\u3041-\u30ff\u3400-\u9fff]{1,2}",
}
"""Languages by their letters, in strings about as long as a word."""
_KANA: Final = "[\u3041-\u30fa]"
_HAN: Final = "[\u3400-\u9fff]"
_UKRAINIAN: Final = "[іїєґІЇЄҐ]"
_PERSIAN: Final = "[پچژگی]"
_URDU: Final = "[ٹڈڑےں]"


@cache
def _by_word() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for language, words in _SMALL_WORDS.items():
        for word in dict.fromkeys(words.split()):
            found.setdefault(word, []).append(language)
    return found


def _by_letters(text: str) -> str | None:
    """The language of a text whose words are mostly in other letters than Latin ones."""
    if not _FAR.search(text):
        return None
    counts = {language: _count(letters, text) for language, letters in _OTHERS.items()}
    best = max(counts, key=lambda language: counts[language])
    latin = sum(word[0] < "\u0250" for word in _WORD.findall(text))
    if counts[best] < max(1, latin):
        return None
    if best == "zh":
        return "ja" if 10 * _count(_KANA, text) >= _count(_HAN, text) else "zh"
    if best == "ru" and _count(_UKRAINIAN, text):
        return "uk"
    if best == "ar" and _count(_URDU, text):
        return "ur"
    return "fa" if best == "ar" and _count(_PERSIAN, text) else best


def _count(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text))

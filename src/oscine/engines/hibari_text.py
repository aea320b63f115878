"""Text as hibari reads it rightly: what its own reading of English stumbles over is written otherwise.

Only what is spoken changes; captions show the text as it was given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

from oscine.engines.hibari_capitals import Known, as_words
from oscine.engines.hibari_figures import with_figures, with_lengths
from oscine.engines.hibari_numerals import GUARD, with_numbers
from oscine.text.marks import put_back, take_out
from oscine.text.sentences import inner_ends, tells_who

LONGEST_NUMBER: Final = 15
"""Digits of the longest number that is said as one; hibari has no words above 10**36, and nobody follows them."""


def readable(text: str, known: Known) -> str:
    """One or more sentences, without what hibari says wrongly; phonemes that are given in the text stay."""
    text, kept = take_out(text, {"phonemes"})
    text = _without_quotes(with_lengths(_with_speakers(text)))
    text = with_numbers(as_words(text, known))
    for pattern, said in _SAID:
        text = pattern.sub(said, text)
    text = with_figures(text)
    text = _guarded().sub(rf"\g<0>{GUARD}", text)
    return put_back(_digit_by_digit(text), kept)


def sentences(text: str) -> list[str]:
    """The sentences of `text`, also those inside of quotes; hibari's own rules would cut after `No.` and `Fig.`."""
    ends = [end for end in inner_ends(text) if end == len(text) or not _is_guarded(text, end)]
    return [part for start, end in zip([0, *ends], ends, strict=False) if (part := text[start:end].strip())]


def _with_speakers(text: str) -> str:
    """`"Why?" he asked.` is said in one breath: what was said, and who said it."""
    return _QUOTED.sub(lambda found: f"{found[1]}{GUARD}{found[2]}" if tells_who(text, found.end()) else found[0], text)


def _is_guarded(text: str, end: int) -> bool:
    before = text[:end].rstrip()
    return (before[-1:] in _ASKING and text[end : end + 1] == GUARD) or (
        before[-1:] == GUARD and before[-2:-1] in _ASKING
    )


_ASKING: Final = ("?", "!", "…")
_QUOTED: Final = re.compile(r"([?!…])[\"”’]{1,2}(\s+)(?=\S)")
_QUOTES: Final = re.compile(r'(?<![\d\'])["“”„«»]+|(?<=\d)["“”„«»](?=[^\w\s])')
_BRACKETS: Final = str.maketrans("[]", "()")


def _without_quotes(text: str) -> str:
    """Quotes are not heard, but glued to a quote `The` loses its vowel and `They` its voice. Inches stay."""

    def quote(found: re.Match[str]) -> str:
        before, after = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
        return " " if before.isalnum() and after.isalnum() else ""

    return _QUOTES.sub(quote, text).translate(_BRACKETS).strip()


@cache
def _guarded() -> re.Pattern[str]:
    """Where hibari takes the start of a name for a numeral and says `Queen the zeroth Victoria`."""
    from hibari.g2p.normalize import ROMAN_CARDINAL, ROMAN_ORDINAL

    return re.compile(rf"\b(?:{'|'.join([*ROMAN_CARDINAL, *ROMAN_ORDINAL])}) (?=[IVXLC]\w*[a-z])")


_EQUATION: Final = re.compile(r"(?<=[\d)]) [-–−] (?=[(\d])")
_DIGITS: Final = re.compile(r"[\d,]+")


def _money(found: re.Match[str]) -> str:
    """Shillings and pence of old money."""
    pounds, shillings, pence = found["pounds"], found["shillings"], found["pence"]
    said = f"{pounds} pound{'' if pounds == '1' else 's'} " if pounds else ""
    said += f"{shillings} shilling{'' if shillings == '1' else 's'}"
    said += f" and {pence} pence" if pence else ""
    return said + ("." if found.end() == len(found.string) else "")


def _groups(found: re.Match[str]) -> str:
    joined = found[0].replace(" ", "")
    return joined if len(found[1]) < 3 or joined.endswith("000") else found[0]


_DAYS: Final = "Mon|Tues?|Wed|Thu|Thurs?|Fri|Sat|Sun"
_SAID: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"\b(no)\.(?! ?\d)"), rf"\1{GUARD}."),
    (re.compile(r"\b(fig|[Ff]ed|[Tt]he Sun|[Mm]in|est|ch)\.(?= ?[^\w\s]*$)"), rf"\1{GUARD}."),
    (re.compile(r"\b([Ee])qs?\.(?= ?[(\d])"), r"\1quation"),
    (re.compile(r"\bMme\.?(?= [A-Z])"), "Madame"),
    (re.compile(r"\bMlle\.?(?= [A-Z])"), "Mademoiselle"),
    (re.compile(r"(?<![\w'])'([Tt]is)\b"), r"[\1](/tˌɪz/)"),
    (re.compile(r"\bWm\.(?= [A-Z])"), "William"),
    (re.compile(r"\bChas\.(?= [A-Z])"), "Charles"),
    (re.compile(r"\bGeo\.(?= [A-Z])"), "George"),
    (re.compile(r"\bThos\.(?= [A-Z])"), "Thomas"),
    (re.compile(r"\bJas\.(?= [A-Z])"), "James"),
    (re.compile(r"\b[Rr]ecd\."), "received"),
    (re.compile(r"\bp\. ?(?=\d)"), "page "),
    (
        re.compile(
            r"(?:£(?P<pounds>\d[\d,]*) (?=\d{1,2}s\.)|\b(?=\d{1,2}s\. \d{1,2}d\.))(?P<shillings>\d{1,2})s\."
            r"(?: (?P<pence>\d{1,2})d\.)?"
        ),
        _money,
    ),
    (re.compile(r"(?<=\d) in\.(?=(.?))"), lambda found: " inches" if found[1] else " inches."),
    (re.compile(r"(\d ?(?:lbs?|oz|ft|yds?|mi|cm|mm|km|kg|hrs?|mins?|secs?))\.(?= [a-z\d])"), r"\1"),
    (re.compile(r"(?<=\d)\.(?=,)"), ""),
    (re.compile(rf"\b({_DAYS})\.? ?[-–] ?(?=(?:{_DAYS})\b)"), r"\1. to "),
    (re.compile(r"(?<=\b[ap]\.m)\. ?[-–] ?(?=\d)"), ". to "),
    (re.compile(r"(\d) st\. (?=\d+ ?lbs?\b)"), r"\1 stone "),
    (re.compile(r"(?<![\d.,+-])([1-9]\d{0,2})(?: \d{3}){2,}(?![\d.,-]?\d| \d)"), _groups),
    (re.compile(r"(?<=\d)( ?)x( ?)(?=\d[\d., ]*=)"), " times "),
    (re.compile(r"\bGHz\b(?<!\d GHz)(?<!\dGHz)"), "gigahertz"),
    (re.compile(r"\bMHz\b(?<!\d MHz)(?<!\dMHz)"), "megahertz"),
    (re.compile(r"\bkHz\b(?<!\d kHz)(?<!\dkHz)"), "kilohertz"),
    (re.compile(r"\bkWh\b(?<!\d kWh)(?<!\dkWh)"), "kilowatt hours"),
    (re.compile(r"^[^=]*=.*$", re.DOTALL), lambda found: _EQUATION.sub(" minus ", found[0])),
)


def _digit_by_digit(text: str) -> str:
    """Long runs of digits apart, so that they are read one by one."""

    def apart(run: re.Match[str]) -> str:
        digits = run[0].replace(",", "")
        if len(digits) <= LONGEST_NUMBER:
            return run[0]
        return " ".join(digits) + ("," if run[0].endswith(",") else "")

    return _DIGITS.sub(apart, text)

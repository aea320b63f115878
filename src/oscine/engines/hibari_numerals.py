"""Roman numerals as numbers, where they surely are: the built-in voice knows few of them."""

from __future__ import annotations

import re
from typing import Final

GUARD: Final = "\ue000"
"""Stands where hibari's rules would match and must not; taken out before its text is divided into words."""


def with_numbers(text: str) -> str:
    """Roman numerals that are surely numbers, as such."""
    if not _ANY_NUMERAL.search(text):
        return text
    text = _AFTER_NOUN.sub(_counted, text)
    text = _OF_NAME.sub(_of_ruler, text)
    return _LONE.sub(lambda found: str(_value(found[1])), text)


def _counted(found: re.Match[str]) -> str:
    noun, numeral = found[1], found[3]
    if numeral == "I" and found["goes_on"] and noun[0].islower():
        return f"{noun}{found[2]} {GUARD}I"  # `the book I read`
    small = numeral != numeral.upper()
    if small and (numeral != numeral.lower() or (len(numeral) == 1 and (numeral not in "iv" or found["goes_on"]))):
        return found[0]
    if len(numeral) == 1 and numeral.upper() not in _ALONE.get(noun.lower(), "IVX"):
        return f"{noun}{found[2]} {GUARD}{numeral}"
    return f"{noun}{found[2]} {_value(numeral.upper())}"


def _of_ruler(found: re.Match[str]) -> str:
    if found[2] in ("I", "C", "L", "X", "V") and not found[3]:
        return found[0]
    return f"{found[1]} the {_ordinal(_value(found[2]))}{found[3] or ''}"


def _value(numeral: str) -> int:
    values = [_VALUES[sign] for sign in numeral]
    return sum(-one if one < following else one for one, following in zip(values, [*values[1:], 0], strict=False))


def _ordinal(number: int) -> str:
    from hibari.g2p.numbers import ordinal

    return str(ordinal(number))


_NUMERAL: Final = r"(?=[IVXLC]+\b)C{0,3}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_COUNTED: Final = (
    "Chapter|Part|Book|Act|Scene|Volume|Vol|Section|Canto|Appendix|Article|Stave|Letter|Room|Table|Figure|Fig|Plate|"
    "Title|Sonnet|Psalm|Lesson|Unit|Verse|Phase|Stage|Type|Class|Level|Mark|Round|Episode|World War|Number|No|Chap|Ch"
)
_ALONE: Final = {
    **dict.fromkeys(("no", "appendix", "room", "unit", "letter"), ""),
    **dict.fromkeys(("type", "class", "level", "table", "figure", "fig", "plate", "mark", "stage", "phase"), "IV"),
}
"""Of a single letter, which are numerals after a noun: `Appendix C`, `Type X` and `No. I` are none."""
_AFTER_NOUN: Final = re.compile(
    rf"\b((?:{_COUNTED})s?)(\.?) (({_NUMERAL})\b)(?![.'’]\w)(?=(?P<goes_on> [a-z])?)", re.IGNORECASE
)
_RULERS: Final = (
    "Pope|King|Queen|Henry|Louis|Edward|George|William|Charles|James|Richard|Elizabeth|Napoleon|Pius|Benedict|Leo|"
    "Paul|Ramses|Frederick|Philip|Alexander|Nicholas|Peter|Catherine|Ivan|Umberto|Emmanuel|Gustav|Christian|Ferdinand|"
    "John|Innocent|Clement|Gregory|Urban|Francis|Otto|Leopold|Mary|Robert|David|Malcolm|Constantine|Theodosius|Ptolemy|"
    "Amenhotep|Thutmose|Darius|Xerxes|Mehmed|Murad|Selim|Wilhelm|Friedrich|Juan|Carlos|Alfonso|Felipe|Albert|Rainier"
)
_OF_NAME: Final = re.compile(rf"\b({_RULERS}) ({_NUMERAL})\b(['’]s\b)?(?![.'’]\w)")
_LONE: Final = re.compile(
    r"\b(?:(?=[IVX]{3,6}\b)(?!XXX\b)|(?=[IVX]{2}\b [a-z]+s\b))(X{0,3}(?:IX|IV|V?I{0,3}))\b(?![.'’-]\w)"
)
_VALUES: Final = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_ANY_NUMERAL: Final = re.compile(rf"\b{_NUMERAL}\b", re.IGNORECASE)

"""Figures and signs as people say them: money, ranges, fractions, units, telephone numbers, versions, formulas.

Only what the built-in voice's own rules leave out or garble; those read the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def with_lengths(text: str) -> str:
    """Feet and inches in words, before quotes go: `5'11"`, and `27"` where the sign closes no quotation."""
    text = _ARC.sub(r"\1 \2 minutes \3 seconds", text)
    text = _FEET_AND_INCHES.sub(r"\1 foot \2", text)
    return _INCHES.sub(r"\1 inch", text) if text.count('"') % 2 else text


def with_figures(text: str) -> str:
    """Figures and signs in words, or as the voice's own rules read them rightly."""
    if text.isascii() and not _ANY.search(text):
        return text
    text = text.translate(_LOWERED)
    for pattern, said in _rules():
        text = pattern.sub(said, text)
    return text


_ANY: Final = re.compile(r"\d|[#&~/]|\.\w|\b[Tt]b?sp")
_LOWERED: Final = str.maketrans(dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋⁄∕", "0123456789+-//", strict=True)) | {"℃": "°C", "℉": "°F"})
_ARC: Final = re.compile(r"(°) ?(\d{1,2})['’] ?(\d{1,2}(?:\.\d{1,3})?)(?:\"|''|”)")
_FEET_AND_INCHES: Final = re.compile(r"(?<![\d.])(\d{1,2})['’] ?((?:\d|1[01])(?:\.\d)?)(?:\"|''|”)")
_INCHES: Final = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d)?)\"(?=[ -])")
_N: Final = r"\d+(?:,\d{3})*(?:\.\d+)?"
_NO_MONEY: Final = r"(?<!USD )(?<!EUR )(?<!GBP )(?<!Rs )(?<!Rs\. )(?<![$£€¥₹₩])"
_SCALES: Final = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "tn": "trillion"}
_SCALE: Final = r"(?:\s?(hundred|thousand|million|billion|trillion|[kmbKMB]\b|[mbt]n\b))"
_SIGNS: Final = {"$": "dollars", "£": "pounds", "€": "euros", "¥": "yen", "₹": "rupees", "₩": "won"}
_DOLLARS: Final = {
    "US": "US dollars", "C": "Canadian dollars", "CA": "Canadian dollars", "A": "Australian dollars",
    "AU": "Australian dollars", "HK": "Hong Kong dollars", "NZ": "New Zealand dollars", "S": "Singapore dollars",
    "R": "reais",
}  # fmt: skip
_PARTS: Final = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 8: "eighth", 10: "tenth", 12: "twelfth"}
_PARTS_OF_INCHES: Final = {16: "sixteenth", 32: "thirty-second", 64: "sixty-fourth"}
_GLYPHS: Final = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5), "⅘": (4, 5),
    "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip
_UNITS: Final = {
    "m": "meter", "g": "gram", "l": "liter", "L": "liter", "mL": "milliliter", "cl": "centiliter", "dl": "deciliter",
    "kJ": "kilojoule", "kcal": "kilocalorie", "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "s": "second",
    "h": "hour", "ft": "foot", "in": "inch", "mi": "mile", "kg": "kilogram", "mg": "milligram", "sec": "second",
    "day": "day", "mol": "mole", "dB": "decibel", "V": "volt", "kV": "kilovolt", "W": "watt", "ha": "hectare",
    "px": "pixel", "MiB": "mebibyte", "GiB": "gibibyte", "µs": "microsecond", "ns": "nanosecond", "kbit": "kilobit",
    "Mbit": "megabit", "Gbit": "gigabit", "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
}  # fmt: skip
_ALONE: Final = "mL|cl|dl|kJ|kcal|[lL]|m|g|dB|k?V|W|ha|px|[MG]iB|µs|ns|[kMG]bit"
"""Units that the voice does not know itself."""
_COMPARED: Final = "faster|slower|more|less|better|bigger|smaller|larger|higher|lower|as|real"
_MILLIONS_OF: Final = (
    "people|users|followers|views|viewers|customers|subscribers|copies|tonnes|tons|jobs|homes|households|years|dollars|"
    "pounds|euros|downloads|units|children|adults|Americans|workers|voters|passengers|barrels|shares|acres"
)
_MONTHS: Final = (
    "January|February|March|April|May|June|July|August|September|October|November|December"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
)
_MONTH_NAMES: Final = _MONTHS.split("|")[:12]
_DAYS: Final = {
    "Mon": "Monday", "Tues": "Tuesday", "Tue": "Tuesday", "Wed": "Wednesday", "Thurs": "Thursday", "Thu": "Thursday",
    "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_BOOKS: Final = {
    "Gen": "Genesis", "Ex": "Exodus", "Exod": "Exodus", "Lev": "Leviticus", "Num": "Numbers", "Deut": "Deuteronomy",
    "Ps": "Psalm", "Prov": "Proverbs", "Eccl": "Ecclesiastes", "Isa": "Isaiah", "Jer": "Jeremiah", "Ezek": "Ezekiel",
    "Matt": "Matthew", "Rom": "Romans", "Cor": "Corinthians", "Gal": "Galatians", "Eph": "Ephesians",
    "Phil": "Philippians", "Thess": "Thessalonians", "Tim": "Timothy", "Heb": "Hebrews", "Pet": "Peter",
    "Rev": "Revelation",
}  # fmt: skip
_GREEK_NAMES: Final = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pie rho sigma tau upsilon phi kye psi "
    "omega gamma delta theta lambda xi pie sigma phi psi omega"
)
_GREEK: Final = dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ", _GREEK_NAMES.split(), strict=True))
_SAID: Final = {
    "≤": "less than or equal to", "≥": "greater than or equal to", "≠": "is not equal to", "≈": "is about",
    "√": "the square root of", "∞": "infinity", "‰": "per mille", "№": "number", "⇒": "implies", "∑": "the sum of",
    "∫": "the integral of", "∂": "partial", "∈": "in", "∴": "therefore", "·": "times",
}  # fmt: skip
_ENDINGS: Final = (
    "py|js|ts|rs|go|rb|sh|md|txt|html?|css|json|ya?ml|toml|xml|csv|pdf|docx?|xlsx?|pptx?|zip|gz|exe|dll|png|jpe?g|gif|svg|"
    "mp3|mp4|wav|ini|cfg|conf|log|sql|java|cpp|php|ipynb"
)


def _plural(amount: str, one: str) -> str:
    if amount.lstrip("-") in ("1", "1.0"):
        return one
    return {"foot": "feet", "inch": "inches"}.get(one, one + "s")


def _scaled(amount: str, scale: str | None, unit: str) -> str:
    word = _SCALES.get(scale.lower(), scale) if scale else None
    return f"{amount} {word} {unit}" if word else f"{amount} {unit}"


def _span(found: re.Match[str]) -> str:
    """`$5-10`, `$10–$20`, `£5–£10m`."""
    sign, low, high, scale = found.groups()
    if "." in low + high and not scale:
        return f"{sign}{low} to {sign}{high}"
    return f"{low} to {_scaled(high, scale, _SIGNS[sign])}"


def _share(count: int, of: int) -> str:
    """Of a whole: `a half`, `three quarters`."""
    part = _PARTS.get(of) or _PARTS_OF_INCHES[of]
    if count == 1:
        return f"an {part}" if part == "eighth" else f"a {part}"
    return f"{count} {part}s"


def _mixed(found: re.Match[str]) -> str:
    whole, count, of = found[1], int(found[2]), int(found[3])
    if not 0 < count < of or (of not in _PARTS and of not in _PARTS_OF_INCHES):
        return found[0]
    return f"{whole} and {_share(count, of)}"


def _part(found: re.Match[str]) -> str:
    count, of = int(found[1]), int(found[2])
    return _share(count, of) if 0 < count < of and of in _PARTS_OF_INCHES else found[0]


def _glyph(found: re.Match[str]) -> str:
    count, of = _GLYPHS[found[2]]
    said = _share(count, of)
    return f"{found[1]} and {said}" if found[1] else said.replace("a ", "one ", 1).replace("an ", "one ", 1)


def _digits(found: re.Match[str]) -> str:
    """Digit by digit, with a pause between the groups."""
    groups = re.findall(r"\d+", found[0])
    return ("plus " if found[0][0] == "+" else "") + ", ".join(" ".join(group) for group in groups)


def _raised(found: re.Match[str]) -> str:
    plain = found[0].translate(_RAISED)
    if plain in ("2", "3"):
        return found[0]
    if not plain.strip("+-"):
        return " plus" if plain[0] == "+" else " minus"
    return " to the power of " + plain.replace("-", "minus ").replace("+", "")


def _day(found: re.Match[str]) -> str:
    day, month, year = int(found[1]), int(found[2]), found[3]
    return f"{day} {_MONTH_NAMES[month - 1]} {year}" if 1 <= month <= 12 and 1 <= day <= 31 else found[0]


def _ordinal(number: str) -> str:
    value = int(number)
    ending = "th" if 10 <= value % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{ending}"


def _dotted(found: re.Match[str]) -> str:
    parts = found[0].split(".")
    if len(parts[0]) <= 3 and all(len(part) == 3 for part in parts[1:]):
        return "".join(parts)  # 1.000.000
    return (" dot " if len(parts) == 4 else " point ").join(parts)


def _zeros(found: re.Match[str]) -> str:
    return f"{found[1]} point {' '.join(found[2])}"


def _power(base: str, square: str) -> str:
    return f"{'square' if square in '²2' else 'cubic'} {base}"


def _area(found: re.Match[str]) -> str:
    amount, unit, raised = found.groups()
    return f"{amount} {_power(_plural(amount, _UNITS[unit]), raised)}"


def _rate(found: re.Match[str]) -> str:
    amount, unit, per, raised = found.groups()
    below = _UNITS[per]
    if raised:
        below = f"{below} squared" if per == "s" else _power(below, raised)
    return f"{amount} {_plural(amount, _UNITS[unit])} per {below}"


def _measure(found: re.Match[str]) -> str:
    return f"{found[1]} {_plural(found[1], _UNITS[found[2]])}"


def _spoons(found: re.Match[str]) -> str:
    before, spoon = found[1] or "", "tablespoon" if found[2].lower() == "tb" else "teaspoon"
    single = _SINGLE.search(before.rstrip())
    return before + (spoon if single else spoon + "s")


def _exponent(found: re.Match[str]) -> str:
    return f" times 10 to the power of {'minus ' if found[1] else ''}{found[2]}"


def _months(found: re.Match[str]) -> str:
    first, last = (next(month for month in _MONTH_NAMES if month.startswith(name[:3])) for name in found.groups())
    return f"{first} to {last}"


_SINGLE: Final = re.compile(
    r"(?:^|[^\d.,/])1$|(?<!and )\b(?:an?|one)(?: half| third| quarter| eighth)?$|(?:^|[^\d\s] ?)\d/\d$"
    r"|(?:thirds|quarters|eighths)$"
)
"""A spoon, not spoons, follows."""
_RAISED: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")


@cache
def _rules() -> tuple[_Rule, ...]:
    to = " to "
    unit = "|".join(sorted(_UNITS, key=len, reverse=True))
    return (
        # telephone and book numbers
        (re.compile(r"(?<![\w.-])(?:\+?1[ .-])?\(?\d{3}\)?[ .-]\d{3}[.-]\d{4}(?![\w-])"), _digits),
        (re.compile(r"(?<![\w.-])(?:\+?1[ .-])?\(\d{3}\) ?\d{3}[ .-]\d{4}(?![\w-])"), _digits),
        (re.compile(r"(?<![\w.])\+\d{1,3}(?:[ .-]\(?\d{1,4}\)?){2,5}(?![\w-])"), _digits),
        (re.compile(r"(?<![\w.-])0\d{2,4}(?: \d{3,4}){2}(?![\w-])"), _digits),
        (re.compile(r"(?<![\w-])97[89]-\d{1,5}-\d{1,7}-\d{1,7}-\d(?![\w-])"), _digits),
        # money
        (
            re.compile(rf"\b(US|CA?|AU?|HK|NZ|S|R)\$ ?({_N}){_SCALE}?"),
            lambda found: _scaled(found[2], found[3], _DOLLARS[found[1]]),
        ),
        (re.compile(rf"([$£€])({_N}) ?[-–] ?\1?({_N}){_SCALE}?"), _span),
        (re.compile(rf"([$£€¥₹₩])({_N}) ?(mn|bn|tn)\b"), lambda found: _scaled(found[2], found[3], _SIGNS[found[1]])),
        (re.compile(rf"(?<![\w.,$£€¥₹₩])({_N}),(\d\d) ?([$£€])(?![\d\w])"), r"\3\1.\2"),
        (re.compile(rf"(?<![\w.,$£€¥₹₩])({_N}) ?([$£€¥₹₩])(?![\d\w])"), r"\2\1"),
        (re.compile(rf"(?<![\w.,])({_N}) ?(USD|EUR|GBP)\b"), r"\2 \1"),
        (re.compile(r"(?<=\d)/(?=(?:month|year|day|hour|week|person|night|lb|kg|unit|user|mo|yr|hr)\b)"), " per "),
        # fractions
        (re.compile(rf"(\d ?)?([{''.join(_GLYPHS)}])"), lambda found: _glyph(found).replace("  ", " ")),
        (re.compile(r"(?<![\d/.,$£€-])(\d{1,3})[ -](\d{1,2})/(\d{1,2})(?![\d/])"), _mixed),
        (re.compile(r"(?<![\d/])(\d{1,2})/(\d{2})(?=[ -]?(?:inch|in\b|of an inch))"), _part),
        (re.compile(r"(?<![\w./])(?:(\d\d)/\1|24/7)(?![\w/])"), lambda found: found[0].replace("/", " ")),
        # dates, times and ranges
        (re.compile(r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?![\w.]\w)"), _day),
        (re.compile(r"(?<![\w.:])(\d{1,2})\.(\d\d)(?= ?[aApP]\.?[mM]\b)"), r"\1:\2"),
        (
            re.compile(rf"\b((?:{_MONTHS})\.?) (\d{{1,2}}) ?[-–] ?(\d{{1,2}})(?![\w:–-])"),
            lambda found: f"{found[1]} {found[2]} to {_ordinal(found[3])}",
        ),
        (
            re.compile(rf"(?<![\w:.–-])(\d{{1,2}}) ?[-–] ?(?=\d{{1,2}} (?:{_MONTHS})\b)"),
            lambda found: f"{_ordinal(found[1])} to ",
        ),
        (re.compile(rf"\b({_MONTHS})\.? ?[-–] ?({_MONTHS})\b(?!\.\w)"), _months),
        (re.compile(rf"(?<=\. to )({'|'.join(_DAYS)})\b(?!\.)"), lambda found: _DAYS[found[1]]),
        (re.compile(r"(?<=\d[ap]m) ?[-–] ?(?=\d)|(?<=\d [ap]m) ?[-–] ?(?=\d)", re.IGNORECASE), to),
        (re.compile(r"(?<=\d:\d\d) ?[-–] ?(?=\d{1,2}:\d\d)"), to),
        (re.compile(r"(?<=\d)(?<!\d{4}) ?[-–] ?(?=\d+(?:\.\d+)? ?%)"), to),
        (re.compile(r"(?<=\d)s? ?– ?(?=\d)"), lambda found: ("s" if found[0][0] == "s" else "") + to),
        (re.compile(r"(?<=\d0s) ?- ?(?=\d\d)"), to),
        (re.compile(r"(?<![\w.-])(\d+\.\d+)-(?=\d+\.\d+(?![\w.-]\w))"), r"\1 to "),
        (re.compile(r"(?<![\w.-])(\d{1,4})-(?=\d{1,4}[.;:!?)]*(?:\s|$))"), r"\1 to "),
        # versions, addresses, decimals
        (re.compile(r"(?<![\w.])\d+(?:\.\d+){2,6}(?![\w.]\w)"), _dotted),
        (re.compile(r"(?<=[vV])\d+(?:\.\d+){2,6}(?![\w.]\w)"), _dotted),
        (re.compile(r"(?<![\d,])(\d+),(\d{1,2})(?= ?(?:%|km\b|kg\b|cm\b|mm\b|m\b))"), r"\1.\2"),
        (re.compile(r"(?<![\d,.])(\d{1,3}),(?=\d{1,2}(?![\d,]))"), r"\1, "),
        (re.compile(rf"{_NO_MONEY}(?<![\d.,])(\d+(?:,\d{{3}})*)\.(\d*[1-9]0+|0)(?![\w.]\w|\d|k\b)"), _zeros),
        # units
        (re.compile(rf"(?<![\w.])({_N})\s?(km|cm|mm|m|ft|in|mi)([²³]|[23]\b)"), _area),
        (re.compile(rf"(?<![\w.])({_N})\s?({unit})/(s|h|sec|day|L|l|m|cm|kg|mol)([²³]|[23]\b)?(?!\w)"), _rate),
        (re.compile(rf"(?<![\w.])({_N})[mM](?= (?:{_MILLIONS_OF})\b)"), r"\1 million"),
        (re.compile(rf"{_NO_MONEY}(?<![\w.])(?!3M\b)({_N})M\b(?![-/])"), r"\1 million"),
        (re.compile(rf"{_NO_MONEY}(?<![\w.])({_N})\s?({_ALONE})(?![\w'’/-]|\. ?[A-Z\d])"), _measure),
        (re.compile(r"((?:[\w/.]{1,20} ){0,3})\b([Tt]b?)sps?\b(?:\.(?=\s*[^\s)\"]))?"), _spoons),
        (re.compile(r"(?<=\d) ?[x×] ?(?=\d[\d.,]* ?(?:ft|feet|in|inch|inches|m|meters|cm|mm|px|pixels)\b)"), " by "),
        (re.compile(r"(?<![\w.])(?!0x)(\d{1,5}) ?x ?(?=\d{1,5}(?!\w))"), r"\1 by "),
        (re.compile(rf"(?<=\d)[x×](?= (?:{_COMPARED})\b)"), " times"),
        # signs
        (re.compile("[⁺⁻]?[⁰¹²³⁴-⁹]+|[⁺⁻]"), _raised),
        (re.compile(r"(?<=\d)[eE](?:\+|(-))(\d{1,3})\b"), _exponent),
        (re.compile(f"[{''.join(_SAID)}]"), lambda found: f" {_SAID[found[0]]} "),
        (re.compile(f"(?<![\\w])[{''.join(_GREEK)}](?![^\\W\\d_])"), lambda found: _GREEK[found[0]]),
        (re.compile(r"(?<=\b[CFJ])#(?!\w)"), " sharp"),
        (re.compile(r"(?<!\w)&c\b\.?(?= ?[,;:)]| [a-z])"), "et cetera"),
        (re.compile(r"(?<!\w)&c\b\.?"), "et cetera."),
        (re.compile(r"\b(CO|SO|NO)([1-4])\b"), lambda found: f"{found[1][0]} O {found[2]}"),
        (re.compile(r"(?<!\S)~/"), "/"),
        (re.compile(rf"(?<=\w)\.(?=(?:{_ENDINGS})\b(?!\.\w))"), " dot "),
        (re.compile(rf"(?<!\S)\.(?=[A-Z]{{2}}|(?:{_ENDINGS}|net|com|org|env|git\w*)\b)"), "dot "),
        (re.compile(r"\bn/a\b"), "N/A"),
        (re.compile(r"\bc\. ?(?=\d{3,4}\b)"), "circa "),
        (re.compile(r"\b([Ss])ecs?\. (?=\d)"), r"\1ection "),
        (re.compile(rf"\b({'|'.join(_BOOKS)})\.? (?=\d{{1,3}}:\d)"), lambda found: f"{_BOOKS[found[1]]} "),
        (re.compile(r"(\b\d+ (?:[A-Z][a-z]+ ){1,2})Dr\b\.?(?! [A-Z])"), r"\1Drive"),
    )  # fmt: skip

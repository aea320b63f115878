"""Signs of writing that a voice would stumble over become ones that it can read.

Each rule is a pure function from inline text (no block structure, see `markdown.py`) to inline text, linear in time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from typing import Final

from oscine.text.links import read_emails, read_urls
from oscine.text.markdown import strip_inline
from oscine.text.marks import NO_MARKS, MarkKind, is_sign, put_back, take_out, without_strays


@dataclass(frozen=True)
class Rules:
    """Which rules are applied; an engine that reads such text well itself has them switched off."""

    quotes: bool = True
    """Typographic quotes, apostrophes and primes become plain ones."""
    dashes: bool = True
    """Dashes, ` -- ` and ` - ` between words become ` — `; ranges and hyphenated words stay."""
    controls: bool = True
    """Control, zero-width and direction characters go, odd spaces become spaces, letters are composed (NFC)."""
    emoji: bool = True
    """Emoji and pictographs go; a keycap leaves its digit."""
    markdown: bool = True
    """Markdown and HTML leave their text; code blocks are left out."""
    footnotes: bool = True
    """Marks of footnotes go: `[12]` and raised numbers right after a sentence or a word."""
    urls: bool = True
    """Web addresses are read as "example dot com slash docs"."""
    emails: bool = True
    """E-mail addresses are read as "jane at example dot com"."""
    repeats: bool = True
    """Repeated punctuation and floods of symbols shrink to one."""

    script: bool = True
    """Labels that nobody declared are speakers where the text is clearly a script; else only numbered ones are."""

    def without(self, names: Iterable[str]) -> Rules:
        """These rules with some of them switched off. Raises ValueError for a name that is no rule."""
        known = {rule.name for rule in fields(self)}
        off = dict.fromkeys(names, False)
        if unknown := sorted(off.keys() - known):
            raise ValueError(f"no such text rule: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return replace(self, **off)


ALL_RULES: Final = Rules()


def normalise(
    text: str, rules: Rules = ALL_RULES, *, marks: Collection[MarkKind] = NO_MARKS, language: str = "en"
) -> str:
    """Inline text that is ready to be spoken, on one line, without blanks at its ends.

    Pronunciations that are of use to an engine which reads `marks` pass untouched; of others the word remains.
    """
    text, kept = take_out(text, marks)
    if rules.emoji:
        text = drop_emoji(text)
    if rules.controls:
        text = drop_controls(text)
    if rules.footnotes:
        text = drop_footnotes(text)
    if rules.markdown:
        text = strip_inline(text)
    if rules.urls:
        text = read_urls(text, language)
    if rules.emails:
        text = read_emails(text, language)
    if rules.quotes:
        text = plain_quotes(text)
    if rules.repeats:
        text = shrink_repeats(text)
    if rules.dashes:
        text = spoken_dashes(text)
    if "annotations" in marks:
        text = without_strays(text)
    return put_back(_SPACE_BEFORE.sub(r"\1", " ".join(text.split())), kept)


def plain_quotes(text: str) -> str:
    """Typographic quotes, apostrophes and primes as plain ones, single quotes around words as double ones.

    A single quote is easily taken for an apostrophe: hibari reads `'Hello'` with a stray sound. CJK brackets stay.
    """
    if not text.isascii():
        text = _GUILLEMETS.sub('"', text.translate(_QUOTES))
    if "'" not in text and "`" not in text:
        return text
    return _double(text.replace("``", '"').replace("''", '"').replace("`", "'"))


def spoken_dashes(text: str) -> str:
    """Dashes between words as ` — `, a pause; one that opens a line goes; hyphens, ranges and `--options` stay."""
    return _DASH.sub(_dash, text.translate(_HYPHENS))


def drop_controls(text: str) -> str:
    """Without characters that show nothing; odd spaces, ligatures and styled letters as plain ones; composed (NFC)."""
    if text.isascii() and text.isprintable():
        return text
    text = _INVISIBLE.sub("", _SPACES.sub(" ", _THOUSANDS.sub("", text)))
    if text.isascii():
        return text
    text = _STYLED.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text.replace("⁄", "/"))
    text = _CIRCLED.sub(lambda found: unicodedata.normalize("NFKC", found[0]) + (", " if found[1] else ""), text)
    return unicodedata.normalize("NFC", _MARK_FLOOD.sub(_few_marks, text))


def drop_footnotes(text: str) -> str:
    """Without the marks of footnotes, so that a sentence ends before them.

    `a[1]`, `m²`, `as in [1]` and a `[1]` that opens a line are content and stay.
    """
    if "]" in text or "}" in text:
        text = _PAGE.sub(lambda found: " " if found[1] and found[2] else found[1] or found[2], text)
        text = _NOTE_AFTER_SIGN.sub(r"\1", text)
        if not _INDEXED.search(text):
            text = _NOTE_AFTER_WORD.sub(r"\1", text)
    if not text.isascii():
        text = _RAISED_AFTER_SIGN.sub(r"\1", text)
        text = _RAISED_AFTER_WORD.sub(lambda found: found[0] if found[1].lower() in _POWERS else found[1], text)
    return text


def drop_emoji(text: str) -> str:
    """Without emoji and pictographs; `©`, `®` and `™` stay, a keycap leaves its digit."""
    if ":" in text:
        text = _SHORTCODE.sub(" ", text)
    if text.isascii():
        return text
    text = _KEYCAP.sub(r"\1 ", text).replace("‼", "!").replace("⁉", "?!")
    return _EMOJI.sub(" ", text)


def shrink_repeats(text: str) -> str:
    """Repeated punctuation and floods of symbols, each as one; letters and digits stay as they are."""
    text = _CALLS.sub(lambda found: _call(found[0]), text)
    text = _DOTS.sub(lambda found: "…" if "…" in found[0] or "・" in found[0] else "...", text)
    text = _RULED.sub(" ", text)
    text = _SAME.sub(r"\1", text)
    return _FLOOD.sub(r"\1", text)


_SPACE_BEFORE: Final = re.compile(r" ([,.;:!?…](?![^\s\"'”’)!?.]))")
_QUOTES: Final = str.maketrans("‘’‚‛‹›′´ʼ＇“”„‟″＂", "'" * 10 + '"' * 6)
_ELISION: Final = re.compile(
    r"'(?:\d\ds?|n|s(?= )|tis|twas|twere|twill|twould|tisn|twasn|twixt|gainst|em|cause|cos|till?|bout|round|neath)\b",
    re.IGNORECASE,
)
_POSSESSIVE: Final = re.compile(r"(?<=[sS])' [a-z]")
_GUILLEMETS: Final = re.compile("« ?| ?»")
_HYPHENS: Final = str.maketrans("‐‑‒﹣－−", "------")
_DASH: Final = re.compile(r" {0,2}(?:(?<!-)-{1,3}(?!-)|[–—―⸺⸻﹘]{1,4}) {0,2}")
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ue000-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000effff]"
    "|(?<![\u0600-\u0dff])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\u0dff])"
)
_THOUSANDS: Final = re.compile("(?<=[0-9])[\xa0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_SPACES: Final = re.compile("[\t\n\x0b\x0c\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_STYLED: Final = re.compile(
    "[\ufb00-\ufb06\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\u2103\u2109\u2160-\u217f\u3380-\u33df\U0001d400-\U0001d7ff]+"
)
_CIRCLED: Final = re.compile("[\u2460-\u2473](?=(\\w)?)")
_MARK_FLOOD: Final = re.compile(r"[^\w\s\x00-\x7f]{9,}+")
_SIGN_BEFORE: Final = "([.!?…,;:][\"'”’»)]{0,2}|[”»])"
_NUMBERS: Final = r"\d{1,3}(?:\s?[,–-]\s?\d{1,3}){0,5}"
_TO_NOTE: Final = r"(?:\((?:#|https?:|\.{0,2}/)[^()\s]{0,200}\))?"
_AFTER_NOTE: Final = r"(?=[\s\"'”’»).,;:!?…—–]|$)"
_NOTE_AFTER_SIGN: Final = re.compile(
    rf"{_SIGN_BEFORE}(?:\[{{1,2}}(?:{_NUMBERS}|[a-z]|(?:note|n\.?|nb) ?\d{{1,3}}|citation needed)\]{{1,2}}{_TO_NOTE})"
    rf"{{1,9}}{_AFTER_NOTE}"
)
_NOTE_AFTER_WORD: Final = re.compile(
    rf"(?<![^\s\"'“‘(—–-])([^\W\d_]{{3,60}}|\d{{4}})(?:\[{_NUMBERS}\]{_TO_NOTE}){{1,9}}{_AFTER_NOTE}"
)
_INDEXED: Final = re.compile(
    r"[={}]|\b(?:array|arr|index|list|vector|element|matrix|item|arg|argv|row|value|result|tuple|column)s?\b",
    re.IGNORECASE,
)
_RAISED: Final = "[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3}(?:[,⁻⁰¹²³⁴⁵⁶⁷⁸⁹]{1,6})?|[†‡]{1,3}"
_RAISED_AFTER_SIGN: Final = re.compile(rf"{_SIGN_BEFORE}(?:{_RAISED}){_AFTER_NOTE}")
_RAISED_AFTER_WORD: Final = re.compile(rf"(?<![^\s\"'“‘(—–-])([^\W\d_]{{2,60}})(?:{_RAISED}){_AFTER_NOTE}")
_PAGE: Final = re.compile(r"(\s?)[\[{](?:pg|page|p)\.? ?(?:\d{1,4}|[ivxlc]{1,7})[\]}](\s?)", re.IGNORECASE)
"""Where a page of a book begins, as Project Gutenberg marks it."""
_UNITS: Final = (
    "mm cm dm dam hm km nm in inch inches ft foot feet yd yds yard yards mi mile miles sq kg mg lb ha sec min hr sin "
    "cos tan cot csc log ln exp chi pi mc metre metres meter meters centimetre centimetres centimeter centimeters "
    "kilometre kilometres kilometer kilometers"
)
_POWERS: Final = frozenset(_UNITS.split())
"""After these a raised number is a power."""
_SHORTCODE: Final = re.compile(r"(?<!\S):(?=[a-z_+-]{0,29}[a-z1])[a-z0-9_+-]{2,30}:(?=\s|[.,!?)]|$)")
"""`:smile:`, as chats and GitHub write emoji."""
_KEYCAP: Final = re.compile("([0-9#*])\ufe0f?\u20e3")
_EMOJI: Final = re.compile(
    "[\u200d\ufe0e\ufe0f\u20e3\u231a\u231b\u2328\u23cf\u23e9-\u23f3\u23f8-\u23fa\u24c2\u25a0-\u25ff\u2600-\u27bf\u2934\u2935\u2b00-\u2bff\u3030"
    "\u303d\u3297\u3299\U0001f000-\U0001faff\U000e0020-\U000e007f]+"
)
"""Blocks of Unicode 16 that hold emoji and pictographs; a package would cost more at start than all the rest here."""
_CALLS: Final = re.compile(r"[!?！？](?:[!?！？]|\s(?=[!?！？]))++")
_DOTS: Final = re.compile(r"\.(?:[ \xa0]?\.){2,}+…*+|…{2,}+\.*+|・{2,}+")
_RULED: Final = re.compile(r"([-=*_~#+^\\|<>·•─━═])\1{3,}+")
_SAME: Final = re.compile(r"([^\w\s.])\1{2,}+")
_FLOOD: Final = re.compile(r"([^\w\s]{2,3}?)\1{3,}+")


def _double(text: str) -> str:
    """Pairs of single quotes around words as double ones; apostrophes stay.

    After a plural (`the dogs' bones`) a quote ends only where no other one ends it.
    """
    found: list[int] = []
    opened: int | None = None
    plural: int | None = None
    quote = text.find('"')
    at = text.find("'")
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
        opens = (not before or before.isspace() or before in '"([—–-') and _is_word(after)
        closes = not opens and bool(before.strip()) and not after.isalnum()
        if opened is not None and plural is not None and (opens or (closes and plural < quote < at)):
            found += [opened, plural]
            opened = plural = None
        if opens:
            if opened is None and not _ELISION.match(text, at):
                opened = at
        elif opened is not None and closes:
            if _POSSESSIVE.match(text, at):
                plural = plural or at
                quote = text.find('"', at) if 0 <= quote < plural else quote
            else:
                found += [opened, at]
                opened = plural = None
        at = text.find("'", at + 1)
    if opened is not None and plural is not None:
        found += [opened, plural]
    parts = [text[start + 1 : end] for start, end in zip([-1, *found], [*found, len(text)], strict=True)]
    return '"'.join(parts)


def _is_word(character: str) -> bool:
    return character.isalnum() or is_sign(character)


def _call(run: str) -> str:
    asks = next((c for c in run if c in "?？"), "")
    calls = next((c for c in run if c in "!！"), "")
    return asks + calls


def _few_marks(found: re.Match[str]) -> str:
    kept: list[str] = []
    marks = 0
    for character in found[0]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= 8:
            kept.append(character)
    return "".join(kept)


def _dash(found: re.Match[str]) -> str:
    dash = found[0].strip(" ")
    before = found.string[found.start() - 1 : found.start()]
    after = found.string[found.end() : found.end() + 1]
    spaced = found[0].startswith(" ") and found[0].endswith(" ")
    if not before.strip():
        return found[0] if _is_word(after) and not found[0].endswith(" ") and dash[0] == "-" else ""
    if dash == "-" and not spaced:
        return found[0]
    if before.isdigit() and after.isdigit():
        return found[0] if dash in "-–" else " — " if spaced else "–"
    if dash == "–" and not spaced:
        return found[0] if _is_word(after) else found[0].rstrip(" ")
    if dash[0] == "-" and found[0][0] == " " and not spaced:
        return found[0]
    if not after or after in "\"'”’»)":
        return "—"
    if not is_sign(before) and before > "\u2e7f" and not is_sign(after) and after > "\u2e7f":
        return "——"
    return " — "

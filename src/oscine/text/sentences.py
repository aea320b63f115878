"""Where sentences end, in many languages."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate, pairwise
from typing import Final

from oscine.text.abbreviations import abbreviations
from oscine.text.characters import CLOSERS, is_wide, speakable

_WINDOW: Final = 1200
"""Characters that sentencex sees at once: its time grows with the square of the quotes and brackets in them."""
_MARKER: Final = re.compile(r"[(\[]?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})[.)\]]{1,2}")
_ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(\"'“])(?:e\.g|i\.e|cf|vs|approx|ca|al|etc|resp|incl|esp|viz|[A-Za-z])\.$", re.IGNORECASE
)
_TITLE: Final = re.compile(
    r"(?:^|[\s(\"'“])(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Capt|Lt|Sgt|Col|Gen|Messrs|Wm|Chas|Geo|Thos|Jas|Robt|Benj"
    r"|MR|MRS|MS|DR|PROF|REV|CAPT|COL|GEN)\.$"
)
_MONTHS: Final = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
_BOOKS: Final = (
    "Gen|Exod?|Lev|Num|Deut|Josh|Judg|Sam|Kgs|Chron?|Neh|Pss?|Prov|Eccl|Isa|Jer|Ezek|Dan|Hos|Matt|Rom|Cor|Gal|Eph"
    "|Phil|Thess|Tim|Heb|Pet|Rev"
)
_PARTS: Final = "vols?|pp|chap|figs?|eqs?|eqns?|secs?|sect|arts?|eds?|approx|est|tab|dept|ext|tel"
_COUNTED: Final = re.compile(
    rf"(?:^|[\s(\"'“-])(?:{_PARTS}|nos?|p|chs?|par|ca|max|min|ver|st|lbs?|oz|ft|(?<!he )\d{{1,2}}s"
    rf"|Vols?|Nos?|Pp?|Chs?|Chap|Figs?|Eqs?|Eqns?|Secs?|Sect|Art|Approx|Ca|Ed|Tab|Ver|Ext|Tel|{_MONTHS}|{_BOOKS}|Apt|Ste|Rm|Bk|avg|temp"
    r"|(?!hmm|shh|brr|psst|pfft|tsk|grr|zzz)[b-df-hj-np-tv-xz]{2,5})\.$"
)
"""Before a number or a bracket, no end of a sentence."""
_SHORT: Final = re.compile(
    rf"(?:^|[\s(\"'“-])(?:{_PARTS}|nos|op|recd|inst|ult|trans|wt|ht|\d+(?:[sd]|lb|oz|ft|yds?)|{_MONTHS}"
    r"|Mon|Tues?|Wed|Thu|Thurs?|Fri|Sat|Sun|Vols?|Figs?|Eqs?|Sect?|Chap|Ltd|Inc|Co|Corp|Bros|Jr|Sr|Dept|Univ|Ave|Blvd"
    r"|Rd|St|Mt|Ph\.D|M\.D|Esq|[Tt]sps?|[Tt]bsps?|[Tt]emp|deg|max|min|avg|hrs?|mins|secs?|[Aa]pt|pkgs?|misc|conf|refs?|orig"
    r"|pron|adj|adv|illus|govt|gal|oz|ft|(?<=\d )in|(?!hmm|shh|brr|psst|pfft|tsk|grr|zzz)[b-df-hj-np-tv-xz]{2,5})\.$"
)
"""Before a word in small letters, no end of a sentence."""
_INITIALS: Final = re.compile(r"(?:^|[\s(\"'“])(?:[A-Z]\.-?){1,3}$")


def sentence_ends(text: str, language: str = "en") -> list[int]:
    """Offsets into `text` where a sentence ends and its blanks with it; the last one is `len(text)`.

    By the sentencex package, with its obvious slips repaired: list numbers (`3. Third item`), titles, initials, dots
    inside of a word or an address, lone quotes.
    """
    ends: list[int] = []
    start = 0
    tongue = language.lower().partition("-")[0]
    for segment in _segments(text, language):
        end = start + len(segment)
        if ends and _belongs(text, ends[-2] if len(ends) > 1 else 0, ends[-1], segment, tongue):
            ends[-1] = end
        else:
            if ends and (closing := _CLOSING.match(segment)):
                ends[-1] += closing.end()
            ends.append(end)
        start = end
    return ends


def inner_ends(text: str, language: str = "en") -> list[int]:
    """Offsets where a sentence ends, also inside of quotes and brackets, which are otherwise kept together."""
    ends = sentence_ends(text.translate(_BLANKED), language)
    return [_before_opening(text, end) for end in ends if end == len(text) or not tells_who(text, end)]


def tells_who(text: str, end: int) -> bool:
    """Whether what follows a quotation that ends at `end` tells who said it."""
    before = text[max(0, end - 12) : end].rstrip()
    if before[-1:] not in _QUOTES or before.rstrip(CLOSERS)[-1:] not in tuple("?!…—"):
        return False
    return text[end : end + 1].islower() or bool(_SAID_BY.match(text, end))


_PAIRED: Final = frozenset('"“”„«»‹›()[]{}（）「」『』【】《》〈〉')
_BLANKED: Final = str.maketrans(dict.fromkeys(_PAIRED, " "))
_CLOSING: Final = re.compile(r"(?:[”»](?![A-Za-zÀ-ɏЀ-ӿ])|[)\]}）］】」』》〉]){1,4}+\s*+")
"""Not a quote that opens what follows, such as the German `»`."""


def _before_opening(text: str, end: int) -> int:
    """`end` without the quotes and brackets that open what follows."""
    at = end
    while at and end < len(text) and text[at - 1] in _PAIRED:
        at -= 1
    return at if at and text[at - 1].isspace() else end


def _segments(text: str, language: str) -> list[str]:
    code = language.lower().partition("-")[0] or "en"
    found: list[str] = []
    position = 0
    open_ended = False
    while position < len(text):
        window = text[position : position + _WINDOW]
        if position + _WINDOW < len(text):
            window = _at_blank(window)
        pieces = _pieces(code, window)
        last = position + len(window) >= len(text)
        kept = pieces if last or len(pieces) == 1 else pieces[:-1]
        if open_ended and found:
            found[-1] += kept[0]
            kept_new = kept[1:]
        else:
            kept_new = kept
        found.extend(kept_new)
        open_ended = not last and len(pieces) == 1
        position += sum(map(len, kept))
    return found


def _pieces(code: str, window: str) -> list[str]:
    """The package's sentences; all in one where it loses letters, or breaks down."""
    from sentencex import segment  # type: ignore[import-untyped]  # the package has no types

    # It cuts a blank of several bytes in half where a full stop follows, as in `B\u3000.`.
    plain = _BEFORE_STOP.sub(lambda found: " " * len(found[0]), window)
    try:
        pieces = list(segment(code, plain))
    except BaseException as error:  # what breaks down in Rust is no Exception
        if type(error).__name__ != "PanicException":
            raise
        return [window]
    if "".join(pieces) != plain:
        return [window]
    ends = list(accumulate(map(len, pieces)))
    return [window[start:end] for start, end in pairwise([0, *ends])]


_BEFORE_STOP: Final = re.compile(r"(?<![^\S\x00-\x7f])[^\S\x00-\x7f]++(?=\.)")


def _at_blank(window: str) -> str:
    """The window without the word that its end may have cut."""
    for blank in (" ", "\n", "。", "，", "、"):
        if (at := window.rfind(blank, len(window) // 2)) > 0:
            return window[: at + 1]
    return window


def _belongs(text: str, start: int, end: int, following: str, language: str) -> bool:
    """Whether what sentencex takes for the next sentence goes on with the one in `text[start:end]`."""
    if not speakable(following) or unicodedata.category(following[0])[0] == "M" or following[0] in "\u200c\u200d":
        return True
    before = text[max(start, end - 60) : end]
    bare = before.strip()
    if not bare or not speakable(bare):
        return True
    if end - start < 12 and _MARKER.fullmatch(bare):
        return True
    first = following.lstrip()[:1]
    if ((said := _SAID.match(following)) and said[1].islower()) or first in _NEVER_FIRST:
        return True
    if before[-1:].isspace():
        if bare[-1] == ".":
            return (
                bool(_TITLE.search(bare))
                or (language != "en" and _goes_on(bare, first, language))
                or (first.islower() and bool(_ABBREVIATION.search(bare) or _SHORT.search(bare)))
                or ((first.isdigit() or first in ("(", "[")) and bool(_COUNTED.search(bare)))
                or bool(_INITIALS.search(bare) and _is_name(following))
            )
        return bare[-1] in CLOSERS and (first.islower() or tells_who(text, end))
    if bare[-1] in CLOSERS and bare[-2:-1] in tuple("。！？.!?…") and is_wide(first):
        return _after_quote(bare[-2], following, language)
    if bare[-1] != "." or not (first.isalnum() or (first == "-" and following[1:2].isalnum())):
        return False
    return bare[-2] in _BEFORE_NAME or (bare[-2].isalnum() and not is_wide(bare[-2]))


def _goes_on(before: str, first: str, language: str) -> bool:
    """Whether a sentence goes on after the dot that `before` ends with, in languages other than English."""
    if language == "th":
        return "\u0e01" <= before[-2:-1] <= "\u0e4e"  # Thai ends no sentence with a dot
    if first.islower():
        return bool(_SHORT_WORD.search(before))
    titles, parts = abbreviations(language)
    if titles is not None and titles.search(before):
        return True
    if (first.isdigit() or first in "IVX([") and parts is not None and parts.search(before):
        return True
    return language == "de" and bool(_GERMAN_ORDINAL.search(before))


def _after_quote(mark: str, following: str, language: str) -> bool:
    """Whether what stands right after a closing quote tells who said it: `「行く？」と聞いた`, `“去吗？”她问。`."""
    if "\uac00" <= following[0] <= "\ud7a3":
        return True
    if following[0] in _WIDE_OPENING:
        return False
    if language == "ja" or _KANA.search(following[:8]):
        return bool(_PARTICLE.match(following))
    return mark in "？！?!" and bool(_ASKED.match(following))


_QUOTES: Final = frozenset("\"'”’»“‘«")
_SAID_BY: Final = re.compile(
    r"(?:I|[A-Z][\w'’.-]{0,20}(?: [A-Z][\w'’-]{0,20}){0,2}) (?:had )?(?:said|asked|cried|replied|answered|whispered|"
    r"shouted|called|exclaimed|murmured|muttered|demanded|yelled|added|began|continued|screamed|snapped|inquired|enquired|returned|"
    r"laughed|sighed|gasped|growled|repeated|wondered|went on|says|asks|wanted to know)\b"
)
_NEVER_FIRST: Final = frozenset("&=+/|%")
_SAID: Final = re.compile(r"\s*[—–-]\s?([^\W\d_])")
"""What opens with a dash and a small letter tells who said it: `—¿Vienes? —preguntó`."""
_SHORT_WORD: Final = re.compile(r"(?<!\w)\w{1,6}\.$")
"""Before a small letter its dot ends no sentence."""
_GERMAN_ORDINAL: Final = re.compile(
    r"\b(?:am|im|vom|zum|zur|beim|der|die|das|dem|den|des|ab|bis|seit|ins|mein|sein|ihr|unser|ein|eine[rmns]?"
    r"|(?:mein|sein|ihr|unser|jed|dies)e[rmns]?)\s\d{1,2}\.$",
    re.IGNORECASE,
)
_WIDE_OPENING: Final = frozenset("「『（【《〈“‘〔")
_PARTICLE: Final = re.compile("[とっのがはをにもで]|という|など")
_ASKED: Final = re.compile("[^。！？，“「]{0,8}[说說问問道喊叫答叹嘆吼嚷]")
_KANA: Final = re.compile("[\u3041-\u3096]")
_BEFORE_NAME: Final = frozenset(" \xa0\t\"'“‘([{/")
"""After these a dot opens a name: `the .NET framework`."""


def _is_name(following: str) -> bool:
    """`J. R. R. Tolkien wrote`: after initials, a capitalised word that is no usual start of a sentence."""
    found = _CAPITALISED.match(following)
    return found is not None and found[1] not in _STARTERS


_CAPITALISED: Final = re.compile(r"\s*([A-ZÀ-ÖØ-Þ][^\W\d_A-Z]+|[A-Z]\.)")
_COMMON: Final = (
    "The This That These Those They There Then It Its He She We You I A An And But Or So If In On At As When "
    "What Where Who Why How For From After Before My His Her Our Your Their No Not Yes One Some All Now Here "
    "With Is Are Was Were Do Does Did Have Has Had Der Die Das Ein Eine Er Sie Es Ich Wir Und Aber Le La Les Un Une Il "
    "Elle Nous Vous Ce Et Mais El Los Las Una Ella Yo Pero Lo Gli Ma Uma Ele Ela Mas"
)
_STARTERS: Final = frozenset(_COMMON.split())

"""Words in capitals as words, and acronyms as they are: the built-in voice spells what it does not know in capitals."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

Known = Callable[[str], bool]
"""Whether a word in lower case is one of English, or of its names."""


def as_words(text: str, known: Known) -> str:
    """Words that are written in capitals in small letters, those that seem to be acronyms as they are.

    A run of capitals is text, not acronyms, where one of its words can only be a word (`DEAR SIR`, not `HTTP API`).
    """
    if not _CAPITALS.search(text):
        return text
    run: list[re.Match[str]] = []
    words = list(_WORD.finditer(text))
    spoken: dict[int, str] = {}

    def end_run() -> None:
        long = [word for word in run if len(word[0]) > 1]
        shouted = any(_only_a_word(word[0], known) for word in long) or (
            len(long) > 1 and all(_may_be_name(word[0]) for word in long)
        )
        for number, word in enumerate(run):
            if len(word[0]) == 1:
                if word[0] == "A" and shouted and 0 < number < len(run) - 1:
                    spoken[word.start()] = "a"
                continue
            before = run[number - 1][0] if number else ""
            written = _in_run(word[0], before, known) if shouted and len(run) > 1 else _alone(word[0], known)
            opens = word is words[0] or text[: word.start()].rstrip()[-1:] in ".!?:"
            spoken[word.start()] = written[:1].upper() + written[1:] if opens else written
        run.clear()

    for word in words:
        if word[0].isupper():
            run.append(word)
        else:
            end_run()
    end_run()
    return _WORD.sub(lambda word: spoken.get(word.start(), word[0]), text)


def _bare(word: str) -> str:
    return _POSSESSIVE.sub("", word)


def _is_known(word: str, known: Known) -> bool:
    small = _bare(word).lower().replace("’", "'")
    return small in _SMALL or (re.search("[aeiouy]", small) is not None and known(small))


def _only_a_word(word: str, known: Known) -> bool:
    small = _bare(word).lower()
    return (small in _SMALL and small not in _EITHER) or (len(small) > 3 and _is_known(word, known))


def _may_be_name(word: str) -> bool:
    bare = _bare(word)
    return len(bare) > 3 and bare not in _ACRONYMS and _SAYABLE.fullmatch(bare) is not None


def _in_run(word: str, before: str, known: Known) -> str:
    bare = _bare(word)
    if bare in _TITLES and bare != "NO":
        return word.capitalize()
    if bare in _ACRONYMS and bare.lower() not in _SMALL:
        return word
    if bare in _AFTER_ARTICLE and before in _STAYS_AFTER:
        return word
    if _ROMAN.fullmatch(bare) and bare not in ("MIX", "ILL"):
        return word
    if bare.lower() in _SMALL or (len(bare) > 2 and _is_known(word, known)):
        return word.lower()
    return word.capitalize() if _may_be_name(word) else word


def _alone(word: str, known: Known) -> str:
    bare = _bare(word)
    small = bare.lower()
    if small in _SMALL:
        return word if small in _EITHER and small != "he" else word.lower()
    if bare in _ACRONYMS or _ROMAN.fullmatch(bare):
        return word
    if len(bare) > 3 and _is_known(word, known):
        return word.lower()
    return word.capitalize() if len(bare) > 5 and _may_be_name(word) else word


_CAPITALS: Final = re.compile(r"[A-Z]['’]?[A-Z]")
_WORD: Final = re.compile(r"(?<![\w&@#\\])[^\W\d_]+(?:['’][^\W\d_]+)*(?![\w&@\\])")
"""Not what is glued to a sign or a digit: `AT&T`, `B12`."""
_POSSESSIVE: Final = re.compile(r"['’]S$")
_SMALL_WORDS: Final = (
    "about after again all also always among an and any are as at away be because been before being below beside "
    "between both but by can could did do does done down each else ever every for from get go goes gone had has "
    "have having he hence her here hers him his how if in into is it its just let like made make many may me might "
    "mine more most much must my never no nor not now of off on once one only or other our out over own said same "
    "see shall she should so some still such than that the their them then there these they this those through to "
    "together too under until up upon us very was we well went were what when where which while who whom whose why "
    "will with within without would yes yet you your yours am i'm i'll i've i'd it's don't won't can't didn't isn't "
    "that's he's she's you're we're they're let's what's there's"
)
_SMALL: Final = frozenset(_SMALL_WORDS.split())
"""Words that nobody takes for an acronym where they stand among others in capitals."""
_EITHER_WORDS: Final = "us it who am or in as is no ok hi id ad me he may can get let be"
_EITHER: Final = frozenset(_EITHER_WORDS.split())
"""Of these the ones that are acronyms too, or letters of a grade or a state: alone they stay as they are."""
_STAYS_AFTER_WORDS: Final = "THE A AN OUR YOUR THEIR HIS HER MY"
_STAYS_AFTER: Final = frozenset(_STAYS_AFTER_WORDS.split())
_AFTER_ARTICLE_WORDS: Final = "US IT ID AD OK"
_AFTER_ARTICLE: Final = frozenset(_AFTER_ARTICLE_WORDS.split())
_ACRONYMS_WORDS: Final = (
    "AARP ACLU AKA ATM BBC CBS CEO CIA CNN DIY DNA EOS ESA ESPN ETA EU FAQ FBI GPA HIV IBM ICAO IEEE IMF IOU IRA "
    "IRS ISBN ISSN ISS ITV IUCN LA LED MIA NBA NCAA NHS OECD PA PHD RAF RSPCA TLA UAE UCLA UFO UK UN URL USA USAF "
    "USDA USSR YMCA YWCA AD BC AM PM"
)
_ACRONYMS: Final = frozenset(_ACRONYMS_WORDS.split())
"""Acronyms that are spelt, though they might be words."""
_TITLES_WORDS: Final = (
    "MR MRS MS DR ST PROF REV CAPT COL GEN GOV SGT LT HON MESSRS JR SR VOL CH NO FIG MT WM CO LTD INC BROS JAN FEB APR "
    "AUG SEPT OCT NOV DEC"
)
_TITLES: Final = frozenset(_TITLES_WORDS.split())
_ROMAN: Final = re.compile(r"(?=[IVXLC])(?:C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ONSETS: Final = (
    "b|c|d|f|g|h|j|k|l|m|n|p|qu?|r|s|t|v|w|x|z|[bcfgkps]l|[bcdfgkptw]r|s[ckmnptwv]|[dt]w|ch|chr|sh|shr|th|thr|wh|ph|gh|gn|"
    "kn|wr|rh|sch|scr|spr|str|spl|squ|kh|zh|ts|mc|vl|kw"
)
_CODAS: Final = (
    "[bcdfghjklmnpqrstvwxz]|ch|ck|ct|ff|ft|gg|gh|ght|l[bcdfkmnpstlvz]|lch|m[bmpfs]|mp[ts]|mph|n[cdgknstxz]|nch|nct|n[dgkt]s|nth|"
    "p[pst]|r[bcdfgklmnprstvxz]|r[cst]h|r[klmnpt]s|rst|s[hkmpst]|t[hstz]|tch|tt|zz|xt|ws|wn|wl|wd|w[nl]s|ths|hn|hm|dt|cks|sch|ll?s|bs|ds|gs|ks|bb|dd"
)
_SAYABLE: Final = re.compile(
    rf"(?:{_ONSETS})?[aeiouy]{{1,3}}(?:[bcdfghjklmnpqrstvwxz]{{1,3}}[aeiouy]{{1,3}})*(?:{_CODAS})?", re.IGNORECASE
)

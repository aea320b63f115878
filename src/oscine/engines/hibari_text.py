"""Text as hibari reads it rightly: what its own reading of English stumbles over is written otherwise.

Only what is spoken changes; captions show the text as it was given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

from oscine.text.marks import put_back, take_out
from oscine.text.sentences import inner_ends

LONGEST_NUMBER: Final = 15
"""Digits of the longest number that is said as one; hibari has no words above 10**36, and nobody follows them."""

GUARD: Final = "\ue000"
"""Stands where hibari's rules would match and must not; taken out before its text is divided into words."""

Known = Callable[[str], bool]
"""Whether a word in lower case is one of English, or of its names."""


def readable(text: str, known: Known) -> str:
    """One or more sentences, without what hibari says wrongly; phonemes that are given in the text stay."""
    text, kept = take_out(text, {"phonemes"})
    text = _without_quotes(text)
    if _CAPITALS.search(text):
        text = _as_words(text, known)
    text = _roman(text)
    for pattern, said in _SAID:
        text = pattern.sub(said, text)
    text = _guarded().sub(rf"\g<0>{GUARD}", text)
    return put_back(_digit_by_digit(text), kept)


def sentences(text: str) -> list[str]:
    """The sentences of `text`, also those inside of quotes; hibari's own rules would cut after `No.` and `Fig.`."""
    ends = inner_ends(text)
    return [part for start, end in zip([0, *ends], ends, strict=False) if (part := text[start:end].strip())]


_QUOTES: Final = re.compile(r'(?<![\d\'])["“”„«»]+|(?<=\d)["“”„«»](?=[^\w\s])')
_BRACKETS: Final = str.maketrans("[]", "()")


def _without_quotes(text: str) -> str:
    """Quotes are not heard, but glued to a quote `The` loses its vowel and `They` its voice. Inches stay."""

    def quote(found: re.Match[str]) -> str:
        before, after = text[found.start() - 1 : found.start()], text[found.end() : found.end() + 1]
        return " " if before.isalnum() and after.isalnum() else ""

    return _QUOTES.sub(quote, text).translate(_BRACKETS).strip()


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


def _as_words(text: str, known: Known) -> str:
    """Words that are written in capitals in small letters, those that seem to be acronyms as they are.

    A run of capitals is text, not acronyms, where one of its words can only be a word (`DEAR SIR`, not `HTTP API`).
    """
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


@cache
def _guarded() -> re.Pattern[str]:
    """Where hibari takes the start of a name for a numeral and says `Queen the zeroth Victoria`."""
    from hibari.g2p.normalize import ROMAN_CARDINAL, ROMAN_ORDINAL

    return re.compile(rf"\b(?:{'|'.join([*ROMAN_CARDINAL, *ROMAN_ORDINAL])}) (?=[IVXLC]\w*[a-z])")


_NUMERAL: Final = r"(?=[IVXLC]+\b)C{0,3}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})"
_COUNTED: Final = (
    "Chapter|Part|Book|Act|Scene|Volume|Vol|Section|Canto|Appendix|Article|Stave|Letter|Room|Table|Figure|Fig|Plate|"
    "Title|Sonnet|Psalm|Lesson|Unit|Verse|Phase|Stage|Type|Class|Level|Mark|Round|Episode|World War|Number|No|Chap|Ch"
)
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


def _roman(text: str) -> str:
    """Roman numerals that are surely numbers, as such."""
    if not _ANY_NUMERAL.search(text):
        return text
    text = _AFTER_NOUN.sub(_counted, text)
    text = _OF_NAME.sub(_of_ruler, text)
    return _LONE.sub(lambda found: str(_value(found[1])), text)


_ANY_NUMERAL: Final = re.compile(rf"\b{_NUMERAL}\b", re.IGNORECASE)


def _counted(found: re.Match[str]) -> str:
    noun, numeral = found[1], found[3]
    if numeral == "I" and found["goes_on"] and noun[0].islower():
        return f"{noun}{found[2]} {GUARD}I"  # `the book I read`
    small = numeral != numeral.upper()
    if (
        small
        and (numeral != numeral.lower() or len(numeral) == 1)
        and not (numeral in ("i", "v") and not found["goes_on"])
    ) or (noun.lower() == "no" and len(numeral) == 1):
        return found[0]
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

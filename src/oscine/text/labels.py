"""Who speaks: the labels at the start of lines."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from oscine.text.characters import MARKS
from oscine.text.marks import masked


class Label(NamedTuple):
    """A speaker's label and what follows it on the line."""

    speaker: str
    rest: str
    certain: bool
    """Declared or numbered, not only plausible."""


class Cast:
    """The speakers that are known, and how their labels are written."""

    def __init__(self, speakers: Collection[str] = ()) -> None:
        self._declared = {canonical_label(name): name for name in speakers}

    def find(self, line: str) -> Label | None:
        """The label that `line` starts with: `Alice: `, `Speaker 1: `, `[1]: `, `**Alice:** `, `Alice (softly): `.

        A time before it, or in brackets after it, as in transcripts, belongs to it.
        """
        if line[:1] in "[(0123456789" and (time := _TIME.match(line)):
            line = line[time.end() :]
        colon = _COLON.match(masked(line)[:_LONGEST])
        at = colon.end() - 1 if colon else -1
        if at < 1:
            return None
        rest = line[at + 1 :]
        written = _DIRECTION.sub("", line[:at].strip().strip("*_").strip()).strip().strip("*_").strip()
        if not written or written[-1] == "\\":
            return None
        bold = line.lstrip()[:1] in ("*", "_")
        bracketed = written[0] == "[" and written[-1] == "]"
        name = " ".join(written[1:-1].split() if bracketed else written.split())
        spaced = line[at] == "：" or not rest or rest[0].isspace() or (bold and rest[0] in "*_")
        rest = rest.lstrip("*_").lstrip() if bold else rest.lstrip()
        if not spaced and (rest.startswith("//") or not self._known(name, bracketed)):
            return None
        if known := self._known(name, bracketed):
            return Label(known, rest, True)
        return Label(name, rest, False) if spaced and _is_plausible(name) else None

    def _known(self, name: str, bracketed: bool) -> str | None:
        label = canonical_label(name)
        if declared := self._declared.get(label):
            return declared
        return label if _NUMBERED.fullmatch(name) or (bracketed and _DIGITS.fullmatch(name)) else None


def canonical_label(label: str) -> str:
    """One spelling for labels that mean the same: `Speaker 1`, `speaker #01` and `[1]` are `1`."""
    plain = _fold(label.strip().strip("[]"))
    number = plain.removeprefix("speaker").strip().removeprefix("#").strip()
    return str(int(number)) if number.isdecimal() and len(number) <= 9 else plain


def is_script(lines: Iterable[tuple[str, bool]], cast: Cast) -> bool:
    """Whether a text is clearly a script, judged by its lines; the flag says that a line opens a paragraph.

    At least two lines have a label, labels open most paragraphs, they recur or what follows ends like a sentence, and
    people speak: someone asks, exclaims or addresses someone, or most lines are whole sentences. For `Name: Bob` and
    `Age: 40`, or `London: 5 degrees`, it is not so.
    """
    count = labelled = paragraphs = opened = spoken = 0
    said: list[str] = []
    seen: dict[str, int] = {}
    for line, opens in lines:
        if _ASIDE.fullmatch(line.strip()):
            continue
        label = cast.find(line)
        count += 1
        paragraphs += opens
        said.append(label.rest if label else line.strip())
        if label:
            labelled += 1
            opened += opens
            seen[label.speaker] = seen.get(label.speaker, 0) + 1
            spoken += not label.rest or label.rest.rstrip("\"'”’»*_) ")[-1:] in tuple(".!?…。！？—-")
    if labelled < 2 or opened < 0.6 * paragraphs or labelled < 0.25 * count or not _is_speech(said):
        return False
    if len(seen) < labelled:
        return len(seen) <= max(2, 0.7 * labelled)
    return labelled <= 4 and spoken == labelled


_LONGEST: Final = 80
_TIME: Final = re.compile(r"[\[(]?\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d{1,3})?[\])]?\s{1,3}(?:[-–—]\s)?(?=[^\W\d_]|\[|\*)")
_COLON: Final = re.compile(r"(?>[^:：(\[]|[(\[][^()\[\]]{0,60}+[)\]]|[(\[]){1,80}+[:：]")
"""The first one outside of brackets."""
_NUMBERED: Final = re.compile(r"speaker\s*#?\s*(\d{1,3})", re.IGNORECASE)
_DIGITS: Final = re.compile(r"[0-9]{1,3}")
_DIRECTION: Final = re.compile(r"(?<=[^\s*_])[*_]{0,3}\s*[(（\[][^()（）\[\]]{1,60}[)）\]]$")
_ASIDE: Final = re.compile(r"[*_]{0,3}[(\[（].{0,400}[)\]）][*_.]{0,3}", re.DOTALL)
_NAME: Final = re.compile(
    r"(?:[A-Z][\w.'’-]*|#?\d{1,3})(?: (?:[A-Z][\w.'’-]*|(?:the|of|de|la|von|van)\b|#?\d{1,3})){0,2}"
)
_SIGNS: Final = re.compile(r"[.,;!?]")
_CASELESS: Final = re.compile(rf"[^\W\d_\x00-\u02ff](?:[^\W\d_\x00-\u02ff]|[{MARKS}\u0e31-\u0e4e]){{0,7}}")
_HEADS: Final = (
    "note notes warning example examples chapter part section act scene tip tips hint important caution "
    "attention summary subject from to cc bcc date re ps p.s step figure fig table source sources title "
    "author abstract introduction conclusion reference references definition theorem proof lemma result "
    "results method methods question answer problem solution name age address phone email tel fax website url "
    "http https file format version status error info debug todo fixme update edit reminder remember "
    "ingredients instructions directions serves time location place when where who what why how pros cons "
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun weekdays "
    "weekend january february march july september october november december feb apr "
    "jul sep sept oct nov dec spring winter today tomorrow yesterday tonight morning noon "
    "afternoon evening night midnight breakfast lunch dinner north south east west open closed admission "
    "montag dienstag mittwoch donnerstag freitag samstag sonntag lundi mardi mercredi jeudi vendredi samedi dimanche "
    "lunes martes miércoles jueves viernes sábado domingo 星期一 星期二 星期三 星期四 星期五 星期六 星期日 "
    "月曜日 火曜日 水曜日 木曜日 金曜日 土曜日 日曜日 "
    "advantages disadvantages total price cost background overview goal goals objective objectives key "
    "shipping delivery returns refunds contact payment pricing warranty hours parking directions materials features "
    "benefits services policy privacy security support verdict rating ratings score review requirements installation "
    "usage license licence credits changelog skills experience education hobbies interests ages team teams duration "
    "size weight "
    "color colour colors pro con do don't good bad fact facts myth hypothesis thesis abstract keywords "
    "appendix volume book page line item items day week month year option options case rule "
    "注意 例如 提示 警告 备注 注 "
    "例 問 答 注記 注意点 标题 作者 日期"
)
_NO_NAMES: Final = frozenset(_HEADS.split())


def _fold(name: str) -> str:
    return " ".join(name.casefold().split())


def _is_plausible(name: str) -> bool:
    if len(name) >= 40:
        return False
    folded = _fold(name)
    if folded in _NO_NAMES or folded.partition(" ")[0] in _NO_NAMES or folded.rstrip("s0123456789# ") in _NO_NAMES:
        return False
    first = name[:1]
    if first.isupper():
        words = name.split()
        capitals = len(words) <= 3 and all(word[0].isupper() for word in words) and not _SIGNS.search(name)
        return capitals or bool(_NAME.fullmatch(name))
    return bool(_CASELESS.fullmatch(name)) and not first.islower()


_SPEECH: Final = (
    r"[!?！？¿¡…]|[—–-]$|\.\.\."
    r"|(?<![\w'’])(?:i|i['’](?:m|ll|ve|d)|you|your|yours|you['’](?:re|ll|ve|d)|we|we['’](?:re|ll|ve|d)|us|our|me|my|mine"
    r"|let['’]s|hello|hi|hey|good (?:morning|day|evening|night)|thanks|thank|please|sorry|ok|okay|yeah"
    r"|guten (?:morgen|tag|abend)|ich|du|wir|mir|mich|dir|dich|uns|hallo|danke|bitte|je|j['’]\w+|tu"
    r"|vous|nous|moi|toi|merci|bonjour"
    r"|yo|tú|usted|ustedes|nosotros|gracias|hola|io|noi|voi|grazie|ciao|eu|você|obrigad[oa]"
    r"|я|ты|вы|мы|меня|тебя|спасибо|привет)(?!\w)"
    r"|^(?:yes|no|well|oh|ah|ja|nein|oui|non|sí|sì|да|нет)[,.—–-]"
    r"|[我你您咱吗吧呢私僕俺]|あなた|です|ます|だよ|だね|나는|저는|요[.]?$"
)
"""Signs of speech: who speaks asks, exclaims, breaks off, or says I, you, thanks or hello."""
_WHOLE: Final = r"[\"“‘(«]?[^\W\d_a-z][^\s\d]*+(?: +[^\s\d]++){3,}+(?<=[.\"”’)»。])"
"""A sentence of four words or more, without numbers."""


def _is_speech(lines: list[str]) -> bool:
    """Whether a tenth of the lines has signs of speech, or most are whole sentences."""
    lively, whole = re.compile(_SPEECH, re.IGNORECASE), re.compile(_WHOLE)
    return sum(bool(lively.search(line)) for line in lines) >= max(1, 0.1 * len(lines)) or sum(
        bool(whole.fullmatch(line)) for line in lines
    ) >= 0.6 * len(lines)

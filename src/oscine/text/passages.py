"""Passages and the breaks between them, put together from lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from oscine.text.blocks import Block
from oscine.text.characters import ends_sentence
from oscine.text.language import Language
from oscine.text.lines import LONGEST, Wrapping, complete_end, cut_point
from oscine.text.marks import masked
from oscine.text.written import Respelling, Written

BreakKind = Literal["none", "clause", "sentence", "line", "paragraph", "turn", "chapter", "pause"]

LONGEST_PAUSE_MS: Final = 60_000
DEFAULT_PAUSE_MS: Final = 1000
"""Length of a bare `[pause]`."""


@dataclass(frozen=True)
class Break:
    """What follows a passage."""

    kind: BreakKind
    ms: int | None = None
    """Length, only of a pause that was asked for."""

    def joined(self, other: Break) -> Break:
        """One break for two that follow each other: pauses add up and win over the rest, else the stronger stays."""
        if self.kind == "pause" and other.kind == "pause":
            return Break("pause", (self.ms or 0) + (other.ms or 0))
        return max(self, other, key=lambda one: _RANK[one.kind])


@dataclass(frozen=True)
class Passage:
    """Clean text of one speaker up to the next break.

    With an empty text it only carries a break: a pause before the first word, or one that became known when the
    passage before it was already handed on; then the two breaks are one (`Break.joined`).
    """

    speaker: str | None
    text: str
    after: Break
    respellings: tuple[Respelling, ...] = ()
    """Where `text` is spoken otherwise than it was written."""
    language: str = "en"
    """BCP 47."""
    chapter: str | None = None
    """The title of the chapter that it opens."""


class Run:
    """The text since the last break, and the passages that are ready."""

    def __init__(
        self,
        clean: Callable[[str, str], tuple[str, tuple[Respelling, ...]]],
        tell: Callable[[str], None],
        language: Language,
    ) -> None:
        self._clean = clean
        self._language = language
        self._tell = tell
        self._speaker: str | None = None
        self._text = ""
        self._line = ""
        self._item = False
        self._open = False
        self._looked = 0
        self._pending: Passage | None = None
        self._ready: list[Passage] = []
        self._handed: Break | None = None
        self._apart = True
        self._chapter: str | None = None

    def add(self, block: Block, wrapping: Wrapping) -> None:
        """Take in a line, or the next part of one."""
        apart, self._apart = self._apart, block.mark in ("gap", "rule")
        if block.mark == "gap":
            self.close("paragraph")
        elif block.mark == "rule":
            self.close("chapter")
        elif not block.starts:
            self._text += block.text
        else:
            line = block.text.strip()
            if block.mark == "title" or (apart and block.mark in ("text", "heading") and _CHAPTER.fullmatch(line)):
                self.close("chapter")
                self._chapter = self._title(line)
            if self._text.strip() and not (block.mark == "text" and not block.fresh and self._goes_on(block, wrapping)):
                self.close("line")
            self._text = self._text.rstrip()
            between = wrapping.joint(self._text, line)
            self._text = (self._text[:-1] if between is None else self._text + between) + block.text.lstrip()
            self._item = self._item or block.mark in ("item", "heading", "title")
        self._line = block.text
        self._open = not block.ends
        if block.mark in ("heading", "title") and block.ends:
            self.close("paragraph")
        elif not block.ends:
            self.close("sentence" if block.whole else "none", item=False)
        elif len(self._text) > LONGEST:
            at, whole = cut_point(self._text, LONGEST)
            if at:
                rest, self._text = self._text[at:], self._text[:at]
                self.close("sentence" if whole else "none", item=False)
                self._text = rest
            elif len(self._text) > 2 * LONGEST:
                self.close("none", item=False)

    def turn(self, speaker: str) -> None:
        """From here on `speaker` speaks."""
        self.close("line" if speaker == self._speaker else "turn")
        self._speaker = speaker

    def close(self, kind: BreakKind, *, item: bool | None = None) -> None:
        """End the passage with a break."""
        text, self._text, self._looked = self._text, "", 0
        if (
            (self._item if item is None else item)
            and text.strip()
            and not ends_sentence(_END_TAGS.sub("", text))
            and text.rstrip()[-1] not in ",;:：，；]"
        ):
            text = text.rstrip() + "."
        if item is None:
            self._item = False
        said = ""
        at = 0
        for found in _PAUSE.finditer(masked(text)) if "[" in text else ():
            said += text[at : found.start()]
            at = found.end()
            if (pause := self._pause(found)) is not None:
                self._say(said)
                said = ""
                self._break(Break("pause", pause))
        self._say(said + text[at:])
        self._break(Break(kind))

    def idle(self, inside: bool) -> None:
        """Nothing more is at hand: hand on what is complete."""
        if self._text and not self._open:
            if not inside or ends_sentence(self._text):
                self.close("line")
            else:
                end = complete_end(self._text, self._looked, self._language)
                self._looked = len(self._text)
                if end:
                    rest, self._text = self._text[end:], self._text[:end]
                    self.close("sentence", item=False)
                    self._text = rest
        self._hand_on()

    def ready(self, *, last: bool = False) -> list[Passage]:
        """The passages whose break is known."""
        if last and self._pending:
            if self._pending.after.kind != "pause":
                self._pending = replace(self._pending, after=Break("none")) if self._pending.text else None
            self._hand_on()
        found, self._ready = self._ready, []
        return found

    def _goes_on(self, block: Block, wrapping: Wrapping) -> bool:
        if self._item:
            return block.text[:1].isspace() or wrapping.joins(self._line, block.text)
        indented = block.text[:2].isspace() and not self._line[:2].isspace()
        if indented and ends_sentence(self._line):
            return False
        joined = wrapping.joins(self._line, block.text)
        wrapping.see(self._line, block.text)
        return joined

    def _title(self, line: str) -> str | None:
        """A heading as captions show it; None: there is nothing to read in it."""
        text = _PAUSE.sub(" ", line)
        said, respellings = self._clean(text, self._language.of(text))
        return " ".join(Written(said, respellings).of(said).split()) or None

    def _say(self, text: str) -> None:
        language = self._language.of(text)
        said, respellings = self._clean(text, language)
        if said:
            self._hand_on()
            chapter, self._chapter = self._chapter, None
            self._pending = Passage(self._speaker, said, Break("none"), respellings, language, chapter)

    def _pause(self, found: re.Match[str]) -> int | None:
        """The length that a tag asks for, in ms; None: nobody knows."""
        inside = found[1] if found[0].endswith("]") else "?"
        if not inside.strip():
            return DEFAULT_PAUSE_MS
        length = _LENGTH.fullmatch(inside)
        if length is None:
            self._tell("A pause tag that could not be read was left out; write [pause:800ms] or [pause:1.5s].")
            return None
        value = float(length[1].replace(",", "."))
        ms = value * 1000 if length[2] and length[2][0] in "sS" else value
        if ms > LONGEST_PAUSE_MS:
            self._tell(f"A pause is at most {LONGEST_PAUSE_MS // 1000} s long; longer ones were shortened.")
        return round(min(ms, LONGEST_PAUSE_MS))

    def _break(self, after: Break) -> None:
        if self._pending:
            self._pending = replace(self._pending, after=self._pending.after.joined(after))
        elif after.kind == "pause" or (self._handed and _RANK[after.kind] > _RANK[self._handed.kind]):
            self._pending = Passage(self._speaker, "", after)

    def _hand_on(self) -> None:
        if self._pending:
            self._ready.append(self._pending)
            self._handed = self._pending.after
            self._pending = None


_RANK: Final = {"none": 0, "clause": 1, "sentence": 2, "line": 3, "paragraph": 4, "turn": 5, "chapter": 6, "pause": 7}
_NUMBER: Final = (
    r"(?:\d{1,3}|[IVXLC]{1,8}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh"
    r"|nine)teen|twenty|(?:twenty|thirty|forty|fifty)(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?"
    r"|the (?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last))"
)
_CHAPTER: Final = re.compile(
    rf"[*_]{{0,3}}(?:(?:Chapter|Part|Book|Act|Canto|Stave|Volume) {_NUMBER}"
    r"(?:[*_.]{0,4}| ?[.:—–-] ?[^.!?;,]{1,60}[.!?]?[*_]{0,3})"
    r"|(?:Prologue|Epilogue|Preface|Foreword|Afterword|Interlude)[*_.]{0,4})",
    re.IGNORECASE,
)
"""A line that opens a chapter, where nothing marks it as a heading."""
_END_TAGS: Final = re.compile(r"(?:</[A-Za-z]{1,10}>\s*+){1,4}$")
_PAUSE: Final = re.compile(
    r"\[[ \t]{0,4}pause(?![^\W\d_])([^\[\]\n]{0,40}+)(?:\]|(?=[\[\n])|$)"
    r"|\[[ \t]{0,4}pause[ \t]{0,4}[:=][ \t]{0,4}[\d.,]{0,20}(?:ms|s)?",
    re.IGNORECASE,
)
_LENGTH: Final = re.compile(
    r"[ \t]*+[:=]?[ \t]*+(\d{1,9}(?:[.,]\d{1,9})?+|[.,]\d{1,9})[ \t]*+"
    r"(ms|msec|milliseconds?|s|sec|secs|seconds?)?[ \t]*+",
    re.IGNORECASE,
)

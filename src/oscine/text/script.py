"""From what a user gives to what is spoken: passages with their speakers and the breaks between them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from oscine.text.blocks import Block, blocks
from oscine.text.characters import ends_sentence, joint, speakable
from oscine.text.labels import Cast, Label, is_script
from oscine.text.lines import LONGEST, Idle, Piece, Wrapping, complete_end, cut_point, lines
from oscine.text.normalise import ALL_RULES, Rules, normalise, plain_phonemes
from oscine.text.pronounce import Lexicon

BreakKind = Literal["none", "clause", "sentence", "line", "paragraph", "turn", "pause"]

LONGEST_PAUSE_MS: Final = 60_000
DEFAULT_PAUSE_MS: Final = 1000
"""Length of a bare `[pause]`."""
_SAMPLE: Final = 16_000
"""Characters at the start of a whole text by which it is judged: a script or not, hard-wrapped or not."""


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


def read(
    pieces: Iterable[str],
    *,
    speakers: Collection[str] = (),
    rules: Rules = ALL_RULES,
    lexicon: Lexicon | None = None,
    live: bool = False,
    warn: Callable[[str], None] = lambda _: None,
    keep_phonemes: bool = False,
    language: str = "en",
) -> Iterator[Passage]:
    """Passages of a text that is given whole or bit by bit, in memory that does not grow with it.

    A line `Alice: ...` changes the speaker if Alice is declared in `speakers`, or numbered (`Speaker 1:`, `[1]:`; both
    are "1"), or if the text is clearly a script (never with `live`); the speaker stays until the next label. `[pause]`,
    `[pause:800ms]` and `[pause:1.5s]` ask for a pause of at most 60 s. A blank line ends a paragraph. With `live` a
    passage is handed on as soon as its sentence is complete: when the next one has begun, or at the end of the line.

    `warn` is called once with each kind of thing that was left out or changed.
    """
    cast = Cast(speakers)
    wrapping = Wrapping()
    warned: set[str] = set()

    def tell(message: str) -> None:
        if message not in warned:
            warned.add(message)
            warn(message)

    source = lines(pieces, live=live, language=language)
    guess = False
    if not live:
        sample, source = _sample(source)
        opened = list(_openings(sample, rules.markdown))
        guess = is_script(opened, cast)
        _learn(opened, wrapping, cast if guess or speakers else None)

    def clean(text: str) -> str:
        said = normalise(text, rules, keep_phonemes=keep_phonemes, language=language)
        if lexicon is not None:
            said = lexicon.apply(said)
            said = said if keep_phonemes else plain_phonemes(said)
        return said if speakable(said) else ""

    run = _Run(clean, tell)
    for block in blocks(source, markdown=rules.markdown, warn=tell):
        if isinstance(block, Idle):
            run.idle(block.inside, language)
        else:
            tags, label = _label(block, cast, guess)
            if label:
                if tags:
                    run.add(block._replace(text=tags, fresh=True, ends=True), wrapping)
                run.turn(label.speaker)
                block = block._replace(text=label.rest, fresh=True)
            run.add(block, wrapping)
        yield from run.ready()
    run.close("none")
    yield from run.ready(last=True)


def speakers_in(text: str, *, speakers: Collection[str] = (), rules: Rules = ALL_RULES) -> list[str]:
    """The labels that `read` finds in a whole text, in order of appearance."""
    cast = Cast(speakers)
    sample, source = _sample(lines([text], live=False))
    guess = is_script(_openings(sample, rules.markdown), cast)
    found: dict[str, None] = {}
    for block in blocks(source, markdown=rules.markdown):
        if not isinstance(block, Idle) and (label := _label(block, cast, guess)[1]):
            found[label.speaker] = None
    return list(found)


_RANK: Final = {"none": 0, "clause": 1, "sentence": 2, "line": 3, "paragraph": 4, "turn": 5, "pause": 6}
_PAUSE: Final = re.compile(
    r"\[[ \t]{0,4}pause(?![^\W\d_])([^\[\]\n]{0,40}+)(?:\]|(?=[\[\n])|$)"
    r"|\[[ \t]{0,4}pause[ \t]{0,4}[:=][ \t]{0,4}[\d.,]{0,20}(?:ms|s)?",
    re.IGNORECASE,
)
_TAGS: Final = re.compile(r"(?:\s*\[[ \t]{0,4}pause(?![^\W\d_])[^\[\]\n]{0,40}+\])++\s*", re.IGNORECASE)
_LENGTH: Final = re.compile(
    r"[ \t]*+[:=]?[ \t]*+(\d{1,9}(?:[.,]\d{1,9})?+|[.,]\d{1,9})[ \t]*+"
    r"(ms|msec|milliseconds?|s|sec|secs|seconds?)?[ \t]*+",
    re.IGNORECASE,
)


def _label(block: Block, cast: Cast, guess: bool) -> tuple[str, Label | None]:
    """The pause tags that open a line, and the label after them."""
    if block.mark != "text" or not block.starts:
        return "", None
    found = _TAGS.match(block.text)
    tags = found[0] if found else ""
    label = cast.find(block.text[len(tags) :])
    return (tags, label) if label and (label.certain or guess) else ("", None)


class _Run:
    """The text since the last break, and the passages that are ready."""

    def __init__(self, clean: Callable[[str], str], tell: Callable[[str], None]) -> None:
        self._clean = clean
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

    def add(self, block: Block, wrapping: Wrapping) -> None:
        """Take in a line, or the next part of one."""
        if block.mark == "gap":
            self.close("paragraph")
        elif not block.starts:
            self._text += block.text
        else:
            line = block.text.strip()
            if self._text.strip() and not (block.mark == "text" and not block.fresh and self._goes_on(block, wrapping)):
                self.close("line")
            self._text = self._text.rstrip() + joint(self._text.rstrip()[-2:], line) + block.text.lstrip()
            self._item = self._item or block.mark in ("item", "heading")
        self._line = block.text
        self._open = not block.ends
        if block.mark == "heading" and block.ends:
            self.close("paragraph")
        elif not block.ends:
            self.close("sentence" if block.whole else "none", item=False)
        elif len(self._text) > LONGEST:
            at, whole = cut_point(self._text, LONGEST)
            if at:
                rest, self._text = self._text[at:], self._text[:at]
                self.close("sentence" if whole else "none", item=False)
                self._text = rest

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
            and not ends_sentence(text)
            and text.rstrip()[-1] not in ",;:：，；]"
        ):
            text = text.rstrip() + "."
        if item is None:
            self._item = False
        said = ""
        at = 0
        for found in _PAUSE.finditer(text) if "[" in text else ():
            said += text[at : found.start()]
            at = found.end()
            if (pause := self._pause(found)) is not None:
                self._say(said)
                said = ""
                self._break(Break("pause", pause))
        self._say(said + text[at:])
        self._break(Break(kind))

    def idle(self, inside: bool, language: str) -> None:
        """Nothing more is at hand: hand on what is complete."""
        if self._text and not self._open:
            if not inside or ends_sentence(self._text):
                self.close("line")
            else:
                end = complete_end(self._text, self._looked, language)
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
                self._pending = replace(self._pending, after=Break("none"))
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

    def _say(self, text: str) -> None:
        if said := self._clean(text):
            self._hand_on()
            self._pending = Passage(self._speaker, said, Break("none"))

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


def _sample(source: Iterator[Piece | Idle]) -> tuple[list[Piece | Idle], Iterator[Piece | Idle]]:
    taken: list[Piece | Idle] = []
    size = 0
    for piece in source:
        taken.append(piece)
        size += len(piece.text) if isinstance(piece, Piece) else 0
        if size >= _SAMPLE:
            break
    return taken, itertools.chain(taken, source)


def _openings(sample: Iterable[Piece | Idle], markdown: bool) -> Iterator[tuple[str, bool]]:
    """The lines of plain text in a sample, and whether each opens a paragraph."""
    opens = True
    for block in blocks(iter(sample), markdown=markdown):
        if isinstance(block, Idle) or not block.starts:
            continue
        if block.mark == "text" and block.text.strip():
            yield block.text, opens
            opens = False
        else:
            opens = True


def _learn(opened: list[tuple[str, bool]], wrapping: Wrapping, cast: Cast | None) -> None:
    for (line, _), (following, opens) in itertools.pairwise(opened):
        if not opens and not (cast and cast.find(following)):
            wrapping.see(line, following)

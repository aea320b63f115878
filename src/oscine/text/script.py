"""From what a user gives to what is spoken: passages with their speakers and the breaks between them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from oscine.text.blocks import Block, blocks
from oscine.text.characters import speakable
from oscine.text.labels import Cast, Label, is_script
from oscine.text.language import Language
from oscine.text.lines import Idle, Piece, Wrapping, lines
from oscine.text.marks import NO_MARKS, MarkKind, masked
from oscine.text.normalise import ALL_RULES, Rules, normalise
from oscine.text.passages import Break as Break
from oscine.text.passages import Passage as Passage
from oscine.text.passages import Run
from oscine.text.pronounce import Lexicon
from oscine.text.written import Respelling, with_marks


def read(
    pieces: Iterable[str],
    *,
    speakers: Collection[str] = (),
    rules: Rules = ALL_RULES,
    lexicon: Lexicon | None = None,
    live: bool = False,
    warn: Callable[[str], None] = lambda _: None,
    marks: Collection[MarkKind] = NO_MARKS,
    language: str | None = "en",
) -> Iterator[Passage]:
    """Passages of a text that is given whole or bit by bit, in memory that does not grow with it.

    A line `Alice: ...` changes the speaker if Alice is declared in `speakers`, or numbered (`Speaker 1:`, `[1]:`; both
    are "1"), or if the text is clearly a script (never with `live`, nor without the rule `script`); the speaker stays
    until the next label. `[pause]`, `[pause:800ms]` and `[pause:1.5s]` ask for a pause of at most 60 s. A blank line
    ends a paragraph. With `live` a passage is handed on as soon as its sentence is complete: when the next one has
    begun, or at the end of the line. `marks` says which pronunciations inside the text are handed on; of others the
    word remains. Without a `language` (BCP 47) each passage has the one that its words tell.

    `warn` is called once with each kind of thing that was left out or changed.
    """
    cast = Cast(speakers)
    wrapping = Wrapping()
    warned: set[str] = set()

    def tell(message: str) -> None:
        if message not in warned:
            warned.add(message)
            warn(message)

    spoken = Language(language)
    source = lines(pieces, live=live, language=spoken)
    guess = False
    opened: list[tuple[str, bool]] = []
    if not live:
        sample, source, cut = _sample(source)
        opened = list(_openings(sample, rules.markdown, cut))
        guess = rules.script and is_script(opened, cast)
        _learn(opened, wrapping, cast if guess or speakers else None)
        sampled = "\n".join(line for line, _ in opened)
        spoken.learn(sampled)
        wrapping.learn(sampled)

    def clean(text: str, language: str) -> tuple[str, tuple[Respelling, ...]]:
        if live:
            spoken.learn(text)
        said = normalise(text, rules, marks=marks, language=language)
        respellings: tuple[Respelling, ...] = ()
        if lexicon is not None:
            said, respellings = lexicon.respell(said, kinds=marks)
        said, respellings = with_marks(said, respellings, marks)
        return (said, respellings) if speakable(said) else ("", ())

    if guess and (message := _guessed(opened, cast)):
        tell(message)
    run = Run(clean, tell, spoken)
    for block in _by_turns(blocks(source, markdown=rules.markdown, live=live, warn=tell)):
        if isinstance(block, Idle):
            run.idle(block.inside)
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
    sample, source, cut = _sample(lines([text], live=False))
    guess = rules.script and is_script(_openings(sample, rules.markdown, cut), cast)
    found: dict[str, None] = {}
    for block in _by_turns(blocks(source, markdown=rules.markdown)):
        if not isinstance(block, Idle) and (label := _label(block, cast, guess)[1]):
            found[label.speaker] = None
    return list(found)


_SAMPLE: Final = 16_000
"""Characters at the start of a whole text by which it is judged: a script or not, hard-wrapped or not."""


_NUMBERED: Final = re.compile(
    r"(?:(?<=[.!?…。！？\"'”’)\]*])\s*|(?:^|\n)\s*)(?=\bspeaker\s?#?\d{1,3}\s?(?::\s|：))", re.IGNORECASE
)


def _by_turns(source: Iterable[Block | Idle]) -> Iterator[Block | Idle]:
    """The blocks, those cut where `Speaker 2:` begins after the end of a sentence in the middle of a line."""
    whole = True
    for block in source:
        if isinstance(block, Idle) or block.mark != "text":
            yield block
            continue
        starts = (
            [found.end() for found in _NUMBERED.finditer(block.text)] if ":" in block.text or "：" in block.text else []
        )
        starts = [at for at in starts if at or (whole and not block.starts)]
        whole = block.whole
        for number, (at, end) in enumerate(zip([0, *starts], [*starts, len(block.text)], strict=True)):
            part = block._replace(text=block.text[at:end])
            if number < len(starts):
                part = part._replace(ends=True, whole=True)
            if number:
                part = part._replace(starts=True, fresh=True)
            if part.text or not starts:
                yield part


_TAGS: Final = re.compile(r"(?:\s*\[[ \t]{0,4}pause(?![^\W\d_])[^\[\]\n]{0,40}+\])++\s*", re.IGNORECASE)


def _label(block: Block, cast: Cast, guess: bool) -> tuple[str, Label | None]:
    """The pause tags that open a line, and the label after them."""
    if block.mark != "text" or not block.starts:
        return "", None
    found = _TAGS.match(masked(block.text)) if "[" in block.text else None
    tags = found[0] if found else ""
    label = cast.find(block.text[len(tags) :])
    return (tags, label) if label and (label.certain or guess) else ("", None)


def _guessed(opened: list[tuple[str, bool]], cast: Cast) -> str:
    """A warning that names the speakers nobody declared."""
    labels = [cast.find(line) for line, _ in opened]
    names = list(dict.fromkeys(label.speaker for label in labels if label and not label.certain))
    if not names:
        return ""
    told = [*names[:3], f"{len(names) - 3:,} more"] if len(names) > 4 else names
    listed = f"{', '.join(told[:-1])} and {told[-1]} were" if len(told) > 1 else f"{told[0]} was"
    return (
        f"{listed} taken for {'speakers' if len(told) > 1 else 'a speaker'}; name them in voices, or, if they are none,"
        " write a backslash before the colon or switch the text rule script off."
    )


def _sample(source: Iterator[Piece | Idle]) -> tuple[list[Piece | Idle], Iterator[Piece | Idle], bool]:
    """The start of a text, the whole of it, and whether it goes on after the start."""
    taken: list[Piece | Idle] = []
    size = 0
    for piece in source:
        taken.append(piece)
        size += len(piece.text) if isinstance(piece, Piece) else 0
        if size >= _SAMPLE:
            break
    return taken, itertools.chain(taken, source), size >= _SAMPLE


def _openings(sample: Iterable[Piece | Idle], markdown: bool, cut: bool) -> Iterator[tuple[str, bool]]:
    """The lines of plain text in a sample, and whether each opens a paragraph."""
    opens = True
    for block in blocks(sample, markdown=markdown, cut=cut):
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

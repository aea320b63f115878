"""From a checked request to pieces that an engine can speak, made one by one while the text is read.

So text may still be arriving. `oscine.synthesis.prepare` makes the plan and finds what is wrong with a request.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from oscine.config import Settings
from oscine.engines.protocol import EngineInfo, Lengths, Turn, Utterance
from oscine.errors import InvalidRequest
from oscine.request import SpeechRequest
from oscine.synthesis.cast import Cast
from oscine.synthesis.pauses import pause_after
from oscine.text.alphabets import foreign
from oscine.text.measure import room, speakable
from oscine.text.normalise import Rules
from oscine.text.pronounce import Lexicon
from oscine.text.script import Break, Passage, read
from oscine.text.split import Chunk, check_words, split
from oscine.text.written import Written
from oscine.voices.prompt import Prompt

FIRST_CHARS: Final = 90
"""Length of a listener's first piece in characters: about five seconds of speech, so that the first sound comes
soon."""
CONTINUES: Final = Break("none")


@dataclass(frozen=True)
class Sentence:
    """A sentence and who says it."""

    text: str
    """As it was written, not as a lexicon or phonemes respell it."""
    speaker: str | None


@dataclass(frozen=True, eq=False)
class Piece:
    """An utterance with its place in the whole."""

    index: int
    utterance: Utterance
    sentences: tuple[Sentence, ...]
    pause_ms: int
    """Silence before it, from the last sound of the piece before."""
    key: str
    """Equal keys mean equal audio: text, voice, options, seed, engine and its version."""
    at: int = 0
    """Characters in the pieces before it."""
    chapter: str | None = None
    """The title of the chapter that it opens; always with a piece of its own."""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        end = self.at + sum(len(turn.text) for turn in self.utterance.turns)
        return f"piece {self.index + 1}, about characters {self.at + 1:,} to {end:,}"


@dataclass(eq=False)
class Plan:
    """A checked request and the pieces it comes to. Made by `make_plan`; good for one reading."""

    request: SpeechRequest
    info: EngineInfo
    cast: Cast
    settings: Settings
    text: Iterable[str]
    live: bool
    """The text is still being written: pieces are made as its sentences complete."""
    seed: int
    speed: float
    """The part of the request's speed that the engine does."""
    stretch: float
    """The part that is left for the time-stretch."""
    lengths: Lengths
    rules: Rules
    lexicon: Lexicon | None
    options: Mapping[str, object]
    """What the engine is given of the fields that only some engines use; a recording as its `Prompt`."""
    warnings: list[str] = field(default_factory=list)
    tail_ms: int = 0
    """Silence that was asked for after the last piece; known when `pieces` has ended."""
    characters: int = 0
    """Characters in the pieces that were made so far."""
    voices: tuple[str, ...] | None = None
    """The voices that will speak, in order; None: the text was not read to its end yet."""
    chapters: tuple[str, ...] = ()
    """Titles of the chapters, in order, where the text was read to its end; the first is empty where something is said
    before a chapter begins."""
    _told: str | None = None
    """The language of the whole text, as the engine tells it."""
    _scripts: set[str] = field(default_factory=set)
    """Those that were warned about."""

    def warn(self, message: str) -> None:
        """Add a warning for the result, each only once."""
        if message not in self.warnings:
            self.warnings.append(message)

    def pieces(self, *, listener: bool = False) -> Iterator[Piece]:
        """The pieces in order; for a listener the first one is short.

        Raises InvalidRequest when there turns out to be nothing to say.
        """
        seen: Counter[str] = Counter()
        heard: set[str] = set()
        group: list[_Line] = []
        before = after = count = 0
        said, following = "", CONTINUES
        if listener and self.live:  # who writes while somebody listens is not waited for
            self.lengths = replace(self.lengths, gather=0)
        for line, found in self._lines(listener):
            if line is None:
                following = following.joined(found)
                after = self._pause_after(said, following)
                if group and not self._goes_on(group, following):
                    yield self._piece(count, group, before, seen)
                    count, group = count + 1, []
                continue
            if group and self._is_full(group, line):
                yield self._piece(count, group, before, seen)
                count, group = count + 1, []
            if not group:
                before = after
            heard.update([line.speaker] if line.speaker is not None else [])
            group.append(line)
            said, following = line.chunk.text, found
            after = self._pause_after(said, following)
            if not self._goes_on(group, following):
                yield self._piece(count, group, before, seen)
                count, group = count + 1, []
        if group:
            yield self._piece(count, group, before, seen)
            count += 1
        if count == 0:
            raise _nothing_to_say()
        if missing := self.cast.missing(heard):
            self.warn(f"The text has no lines for {', '.join(missing)}; a line starts with the name and a colon.")
        self.tail_ms = after if following.kind == "pause" else 0

    def _pause_after(self, said: str, following: Break) -> int:
        if not said:
            return following.ms or 0
        asked = self.request.chunk_pause_ms
        asked = self.settings.chunk_silence_ms if asked is None else asked
        return pause_after(said, following, asked_ms=asked, speed=self.request.speed)

    @property
    def _language(self) -> str | None:
        """BCP 47; None: the engine decides."""
        asked = (self.request.language or "auto").lower()
        return None if asked == "auto" else asked

    @property
    def _text_language(self) -> str | None:
        """By whose rules the text is divided and read; None: that of each passage, since the engine speaks several."""
        return self._language or (self.info.languages[0] if len(self.info.languages) == 1 else None)

    def _language_of(self, text: str) -> str | None:
        """Of a piece: what was asked for, else what the engine can tell of it and of the whole."""
        if self._language is not None or self.info.tells is None:
            return self._language
        if self._told is None:
            self._told = self.info.tells(text if self.live else "".join(self.text), None)
        return self.info.tells(text, self._told)

    def check(self) -> None:
        """Read a text that is given whole once, before anything is spoken, and cast its speakers.

        A listener does not wait for that: there, only up to the first words. Raises InvalidRequest.
        """
        voices: dict[str, None] = {}
        chapters: list[str] = []
        for passage in self._passages(lambda _message: None):
            check_words(passage.text)
            if passage.chapter is not None:
                chapters.append(passage.chapter)
            if speakable(passage.text):
                chapters = chapters or [""]
                voices[self.cast.voice(passage.speaker, self.warn).name] = None
                if self.request.stream:
                    return
        if not voices:
            raise _nothing_to_say()
        self.voices = tuple(voices)
        self.chapters = tuple(chapters)

    def _passages(self, warn: Callable[[str], None]) -> Iterator[Passage]:
        return read(
            self._watched(),
            speakers=self.cast.labels,
            rules=self.rules,
            lexicon=self.lexicon,
            marks=self.info.capabilities.inline_marks,
            live=self.live,
            warn=warn,
            language=self._text_language,
        )

    def _lines(self, listener: bool) -> Iterator[tuple[_Line | None, Break]]:
        """Each line and what follows it; a pause before the first word comes without one."""
        first: int | None = FIRST_CHARS if listener else None
        for passage in self._passages(self.warn):
            if self.voices is None:
                check_words(passage.text)
            self._warn_of_letters(passage.text)
            held: _Line | None = None
            written = Written(passage.text, passage.respellings)
            lengths = self.lengths
            for chunk in split(
                passage.text,
                limit=lengths.limit,
                pack=lengths.pack,
                shortest=lengths.shortest,
                first=first,
                language=passage.language,
            ):
                if not speakable(chunk.text):
                    continue
                chunk = replace(chunk, sentences=tuple(map(written.of, chunk.sentences)))
                first = None
                if held is not None:
                    yield held, CONTINUES
                held = _Line(passage.speaker, chunk, passage.chapter if held is None else None)
            yield held, passage.after

    def _warn_of_letters(self, text: str) -> None:
        """Tell once of each script that the engine's languages are not written in."""
        for script, word in foreign(text, self.info.languages):
            if script not in self._scripts:
                self._scripts.add(script)
                self.warn(
                    f"The engine {self.info.name} speaks no language with {script} letters, such as {word}; they are"
                    " left out or said wrongly."
                )

    def _watched(self) -> Iterator[str]:
        """The text as it arrives, stopped where it becomes longer than allowed."""
        total, limit = 0, self.settings.max_text_length
        for part in self.text:
            if not isinstance(part, str):
                raise InvalidRequest("text must be a string or an iterator of strings.", param="text")
            total += len(part)
            if limit and total > limit:
                raise InvalidRequest(
                    f"text is longer than {limit:,} characters; send it in parts, or raise the limit with"
                    " MAX_TEXT_LENGTH or --max-text (0 = no limit).",
                    param="text",
                )
            yield part

    def _is_full(self, group: list[_Line], line: _Line) -> bool:
        speakers = {one.speaker for one in (*group, line)}
        return len(speakers) > self.info.capabilities.speakers or self._filled([*group, line]) > self.lengths.gather

    def _filled(self, group: list[_Line]) -> float:
        """In letters of English, with what a script has around each turn."""
        return sum(room(line.chunk.text) + self.lengths.turn for line in group)

    def _goes_on(self, group: list[_Line], following: Break) -> bool:
        """Whether more turns may join the group; it ends at a pause or chapter and, once well filled, a paragraph."""
        if not self.lengths.gather or following.kind in ("pause", "chapter"):
            return False
        return following.kind != "paragraph" or self._filled(group) < 0.7 * self.lengths.gather

    def _piece(self, index: int, group: list[_Line], pause_ms: int, seen: Counter[str]) -> Piece:
        turns = tuple(Turn(line.speaker or "", line.chunk.text) for line in group)
        prompts = {line.speaker or "": self.cast.voice(line.speaker, self.warn) for line in group}
        language = self._language_of(" ".join(turn.text for turn in turns))
        identity = _digest(
            {
                "engine": [self.info.name, self.info.version],
                "turns": [[turn.speaker, turn.text] for turn in turns],
                "voices": {label: prompt.key for label, prompt in prompts.items()},
                "speed": self.speed,
                "language": language,
                "options": {name: _content(value) for name, value in self.options.items()},
                "seed": self.seed,
            }
        )
        seen[identity] += 1
        key = _digest([identity, seen[identity]])
        utterance = Utterance(
            turns=turns,
            prompts=prompts,
            seed=int(key[:16], 16) >> 1,
            speed=self.speed,
            language=language,
            options=self.options,
            whole_seed=self.seed,
        )
        at = self.characters
        self.characters += sum(len(turn.text) for turn in turns)
        sentences = tuple(Sentence(text, line.speaker) for line in group for text in line.chunk.sentences)
        return Piece(index, utterance, sentences, pause_ms, key, at, group[0].chapter)


class _Line(NamedTuple):
    """What somebody says in one go."""

    speaker: str | None
    chunk: Chunk
    chapter: str | None
    """The title of the chapter that it opens."""


def _nothing_to_say() -> InvalidRequest:
    return InvalidRequest("text has nothing that can be spoken; give it at least one word.", param="text")


def _content(value: object) -> object:
    """An option as it counts for the sound: a recording by its content, whatever it is called."""
    return value.key if isinstance(value, Prompt) else value


def _digest(value: Mapping[str, object] | list[object]) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

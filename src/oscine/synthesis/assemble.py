"""From spoken pieces to one continuous track: silence trimmed, pauses as planned, no clicks, times for sentences.

Every engine leaves silence of its own before and after what it says. Of that, a margin is kept (it carries the room
tone of a cloned voice), and between the last sound of one piece and the first of the next stands exactly the planned
pause: margins that are too short are filled up, with the room tone that they hold, else with silence; margins that are
too long overlap with equal power. Speech itself is never faded, cut or overlapped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from oscine.audio.chapters import Chapter
from oscine.audio.fade import fade_in, fade_out, overlap
from oscine.audio.room import has_room_tone, room_tone
from oscine.audio.silence import RoomLevel, speech_bounds
from oscine.audio.waveform import Samples
from oscine.synthesis.align import Envelope, sentence_spans
from oscine.synthesis.plan import Piece, Sentence
from oscine.synthesis.speak import Spoken

START_MS: Final = 50
"""Silence before a stream's first sound. At least one AAC frame (1024 samples), whose encoder starts from nothing."""
END_MS: Final = 180
"""Silence after a stream's last sound."""
FILE_START_MS: Final = 150
FILE_END_MS: Final = 400
"""Around a file there is more: players cut the edges, and speech that begins and ends at once sounds hurried."""
EDGE_MS: Final = 8
"""Length of the fade at an edge that meets silence."""
BESIDE_MS: Final = 20
"""What of a margin may still be speech that dies away, and no room tone."""
ROOM_FADE_MS: Final = 300
"""Length of the fade between room tone and the silence around a track."""
INAUDIBLE: Final = 10 ** (-70 / 20)
"""No speech is so soft, full scale being 1."""
CHAPTER_LEAD_MS: Final = 500
"""Silence between a chapter's mark and its first sound, at most: who jumps there hears all of it."""
CLOSEST_MS: Final = 10
"""With no pause at all, margins of this length overlap."""


@dataclass(frozen=True)
class Segment:
    """A sentence and where it is in the result."""

    text: str
    speaker: str | None
    start: float
    """Seconds from the start of the result to the sentence's first sound."""
    end: float
    """Seconds to the end of its last sound."""


class Assembler:
    """Joins pieces; feed it in order. The track starts `start_ms` before the first sound, at least."""

    def __init__(
        self,
        sample_rate: int,
        *,
        margin_ms: int = 100,
        crossfade: bool = True,
        start_ms: int = START_MS,
        end_ms: int = END_MS,
    ) -> None:
        self.segments: list[Segment] = []
        self.chapters: list[Chapter] = []
        """Those that have sound. The first starts with the track if nothing is said before it."""
        self.seams: list[tuple[int, int]] = []
        """Sample ranges from the end of one piece's speech to the start of the next one's."""
        self._rate = sample_rate
        self._margin = self._count(max(CLOSEST_MS, margin_ms))
        self._crossfade = crossfade
        self._start_silence, self._end = self._count(start_ms), self._count(end_ms)
        self._edge = self._count(EDGE_MS)
        self._emitted = 0
        self._tail: Samples | None = None
        self._speech_end = 0
        self._rooms: dict[frozenset[str], RoomLevel] = {}
        self._piece: Piece | None = None
        self._opening: list[str] = []
        """Titles of chapters whose first sound is to come."""
        self._pause_ms = 0
        self._heard = False
        self._held = _NOTHING
        self._onset = 0
        self._quiet = 0
        self._envelope = Envelope(sample_rate)

    def push(self, spoken: Spoken) -> Samples:
        """Add the next samples of a piece; returns what is certain by now, float32 `[n]`."""
        if self._piece is not spoken.piece:
            self._begin(spoken.piece)
        if self._heard and not len(spoken.samples):  # where the speech ends was found with the last of its sound
            if spoken.last:
                self._leave()
            return _NOTHING
        samples = np.concatenate([self._held, spoken.samples]) if len(self._held) else spoken.samples
        room = self._room_of(spoken.piece)
        bounds = _bounds(samples, self._rate, room.dbfs())
        room.push(spoken.samples)
        out: list[Samples] = []
        if not self._heard:
            if bounds is None:
                self._held = samples[-self._margin :]
                if spoken.last:
                    self._piece = None
                return _NOTHING
            start, end = bounds
            if start < self._edge:  # sound from the very start
                samples = fade_in(samples, self._edge)
            out.append(self._enter(samples[max(0, start - self._margin) : start], self._pause_ms))
            samples, end, fresh = samples[start:], end - start, samples[start:]
            self._heard = True
        else:
            end = bounds[1] if bounds is not None else self._quiet_from()
            fresh = spoken.samples
        if len(spoken.piece.sentences) > 1:
            self._envelope.push(fresh)
        certain = max(0, min(end, len(samples)) - self._edge)
        out.append(self._emit(samples[:certain]))
        self._held = samples[certain:]
        self._quiet = len(samples) - end
        if spoken.last:
            self._leave()
        return np.concatenate(out)

    def finish(self, tail_ms: int = 0) -> Samples:
        """The end of the track: the last margin and silence, `end_ms` together, or `tail_ms` where that is longer."""
        if self._tail is None:
            return _NOTHING
        wanted = max(self._end, self._count(tail_ms))
        speech, tail = self._tail[: self._edge], self._tail[self._edge :][:wanted]
        self._tail = None
        if len(self._room(tail)):
            filled = self._filled(tail, _NOTHING, wanted - len(tail))
            return self._emit(np.concatenate([speech, fade_out(filled, min(wanted, self._count(ROOM_FADE_MS)))]))
        tail = fade_out(np.concatenate([speech, tail]), self._edge)
        return self._emit(np.concatenate([tail, _silence(self._edge + wanted - len(tail))]))

    @property
    def duration(self) -> float:
        """Seconds of track so far."""
        return self._emitted / self._rate

    def _begin(self, piece: Piece) -> None:
        silent = self._piece is None and not self._heard  # the pause before a piece without sound is not lost
        self._piece = piece
        if piece.chapter is not None:
            self._opening.append(piece.chapter)
        self._pause_ms = max(piece.pause_ms, self._pause_ms if silent else 0)
        self._heard = False
        self._held = _NOTHING
        self._quiet = 0
        self._envelope = Envelope(self._rate)

    def _enter(self, lead: Samples, pause_ms: int) -> Samples:
        """From the last piece's speech to this one's: margin, silence or overlap, margin."""
        if self._tail is None:
            joined = self._start(lead, pause_ms)
        else:
            joined = self._join(self._tail, lead, self._count(pause_ms))
        self._tail = None
        emitted = self._emit(joined)
        if self._opening:
            self._mark_chapters()
        self.seams.append((self._speech_end, self._emitted))
        self._onset = self._emitted
        return emitted

    def _mark_chapters(self) -> None:
        """At the onset of a piece: note the chapters that it opens, in the pause before it."""
        lead = min(self._count(CHAPTER_LEAD_MS), (self._emitted - self._speech_end) // 2)
        start = (self._emitted - lead) / self._rate if self.seams else 0.0
        self.chapters += [Chapter(title, round(start, 3)) for title in self._opening]
        self._opening.clear()

    def _start(self, lead: Samples, pause_ms: int) -> Samples:
        wanted = max(self._start_silence, self._count(pause_ms))
        lead = lead[-wanted:]
        if len(self._room(lead[::-1])):
            filled = self._filled(_NOTHING, lead, wanted - len(lead))
            return fade_in(filled, min(wanted, self._count(ROOM_FADE_MS)))
        return np.concatenate([_silence(wanted - len(lead)), fade_in(lead, min(self._edge, len(lead)))])

    def _join(self, tail: Samples, lead: Samples, pause: int) -> Samples:
        """`tail` begins with the last `edge` samples of speech, which are kept whole."""
        speech, tail = tail[: self._edge], tail[self._edge :]
        pause = max(pause, self._count(CLOSEST_MS))
        tail, lead = tail[:pause], lead[len(lead) - min(pause, len(lead)) :]
        excess = len(tail) + len(lead) - pause
        if excess > 0 and not self._crossfade:
            tail, excess = tail[: len(tail) - min(excess, len(tail))], excess - min(excess, len(tail))
            lead, excess = lead[excess:], 0
        if excess > 0:
            shared = overlap(tail[len(tail) - excess :], lead[:excess])
            return np.concatenate([speech, tail[: len(tail) - excess], shared, lead[excess:]])
        return self._filled(np.concatenate([speech, tail]), lead, -excess, speech=len(speech))

    def _filled(self, tail: Samples, lead: Samples, missing: int, *, speech: int = 0) -> Samples:
        """`missing` samples between two margins: from one's room tone to the other's, else silence.

        The first `speech` samples of `tail` are no margin.
        """
        before, after = self._room(tail[speech:]), self._room(lead[::-1])
        out_edge, in_edge = min(self._edge, len(tail)), min(self._edge, len(lead))
        if not len(before) and not len(after):
            return np.concatenate([fade_out(tail, out_edge), _silence(missing), fade_in(lead, in_edge)])
        count = out_edge + missing + in_edge
        if len(before) and len(after):
            fill = overlap(room_tone(before, count), room_tone(after, count))
        elif len(before):
            fill = room_tone(before, count) if not len(lead) else fade_out(room_tone(before, count), count)
        else:
            fill = room_tone(after, count) if not len(tail) else fade_in(room_tone(after, count), count)
        return np.concatenate(
            [
                tail[: len(tail) - out_edge],
                overlap(tail[len(tail) - out_edge :], fill[:out_edge]),
                fill[out_edge : count - in_edge],
                overlap(fill[count - in_edge :], lead[:in_edge]),
                lead[in_edge:],
            ]
        )

    def _room(self, margin: Samples) -> Samples:
        """The room tone in a margin, which begins beside the speech; nothing where it holds none."""
        far = margin[self._count(BESIDE_MS) :]
        return far if has_room_tone(far, self._rate) else _NOTHING

    def _leave(self) -> None:
        """The piece is over: keep its margin and note when its sentences were said."""
        assert self._piece is not None
        speech = len(self._held) - self._quiet
        tail = self._held[: speech + self._margin]
        self._tail = np.concatenate([_silence(self._edge - speech), tail]) if speech < self._edge else tail
        self._speech_end = self._emitted + speech
        self.segments.extend(self._timed(self._piece.sentences))
        self._held = _NOTHING
        self._piece = None

    def _room_of(self, piece: Piece) -> RoomLevel:
        """What is known of the room of those who speak `piece`."""
        voices = frozenset(prompt.key for prompt in piece.utterance.prompts.values())
        if voices not in self._rooms:
            self._rooms[voices] = RoomLevel(self._rate)
        return self._rooms[voices]

    def _timed(self, sentences: tuple[Sentence, ...]) -> Iterable[Segment]:
        length = (self._speech_end - self._onset) / self._rate
        start = self._onset / self._rate
        spans = sentence_spans([sentence.text for sentence in sentences], length, self._envelope)
        for sentence, (begin, end) in zip(sentences, spans, strict=True):
            yield Segment(sentence.text, sentence.speaker, round(start + begin, 3), round(start + end, 3))

    def _quiet_from(self) -> int:
        """Where the silence began that is still held."""
        return len(self._held) - self._quiet

    def _emit(self, samples: Samples) -> Samples:
        self._emitted += len(samples)
        return samples

    def _count(self, ms: float) -> int:
        return round(ms * self._rate / 1000)


_NOTHING: Final[Samples] = np.zeros(0, np.float32)
_SOON: Final = 512


def _bounds(samples: Samples, sample_rate: int, room_dbfs: float = -math.inf) -> tuple[int, int] | None:
    """Where speech is, to the sample where it stands in silence."""
    bounds = speech_bounds(samples, sample_rate, room_dbfs=room_dbfs) if len(samples) else None
    if bounds is None:
        return None
    start, end = bounds
    first, after = _audible(samples[start:end]), _audible(samples[start:end][::-1])
    return bounds if first is None or after is None else (start + first, end - after)


def _audible(samples: Samples) -> int | None:
    """The first sample that can be heard: as a rule one of the very first."""
    for stop in (_SOON, len(samples)):
        heard = np.abs(samples[:stop]) > INAUDIBLE
        first = int(heard.argmax()) if len(heard) else 0
        if heard[first : first + 1].any():
            return first
    return None


def _silence(count: int) -> Samples:
    return np.zeros(max(0, count), np.float32)

"""The whole way from a plan to mastered sound: for a listener while it is spoken, and for a file."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final, Protocol

import numpy as np

from oscine.audio.chapters import Chapter
from oscine.audio.resample import Resampler
from oscine.audio.waveform import Samples, Waveform
from oscine.errors import InvalidRequest
from oscine.synthesis.assemble import END_MS, FILE_END_MS, FILE_START_MS, START_MS, Assembler
from oscine.synthesis.job import Job
from oscine.synthesis.levels import VoiceLevels
from oscine.synthesis.master import FileMaster, Level, StreamMaster
from oscine.synthesis.plan import Piece, Plan
from oscine.synthesis.result import Report
from oscine.synthesis.speak import Speaking, Spoken
from oscine.synthesis.spool import Spool

MASTERINGS: Final = 3
"""How often a file is mastered at most before the result is taken as it is."""
WORTHWHILE_LU: Final = 0.1
"""A mastering that came no nearer than this is the last."""
_BACKLOG: Final = 8
"""Blocks between synthesis and an encoder that runs beside it."""
_TOLD: Final = 10
"""Pieces that one warning names."""


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    characters: int
    """Characters that were spoken."""
    audio_seconds: float
    elapsed_seconds: float


class Sink(Protocol):
    """Takes a track; an encoder that writes to a file is one."""

    def push(self, samples: Samples) -> object:
        """Add samples, float32 `[n]`."""
        ...

    def finish(self) -> object:
        """Complete the file."""
        ...

    def close(self) -> None:
        """Free everything, also midway; idempotent."""
        ...


OnProgress = Callable[[Progress], None]


class Track:
    """A plan on its way to sound. Use one of its methods, once; `report` tells about what was made."""

    def __init__(
        self, plan: Plan, job: Job, sample_rate: int, *, ceiling_dbtp: float, on_progress: OnProgress | None = None
    ) -> None:
        self.plan = plan
        self.sample_rate = sample_rate
        self._job = job
        self._ceiling = ceiling_dbtp
        self._on_progress = on_progress or (lambda _progress: None)
        self._assembler = self._new_assembler()
        self._levels = VoiceLevels(plan)
        self._master: FileMaster | StreamMaster | None = None
        self._first: float | None = None
        self._took = 0.0
        self._idle = 0.0
        """Seconds in which a listener took nothing."""
        self._count = 0
        self._spoken: dict[int, Piece] = {}
        self._reused = 0
        self._characters = 0

    def stream(self) -> Iterator[Waveform]:
        """Mastered sound while it is spoken."""
        master = StreamMaster(self.sample_rate, self.plan.request.loudness, ceiling_dbtp=self._ceiling)
        self._master = master
        for samples in self._through(master, Speaking(self.plan, self._job)):
            handed = time.monotonic()
            yield Waveform(samples, self.sample_rate)
            self._idle += time.monotonic() - handed

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(self._characters, self._count / self.sample_rate, self._elapsed())

    def whole(self) -> Waveform:
        """All of it in memory, its gain settled on the whole."""
        master = FileMaster(self.sample_rate, self.plan.request.loudness, ceiling_dbtp=self._ceiling, settle_s=np.inf)
        self._master = master
        parts = list(self._through(master, Speaking(self.plan, self._job)))
        return Waveform(np.concatenate(parts) if parts else np.zeros(0, np.float32), self.sample_rate)

    def write(self, open_sink: Callable[[], Sink], spool: Spool) -> None:
        """Into a sink, encoded beside the synthesis.

        Where the result misses its loudness, or a voice that of the others, the track is mastered again from the
        spooled pieces, into a new sink.
        """
        if spool.warning is not None:
            self.plan.warn(spool.warning)
        pieces: Iterable[Piece] | None = None
        gain: float | None = None
        missed = np.inf
        for _ in range(MASTERINGS):
            master = FileMaster(self.sample_rate, self.plan.request.loudness, ceiling_dbtp=self._ceiling, gain_db=gain)
            self._master = master
            sink = open_sink()
            try:
                with _Beside(sink) as beside:
                    for samples in self._through(master, Speaking(self.plan, self._job, spool=spool, pieces=pieces)):
                        beside.push(samples)
                sink.finish()
            finally:
                sink.close()
            if pieces is None and self._levels.settle():
                pieces = list(self._spoken.values())
                continue
            gain, before, missed = master.better_gain(), missed, abs(master.missed_by())
            if gain is None or missed > before - WORTHWHILE_LU:
                break
            pieces = list(self._spoken.values())
        spool.prune()

    def report(self) -> Report:
        """Facts about the finished track."""
        assert self._master is not None, "nothing was made yet"
        level = self._master.level()
        if level.loudness_lufs is None and self.plan.request.loudness is not None and self._count:
            self.plan.warn(
                "The speech is too short or too quiet to measure its loudness, so its level was left as it is."
            )
        self._tell_missed(level)
        return Report(
            duration=self._count / self.sample_rate,
            sample_rate=self.sample_rate,
            engine=self.plan.info.name,
            voices=tuple(dict.fromkeys(name for piece in self._spoken.values() for name in _voices(piece))),
            seed=self.plan.seed,
            pieces=len(self._spoken),
            pieces_reused=self._reused,
            characters=self._characters,
            loudness_lufs=level.loudness_lufs,
            true_peak_dbtp=level.true_peak_dbtp,
            synthesis_seconds=self._took,
            segments=tuple(self._assembler.segments),
            warnings=tuple(self.plan.warnings),
            chapters=self.chapters,
            first_audio_seconds=self._first,
        )

    @property
    def chapters(self) -> tuple[Chapter, ...]:
        """The chapters so far."""
        return tuple(self._assembler.chapters)

    @property
    def seams(self) -> list[tuple[float, float]]:
        """Where pieces meet: from the end of one's speech to the start of the next one's, in seconds."""
        rate = self.plan.info.sample_rate
        return [(start / rate, end / rate) for start, end in self._assembler.seams]

    def _through(self, master: FileMaster | StreamMaster, spoken: Speaking) -> Iterator[Samples]:
        self._assembler = assembler = self._new_assembler()
        resampler = None
        if self.sample_rate != self.plan.info.sample_rate:
            resampler = Resampler(self.plan.info.sample_rate, self.sample_rate)
        again = bool(self._spoken)
        self._count = 0
        entered = 0
        silent: list[tuple[int, float]] = []
        for part in spoken:
            samples = assembler.push(self._levels.level(part))
            for finished in master.parts(resampler.push(samples) if resampler else samples):
                yield from self._out(finished)
                spoken.go_on()
            if part.last and isinstance(master, StreamMaster):
                yield from self._out(master.settle())
            if part.last:
                if len(assembler.seams) == entered:
                    silent.append((part.piece.index + 1, assembler.duration))
                entered = len(assembler.seams)
            if part.last and not again:
                self._note(part)
        if not entered:
            raise InvalidRequest(
                f"text has nothing that the engine {self.plan.info.name} can read; write in a language that it speaks"
                f" ({', '.join(self.plan.info.languages)}), or choose another engine.",
                param="text",
            )
        if silent:
            self.plan.warn(_left_out(self.plan.info.name, silent))
        samples = assembler.finish(self._tail_ms())
        if resampler:
            samples = np.concatenate([resampler.push(samples), resampler.finish()])
        for finished in chain(master.parts(samples), master.rest()):
            yield from self._out(finished)
        self._took = self._elapsed() - self._idle

    def _out(self, samples: Samples) -> Iterator[Samples]:
        if len(samples):
            if self._first is None:
                self._first = self._elapsed()
            self._count += len(samples)
            yield samples

    def _tell_missed(self, level: Level) -> None:
        target, reached = self.plan.request.loudness, level.loudness_lufs
        if target is None or reached is None or isinstance(self._master, StreamMaster) or abs(target - reached) <= 0.5:
            return
        why = f": its peaks would pass {self.plan.request.true_peak:g} dBTP" if reached < target else ""
        self.plan.warn(f"The loudness is {reached:.1f} LUFS, since this speech cannot be brought to {target:g}{why}.")

    def _note(self, part: Spoken) -> None:
        self._spoken[part.piece.index] = part.piece
        self._reused += part.reused
        self._characters += len(part.piece.utterance.text)
        self._on_progress(Progress(self._characters, self._assembler.duration, self._elapsed()))

    def _elapsed(self) -> float:
        """Seconds since the engine was ready for this job; loading it is not counted."""
        ready = self._job.ready_since
        return 0.0 if ready is None else time.monotonic() - ready

    def _tail_ms(self) -> int:
        request = self.plan.request
        return max(self.plan.tail_ms, request.stream_tail_ms or 0) if request.stream else self.plan.tail_ms

    def _new_assembler(self) -> Assembler:
        request = self.plan.request
        margin = request.stream_crossfade_ms if request.stream else None
        return Assembler(
            self.plan.info.sample_rate,
            margin_ms=request.crossfade_ms if margin is None else margin,
            crossfade=request.enable_crossfade,
            start_ms=START_MS if request.stream else FILE_START_MS,
            end_ms=END_MS if request.stream else FILE_END_MS,
        )


def _voices(piece: Piece) -> Iterator[str]:
    for turn in piece.utterance.turns:
        yield piece.utterance.prompts[turn.speaker].name


def _left_out(engine: str, silent: list[tuple[int, float]]) -> str:
    told, more = silent[:_TOLD], len(silent) - _TOLD
    pieces = ", ".join(f"{number} (at {seconds:.0f} s)" for number, seconds in told)
    if len(silent) == 1:
        return f"The engine {engine} cannot read piece {pieces}, which was left out."
    return (
        f"The engine {engine} cannot read pieces {pieces}{f' and {more} more' if more > 0 else ''}; they were left out."
    )


class _Beside:
    """Feeds a sink in a thread of its own, so that encoding and synthesis share the cores."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._blocks: queue.Queue[Samples | None] = queue.Queue(_BACKLOG)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="oscine-encode", daemon=True)

    def push(self, samples: Samples) -> None:
        if self._error is not None:
            raise self._error
        self._blocks.put(samples)

    def __enter__(self) -> _Beside:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._error = self._error or RuntimeError("abandoned")
        self._blocks.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (samples := self._blocks.get()) is not None:
            if self._error is None:
                try:
                    self._sink.push(samples)
                except BaseException as error:  # raised again where the samples come from
                    self._error = error

"""Oscine as a library."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from oscine.audio.encode import Encoder
from oscine.audio.formats import Format, nearest_rate
from oscine.audio.waveform import Waveform
from oscine.config import Settings
from oscine.delivery.captions import captions, check_captions
from oscine.delivery.choice import bitrate_of, check_bitrate, format_of
from oscine.delivery.files import check_target, written_whole
from oscine.delivery.speech import Speech
from oscine.delivery.tags import tags_for
from oscine.engines.protocol import EngineInfo
from oscine.errors import InvalidRequest
from oscine.request import SpeechRequest, field_names
from oscine.synthesis.master import ceiling_for
from oscine.synthesis.plan import Plan
from oscine.synthesis.result import Report
from oscine.synthesis.scheduler import Pace
from oscine.synthesis.studio import Studio
from oscine.synthesis.track import OnProgress, Track
from oscine.text.normalise import Rules
from oscine.text.pronounce import Lexicon

T = TypeVar("T")
Text = str | Iterable[str]
"""Text, or an iterator of text that is still being written."""


class Oscine:
    """Text to speech. Loads its engine once, at the first word; close it, or use it with `with`, to free it early.

    Options are those of a request (docs/request.md): `voice`, `voices`, `speed`, `seed`, `language`, `loudness`,
    `pronunciations` and so on; those given here hold for every call that does not give its own.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        studio: Studio | None = None,
        **options: Any,
    ) -> None:
        self._studio = studio or Studio(settings)
        self._options = options

    def __enter__(self) -> Oscine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the engines; idempotent."""
        self._studio.close()

    @property
    def studio(self) -> Studio:
        """The engines, voices and spool that all calls share."""
        return self._studio

    @property
    def engine(self) -> EngineInfo:
        """The engine that speaks when no other is named."""
        return self._studio.engine_of(self._request("", {})[0])

    def voices(self) -> list[str]:
        """Names of the voices that can speak here: the engine's own, then those of the library."""
        presets = [preset.name for preset in self.engine.presets if preset.installed]
        return presets + (list(self._studio.library.names()) if self.engine.capabilities.cloning else [])

    def say(self, text: Text, *, lexicon: Lexicon | None = None, rules: Rules | None = None, **options: Any) -> Speech:
        """Speak `text` and return all of it, mastered over the whole.

        Raises InvalidRequest that names the field, NotAvailable, SynthesisFailed.
        """
        plan = self._plan(text, options, lexicon, rules)
        rate = self._rate(plan, None)
        with self._studio.scheduler(plan.info.name).job(Pace.FILE, hold=True) as job:
            track = Track(plan, job, rate, ceiling_dbtp=ceiling_for(None, plan.request.loudness))
            waveform = track.whole()
            return Speech(waveform.samples, rate, track.report())

    def save(
        self,
        text: Text,
        path: str | Path,
        *,
        captions_path: str | Path | None = None,
        bitrate: int | None = None,
        tags: bool = True,
        title: str | None = None,
        lexicon: Lexicon | None = None,
        rules: Rules | None = None,
        on_progress: OnProgress | None = None,
        **options: Any,
    ) -> Report:
        """Speak `text` into a file, however long it is.

        Memory stays small, and a run that was killed goes on where it was. Without `seed`, a path that was written
        before keeps the seed it had, so that only what changed is spoken again. Raises InvalidRequest, NotAvailable,
        SynthesisFailed, DeliveryFailed; then `path` is what it was before.
        """
        path = Path(path)
        check_target(path)
        beside = None if captions_path is None else Path(captions_path)
        if beside is not None:
            check_captions(beside)
            check_target(beside, param="captions")
        chosen = format_of(path, _taken(options, "format"))
        plan = self._plan(text, options, lexicon, rules)
        if plan.request.seed is None:
            plan.seed = self._studio.spool.seed_for(str(path.absolute()), None)
        rate = self._rate(plan, chosen)
        bits = bitrate_of(plan, chosen, rate, bitrate)
        facts = tags_for(plan, title=title or path.stem) if tags else None
        self._studio.spool.prune()
        scheduler = self._studio.scheduler(plan.info.name)
        with scheduler.job(Pace.FILE, hold=True) as job, written_whole(path) as audio:
            track = Track(
                plan, job, rate, ceiling_dbtp=ceiling_for(chosen, plan.request.loudness), on_progress=on_progress
            )
            track.write(lambda: Encoder(chosen, rate, bitrate=bits, tags=facts, sink=audio), self._studio.spool)
            report = track.report()
            if beside is not None:
                with written_whole(beside, param="captions") as unfinished:
                    unfinished.write_text(captions(report.segments, beside.suffix), encoding="utf-8")
        return report

    def stream(
        self, text: Text, *, lexicon: Lexicon | None = None, rules: Rules | None = None, **options: Any
    ) -> Stream[Waveform]:
        """Speak `text` and yield its sound while it is made; `text` may itself still be arriving.

        Checks the request before it returns. Raises InvalidRequest, NotAvailable at once, SynthesisFailed midway.
        """
        track, job = self._listen(text, options, lexicon, rules, None)
        return Stream(track.stream(), job.close, track.report)

    def stream_bytes(
        self,
        text: Text,
        *,
        format: str = "mp3",
        bitrate: int | None = None,
        tags: bool = True,
        title: str | None = None,
        lexicon: Lexicon | None = None,
        rules: Rules | None = None,
        **options: Any,
    ) -> Stream[bytes]:
        """Like `stream`, as the bytes of an audio file that can be played while it arrives."""
        chosen = Format.parse(format)
        check_bitrate(bitrate)
        track, job = self._listen(text, options, lexicon, rules, chosen)
        facts = tags_for(track.plan, title=title) if tags else None
        bits = bitrate_of(track.plan, chosen, track.sample_rate, bitrate)

        def encoded() -> Iterator[bytes]:
            with Encoder(chosen, track.sample_rate, bitrate=bits, tags=facts) as encoder:
                for waveform in track.stream():
                    if data := encoder.push(waveform.samples):
                        yield data
                yield encoder.finish()

        return Stream(encoded(), job.close, track.report)

    def _listen(
        self, text: Text, options: dict[str, Any], lexicon: Lexicon | None, rules: Rules | None, format: Format | None
    ) -> tuple[Track, Any]:
        plan = self._plan(text, {**options, "stream": True}, lexicon, rules)
        rate = self._rate(plan, format)
        job = self._studio.scheduler(plan.info.name).job(Pace.LISTENER)
        ceiling = ceiling_for(format, plan.request.loudness)
        return Track(plan, job, rate, ceiling_dbtp=ceiling), job

    def _plan(self, text: Text, options: Mapping[str, Any], lexicon: Lexicon | None, rules: Rules | None) -> Plan:
        if not isinstance(text, str | Iterable):
            raise InvalidRequest("text must be a string or an iterator of strings.", param="text")
        request, warnings = self._request(text if isinstance(text, str) else "", options)
        live = None if isinstance(text, str) else text
        return self._studio.plan(request, text=live, lexicon=lexicon, rules=rules, warnings=warnings)

    def _request(self, text: str, options: Mapping[str, Any]) -> tuple[SpeechRequest, list[str]]:
        names = field_names()
        given = {names.get(name, name) for name in options}
        defaults = {name: value for name, value in self._options.items() if names.get(name, name) not in given}
        return SpeechRequest.parse({**defaults, **options, "text": text})

    def _rate(self, plan: Plan, format: Format | None) -> int:
        rate = self._studio.settings.default_sample_rate or plan.info.default_rate or plan.info.sample_rate
        return rate if format is None else nearest_rate(format, rate)


class Stream(Generic[T]):
    """An iterator over sound that is being made.

    Close it, use it with `with`, or read it to the end: then its lanes are free. It may be closed from another thread
    than the one that reads.
    """

    def __init__(self, source: Iterator[T], close: Callable[[], None], report: Callable[[], Report]) -> None:
        self._source = source
        self._close = close
        self._tell = report
        self._report: Report | None = None
        self._closed = False

    @property
    def report(self) -> Report | None:
        """How it was made, with its warnings and where each sentence is; None until it was read to the end."""
        return self._report

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return next(self._source)
        except StopIteration:
            if self._report is None and not self._closed:
                self._report = self._tell()
            self.close()
            raise
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Stop speaking; idempotent."""
        self._closed = True
        self._close()
        if isinstance(self._source, Generator):
            with suppress(ValueError):  # another thread is reading, and is about to be told that it is over
                self._source.close()


def _taken(options: dict[str, Any], field: str) -> Any:
    """Take a request's field out of `options`, by whichever of its names."""
    names = [name for name in options if field_names().get(name) == field]
    values = [options.pop(name) for name in names]
    return next((value for value in values if value is not None), None)

"""Oscine as a library."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from oscine.audio.encode import Encoder
from oscine.audio.formats import Format, nearest_rate
from oscine.audio.waveform import Waveform
from oscine.config import Settings
from oscine.delivery.captions import captions, check_captions
from oscine.delivery.files import check_target, written_whole
from oscine.delivery.tags import tags_for
from oscine.engines.protocol import EngineInfo
from oscine.errors import InvalidRequest
from oscine.request import SpeechRequest
from oscine.synthesis.assemble import Segment
from oscine.synthesis.master import CEILING_DBTP, ceiling_for
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


@dataclass(frozen=True, eq=False)
class Speech(Waveform):
    """Finished speech in memory."""

    report: Report
    """How it was made, and what it measures."""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Where each sentence starts and ends."""
        return self.report.segments

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be done as asked."""
        return self.report.warnings

    def save(
        self, path: str | Path, *, format: str | None = None, bitrate: int | None = None, tags: bool = True
    ) -> Path:
        """Write an audio file; the format follows the name's ending unless it is given. Returns the path.

        Raises InvalidRequest for a format or place that does not exist, DeliveryFailed when the disk is full.
        """
        path = Path(path)
        chosen = _format_of(path, format)
        waveform = _at_rate(self, nearest_rate(chosen, self.sample_rate))
        with (
            written_whole(path) as beside,
            Encoder(
                chosen, waveform.sample_rate, bitrate=bitrate, tags=tags_for(self.report) if tags else None, sink=beside
            ) as encoder,
        ):
            encoder.push(waveform.samples)
            encoder.finish()
        return path

    def encode(self, format: str = "mp3", *, bitrate: int | None = None) -> bytes:
        """The bytes of an audio file."""
        chosen = Format.parse(format)
        waveform = _at_rate(self, nearest_rate(chosen, self.sample_rate))
        with Encoder(chosen, waveform.sample_rate, bitrate=bitrate) as encoder:
            return encoder.push(waveform.samples) + encoder.finish()

    def captions(self, kind: str = "srt") -> str:
        """SubRip (`srt`) or WebVTT (`vtt`) captions."""
        return captions(self.segments, f".{kind}")

    def _repr_html_(self) -> str:
        """A player in Jupyter."""
        from base64 import b64encode

        sound = b64encode(self.encode("mp3")).decode()
        return f'<audio controls src="data:audio/mpeg;base64,{sound}"></audio>'


class Oscine:
    """Text to speech. Loads its engine once, at the first word; close it, or use it with `with`, to free it early.

    Options are those of a request (docs/api.md): `voice`, `voices`, `speed`, `seed`, `language`, `loudness`,
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
            track = Track(plan, job, rate, ceiling_dbtp=CEILING_DBTP)
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
        if captions_path is not None:
            check_captions(Path(captions_path))
            check_target(Path(captions_path), param="captions")
        chosen = _format_of(path, options.pop("format", None))
        options["seed"] = self._studio.spool.seed_for(
            str(path.absolute()), options.get("seed", self._options.get("seed"))
        )
        plan = self._plan(text, options, lexicon, rules)
        rate = self._rate(plan, chosen)
        facts = tags_for(plan, title=title or path.stem) if tags else None
        self._studio.spool.prune()
        scheduler = self._studio.scheduler(plan.info.name)
        with scheduler.job(Pace.FILE, hold=True) as job, written_whole(path) as beside:
            track = Track(plan, job, rate, ceiling_dbtp=ceiling_for(chosen.spec.bitrate > 0), on_progress=on_progress)
            track.write(
                lambda: Encoder(chosen, rate, bitrate=bitrate or _bitrate(plan, chosen), tags=facts, sink=beside),
                self._studio.spool,
            )
            report = track.report()
        if captions_path is not None:
            with written_whole(Path(captions_path), param="captions") as beside:
                beside.write_text(captions(report.segments, Path(captions_path).suffix), encoding="utf-8")
        return report

    def stream(
        self, text: Text, *, lexicon: Lexicon | None = None, rules: Rules | None = None, **options: Any
    ) -> Stream[Waveform]:
        """Speak `text` and yield its sound while it is made; `text` may itself still be arriving.

        Checks the request before it returns. Raises InvalidRequest, NotAvailable at once, SynthesisFailed midway.
        """
        track, job = self._listen(text, options, lexicon, rules, None)
        return Stream(track.stream(), job.close)

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
        on_report: Callable[[Report], None] | None = None,
        **options: Any,
    ) -> Stream[bytes]:
        """Like `stream`, as the bytes of an audio file that can be played while it arrives."""
        chosen = Format.parse(format)
        track, job = self._listen(text, options, lexicon, rules, chosen)
        facts = tags_for(track.plan, title=title) if tags else None
        encoder = Encoder(chosen, track.sample_rate, bitrate=bitrate or _bitrate(track.plan, chosen), tags=facts)

        def encoded() -> Iterator[bytes]:
            with encoder:
                for waveform in track.stream():
                    if data := encoder.push(waveform.samples):
                        yield data
                yield encoder.finish()
            if on_report is not None:
                on_report(track.report())

        def close() -> None:
            encoder.close()
            job.close()

        return Stream(encoded(), close)

    def _listen(
        self, text: Text, options: dict[str, Any], lexicon: Lexicon | None, rules: Rules | None, format: Format | None
    ) -> tuple[Track, Any]:
        plan = self._plan(text, {**options, "stream": True}, lexicon, rules)
        rate = self._rate(plan, format)
        job = self._studio.scheduler(plan.info.name).job(Pace.LISTENER)
        ceiling = CEILING_DBTP if format is None else ceiling_for(format.spec.bitrate > 0)
        return Track(plan, job, rate, ceiling_dbtp=ceiling), job

    def _plan(self, text: Text, options: Mapping[str, Any], lexicon: Lexicon | None, rules: Rules | None) -> Plan:
        if not isinstance(text, str | Iterable):
            raise InvalidRequest("text must be a string or an iterator of strings.", param="text")
        request, warnings = self._request(text if isinstance(text, str) else "", options)
        live = None if isinstance(text, str) else text
        return self._studio.plan(request, text=live, lexicon=lexicon, rules=rules, warnings=warnings)

    def _request(self, text: str, options: Mapping[str, Any]) -> tuple[SpeechRequest, list[str]]:
        return SpeechRequest.parse({**self._options, **options, "text": text})

    def _rate(self, plan: Plan, format: Format | None) -> int:
        rate = self._studio.settings.default_sample_rate or plan.info.default_rate or plan.info.sample_rate
        return rate if format is None else nearest_rate(format, rate)


class Stream(Generic[T]):
    """An iterator over sound that is being made.

    Close it, use it with `with`, or read it to the end: then its lanes are free.
    """

    def __init__(self, source: Generator[T] | Iterator[T], close: Callable[[], None]) -> None:
        self._source = source
        self._close = close

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return next(self._source)
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
        if isinstance(self._source, Generator):
            self._source.close()
        self._close()


def _format_of(path: Path, format: str | None) -> Format:
    """The format that was asked for, else the one of the file's name."""
    if format is not None:
        return Format.parse(format)
    ending = path.suffix.lower().lstrip(".")
    ending = {"ogg": "opus", "wave": "wav", "raw": "pcm"}.get(ending, ending)
    if ending not in {known.value for known in Format}:
        names = ", ".join(f".{known.value}" for known in Format)
        raise InvalidRequest(f"output must end in one of {names}, or format must be given.", param="output")
    return Format(ending)


def _bitrate(plan: Plan, format: Format) -> int | None:
    """The engine's own default, where the result is in its default format."""
    return plan.info.default_bitrate if format.value == plan.info.default_format else None


def _at_rate(waveform: Waveform, rate: int) -> Waveform:
    from oscine.audio.resample import resample

    return waveform if waveform.sample_rate == rate else resample(waveform, rate)

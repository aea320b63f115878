"""Oscine as a library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from oscine.audio.chapters import Chapter
from oscine.audio.encode import Encoder
from oscine.audio.formats import Format, bitrate_for, nearest_rate
from oscine.audio.waveform import Samples, Waveform
from oscine.config import Settings
from oscine.delivery.cancel import Cancel
from oscine.delivery.captions import captions, check_captions
from oscine.delivery.choice import bitrate_of, check_bitrate, file_format, format_of, in_mp4, stream_format
from oscine.delivery.files import check_target, naming, written_together
from oscine.delivery.lexicons import Words, lexicon_of
from oscine.delivery.speech import Speech
from oscine.delivery.stream import Opening, Stream
from oscine.delivery.tags import chapter_titles, chapters_of, tags_for
from oscine.engines.protocol import EngineInfo
from oscine.errors import InvalidRequest
from oscine.request import Options, SpeechRequest, check_options, field_names
from oscine.synthesis.job import Job
from oscine.synthesis.master import ceiling_for
from oscine.synthesis.plan import Plan
from oscine.synthesis.result import Report
from oscine.synthesis.scheduler import Pace
from oscine.synthesis.studio import Studio
from oscine.synthesis.track import OnProgress, Progress, Track
from oscine.text.normalise import Rules

Text = str | Iterable[str]
"""Text, or an iterator of text that is still being written."""


@dataclass(frozen=True)
class Saved:
    """A file that was made, and how."""

    path: Path
    format: Format
    bitrate: int | None
    """bit/s; None: the format has none, or the encoder chose."""
    report: Report


class Oscine:
    """Text to speech. Loads its engine once, at the first word; close it, or use it with `with`, to free it early.

    Threads may share it. Raises InvalidRequest for an option that does not exist and for a lexicon that cannot be read.

    Args:
        settings: What the deployment decides; without them, what its environment variables say (docs/settings.md).
        studio: Engines, voices and finished pieces to share with others; it has settings of its own, and these are not
            used. Without it there is one of its own.
        lexicon: How words are spoken: a Lexicon, a mapping of words to their spoken form, or the path of a file with a
            line `word = spoken form` for each.
        rules: Which text rules are applied (docs/text.md); without them, all.
        **options: Fields of a request under any of their names (docs/request.md): `voice`, `voices`, `speed`, `seed`,
            `language`, `loudness`, `pronunciations` and so on. They hold for every call that does not give its own.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        studio: Studio | None = None,
        lexicon: Words | None = None,
        rules: Rules | None = None,
        **options: Unpack[Options],
    ) -> None:
        check_options(options)
        self._options = dict(options)
        self._lexicon = lexicon_of(lexicon)
        self._rules = rules
        self._studio = studio or Studio(settings)

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
        return self._studio.engine_of(self._request("", {}, False)[0])

    def voices(self) -> list[str]:
        """Names of the voices that can speak here: the engine's own, then those of the library."""
        presets = [preset.name for preset in self.engine.presets if preset.installed]
        return presets + (list(self._studio.library.names()) if self.engine.capabilities.cloning else [])

    def say(
        self,
        text: Text,
        *,
        lexicon: Words | None = None,
        rules: Rules | None = None,
        cancel: Cancel | None = None,
        **options: Unpack[Options],
    ) -> Speech:
        """Speak `text` and return all of it, mastered over the whole.

        Raises InvalidRequest that names the field, NotAvailable, Busy, SynthesisFailed, Cancelled.

        Args:
            text: The text, or an iterator of strings that are still being written.
            lexicon: How words are spoken in this call, instead of the lexicon of the class.
            rules: Which text rules are applied in this call, instead of those of the class.
            cancel: Stops the call from another thread; it then raises Cancelled.
            **options: Fields of the request; each comes before the one of the class.
        """
        cancel = cancel or Cancel()
        plan = self._plan(text, dict(options), lexicon, rules)
        rate = self._rate(plan, None)
        with self._job(plan, cancel) as job, cancel.closes(job.close):
            track = Track(plan, job, rate, ceiling_dbtp=_ceiling(plan, None))
            waveform = track.whole()
            return Speech(waveform.samples, rate, track.report(), plan.request.true_peak)

    def save(
        self,
        text: Text,
        path: str | Path,
        *,
        captions_path: str | Path | None = None,
        bitrate: int | None = None,
        tags: bool = True,
        title: str | None = None,
        lexicon: Words | None = None,
        rules: Rules | None = None,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
        **options: Unpack[Options],
    ) -> Report:
        """Speak `text` into a file, however long it is.

        Memory stays small, and a run that was killed goes on where it was. Without `seed`, a path that was written
        before keeps the seed it had, so that only what changed is spoken again. Raises InvalidRequest, NotAvailable,
        Busy, SynthesisFailed, DeliveryFailed, Cancelled; then `path` is what it was before.

        Args:
            text: The text, or an iterator of strings that are still being written.
            path: The audio file. Its ending says its format, unless the option `format` does.
            captions_path: Captions as well, into a file that ends in `.srt` or `.vtt`.
            bitrate: bit/s of a format that has a bit rate; without it, the engine's or the format's usual one.
            tags: Whether the file says that it is synthetic speech, and by which engine and voice.
            title: The title in its tags; without it, the file's name.
            lexicon: How words are spoken in this call, instead of the lexicon of the class.
            rules: Which text rules are applied in this call, instead of those of the class.
            on_progress: Called after each piece with how far it is, in the thread of the call.
            cancel: Stops the call from another thread; it then raises Cancelled.
            **options: Fields of the request; each comes before the one of the class.
        """
        path = Path(path)
        targets = [(path, "output")]
        if captions_path is not None:
            targets.append((Path(captions_path), "captions"))
            check_captions(targets[1][0])
        for target, param in targets:
            check_target(target, param=param)
        given = dict(options)
        chosen = format_of(path, _taken(given, "format"), _taken(dict(self._options), "format"))
        plan = self._plan(text, given, lexicon, rules)
        title = (title or path.stem) if tags else None
        return self._written(plan, chosen, targets, bitrate, title, on_progress, cancel or Cancel()).report

    def save_request(
        self,
        request: SpeechRequest,
        folder: Path,
        name: str,
        *,
        field: str = "output",
        warnings: Iterable[str] = (),
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
    ) -> Saved:
        """Like `save`, for what `SpeechRequest.parse` made of a request from outside: `<name>.<format>` in `folder`.

        A name that was written before keeps its seed.

        Args:
            request: The request. Its format is the one that it asks for, else the engine's own.
            folder: Where the file goes.
            name: The file's name without its ending.
            field: What errors call the file. Where that is the name of a setting, they do not say where it lies.
            warnings: Those that `SpeechRequest.parse` gave, for the report.
            on_progress: Called after each piece with how far it is, in the thread of the call.
            cancel: Stops the call from another thread; it then raises Cancelled.
        """
        plan = self._studio.plan(request, lexicon=self._lexicon, rules=self._rules, warnings=warnings)
        chosen = file_format(request.format or plan.info.default_format)
        path = folder / f"{name}.{chosen.value}"
        check_target(path, param=field)
        return self._written(plan, chosen, [(path, field)], None, None, on_progress, cancel or Cancel())

    def _written(
        self,
        plan: Plan,
        chosen: Format,
        targets: Sequence[tuple[Path, str]],
        bitrate: int | None,
        title: str | None,
        on_progress: OnProgress | None,
        cancel: Cancel,
    ) -> Saved:
        """Speak a plan into the first of `targets`, each a path and the field that it came from.

        Captions go into the second. `bitrate` is in bit/s. Without `title` there are no tags.
        """
        path, field = targets[0]
        name = str(path.absolute())
        if plan.request.seed is None:
            plan.seed = self._studio.spool.seed_for(name)
        rate = self._rate(plan, chosen)
        bits = bitrate_of(plan, chosen, rate, bitrate)
        facts = tags_for(plan, title=title, path=path) if title is not None else None

        def told(progress: Progress) -> None:
            cancel.check()
            if on_progress is not None:
                on_progress(progress)

        with (
            self._job(plan, cancel) as job,
            cancel.closes(job.close),
            written_together(*targets, publishing=cancel.too_late()) as besides,
        ):
            ceiling = _ceiling(plan, chosen)
            track = Track(plan, job, rate, ceiling_dbtp=ceiling, on_progress=told)

            titles = chapter_titles(plan, title) if title is not None else ()

            def opened() -> _File:
                with naming(field):
                    encoder = Encoder(
                        chosen,
                        rate,
                        bitrate=bits,
                        tags=facts,
                        sink=besides[0],
                        mp4=in_mp4(path, chosen),
                        chapters=titles,
                    )
                    return _File(encoder, field, lambda: chapters_of(track.chapters, title))

            track.write(opened, self._studio.spool)
            report = track.report()
            for (target, param), beside in zip(targets[1:], besides[1:], strict=True):
                with naming(param):
                    beside.write_text(captions(report.segments, target.suffix), encoding="utf-8")
        if plan.request.seed is not None:
            self._studio.spool.keep_seed(name, plan.seed)
        return Saved(path, chosen, bitrate_for(chosen, rate, bits), report)

    def stream(
        self, text: Text, *, lexicon: Words | None = None, rules: Rules | None = None, **options: Unpack[Options]
    ) -> Stream[Waveform]:
        """Speak `text` and yield its sound while it is made.

        Checks the request before it returns. Raises InvalidRequest, NotAvailable and Busy at once, SynthesisFailed
        midway.

        Args:
            text: The text, or an iterator of strings that are still being written: each sentence is spoken as soon as
                it is complete.
            lexicon: How words are spoken in this call, instead of the lexicon of the class.
            rules: Which text rules are applied in this call, instead of those of the class.
            **options: Fields of the request; each comes before the one of the class.
        """
        plan = self._plan(text, dict(options), lexicon, rules, stream=True)
        track, job = self._listen(plan, None)
        return Stream(
            track.stream(), job.close, track.report, Opening.of(plan, None, track.sample_rate), lambda: track.progress
        )

    def stream_bytes(
        self,
        text: Text,
        *,
        bitrate: int | None = None,
        tags: bool = True,
        title: str | None = None,
        lexicon: Words | None = None,
        rules: Rules | None = None,
        **options: Unpack[Options],
    ) -> Stream[bytes]:
        """Like `stream`, as the bytes of an audio file that can be played while it arrives.

        Args:
            text: The text, or an iterator of strings that are still being written.
            bitrate: bit/s of a format that has a bit rate; without it, the engine's or the format's usual one.
            tags: Whether the file says that it is synthetic speech, and by which engine and voice.
            title: The title in its tags; without it, there is none.
            lexicon: How words are spoken in this call, instead of the lexicon of the class.
            rules: Which text rules are applied in this call, instead of those of the class.
            **options: Fields of the request; each comes before the one of the class. Without `format` it is mp3.
        """
        given = dict(options)
        wanted, usual = _taken(given, "format"), _taken(dict(self._options), "format")
        chosen = stream_format(usual if wanted is None else wanted)
        check_bitrate(bitrate)
        plan = self._plan(text, given, lexicon, rules, stream=True)
        return self._encoded(plan, chosen, bitrate=bitrate, tags=tags, title=title)

    def stream_request(self, request: SpeechRequest, warnings: Iterable[str] = ()) -> Stream[bytes]:
        """Like `stream_bytes`, for what `SpeechRequest.parse` made of a request from outside, with its warnings."""
        listened = request if request.stream else request.model_copy(update={"stream": True})
        plan = self._studio.plan(listened, lexicon=self._lexicon, rules=self._rules, warnings=warnings)
        return self._encoded(plan, stream_format(request.format))

    def _encoded(
        self, plan: Plan, format: Format, *, bitrate: int | None = None, tags: bool = True, title: str | None = None
    ) -> Stream[bytes]:
        track, job = self._listen(plan, format)
        facts = tags_for(plan, title=title) if tags else None
        bits = bitrate_of(plan, format, track.sample_rate, bitrate)

        def encoded() -> Iterator[bytes]:
            with Encoder(format, track.sample_rate, bitrate=bits, tags=facts) as encoder:
                for waveform in track.stream():
                    if data := encoder.push(waveform.samples):
                        yield data
                yield encoder.finish()

        return Stream(
            encoded(), job.close, track.report, Opening.of(plan, format, track.sample_rate), lambda: track.progress
        )

    def _listen(self, plan: Plan, format: Format | None) -> tuple[Track, Job]:
        rate = self._rate(plan, format)
        job = self._studio.scheduler(plan.info.name).job(Pace.LISTENER)
        return Track(plan, job, rate, ceiling_dbtp=_ceiling(plan, format)), job

    def _job(self, plan: Plan, cancel: Cancel) -> Job:
        cancel.check()  # also so that what was cancelled and closed does not load its engine anew
        return self._studio.scheduler(plan.info.name).job(Pace.FILE, hold=True)

    def _plan(
        self,
        text: Text,
        options: Mapping[str, object],
        lexicon: Words | None,
        rules: Rules | None,
        *,
        stream: bool = False,
    ) -> Plan:
        if not isinstance(text, str | Iterable):
            raise InvalidRequest("text must be a string or an iterator of strings.", param="text")
        check_options(options)
        request, warnings = self._request(text if isinstance(text, str) else "", options, stream)
        live = None if isinstance(text, str) else text
        words = self._lexicon if lexicon is None else lexicon_of(lexicon)
        return self._studio.plan(request, text=live, lexicon=words, rules=rules or self._rules, warnings=warnings)

    def _request(self, text: str, options: Mapping[str, object], stream: bool) -> tuple[SpeechRequest, list[str]]:
        names = field_names()
        given = {names[name] for name in options}
        defaults = {name: value for name, value in self._options.items() if names[name] not in given}
        return SpeechRequest.parse({**defaults, **options, "text": text, "stream": stream})

    def _rate(self, plan: Plan, format: Format | None) -> int:
        rate = self._studio.settings.default_sample_rate or plan.info.default_rate or plan.info.sample_rate
        return rate if format is None else nearest_rate(format, rate)


def _ceiling(plan: Plan, format: Format | None) -> float:
    return ceiling_for(format, plan.request.loudness, plan.request.true_peak)


class _File:
    """A sink whose errors say that they are about the output; those of whoever writes the text stay as they are."""

    def __init__(self, encoder: Encoder, field: str, chapters: Callable[[], Sequence[Chapter]]) -> None:
        self._encoder = encoder
        self._field = field
        self._chapters = chapters

    def push(self, samples: Samples) -> None:
        with naming(self._field):
            self._encoder.push(samples)

    def finish(self) -> None:
        with naming(self._field):
            self._encoder.mark(self._chapters())
            self._encoder.finish()

    def close(self) -> None:
        with naming(self._field):
            self._encoder.close()


def _taken(options: dict[str, object], field: str) -> object:
    """Take a request's field out of `options`, by whichever of its names."""
    names = [name for name in options if field_names().get(name) == field]
    values = [options.pop(name) for name in names]
    return next((value for value in values if value is not None), None)

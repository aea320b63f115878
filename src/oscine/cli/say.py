"""`oscine say`: text to a file, to standard output or to the loudspeaker."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from oscine.cli.endings import PipeClosed, Stopped, heed
from oscine.errors import InvalidRequest

if TYPE_CHECKING:
    from oscine.api import Oscine
    from oscine.synthesis.result import Report
    from oscine.synthesis.track import Progress

DEFAULT_OUTPUT: Final = "speech.mp3"
"""The file that is written where `-o` names none."""


def say(
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="The text; - reads standard input.", show_default=False)
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the text from a UTF-8 file.")] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help=f"Audio file to write, - for standard output. [default: {DEFAULT_OUTPUT}]"),
    ] = None,
    voice: Annotated[str | None, typer.Option(help="Voice that speaks; see: oscine voices list")] = None,
    voices: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=VOICE", help="Voice of a speaker in a script; can be repeated.", show_default=False
        ),
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Engine that speaks; see: oscine engines")] = None,
    quantize: Annotated[
        int | None, typer.Option(metavar="BITS", help="8 or 4: vibevoice in less memory; else OSCINE_QUANTIZE.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="mp3, opus, aac, flac, wav or pcm; else by the file's name.")
    ] = None,
    speed: Annotated[str | None, typer.Option(metavar="NUMBER", help="0.25 to 4; 1 is the voice's own pace.")] = None,
    seed: Annotated[str | None, typer.Option(metavar="NUMBER", help="The same seed gives the same speech.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the text, such as en.")] = None,
    loudness: Annotated[
        str | None,
        typer.Option(metavar="LUFS", help="Target, -40 to -8, or none to leave the level as it is. [default: -18]"),
    ] = None,
    lexicon: Annotated[
        Path | None, typer.Option(help="File of pronunciations: a line for each, word = spoken form.")
    ] = None,
    captions: Annotated[Path | None, typer.Option(help="Also write captions to this .srt or .vtt file.")] = None,
    max_text: Annotated[
        int | None, typer.Option(help="Longest text in characters, 0 for no limit. [default: 100000]")
    ] = None,
    bitrate: Annotated[int | None, typer.Option(help="kbit/s of mp3, opus and aac.")] = None,
    title: Annotated[str | None, typer.Option(help="Title in the file's tags. [default: the file's name]")] = None,
    tags: Annotated[bool, typer.Option(help="Mark the file as synthetic speech and name engine and voice.")] = True,
    no_rule: Annotated[
        list[str] | None,
        typer.Option(
            "--no-rule",
            metavar="RULE",
            help="Leave a text rule out (emoji, markdown, urls ...); can be repeated.",
            show_default=False,
        ),
    ] = None,
    other_fields: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Any other field of a request; can be repeated.", show_default=False
        ),
    ] = None,
    play: Annotated[
        bool, typer.Option("--play", help="Play it while it is spoken; with -o, when the file is finished.")
    ] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Speak standard input while it arrives, into a file too; labels need --voices."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Speak TEXT, a file or standard input."""
    from oscine.cli.options import loudness_of, quantized, request_fields, rules_without, speakers
    from oscine.config import Settings
    from oscine.synthesis.studio import Studio

    settings = quantized(Settings.from_env(), quantize)
    if max_text is not None:
        if max_text < 0:
            raise InvalidRequest("--max-text must be a number of characters, 0 for no limit.", param="max_text")
        settings = settings.model_copy(update={"max_text_length": max_text})
    studio = Studio(settings)
    studio.preload(engine)  # in its own thread, while the rest is imported

    from oscine.api import Oscine
    from oscine.delivery.lexicons import lexicon_of

    fields: dict[str, Any] = {
        "engine": engine,
        "voice": voice,
        "voices": speakers(voices),
        "format": format,
        "speed": speed,
        "seed": seed,
        "language": language,
    }
    fields = request_fields(other_fields) | {name: value for name, value in fields.items() if value is not None}
    if loudness is not None:
        fields["loudness"] = loudness_of(loudness)
    if bitrate is not None and bitrate <= 0:
        raise InvalidRequest("--bitrate must be a number of kbit/s above 0, such as 128.", param="bitrate")
    if output == "":
        raise InvalidRequest("output is empty; name a file, or - for standard output.", param="output")
    if play and output == "-":
        raise InvalidRequest("play: sound goes to standard output or to the loudspeaker; give -o - or --play.")
    heard = output == "-" or (play and output is None)
    if heard and captions is not None:
        raise InvalidRequest("captions need a file: give -o a file name.", param="captions")
    words: dict[str, Any] = {"lexicon": lexicon_of(lexicon), "rules": rules_without(no_rule)}
    marks: dict[str, Any] = {"bitrate": None if bitrate is None else bitrate * 1000, "tags": tags, "title": title}
    source = _source(text, file, settings.max_text_length, live=heard or live)
    oscine = Oscine(studio=studio)  # closed only after success: what fails must not wait for a model that is loading
    if play and output is None:
        _play(oscine, source, {**fields, **words}, quiet)
    elif output == "-":
        _to_stdout(oscine, source, {**fields, **words, **marks}, quiet)
    else:
        path = Path(output or _default_output(fields.get("format")))
        if play:
            from oscine.cli.player import check_player, play_file

            check_player()
        report = _to_file(oscine, source, path, captions, {**fields, **words, **marks}, quiet)
        if not quiet:
            print(f"{path}: {summary(report)}")
        if play:
            play_file(path)
    oscine.close()


def summary(report: Report) -> str:
    """Duration, real-time factor and loudness, on one line."""
    loudness = "loudness not measured" if report.loudness_lufs is None else f"{report.loudness_lufs:.1f} LUFS"
    voices = f"voice{'s' if len(report.voices) > 1 else ''} {', '.join(report.voices) or 'none'}"
    reused = f", {report.pieces_reused} of {report.pieces} pieces were there already" if report.pieces_reused else ""
    return (
        f"{report.duration:.2f} s of speech in {report.synthesis_seconds:.2f} s"
        f" (real-time factor {report.real_time_factor:.3f}), {loudness},"
        f" {voices}, seed {report.seed}{reused}"
    )


def _to_file(
    oscine: Oscine,
    source: str | Iterable[str],
    path: Path,
    captions: Path | None,
    options: dict[str, Any],
    quiet: bool,
) -> Report:
    from oscine.cli.progress import progress_bar

    total = len(source) if isinstance(source, str) else None
    try:
        with progress_bar(total, quiet=quiet) as show:

            def on_progress(progress: Progress) -> None:
                heed()
                if show is not None:
                    show(progress)

            report = oscine.save(source, path, captions_path=captions, on_progress=on_progress, **options)
    except Stopped as stopped:
        raise Stopped(stopped.code, "stopped; the same command goes on where it was.") from None
    _warn(report, quiet)
    return report


def _to_stdout(oscine: Oscine, source: str | Iterable[str], options: dict[str, Any], quiet: bool) -> None:
    from oscine.delivery.files import failed

    if sys.stdout is None:
        raise InvalidRequest("output: standard output is closed; give -o a file name.", param="output")
    if sys.stdout.isatty():
        raise InvalidRequest(
            "output: -o - sends sound to standard output, which is a terminal here; redirect it, or give -o a file"
            " name.",
            param="output",
        )
    with oscine.stream_bytes(source, **options) as stream:
        for data in stream:
            heed()
            try:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                raise PipeClosed from None
            except OSError as error:
                raise failed(error) from None
    _tell(stream.report, quiet)


def _play(oscine: Oscine, source: str | Iterable[str], options: dict[str, Any], quiet: bool) -> None:
    from oscine.cli.player import Player, player_of_files

    options.pop("format", None)
    if player_of_files() is not None:
        _play_from_file(oscine, source, options, quiet)
        return
    with Player.find() as player, oscine.stream(source, **options) as stream:
        for waveform in stream:
            heed()
            player.push(waveform)
    _tell(stream.report, quiet)


def _play_from_file(oscine: Oscine, source: str | Iterable[str], options: dict[str, Any], quiet: bool) -> None:
    """For machines whose only player takes files, such as a plain macOS."""
    from tempfile import TemporaryDirectory

    from oscine.cli.player import play_file

    with TemporaryDirectory(prefix="oscine-") as folder:
        path = Path(folder) / "speech.wav"
        try:
            report = oscine.save(source, path, on_progress=lambda _: heed(), **options)
        finally:
            oscine.studio.spool.forget_seed(str(path.absolute()))
        play_file(path)
    _tell(report, quiet)


def _source(text: str | None, file: Path | None, limit: int, *, live: bool) -> str | Iterable[str]:
    """The text; an iterator over standard input where that is spoken while it arrives. `limit` is in characters."""
    from oscine.delivery.lexicons import MAX_FILE_BYTES, plain_text, read_text
    from oscine.text.measure import decode_stream

    if text is not None and file is not None:
        raise InvalidRequest("text: give TEXT or --file, not both.", param="text")
    if file is not None and str(file) != "-":
        return read_text(file, "file")
    if text is not None and text != "-":
        return text
    if sys.stdin is None or (text is None and file is None and sys.stdin.isatty()):
        raise InvalidRequest("text is missing; give TEXT, --file FILE, or - to read standard input.", param="text")
    if live:
        return decode_stream(_arriving())
    enough = 4 * limit + 4  # bytes: characters of UTF-8 have at most four, and a byte order mark has three
    most = min(MAX_FILE_BYTES, enough) if limit else MAX_FILE_BYTES
    data = sys.stdin.buffer.read(most + 1)
    if len(data) > MAX_FILE_BYTES:
        raise InvalidRequest(
            f"text on standard input is larger than {MAX_FILE_BYTES // 1024**2} MB; split it.", param="text"
        )
    if len(data) > most:
        raise InvalidRequest(
            f"text on standard input is longer than {limit:,} characters; raise --max-text.", param="text"
        )
    return plain_text(data, "standard input")


def _arriving() -> Iterator[bytes]:
    while data := os.read(sys.stdin.fileno(), 65536):
        yield data


def _default_output(format: object) -> str:
    if format is None:
        return DEFAULT_OUTPUT
    from oscine.audio.formats import Format

    return f"speech{Format.parse(str(format)).extension}"


def _tell(report: Report | None, quiet: bool) -> None:
    """The summary of what was heard; standard output may be the sound itself."""
    _warn(report, quiet)
    if report is not None and not quiet:
        print(summary(report), file=sys.stderr)


def _warn(report: Report | None, quiet: bool) -> None:
    from oscine.cli.options import as_options

    if report is not None and not quiet:
        for warning in report.warnings:
            print(f"warning: {as_options(warning)}", file=sys.stderr)

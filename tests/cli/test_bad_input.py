"""Whatever is wrong with a wish, the command says so in one sentence that names the field and the way out."""

from __future__ import annotations

import io
import re
import wave
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from oscine.cli.say import _source as standard_input
from oscine.errors import InvalidRequest
from tests.cli.machine import Ended, Machine, powerless

WORDS = "Good morning to all of you. The train leaves at nine."

TEXTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "text is empty"),
    "blank": (" \t\u3000 \n", "only blanks"),
    "control characters": ("\x01\x02\x1b\x7f", "control characters"),
    "emoji": ("😀👍🏽🎉", "emoji"),
    "punctuation": ("... !!! --", "punctuation"),
    "lone surrogate": (b"Good \xed\xa0\x80 morning.", "surrogate"),
    "invalid UTF-8": (b"Good \xff morning.", "UTF-8"),
}
OPTIONS: dict[str, tuple[list[str], str, str]] = {
    "unknown voice": (["--voice", "nobody"], "voice", "heart"),
    "empty voice": (["--voice", ""], "voice", "name of a voice"),
    "unknown engine": (["--engine", "nothing"], "engine", "hibari"),
    "unknown format": (["--format", "xyz"], "format", "mp3"),
    "unknown ending": (["-o", "out.doc"], "output", ".mp3"),
    "no ending": (["-o", "out"], "output", "format"),
    "no name": (["-o", ""], "output", "name a file"),
    "speed 0": (["--speed", "0"], "speed", "0.25 to 4"),
    "speed NaN": (["--speed", "nan"], "speed", "0.25 to 4"),
    "speed infinite": (["--speed", "inf"], "speed", "0.25 to 4"),
    "speed a word": (["--speed", "abc"], "speed", "0.25 to 4"),
    "seed -1": (["--seed", "-1"], "seed", "whole number"),
    "seed a word": (["--seed", "abc"], "seed", "whole number"),
    "seed too large": (["--seed", "9" * 5000], "seed", "whole number"),
    "loudness too loud": (["--loudness", "3"], "loudness", "-40 to -8"),
    "loudness too quiet": (["--loudness", "-41"], "--loudness", "or none to leave it as it is"),
    "loudness a word": (["--loudness", "loud"], "--loudness", "none"),
    "a text without quotes": (["how", "are", "you?"], "text", 'put it in quotes, as in: oscine say "'),
    "unknown language": (["--language", "xx"], "language", "en"),
    "bit rate 0": (["--bitrate", "0"], "--bitrate", "kbit/s"),
    "max-text -1": (["--max-text", "-1"], "--max-text", "no limit"),
    "voices without a label": (["--voices", "heart"], "--voices", "LABEL=VOICE"),
    "captions of no kind": (["--captions", "out.txt"], "captions", ".srt"),
    "unknown rule": (["--no-rule", "nothing"], "--no-rule", "emoji"),
    "set without a value": (["--set", "steps"], "--set", "NAME=VALUE"),
    "set what is not there": (["--set", "chunk_pause=2"], "--set", "chunk_pause_ms"),
    "set the text": (["--set", "text=other"], "--set", "arguments"),
    "set nested for ever": (["--set", "steps=" + "[" * 50_000], "steps", "1 to 100"),
    "set out of range": (["--set", "crossfade_ms=9999"], "crossfade_ms", "0 to 2000"),
    "quantize to 5": (["--quantize", "5"], "--quantize", "8 or 4"),
    "no folder": (["-o", "nowhere/out.mp3"], "output", "create it"),
    "a folder": (["-o", "."], "output", "name a file"),
    "an ending of others": (["-o", "out.wma"], "output", ".flac, .wav, .pcm, .ogg, .oga, .m4a, .m4b, .wave, .raw"),
    "a device": (["-o", "/dev/null", "--format", "mp3"], "output", "-o -"),
    "name too long": (["-o", "x" * 300 + ".mp3"], "output", "shorter"),
    "captions without folder": (["--captions", "nowhere/out.srt"], "captions", "create it"),
    "lexicon that is not there": (["--lexicon", "none.txt"], "lexicon", "check the name"),
    "play and standard output": (["-o", "-", "--play"], "play", "or"),
    "captions of a stream": (["-o", "-", "--captions", "out.srt"], "captions", "-o"),
    "no such option": (["--nothing"], "--nothing", "--help"),
    "option without value": (["--voice"], "--voice", "--help"),
    "max-text a word": (["--max-text", "abc"], "--max-text", "--help"),
    "quantize a word": (["--quantize", "int8"], "--quantize", "--help"),
}


def zipped(name: str, content: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(name, content)
    return written.getvalue()


FILES: dict[str, tuple[bytes, str, str]] = {
    "100,001 letters": (b"a" * 100_001, "text", "--max-text"),
    "100,005 letters in words": (b"word " * 20_001, "text", "--max-text"),
    "a word of 50,000 letters": (b"a" * 50_000, "text", "word"),
    "Latin-1": ("Grüße".encode("latin-1"), "file", "iconv"),
    "UTF-16": ("Good morning.".encode("utf-16"), "file", "iconv"),
    "binary": (b"\x80\x81\x82", "file", "iconv"),
    "a PDF": (b"%PDF-1.4\nAll of it is ASCII.", "file", "is a PDF, not plain text"),
    "an EPUB": (zipped("mimetype", b"application/epub+zip"), "file", "is an EPUB, not plain text; convert it first"),
    "a Word document": (zipped("word/document.xml", b"<w:p>Good morning.</w:p>"), "file", "pandoc -t plain"),
    "an archive": (zipped("chapter.txt", b"Good morning."), "file", "unzip"),
    "UTF-8 of a surrogate": (b"\xed\xa0\x80 hello", "file", "iconv"),
    "an empty file": (b"", "text", "word"),
    "only a byte order mark": (b"\xef\xbb\xbf", "text", "word"),
    "zeros": (b"\x00" * 400, "text", "letter"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Machine, Ended]]:
    """How each row of the tables above ended."""
    folder = tmp_path_factory.mktemp("tables")
    cases: dict[str, list[str | bytes]] = {name: ["say", text] for name, (text, _) in TEXTS.items()}
    cases |= {name: ["say", WORDS, *arguments] for name, (arguments, _, _) in OPTIONS.items()}
    for number, (name, (data, _, _)) in enumerate(FILES.items()):
        path = folder / f"{number}.txt"
        path.write_bytes(data)
        cases[name] = ["say", "-f", str(path), "-o", "out.mp3"]
    return Machine(folder).oscine_many(cases)


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_that_nobody_can_speak_is_refused_in_one_sentence(outcomes: dict[str, tuple[Machine, Ended]], case: str):
    left_nothing(*outcomes[case], "text", TEXTS[case][1])


@pytest.mark.parametrize("case", OPTIONS)
def test_a_wrong_option_is_refused_in_one_sentence(outcomes: dict[str, tuple[Machine, Ended]], case: str):
    left_nothing(*outcomes[case], *OPTIONS[case][1:])


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_spoken_is_refused_in_one_sentence(outcomes: dict[str, tuple[Machine, Ended]], case: str):
    left_nothing(*outcomes[case], *FILES[case][1:])


def test_the_first_rows_end_the_same_way_in_a_process_that_starts_anew(
    machine: Machine, outcomes: dict[str, tuple[Machine, Ended]]
):
    for name, arguments in (("lone surrogate", []), ("speed NaN", ["--speed", "nan"])):
        text = TEXTS[name][0] if name in TEXTS else WORDS
        assert machine.oscine("say", text, *arguments) == outcomes[name][1]


def test_a_text_that_is_not_there_is_refused_in_one_sentence(machine: Machine):
    (machine.work / "folder").mkdir()
    refused(machine, ["say", "-f", "none.txt"], "file", "check the name")
    refused(machine, ["say", "-f", "folder"], "file", "name a text file")
    refused(machine, ["say", WORDS, "-f", "none.txt"], "text", "not both")
    refused(machine, ["say", "-o", "out.mp3"], "text", "word")
    refused(machine, ["say", "-"], "standard input", "iconv", typed=b"\xff\xfeG\0")


def test_a_terminal_or_nothing_as_standard_input_is_no_text(machine: Machine):
    ended = machine.oscine("say", "-o", "out.mp3", through=["/bin/sh", "-c", 'exec "$@" <&-', "sh"])
    complained(machine, ended.code, ended.err, "text", "--file")


@pytest.mark.parametrize(
    ("limit", "told"),
    [(0, "larger than 1 MB; split it"), (1_000_000, "larger than 1 MB; split it"), (9, "than 9 char")],
)
def test_standard_input_says_which_of_its_limits_was_passed(monkeypatch: pytest.MonkeyPatch, limit: int, told: str):
    monkeypatch.setattr("oscine.delivery.lexicons.MAX_FILE_BYTES", 1024**2)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytes(2 * 1024**2))))
    with pytest.raises(InvalidRequest, match=told):
        standard_input("-", None, limit, live=False)


WRONG_RECORDINGS = {
    "empty": b"",
    "text": b"This is a text about a voice.\n" * 50,
    "zeros": bytes(100_000),
}


def recording(seconds: float, *, rate: int = 24_000, channels: int = 1) -> bytes:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        t = np.arange(int(seconds * rate)) / rate
        tone = (8000 * np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 3 * t))).astype("<i2")
        file.writeframes(np.repeat(tone, channels).tobytes())
    return sound.getvalue()


def not_numbers(seconds: float = 4) -> bytes:
    samples = np.full(int(seconds * 24_000), np.nan, "<f4").tobytes()
    form = b"WAVEfmt \x10\0\0\0\x03\0\x01\0" + (24_000).to_bytes(4, "little") + (96_000).to_bytes(4, "little")
    body = form + b"\x04\0\x20\0data" + len(samples).to_bytes(4, "little") + samples
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def three_hours() -> bytes:
    return recording(3 * 3600, rate=2_000)


@pytest.mark.parametrize(
    ("case", "way_out"),
    [
        ("empty", "recording"),
        ("text", "."),
        ("zeros", "."),
        ("truncated", "."),
        ("one second", "3"),
        ("three hours", "120"),
        ("192 kHz, 8 channels", "."),
        ("not numbers", "."),
    ],
)
def test_a_recording_that_is_no_voice_is_refused_in_one_sentence(machine: Machine, case: str, way_out: str):
    made: dict[str, Callable[[], bytes]] = {
        "truncated": lambda: recording(5)[:20],
        "one second": lambda: recording(1),
        "three hours": three_hours,
        "192 kHz, 8 channels": lambda: recording(5, rate=192_000, channels=8),
        "not numbers": not_numbers,
    }
    data = made[case]() if case in made else WRONG_RECORDINGS[case]
    (machine.work / "voice.wav").write_bytes(data)
    refused(machine, ["voices", "add", "anna", "voice.wav"], "file", way_out)
    assert not list(machine.volume.rglob("*.wav"))


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_spoken(machine: Machine):
    locked = machine.work / "locked"
    locked.mkdir(mode=0o555)
    for arguments, field in (
        (["-o", "locked/out.mp3"], "output"),
        (["-o", "out.mp3", "--captions", "locked/out.srt"], "captions"),
    ):
        ended = machine.oscine("say", WORDS, *arguments, before=powerless)
        complained(machine, ended.code, ended.err, field, "choose another")
        assert not machine.pieces()
    locked.chmod(0o000)
    ended = machine.oscine("say", WORDS, "-o", "locked/out.mp3", before=powerless)
    complained(machine, ended.code, ended.err, "output", "choose another")
    locked.chmod(0o755)


def refused(machine: Machine, arguments: list[str | bytes], field: str, way_out: str, *, typed: bytes = b"") -> None:
    before = everything(machine.work)
    left_nothing(machine, machine.oscine(*arguments, typed=typed), field, way_out, before)


def left_nothing(machine: Machine, ended: Ended, field: str, way_out: str, before: Sequence[str] = ()) -> None:
    complained(machine, ended.code, ended.err, field, way_out)
    assert ended.out == b""
    assert everything(machine.work) == list(before)
    assert not machine.volume.exists() or not list(machine.volume.rglob("*.*")), "something was left in the data folder"


def complained(machine: Machine, code: int, err: str, field: str, way_out: str) -> None:
    assert code == 2, err
    assert err.startswith("oscine: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert field in err
    assert way_out in err
    assert len(err) < 400, "nobody reads that much"
    assert not re.search(r"\bunexpected\b", err)
    assert machine.unfinished() == []


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

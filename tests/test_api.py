"""Oscine as a Python library."""

from __future__ import annotations

import asyncio
import inspect
import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import oscine
from oscine import AsyncOscine, Cancel, Oscine, OscineError, Report, Speech, Waveform
from oscine.config import Settings
from oscine.delivery.choice import format_of
from oscine.errors import Cancelled, InvalidRequest
from oscine.request import Options, field_names
from oscine.synthesis.studio import Studio
from oscine.text.normalise import Rules
from oscine.text.pronounce import Lexicon
from tests.echo import echo

HELLO = "Good morning to all of you. The train leaves at nine."
MINUTES = "The train to the coast is late again and everybody waits. " * 1500
"""For tones with a delay: whoever is to stop them may come late."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(volume=tmp_path / "volume")


@pytest.fixture
def speaker(settings: Settings) -> Iterator[Oscine]:
    with Oscine(settings=settings, seed=1) as made:
        yield made


def tones(settings: Settings, **kinds: Any) -> Studio:
    return Studio(settings.model_copy(update={"engine": "echo"}), factories={"echo": echo(**kinds)})


def test_importing_is_light_and_everything_named_is_there():
    code = (
        "import time; start = time.perf_counter(); import oscine; took = time.perf_counter() - start; import sys;"
        "print(took, sorted(set(oscine.__all__) - set(dir(oscine))),"
        " sorted({'numpy', 'av', 'pydantic', 'typer', 'hibari'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    print(f"import oscine took {done.stdout.split()[0]} s")
    assert done.stdout.strip().endswith(" [] []"), "what is not shown before it is loaded, and what is heavy"
    for name in oscine.__all__:
        assert getattr(oscine, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = oscine.nothing


def test_speech_has_its_samples_its_length_its_sentences_and_its_facts(speaker: Oscine):
    speech = speaker.say(HELLO)
    assert isinstance(speech, Speech)
    assert isinstance(speech, Waveform)
    assert speech.samples.dtype == np.float32
    assert speech.sample_rate == 24_000
    assert speech.duration == len(speech.samples) / 24_000
    assert [segment.text for segment in speech.segments] == ["Good morning to all of you.", "The train leaves at nine."]
    assert 0 <= speech.segments[0].start < speech.segments[0].end <= speech.segments[1].start
    assert speech.segments[1].end <= speech.duration
    assert speech.warnings == ()
    report = speech.report
    assert isinstance(report, Report)
    assert (report.engine, report.voices, report.seed) == ("hibari", ("heart",), 1)
    assert report.loudness_lufs == pytest.approx(-18, abs=0.5)
    assert report.duration == speech.duration


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav"])
def test_speech_is_saved_and_encoded_in_every_format(speaker: Oscine, tmp_path: Path, format: str):
    speech = speaker.say(HELLO)
    path = speech.save(tmp_path / f"out.{format}", bitrate=64_000)
    for source in (path.read_bytes(), speech.encode(format)):
        assert length_of(source) == pytest.approx(speech.duration, abs=0.05)
    assert speech.save(str(tmp_path / "out"), format=format).read_bytes()
    if format not in ("aac",):
        with av.open(str(path)) as container:
            told = {**container.metadata, **container.streams.audio[0].metadata}
        assert "synthetic speech" in {name.lower(): value for name, value in told.items()}["comment"]
        assert b"synthetic speech" not in speech.save(path, tags=False).read_bytes()


def test_pcm_is_the_samples_themselves(speaker: Oscine):
    speech = speaker.say("Good morning.")
    assert len(speech.encode("pcm")) == 2 * len(speech.samples)


def test_speech_has_captions_and_a_player(speaker: Oscine):
    speech = speaker.say(HELLO)
    assert "--> " in speech.captions()
    assert speech.captions("vtt").startswith("WEBVTT\n")
    assert speech.captions(".VTT") == speech.captions("vtt")
    assert re.match(
        r'<audio controls src="data:audio/mpeg;base64,[A-Za-z0-9+/=]{1000,}"></audio>', speech._repr_html_()
    )
    with pytest.raises(InvalidRequest, match=r"\.srt or \.vtt"):
        speech.captions("ass")


def test_wrong_places_formats_and_bit_rates_are_refused(speaker: Oscine, tmp_path: Path):
    speech = speaker.say("Good morning.")
    for path in (
        tmp_path / "none" / "x.mp3",
        tmp_path,
        tmp_path / "x.doc",
        tmp_path / "a\0b.mp3",
        tmp_path / ("x" * 300 + ".mp3"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            speech.save(path)
        assert caught.value.param == "output"
        with pytest.raises(InvalidRequest):
            speaker.save("Good morning.", path)
    for bitrate in (0, -1, "128", True):
        with pytest.raises(InvalidRequest, match="bitrate"):
            speech.encode("mp3", bitrate=bitrate)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="bitrate"):
            speaker.save("Good morning.", tmp_path / "x.mp3", bitrate=bitrate)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="format"):
        speech.encode("xyz")
    assert [path.name for path in tmp_path.iterdir() if path.name != "volume"] == []


def test_a_file_that_is_replaced_keeps_its_permissions(speaker: Oscine, tmp_path: Path):
    path, beside = tmp_path / "x.wav", tmp_path / "x.srt"
    for target, mode in ((path, 0o600), (beside, 0o640)):
        target.write_bytes(b"old")
        target.chmod(mode)
    seen: list[int] = []

    def look(_: object) -> None:
        seen.extend(part.stat().st_mode & 0o077 for part in tmp_path.glob(".*.part"))

    speaker.save(HELLO, path, captions_path=beside, on_progress=look)
    assert seen
    assert not any(seen), "a private file was readable while it was written"
    assert [target.stat().st_mode & 0o777 for target in (path, beside)] == [0o600, 0o640]
    speaker.say(HELLO).save(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_saving_gives_the_file_the_captions_the_facts_and_the_progress(speaker: Oscine, tmp_path: Path):
    seen: list[int] = []
    report = speaker.save(
        HELLO,
        tmp_path / "x.wav",
        captions_path=tmp_path / "x.vtt",
        title="A title",
        on_progress=lambda progress: seen.append(progress.characters),
    )
    assert length_of((tmp_path / "x.wav").read_bytes()) == pytest.approx(report.duration, abs=0.001)
    assert (tmp_path / "x.vtt").read_text().startswith("WEBVTT\n")
    assert seen == sorted(seen)
    assert seen[-1] == report.characters
    assert speaker.save(HELLO, tmp_path / "x.wav").pieces_reused == report.pieces
    assert speaker.save(HELLO, tmp_path / "x", response_format="flac").duration > 0
    assert (tmp_path / "x").read_bytes()[:4] == b"fLaC"


def test_a_file_keeps_the_seed_it_was_written_with_also_one_that_was_asked_for(settings: Settings, tmp_path: Path):
    def fail(_: object) -> None:
        raise ZeroDivisionError

    path = tmp_path / "x.wav"
    with Oscine(studio=tones(settings)) as oscine:
        oscine.save("One sentence. Another one.", path, seed=5)
        corrected = oscine.save("One sentence. And another.", path)
        assert (corrected.seed, corrected.pieces, corrected.pieces_reused) == (5, 2, 1)
        with pytest.raises(InvalidRequest):
            oscine.save("🐦", path, seed=6)
        with pytest.raises(ZeroDivisionError):
            oscine.save("One sentence.", path, seed=6, on_progress=fail)
        assert oscine.save("One sentence.", path).seed == 5, "what failed did not write it"
        assert oscine.save("One sentence.", path, seed=7).seed == oscine.save("One sentence.", path).seed == 7


@pytest.mark.parametrize(
    ("name", "format", "told"),
    [
        ("x.mp4", None, "files of .mp4 are not written; end it in one of .mp3, .opus"),
        ("x.WMA", "aac", "files of .wma are not written"),
        ("x.m4b", "mp3", ".m4b is the ending of aac, but format asks for mp3"),
        ("x.mp3", "aac", ".mp3 is the ending of mp3, but format asks for aac"),
        ("x.ogg", "flac", ".ogg is the ending of opus, but format asks for flac"),
        ("x.txt", None, "must end in one of .mp3, .opus, .aac, .flac, .wav, .pcm, .ogg, .oga, .m4a, .m4b, .wave, .raw"),
    ],
)
def test_no_file_is_called_what_it_is_not(name: str, format: str | None, told: str):
    with pytest.raises(InvalidRequest, match=re.escape(told)) as caught:
        format_of(Path(name), format)
    assert caught.value.param == "output"


@pytest.mark.parametrize(
    ("name", "format"), [("x.oga", "opus"), ("x.M4B", "aac"), ("x.wave", "wav"), ("x.raw", "pcm"), ("x.y", "flac")]
)
def test_a_format_may_have_several_endings(name: str, format: str):
    assert format_of(Path(name), format) == format_of(Path(name), None, format) == format


def test_an_audiobook_is_aac_in_an_mp4_file(settings: Settings, tmp_path: Path):
    with Oscine(studio=tones(settings)) as oscine:
        oscine.save("One sentence. Another one.", tmp_path / "one.m4b", title="A book")
        oscine.say("One sentence. Another one.").save(tmp_path / "two.m4a")
        oscine.save("One sentence.", tmp_path / "three.aac")
    for name in ("one.m4b", "two.m4a"):
        with av.open(str(tmp_path / name)) as container:
            assert container.format.name.startswith("mov,mp4")
            assert container.metadata["comment"] == "synthetic speech"
            assert container.streams.audio[0].codec_context.name.startswith("aac")
            assert container.metadata.get("title") == ("A book" if name == "one.m4b" else None)
    assert (tmp_path / "three.aac").read_bytes()[:1] == b"\xff", "frames with a header each, as before"


def test_an_audiobook_has_its_chapters(settings: Settings, tmp_path: Path):
    book = "By nobody.\n\n# One\n\nIt was.\n\n# Two: the end\n\nOver."
    with Oscine(studio=tones(settings)) as oscine:
        report = oscine.save(book, tmp_path / "a.m4b", title="A book")
        oscine.say(book).save(tmp_path / "b.mp3")
        oscine.save(book, tmp_path / "c.mp3", tags=False)
        oscine.save("# One\n\nNo other.", tmp_path / "d.m4b")
    assert [chapter.title for chapter in report.chapters] == ["One", "Two: the end"]
    starts = {segment.text.rstrip("."): segment.start for segment in report.segments}
    expected = {
        "a.m4b": ["A book", "One", "Two: the end"],
        "b.mp3": ["b", "One", "Two: the end"],
        "c.mp3": [],
        "d.m4b": [],
    }
    for name, titles in expected.items():
        with av.open(str(tmp_path / name)) as container:
            found = container.chapters()
            assert container.metadata.get("media_type") == ("2" if name.endswith("m4b") else None)
        assert [chapter["metadata"]["title"] for chapter in found] == titles
        at = [chapter["start"] * float(chapter["time_base"] or 0) for chapter in found]
        assert not titles or at == pytest.approx([0, starts["One"] - 0.5, starts["Two: the end"] - 0.5], abs=0.002)


def test_captions_that_cannot_be_written_leave_the_audio_as_it_was(
    speaker: Oscine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "x.wav").write_bytes(b"old")

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)  # stands in for a disk that fills up in this very moment
    with pytest.raises(OscineError, match="captions: the disk is full"):
        speaker.save(HELLO, tmp_path / "x.wav", captions_path=tmp_path / "x.srt")
    assert (tmp_path / "x.wav").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["volume", "x.wav"]


def test_a_stream_is_sound_while_it_is_made_and_tells_its_facts_at_the_end(speaker: Oscine):
    with speaker.stream(HELLO, cfg_scale=2) as stream:
        assert stream.report is None
        parts = list(stream)
    assert all(part.sample_rate == 24_000 for part in parts)
    assert stream.report is not None
    assert sum(part.duration for part in parts) == pytest.approx(stream.report.duration)
    assert len(stream.report.segments) == 2
    assert any("cfg_scale" in warning for warning in stream.report.warnings)
    assert list(stream) == []


def test_a_stream_of_bytes_is_a_file(speaker: Oscine):
    with speaker.stream_bytes(HELLO, format="opus", title="x") as stream:
        data = b"".join(stream)
    assert stream.report is not None
    assert length_of(data) == pytest.approx(stream.report.duration, abs=0.05)


def test_text_may_still_be_written_while_it_is_spoken(speaker: Oscine):
    heard = threading.Event()

    def written() -> Iterator[str]:
        yield "Good morning to "
        yield "all of you. The train "
        assert heard.wait(60), "nothing was heard before the text was complete"
        yield "leaves at nine."

    parts = []
    for part in speaker.stream(written()):
        parts.append(part)
        heard.set()
    assert sum(part.duration for part in parts) == pytest.approx(speaker.say(HELLO).duration, rel=0.1)
    assert speaker.say(iter([HELLO])).report.characters == speaker.say(HELLO).report.characters


def test_what_a_writer_raises_reaches_the_reader(speaker: Oscine, tmp_path: Path):
    def written() -> Iterator[str]:
        yield "Good morning to all of you. "
        raise ConnectionError("the model went away")

    with pytest.raises(ConnectionError, match="went away"):
        list(speaker.stream(written()))
    with pytest.raises(ConnectionError, match="went away"):
        speaker.save(written(), tmp_path / "x.mp3")
    assert not list(tmp_path.glob("*x.mp3*"))
    assert speaker.say("Good morning.").duration > 0


def test_a_stream_that_is_left_or_closed_from_elsewhere_frees_its_lanes(settings: Settings):
    with Oscine(studio=tones(settings, delay_s=0.02)) as oscine:
        with oscine.stream(MINUTES) as stream:
            next(stream)
        with pytest.raises(StopIteration):
            next(stream)
        assert stream.report is None
        other = oscine.stream(MINUTES)
        threading.Timer(0.1, other.close).start()
        with pytest.raises(OscineError):
            list(other)
        assert oscine.say("Good night.").duration > 0


@pytest.mark.parametrize(
    ("text", "options", "param"),
    [
        ("", {}, "text"),
        ("  ", {}, "text"),
        ("\ud800 hello", {}, "text"),
        ("\x00\x01", {}, "text"),
        (b"bytes", {}, "text"),
        (5, {}, "text"),
        ([5], {}, "text"),
        ("a" * 100_001, {}, "text"),
        ("a" * 50_000, {}, "text"),
        (HELLO, {"speed": float("nan")}, "speed"),
        (HELLO, {"speed": 0}, "speed"),
        (HELLO, {"seed": -1}, "seed"),
        (HELLO, {"voice": "nobody"}, "voice"),
        (HELLO, {"voices": {"Alice": "nobody"}}, "voices"),
        (HELLO, {"engine": "nothing"}, "engine"),
        (HELLO, {"voice_audio": "UklGRg=="}, "voice_audio"),
        (HELLO, {"language": "xx"}, "language"),
    ],
)
def test_a_wrong_wish_is_refused_before_anything_is_spoken(
    speaker: Oscine, tmp_path: Path, text: Any, options: dict[str, Any], param: str
):
    for call in (
        lambda: speaker.say(text, **options),
        lambda: speaker.save(text, tmp_path / "x.mp3", **options),
        lambda: list(speaker.stream(text, **options)),
        lambda: list(speaker.stream_bytes(text, **options)),
    ):
        with pytest.raises(InvalidRequest) as caught:
            call()
        assert caught.value.param == param
        assert caught.value.message.endswith(".")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_options_of_the_constructor_hold_until_a_call_gives_its_own_by_any_name(settings: Settings):
    with Oscine(settings=settings, seed=5, speed=2, speaker_voice="nobody", loudness=None) as oscine:
        with pytest.raises(InvalidRequest, match="voice"):
            oscine.say(HELLO)
        fast = oscine.say(HELLO, voice="heart")
        assert fast.report.seed == 5
        slow = oscine.say(HELLO, voice="heart", speed=1, seed=6)
        assert slow.report.seed == 6
        assert slow.duration > 1.4 * fast.duration
        assert fast.report.loudness_lufs != pytest.approx(-18, abs=0.3)
    with Oscine(settings=settings, voice="nobody") as oscine:
        assert oscine.say(HELLO, speaker_voice="heart").report.voices == ("heart",)


def test_an_option_that_does_not_exist_is_refused_with_what_may_be_meant(settings: Settings, tmp_path: Path):
    wrong: Any = {"voic": "heart"}
    with pytest.raises(InvalidRequest, match="did you mean voice"):
        Oscine(settings=settings, **wrong)
    with Oscine(settings=settings) as oscine:
        for call in (
            lambda **options: oscine.say(HELLO, **options),
            lambda **options: oscine.save(HELLO, tmp_path / "x.mp3", **options),
            lambda **options: oscine.stream(HELLO, **options),
            lambda **options: oscine.stream_bytes(HELLO, **options),
        ):
            with pytest.raises(InvalidRequest, match="did you mean voice") as caught:
                call(**wrong)
            assert caught.value.param == "voic"
            with pytest.raises(InvalidRequest, match="xylophone is no option"):
                call(xylophone=3)


def test_the_options_that_editors_know_are_the_fields_of_a_request():
    assert set(Options.__annotations__) == set(field_names()) - {"text", "input", "stream"}


def test_a_format_goes_by_all_its_names_and_the_constructors_holds_too(settings: Settings, tmp_path: Path):
    with Oscine(studio=tones(settings), response_format="flac") as oscine:
        heads = {
            "usual": b"".join(oscine.stream_bytes(HELLO))[:4],
            "output_format": b"".join(oscine.stream_bytes(HELLO, output_format="wav"))[:4],
            "response_format": b"".join(oscine.stream_bytes(HELLO, response_format=" WAV "))[:4],
            "format": b"".join(oscine.stream_bytes(HELLO, format="opus"))[:4],
        }
        assert heads == {"usual": b"fLaC", "output_format": b"RIFF", "response_format": b"RIFF", "format": b"OggS"}
        oscine.save(HELLO, tmp_path / "without an ending")
        assert (tmp_path / "without an ending").read_bytes()[:4] == b"fLaC"
        oscine.save(HELLO, tmp_path / "x.wav")  # a name's ending is the call's own wish
        assert (tmp_path / "x.wav").read_bytes()[:4] == b"RIFF"
    with Oscine(studio=tones(settings)) as oscine:
        assert b"".join(oscine.stream_bytes(HELLO))[:3] in (b"ID3", b"\xff\xf3\x84")


def test_pcm_16_is_raw_in_a_stream_and_a_wav_file_otherwise(settings: Settings, tmp_path: Path):
    with Oscine(studio=tones(settings), seed=1) as oscine:
        raw = b"".join(oscine.stream_bytes(HELLO, format="pcm_16"))
        assert raw == b"".join(oscine.stream_bytes(HELLO, format="pcm"))
        oscine.save(HELLO, tmp_path / "x", format="PCM_16")
        speech = oscine.say(HELLO)
        speech.save(tmp_path / "y", format="pcm_16")
        for data in ((tmp_path / "x").read_bytes(), (tmp_path / "y").read_bytes(), speech.encode("pcm_16")):
            assert data[:4] == b"RIFF"


def test_an_oscine_that_nobody_holds_frees_its_engine_after_its_last_word(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    before = set(threading.enumerate())
    monkeypatch.setattr("oscine.api.Studio", tones)
    parts = list(Oscine(settings=settings).stream(HELLO))
    assert sum(part.duration for part in parts) > 0.5
    assert Oscine(settings=settings).say(HELLO).duration > 0.5
    end = time.monotonic() + 60
    while any(thread.name == "oscine-echo" for thread in set(threading.enumerate()) - before):
        assert time.monotonic() < end, "the engine's thread lives on"
        time.sleep(0.01)


def test_a_call_can_be_cancelled_from_another_thread_and_then_nothing_is_replaced(settings: Settings, tmp_path: Path):
    (tmp_path / "x.wav").write_bytes(b"old")
    with Oscine(studio=tones(settings, delay_s=0.02)) as oscine:
        for call in (
            lambda cancel: oscine.say(MINUTES, cancel=cancel),
            lambda cancel: oscine.save(MINUTES, tmp_path / "x.wav", cancel=cancel),
        ):
            cancel = Cancel()
            threading.Timer(0.1, cancel.cancel).start()
            with pytest.raises(Cancelled):
                call(cancel)
            with pytest.raises(Cancelled):
                call(cancel)
        last = Cancel()
        with pytest.raises(Cancelled):
            oscine.save(HELLO, tmp_path / "x.wav", cancel=last, on_progress=lambda _: last.cancel())
        assert (tmp_path / "x.wav").read_bytes() == b"old"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["volume", "x.wav"]
        assert oscine.say("Good night.").duration > 0


def test_settings_decide_limits_and_places(tmp_path: Path):
    with Oscine(settings=Settings(volume=tmp_path / "here", max_text_length=20)) as oscine:
        with pytest.raises(InvalidRequest, match="20"):
            oscine.say(HELLO)
        with pytest.raises(InvalidRequest, match="20"):
            list(oscine.stream(iter([HELLO])))
        oscine.save("Good morning.", tmp_path / "x.mp3")
        assert (tmp_path / "here").is_dir()
        assert oscine.voices() == ["heart"]
        assert oscine.engine.name == "hibari"


def test_words_can_be_respelled_and_rules_left_out(speaker: Oscine, settings: Settings, tmp_path: Path):
    plain = speaker.say(HELLO)
    words = tmp_path / "words.txt"
    words.write_text("nine = a quarter to ten\n")
    given: list[dict[str, Any]] = [
        {"pronunciations": {"nine": "a quarter to ten"}},
        {"lexicon": Lexicon({"nine": "a quarter to ten"})},
        {"lexicon": {"nine": "a quarter to ten"}},
        {"lexicon": words},
        {"lexicon": str(words)},
    ]
    for options in given:
        assert speaker.say(HELLO, **options).duration > plain.duration + 0.2
    with Oscine(settings=settings, lexicon=words, rules=Rules().without(["emoji"]), seed=1) as oscine:
        assert oscine.say(HELLO).duration > plain.duration + 0.2
        assert oscine.say(HELLO, lexicon={}).duration == plain.duration
    for wrong in (tmp_path / "none.txt", tmp_path, {"nine": 9}, 5):
        with pytest.raises(InvalidRequest) as caught:
            speaker.say(HELLO, lexicon=wrong)  # type: ignore[arg-type]
        assert caught.value.param == "lexicon"
    assert speaker.say("A bird 🐦.", rules=Rules().without(["emoji"])).duration > 0


def test_two_threads_share_one_oscine_and_get_what_each_asked_for(speaker: Oscine):
    texts = {f"This is the text number {n}, and nobody else's." for n in range(6)}
    alone = {text: speaker.say(text).samples for text in texts}
    together: dict[str, Any] = {}

    def say(text: str) -> None:
        together[text] = speaker.say(text).samples

    threads = [threading.Thread(target=say, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert together.keys() == alone.keys()
    for text in texts:
        np.testing.assert_array_equal(together[text], alone[text])


def test_closing_twice_is_fine_and_what_comes_after_starts_anew(settings: Settings):
    oscine = Oscine(settings=settings)
    oscine.close()
    oscine.close()
    assert oscine.say("Good morning.").duration > 0
    oscine.close()


def test_the_async_twin_makes_the_same_speech_and_leaves_the_loop_free(
    speaker: Oscine, settings: Settings, tmp_path: Path
):
    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        async with AsyncOscine(settings=settings, seed=1) as twin:
            speech = await twin.say(HELLO)
            np.testing.assert_array_equal(speech.samples, speaker.say(HELLO).samples)
            report = await twin.save(HELLO, tmp_path / "x.mp3")
            assert report.duration == pytest.approx(speech.duration, abs=0.2)
            parts = [part async for part in twin.stream(HELLO)]
            assert sum(part.duration for part in parts) == pytest.approx(speech.duration, abs=0.5)
            data = b"".join([part async for part in twin.stream_bytes(HELLO, format="flac")])
            assert data[:4] == b"fLaC"
            with pytest.raises(InvalidRequest):
                await twin.say("")
            with pytest.raises(InvalidRequest):
                async for _ in twin.stream(""):
                    pass
        ticking.cancel()
        assert ticks > 5

    asyncio.run(main())


def test_the_async_twin_speaks_what_an_async_writer_has_written_so_far(settings: Settings):
    async def main() -> None:
        heard = asyncio.Event()

        async def written() -> AsyncIterator[str]:
            yield "Good morning to all of you. The train "
            await asyncio.wait_for(heard.wait(), 60)
            yield "leaves at nine."

        async with AsyncOscine(settings=settings) as twin:
            count = 0
            async for _ in twin.stream(written()):
                count += 1
                heard.set()
            assert count > 1
            assert (await twin.say(written())).duration > 2

            async def broken() -> AsyncIterator[str]:
                yield "Good morning. "
                raise ConnectionError("the model went away")

            with pytest.raises(ConnectionError):
                await twin.say(broken())

    asyncio.run(main())


@pytest.mark.parametrize("call", ["say", "save"])
def test_a_task_that_is_cancelled_stops_speaking_and_replaces_nothing(settings: Settings, tmp_path: Path, call: str):
    (tmp_path / "x.mp3").write_bytes(b"old")

    async def main() -> None:
        for text in (MINUTES, "written"):
            begun, stopped = asyncio.Event(), asyncio.Event()

            async def written() -> AsyncIterator[str]:
                try:
                    yield "Good morning to all of you. The train leaves at nine. "
                    begun.set()  # noqa: B023  awaited in this very turn
                    await asyncio.sleep(3600)
                finally:
                    stopped.set()  # noqa: B023

            studio = tones(settings, delay_s=0.02)
            async with AsyncOscine(studio=studio) as twin:
                said: Any = written() if text == "written" else text
                speaking: asyncio.Task[Any] = asyncio.create_task(
                    twin.say(said) if call == "say" else twin.save(said, tmp_path / "x.mp3")
                )
                if text == "written":
                    await asyncio.wait_for(begun.wait(), 60)
                scheduler = studio.scheduler("echo")
                if text != "written":
                    await until(lambda: scheduler.lanes_busy > 0)  # noqa: B023
                speaking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await speaking
                if text == "written":
                    await asyncio.wait_for(stopped.wait(), 60)
                await until(lambda: not scheduler.lanes_busy and not list(tmp_path.glob(".*")))  # noqa: B023
                assert (tmp_path / "x.mp3").read_bytes() == b"old"

    asyncio.run(main())
    assert (tmp_path / "x.mp3").read_bytes() == b"old"


def test_asyncio_has_every_call_with_the_same_arguments(settings: Settings):
    for name in (name for name in vars(Oscine) if not name.startswith("_")):
        call, twin = getattr(Oscine, name), getattr(AsyncOscine, name)
        if name not in ("engine", "studio"):
            theirs = {each: parameter.kind for each, parameter in inspect.signature(twin).parameters.items()}
            ours = {each: parameter.kind for each, parameter in inspect.signature(call).parameters.items()}
            assert theirs == {each: kind for each, kind in ours.items() if each != "cancel"}, "tasks are cancelled"

    async def main() -> None:
        async with AsyncOscine(settings=settings) as twin:
            assert (await twin.engine()).name == "hibari"
            assert "heart" in await twin.voices()
            assert twin.studio.settings is settings

    asyncio.run(main())


def test_leaving_an_async_stream_stops_its_writer(settings: Settings):
    async def main() -> None:
        stopped = asyncio.Event()

        async def written() -> AsyncIterator[str]:
            try:
                yield "Good morning to all of you. The train leaves at nine. "
                await asyncio.sleep(3600)
            finally:
                stopped.set()

        async with AsyncOscine(settings=settings) as twin:
            stream = twin.stream(written())
            async for _ in stream:
                break
            start = time.monotonic()
            await stream.aclose()
            await asyncio.wait_for(stopped.wait(), 60)
            assert time.monotonic() - start < 120

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.002)


def length_of(data: bytes) -> float:
    """Seconds of an encoded file."""
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        count = sum(frame.samples for frame in container.decode(stream))
        return float(count / stream.rate)

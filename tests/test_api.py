"""Oscine as a Python library."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import oscine
from oscine import AsyncOscine, Oscine, OscineError, Report, Speech, Waveform
from oscine.config import Settings
from oscine.errors import InvalidRequest
from oscine.synthesis.studio import Studio
from oscine.text.normalise import Rules
from oscine.text.pronounce import Lexicon
from tests.echo import echo

HELLO = "Good morning to all of you. The train leaves at nine."


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
        "print(took, sorted({'numpy', 'av', 'pydantic', 'typer', 'hibari'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    print(f"import oscine took {done.stdout.split()[0]} s")
    assert done.stdout.strip().endswith("[]")
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


def test_what_a_writer_raises_reaches_the_reader(speaker: Oscine):
    def written() -> Iterator[str]:
        yield "Good morning to all of you. "
        raise ConnectionError("the model went away")

    with pytest.raises(ConnectionError, match="went away"):
        list(speaker.stream(written()))
    assert speaker.say("Good morning.").duration > 0


def test_a_stream_that_is_left_or_closed_from_elsewhere_frees_its_lanes(settings: Settings):
    with Oscine(studio=tones(settings, delay_s=0.002)) as oscine:
        long = "The train to the coast is late again and everybody waits. " * 200
        with oscine.stream(long) as stream:
            next(stream)
        with pytest.raises(StopIteration):
            next(stream)
        assert stream.report is None
        other = oscine.stream(long)
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


def test_unknown_options_are_warnings(speaker: Oscine):
    assert any("volume" in warning for warning in speaker.say("Good morning.", volume=3).warnings)


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


def test_words_can_be_respelled_and_rules_left_out(speaker: Oscine):
    plain = speaker.say(HELLO)
    for options in (
        {"pronunciations": {"nine": "a quarter to ten"}},
        {"lexicon": Lexicon({"nine": "a quarter to ten"})},
    ):
        assert speaker.say(HELLO, **options).duration > plain.duration + 0.2
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
            await stream.aclose()  # type: ignore[attr-defined]
            await asyncio.wait_for(stopped.wait(), 30)
            assert time.monotonic() - start < 30

    asyncio.run(main())


def length_of(data: bytes) -> float:
    """Seconds of an encoded file."""
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        count = sum(frame.samples for frame in container.decode(stream))
        return float(count / stream.rate)

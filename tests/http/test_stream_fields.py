"""The library's own way for fronts: fields from outside become a stream of bytes that tells what it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from oscine import AsyncOscine, Oscine
from oscine.audio.formats import Format
from oscine.config import Settings
from oscine.errors import InvalidRequest, SynthesisFailed
from oscine.request import SpeechRequest
from oscine.synthesis.studio import Studio
from tests.echo import EchoEngine, Failure
from tests.http.asking import FORMATS, HELLO, Gated, samples_of
from tests.waiting import until


@pytest.fixture
def engine() -> EchoEngine:
    return EchoEngine(failures=[Failure("unspeakable", times=99, retryable=False)])


@pytest.fixture
def studio(tmp_path: Path, engine: EchoEngine) -> Iterator[Studio]:
    with Studio(Settings(volume=tmp_path, engine="echo"), factories={"echo": lambda _: engine}) as made:
        yield made


def asked(**fields: object) -> tuple[SpeechRequest, list[str]]:
    return SpeechRequest.parse({"input": HELLO, "seed": 1, **fields})


@pytest.mark.parametrize("format", FORMATS)
def test_a_request_from_outside_streams_what_the_keywords_would(studio: Studio, format: str):
    oscine = Oscine(studio=studio)
    with oscine.stream_request(*asked(response_format=format)) as stream:
        data = b"".join(stream)
    with oscine.stream_bytes(HELLO, seed=1, format=format) as other:
        expected = b"".join(other)
    assert samples_of(data, format)[0].tolist() == samples_of(expected, format)[0].tolist()
    assert stream.report is not None
    assert other.report is not None
    assert stream.report.segments == other.report.segments


def test_the_opening_tells_before_the_first_sound_what_is_known(studio: Studio):
    stream = Oscine(studio=studio).stream_request(*asked(voice="HIGH", format="opus", cfg_scale=2, flavour="sweet"))
    with stream:
        opening = stream.opening
        assert (opening.engine, opening.voice, opening.seed) == ("echo", "high", 1)
        assert (opening.format, opening.sample_rate) == (Format.OPUS, 24_000)
        assert len(opening.warnings) == 2
        assert "flavour" in opening.warnings[0]
        assert "cfg_scale" in opening.warnings[1]
        assert stream.report is None
        for _ in stream:
            pass
        assert stream.report is not None
        assert set(opening.warnings) <= set(stream.report.warnings)
        assert stream.report.seed == opening.seed


def test_plain_samples_have_an_opening_too_and_a_seed_of_chance(studio: Studio):
    oscine = Oscine(studio=studio)
    seeds = set()
    for _ in range(3):
        with oscine.stream(HELLO) as stream:
            assert stream.opening.format is None
            assert (stream.opening.voice, stream.opening.warnings) == ("low", ())
            seeds.add(stream.opening.seed)
            assert next(stream).sample_rate == stream.opening.sample_rate
    assert len(seeds) == 3


def test_a_request_that_does_not_say_that_it_listens_is_a_stream_all_the_same(studio: Studio, engine: EchoEngine):
    fields = {"stream_max_chars_per_chunk": 50, "input": "one two three four five, " * 10 + "six."}
    with Oscine(studio=studio).stream_request(*asked(**fields, stream=False)) as stream:
        for _ in stream:
            pass
    assert max(len(utterance.text) for utterance in engine.counts.utterances) <= 50


def test_a_wrong_request_is_refused_before_it_takes_a_place(studio: Studio, engine: EchoEngine):
    for fields, param in (({"voice": "nobody"}, "voice"), ({"input": " "}, "text"), ({"language": "xx"}, "language")):
        with pytest.raises(InvalidRequest) as caught:
            Oscine(studio=studio).stream_request(*asked(**fields))
        assert caught.value.param == param
    assert engine.counts.opened == 0


def test_the_async_stream_says_the_same_and_knows_nothing_before_it_is_asked(studio: Studio):
    async def main() -> None:
        twin = AsyncOscine(studio=studio)
        stream = twin.stream_fields({"input": HELLO, "seed": 1, "format": "pcm", "flavour": "sweet"})
        assert stream.opening is None
        assert stream.report is None
        first = await anext(stream)
        assert stream.opening is not None
        assert (stream.opening.engine, stream.opening.voice, stream.opening.seed) == ("echo", "low", 1)
        assert "flavour" in stream.opening.warnings[0]
        assert stream.report is None
        rest = [part async for part in stream]
        assert stream.report is not None
        with Oscine(studio=studio).stream_request(*asked(format="pcm")) as alone:
            assert b"".join(alone) == first + b"".join(rest)
        assert stream.report.duration == pytest.approx((len(first) + sum(map(len, rest))) / 48_000)
        await stream.aclose()
        await stream.aclose()

    asyncio.run(main())


def test_what_is_wrong_with_the_fields_is_told_when_the_first_piece_is_asked_for(studio: Studio):
    async def main() -> None:
        twin = AsyncOscine(studio=studio)
        for fields, param in (
            ({}, "text"),
            ({"input": "a", "speed": 9}, "speed"),
            ({"input": "a", "seed": "x"}, "seed"),
        ):
            stream = twin.stream_fields(fields)
            with pytest.raises(InvalidRequest) as caught:
                await anext(stream)
            assert caught.value.param == param
            assert stream.opening is None

    asyncio.run(main())


def test_what_breaks_midway_is_raised_after_the_sound_before_it(studio: Studio, engine: EchoEngine):
    text = "All is well so far. " * 5 + "This is unspeakable."

    async def main() -> int:
        got = 0
        stream = AsyncOscine(studio=studio).stream_fields({"input": text, "format": "pcm"})
        try:
            async for part in stream:
                got += len(part)
        except SynthesisFailed:
            assert stream.report is None
            return got
        pytest.fail("nothing was raised")

    assert asyncio.run(main()) > 48_000
    until(lambda: engine.open_lanes == 0)


def test_leaving_frees_the_lanes_also_before_the_first_piece(studio: Studio, engine: EchoEngine):
    async def main() -> None:
        for pieces in (0, 1):
            stream = AsyncOscine(studio=studio).stream_fields({"input": HELLO * 50, "format": "pcm"})
            for _ in range(pieces):
                await anext(stream)
            await stream.aclose()
            await asyncio.to_thread(until, lambda: studio.scheduler("echo").lanes_busy == 0)

    asyncio.run(main())
    until(lambda: engine.open_lanes == 0)


def test_who_leaves_while_nothing_is_heard_yet_frees_the_lanes_at_once(tmp_path: Path):
    engine = Gated("Wait")  # and nothing ever opens the gate

    async def main(studio: Studio) -> None:
        stream = AsyncOscine(studio=studio).stream_fields({"input": "Wait for it."})
        waiting = asyncio.create_task(anext(stream))
        await asyncio.to_thread(until, lambda: engine.open_lanes)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.to_thread(until, lambda: not engine.open_lanes)

    with Studio(Settings(volume=tmp_path, engine="echo"), factories={"echo": lambda _: engine}) as studio:
        asyncio.run(main(studio))

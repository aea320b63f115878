"""What a format can hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.audio.encode import Encoder
from oscine.audio.formats import Format, bitrate_for, nearest_rate
from oscine.errors import InvalidRequest
from tests.audio.signals import murmur


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="mp3, opus, aac, flac, wav, pcm") as caught:
        Format.parse("midi", field="response_format")
    assert caught.value.param == "response_format"
    assert Format.parse(" MP3 ") is Format.MP3


def test_media_types_are_those_of_openai_compatible_servers() -> None:
    assert [each.media_type for each in Format] == [
        "audio/mpeg",
        "audio/ogg",
        "audio/aac",
        "audio/flac",
        "audio/wav",
        "audio/pcm",
    ]


@pytest.mark.parametrize(
    ("format", "wish", "rate"),
    [
        (Format.OPUS, 44_100, 48_000),
        (Format.OPUS, 22_050, 24_000),
        (Format.MP3, 24_000, 24_000),
        (Format.MP3, 96_000, 48_000),
        (Format.WAV, 12_345, 12_345),
    ],
)
def test_the_nearest_rate_loses_no_sound_where_the_codec_can_help_it(format: Format, wish: int, rate: int) -> None:
    assert nearest_rate(format, wish) == rate


@pytest.mark.parametrize(
    ("format", "rate", "wish", "used"),
    [
        (Format.MP3, 24_000, None, 128_000),
        (Format.MP3, 24_000, 192_000, 160_000),
        (Format.MP3, 48_000, 192_000, 192_000),
        (Format.MP3, 8_000, 128_000, 64_000),
        (Format.MP3, 24_000, 130_000, 128_000),
        (Format.OPUS, 24_000, None, 64_000),
        (Format.OPUS, 24_000, 128_000, 128_000),
        (Format.AAC, 24_000, 500_000, 144_000),
        (Format.WAV, 24_000, 128_000, None),
    ],
)
def test_the_bit_rate_is_one_that_the_codec_has(format: Format, rate: int, wish: int | None, used: int | None) -> None:
    assert bitrate_for(format, rate, wish) == used
    assert Encoder(format, rate, bitrate=wish).bitrate == used


@pytest.mark.parametrize("format", Format)
@settings(deadline=None, max_examples=40)
@given(rate=st.integers(1_000, 200_000), bitrate=st.one_of(st.none(), st.integers(1, 1_000_000)))
def test_every_wish_for_rate_and_bit_rate_ends_in_an_encoder_that_works(
    format: Format, rate: int, bitrate: int | None
) -> None:
    with Encoder(format, nearest_rate(format, rate), bitrate=bitrate) as encoder:
        assert encoder.push(murmur(6000)) + encoder.finish()

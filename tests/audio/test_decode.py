"""Recordings from outside: every common kind is read, everything else is refused in one sentence."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.audio.decode import Limits, decode, decode_file
from oscine.audio.encode import Encoder
from oscine.audio.formats import Format
from oscine.audio.waveform import Waveform
from oscine.errors import InvalidRequest
from oscine.voices.container import describe
from tests.audio.signals import RATE, Samples, lag, said

LIMITS = Limits(max_bytes=7_000_000, min_seconds=3, max_seconds=120)
ROOMY = Limits(max_bytes=500_000_000, min_seconds=3, max_seconds=120)
CONTAINERS = {
    "wav": ("wav", "pcm_s16le"),
    "24-bit wav": ("wav", "pcm_s24le"),
    "float wav": ("wav", "pcm_f32le"),
    "8-bit wav": ("wav", "pcm_u8"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "ogg": ("ogg", "flac"),
    "opus": ("ogg", "libopus"),
    "flac": ("flac", "flac"),
    "webm": ("webm", "libopus"),
    "aac": ("adts", "aac"),
}


@cache
def speech() -> Samples:
    texts = ("She left in March, with both of her brothers.", "I saw him laugh at the old joke.", "Stop at once.")
    return np.concatenate([said(text) for text in texts])


@cache
def recording(kind: str, layout: str = "mono") -> bytes:
    container_name, codec = CONTAINERS[kind]
    file = io.BytesIO()
    with av.open(file, "w", format=container_name) as container:
        stream: Any = container.add_stream(codec, rate=RATE, layout=layout)
        stereo = np.repeat(speech()[None], {"mono": 1, "stereo": 2}[layout], axis=0)
        for start in range(0, len(speech()), RATE):
            block = np.ascontiguousarray(stereo[:, start : start + RATE])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate = RATE
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def wav(samples: np.ndarray, rate: int = RATE, channels: int = 1) -> bytes:
    """A WAV with exactly these numbers in it, whatever they are."""
    data = samples.tobytes()
    width, kind = samples.dtype.itemsize, 3 if samples.dtype.kind == "f" else 1
    layout = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * width, channels * width, 8 * width)
    head = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", len(head) + len(data)) + head + data


def refused(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(InvalidRequest) as caught:
        decode(data, limits, field="voice_audio")
    message = str(caught.value)
    assert caught.value.param == "voice_audio"
    assert message.startswith("voice_audio ")
    assert message.endswith(".")
    assert len(message) < 160
    assert "\n" not in message
    return message


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_common_kind_of_recording_is_read_at_its_own_rate(kind: str, layout: str) -> None:
    waveform = decode(recording(kind, layout), LIMITS)
    assert waveform.sample_rate == (48_000 if "libopus" in CONTAINERS[kind] else RATE)
    assert waveform.duration == pytest.approx(len(speech()) / RATE, abs=0.1)
    assert waveform.samples.dtype == np.float32
    samples = waveform.samples[:: waveform.sample_rate // RATE]
    behind = lag(speech(), samples)
    assert 0 <= behind <= 2112
    aligned = samples[behind : behind + len(speech())]
    assert np.corrcoef(speech()[: len(aligned)], aligned)[0, 1] > 0.97


@pytest.mark.parametrize("format", [each for each in Format if each is not Format.PCM])
@pytest.mark.parametrize("streamed", [True, False])
def test_what_was_encoded_here_can_be_a_reference_again(format: Format, streamed: bool) -> None:
    sink = None if streamed else io.BytesIO()
    with Encoder(format, RATE, sink=sink) as encoder:
        data = encoder.push(speech()) + encoder.finish()
    waveform = decode(sink.getvalue() if sink else data, LIMITS)
    assert waveform.duration == pytest.approx(len(speech()) / RATE, abs=0.05)


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.55, 0.9])
def test_a_recording_that_is_cut_off_is_refused(kind: str, share: float) -> None:
    data = recording(kind)
    refused(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"This is a text file, not a voice.\n" * 200, "no audio file"),
        ("Grüße\n".encode("utf-16") * 500, "no audio file"),
        (b"\x00" * 10_000, "no audio file"),
        (b"RIFF", "no audio file"),
        (b"OggS", "no audio file"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 1000, "no audio file"),
        (b"\x80\x04\x95" + b"\x00" * 1000, "no audio file"),
    ],
    ids=["empty", "text", "utf-16", "zeros", "riff", "ogg", "png", "pickle"],
)
def test_what_is_no_audio_is_refused(data: bytes, reason: str) -> None:
    assert reason in refused(data)


def test_playlists_open_no_file_and_no_address(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(recording("wav"))
    assert decode_file(secret, LIMITS).duration > 3
    for playlist in (
        f"ffconcat version 1.0\nfile '{secret}'\n",
        f"ffconcat version 1.0\nfile 'file:{secret}'\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        f"[playlist]\nFile1={secret}\nNumberOfEntries=1\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        f'<?xml version="1.0"?><MPD><Period><AdaptationSet><BaseURL>{secret}</BaseURL></AdaptationSet></Period></MPD>',
    ):
        message = refused(playlist.encode())
        assert "secret" not in message
        assert "127.0.0.1" not in message


def loud(seconds: float, rate: int = RATE, channels: int = 1) -> bytes:
    noise = (np.random.default_rng(0).standard_normal(round(seconds * rate)) * 3000).astype("<i2")
    return wav(np.repeat(noise, channels), rate, channels)


def test_what_is_too_short_or_too_long_is_refused_with_the_limits_in_seconds() -> None:
    assert "3 to 120 s" in refused(loud(2.9))
    assert "3 to 120 s" in refused(loud(121, 8_000))
    assert decode(loud(3.0), LIMITS).duration == pytest.approx(3)
    assert decode(loud(120.0, 8_000), LIMITS).duration == pytest.approx(120)


def test_a_file_of_three_hours_is_refused_by_what_its_header_says() -> None:
    header = wav(np.zeros(0, "<i2"), 8_000)[:-4] + struct.pack("<I", 2 * 8_000 * 3 * 3600)
    data = header[:4] + struct.pack("<I", 36 + 2 * 8_000 * 3 * 3600) + header[8:] + b"\x01\x10" * 100_000
    assert "10800 s" in refused(data)


@pytest.mark.parametrize("format", [Format.FLAC, Format.OPUS, Format.MP3])
def test_a_small_file_that_swells_to_more_than_allowed_is_refused_in_little_memory(format: Format) -> None:
    with Encoder(format, 8_000, bitrate=6_000) as encoder:
        data = b"".join([encoder.push(np.full(60 * 8_000, 0.1, np.float32)) for _ in range(6)])
        data += encoder.finish()
    tracemalloc.start()
    try:
        message = refused(data, Limits(max_bytes=500_000_000, min_seconds=3, max_seconds=20))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "20 s" in message
    assert peak < 3 * 20 * 48_000 * 4


def with_block(flac: bytes, kind: int, block: bytes) -> bytes:
    """The same FLAC with another block of metadata behind the first (RFC 9639, section 8.1)."""
    first = 4 + 4 + 34
    return (
        flac[:4]
        + bytes([flac[4] & 0x7F])
        + flac[5:first]
        + struct.pack(">I", kind << 24 | len(block))
        + block
        + flac[first:]
    )


def picture(width: int) -> bytes:
    """A PNG of `width` times `width`, and what stands around it in a FLAC (RFC 9639, section 8.8)."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, width, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes((width + 1) * width))),
        (b"IEND", b""),
    )
    png = b"\x89PNG\r\n\x1a\n"
    png += b"".join(
        struct.pack(">I", len(it)) + name + it + struct.pack(">I", zlib.crc32(name + it)) for name, it in chunks
    )
    return struct.pack(">II9s6I", 3, 9, b"image/png", 0, 0, 0, 0, 0, len(png)) + png


@pytest.mark.parametrize("read", [lambda data: decode(data, LIMITS), describe])
def test_a_cover_is_not_decoded_whatever_size_it_would_have(read: Callable[[bytes], object]) -> None:
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as told:
            read(with_block(recording("flac"), 6, picture(40)))
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(True)
    assert any("Codec (png) not on whitelist" in message for _, _, message in told)


def test_too_many_bytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate(10_000_000_000)
    with pytest.raises(InvalidRequest, match="larger than 7 MB"):
        decode_file(path, LIMITS)


def test_more_channels_or_a_higher_rate_than_allowed_are_refused() -> None:
    assert "9 channels" in refused(loud(0.5, 192_000, 9), ROOMY)
    assert "384000 Hz" in refused(loud(0.5, 384_000), ROOMY)
    assert "at most 2" in refused(loud(4, RATE, 8), Limits(7_000_000, 3, 120, max_channels=2))


def test_a_studio_recording_within_the_limits_is_read() -> None:
    waveform = decode(loud(3.5, 192_000, 8), ROOMY)
    assert (waveform.sample_rate, waveform.samples.ndim) == (192_000, 1)
    assert waveform.duration == pytest.approx(3.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    samples = speech().astype("<f4").copy()
    samples[1234] = value
    assert "no numbers" in refused(wav(samples))


def test_silence_is_refused() -> None:
    assert "silent" in refused(wav(np.zeros(5 * RATE, "<i2")))
    assert "silent" in refused(wav(np.random.default_rng(0).integers(-2, 3, 5 * RATE).astype("<i2")))


def test_heavy_clipping_is_refused_and_a_touch_of_it_is_not() -> None:
    full = speech() / np.abs(speech()).max()
    assert "clipped" in refused(wav((np.clip(full * 12, -1, 1) * 32767).astype("<i2")))
    assert isinstance(decode(wav((np.clip(full * 1.2, -1, 1) * 32767).astype("<i2")), LIMITS), Waveform)


def test_channels_are_mixed_to_their_mean() -> None:
    left, right = speech(), np.roll(speech(), RATE)
    both = np.stack([left, right], axis=1).astype("<f4")
    samples = decode(wav(both, channels=2), LIMITS).samples
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-6)


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(sorted(CONTAINERS)),
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=40)), min_size=1, max_size=6),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(kind: str, damage: list[tuple[float, bytes]]) -> None:
    data = bytearray(recording(kind))
    for place, patch in damage:
        at = int(place * (len(data) - 1))
        data[at : at + len(patch)] = patch
    try:
        waveform = decode(bytes(data), LIMITS)
    except InvalidRequest:
        return
    assert np.isfinite(waveform.samples).all()
    assert 3 <= waveform.duration <= 120.2


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=2000))
def test_any_bytes_are_refused_in_a_sentence(data: bytes) -> None:
    refused(data)

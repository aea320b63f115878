"""Encoding: what goes in comes out again, at its time, whole or as a stream."""

from __future__ import annotations

import errno
import gc
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oscine.audio.encode import Encoder
from oscine.audio.formats import Format, frame_length
from oscine.audio.loudness import integrated_loudness
from oscine.audio.resample import resample
from oscine.audio.waveform import Waveform
from oscine.errors import InvalidRequest
from tests.audio.signals import RATE, Samples, cut, decoded, lag, murmur, said

ALL = list(Format)
LOSSLESS = (Format.FLAC, Format.WAV, Format.PCM)
TAGS = {
    "title": "Grüße, 世界",
    "artist": "heart",
    "comment": "synthetic speech",
    "encoded_by": "hibari 0.2.1",
}
MODES = ["file", "stream"]


def encoded(samples: Samples | list[Samples], format: Format, mode: str, rate: int = RATE, **options) -> bytes:
    pieces = samples if isinstance(samples, list) else [samples]
    sink = io.BytesIO() if mode == "file" else None
    with Encoder(format, rate, sink=sink, **options) as encoder:
        data = b"".join([*(encoder.push(piece) for piece in pieces), encoder.finish()])
    if sink is None:
        return data
    assert data == b""
    return sink.getvalue()


def longest(format: Format, mode: str, n: int, rate: int) -> int:
    """One codec frame more than was put in; a streamed MP3 has no header and takes two frames to be known as one."""
    frame = frame_length(format, rate)
    return max(n + frame, 2 * frame) if (format, mode) == (Format.MP3, "stream") else n + frame


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("format", ALL)
@settings(deadline=None, max_examples=25)
@example(n=0, places=[])
@example(n=1, places=[])
@example(n=2, places=[1])
@given(n=st.integers(0, 12_000), places=st.lists(st.integers(0, 12_000), max_size=4))
def test_sound_lasts_as_long_as_its_samples_within_a_codec_frame(
    format: Format, mode: str, n: int, places: list[int]
) -> None:
    samples = murmur(n, seed=n)
    data = encoded(cut(samples, places), format, mode)
    if n == 0 and format in (Format.FLAC, Format.WAV, Format.PCM):
        assert len(data) < 200
        return
    received, rate, _ = decoded(data, format, RATE)
    got = len(received) * RATE / rate
    assert n <= got <= longest(format, mode, n, RATE)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("format", ALL)
def test_sound_is_where_it_was_in_time(format: Format, mode: str, rate: int) -> None:
    samples = murmur(2 * rate + 177, seed=rate)
    received, received_rate, _ = decoded(encoded(samples, format, mode, rate), format, rate)
    received = received[:: received_rate // rate]
    assert len(samples) <= len(received) <= len(samples) + frame_length(format, rate)
    assert abs(lag(samples, received)) <= 0.002 * rate
    # The end is there, too, not only the right number of samples.
    tail = slice(len(samples) - rate // 10, len(samples))
    assert np.corrcoef(samples[tail], received[tail])[0, 1] > 0.9


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("format", ALL)
def test_words_start_undamaged_after_a_twentieth_of_a_second(format: Format, mode: str) -> None:
    samples = np.concatenate([np.zeros(RATE // 20, np.float32), said("Yes, of course.")[RATE // 3 :]])
    received, rate, _ = decoded(encoded(samples, format, mode), format, RATE)
    received = received[:: rate // RATE][: len(samples)]
    start = slice(RATE // 20, RATE // 4)
    assert np.corrcoef(samples[start], received[start])[0, 1] > 0.98


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("format", ALL)
@settings(deadline=None, max_examples=10)
@given(n=st.integers(0, 30_000), places=st.lists(st.integers(0, 30_000), max_size=12))
def test_bytes_do_not_depend_on_how_the_sound_arrives(format: Format, mode: str, n: int, places: list[int]) -> None:
    samples = murmur(n, seed=3)
    assert encoded(cut(samples, places), format, mode) == encoded(samples, format, mode)


@pytest.mark.parametrize(
    ("format", "rate", "bitrate"),
    [
        (Format.MP3, 24_000, 64_000),
        (Format.MP3, 24_000, 128_000),
        (Format.MP3, 24_000, 160_000),
        (Format.MP3, 48_000, 192_000),
        (Format.MP3, 48_000, 224_000),
        (Format.MP3, 48_000, 320_000),
        (Format.OPUS, 24_000, 64_000),
        (Format.OPUS, 24_000, 128_000),
        (Format.AAC, 24_000, 96_000),
    ],
)
def test_sound_comes_out_as_loud_as_it_went_in(format: Format, rate: int, bitrate: int) -> None:
    samples = resample(Waveform(said("She left in March, with both."), RATE), rate).samples
    received, received_rate, _ = decoded(encoded(samples, format, "file", rate, bitrate=bitrate), format, rate)
    before, after = integrated_loudness(samples, rate), integrated_loudness(received, received_rate)
    assert after == pytest.approx(before, abs=0.1)


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_no_frame_of_a_streamed_mp3_leans_on_another(rate: int) -> None:
    data = encoded(murmur(2 * rate), Format.MP3, "stream", rate, bitrate=64_000)
    length = 64_000 * frame_length(Format.MP3, rate) // 8 // rate
    heads = [data[at : at + 6] for at in range(0, len(data), length)]
    assert {head[:2] for head in heads} <= {b"\xff\xf3", b"\xff\xfb"}
    # `main_data_begin`, the first bits after the header: 9 of them in MPEG-1, 8 in MPEG-2 (ISO 13818-3, 2.4.1.7).
    assert all(head[4] == 0 for head in heads)


@pytest.mark.parametrize("format", LOSSLESS)
def test_lossless_formats_keep_every_sample_to_the_nearest_step(format: Format) -> None:
    samples = np.concatenate([murmur(5000), np.array([1.5, -1.5, 1.0, -1.0, 0.4 / 32768, 0.6 / 32768], np.float32)])
    received, _, _ = decoded(encoded(samples, format, "file"), format, RATE)
    wanted = np.clip(np.rint(samples * 32768), -32768, 32767) / 32768
    np.testing.assert_array_equal(received, wanted.astype(np.float32))


@pytest.mark.parametrize("format", [Format.MP3, Format.OPUS, Format.AAC])
def test_sound_beyond_full_scale_is_clipped_and_does_not_wrap_around(format: Format) -> None:
    samples = 2.0 * said("Hello there.")
    samples = samples / np.abs(samples).max() * 1.5
    received, rate, _ = decoded(encoded(samples, format, "file"), format, RATE)
    received = received[:: rate // RATE][: len(samples)]
    assert np.corrcoef(np.clip(samples, -1, 1), received)[0, 1] > 0.98


@pytest.mark.parametrize("format", ALL)
def test_the_first_bytes_leave_with_the_first_push(format: Format) -> None:
    with Encoder(format, RATE) as encoder:
        first = encoder.push(murmur(RATE // 2))
        second = encoder.push(murmur(RATE // 2))
        last = encoder.finish()
    total = len(first + second + last)
    # All but what the codec and, for Ogg, the page in hand keep back: less than a quarter of a second.
    assert len(first) > 0.25 * total
    assert len(first + second) > 0.75 * total


def test_a_header_can_be_sent_before_any_sound() -> None:
    with Encoder(Format.WAV, RATE) as encoder:
        assert encoder.push(np.zeros(0, np.float32))[:4] == b"RIFF"


def test_streamed_wav_says_that_its_length_is_unknown_and_a_wav_file_says_how_long_it_is() -> None:
    stream, file = (encoded(murmur(1000), Format.WAV, mode) for mode in ("stream", "file"))
    assert (stream[4:8], stream[40:44]) == (b"\xff" * 4, b"\xff" * 4)
    assert int.from_bytes(file[4:8], "little") == len(file) - 8
    assert int.from_bytes(file[40:44], "little") == 2000
    assert len(file) == 44 + 2000


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("format", [Format.MP3, Format.OPUS, Format.FLAC, Format.WAV])
def test_tags_can_be_read_back(format: Format, mode: str) -> None:
    _, _, tags = decoded(encoded(murmur(5000), format, mode, tags=TAGS), format, RATE)
    assert {key: tags.get(key) for key in TAGS} == TAGS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("format", ALL)
def test_without_tags_nothing_but_the_sound_is_written(format: Format, mode: str) -> None:
    data = encoded(murmur(5000), format, mode)
    assert not any(sign in data for sign in (b"ID3", b"LIST", b"Lavf5", b"Lavf6", b"Lavc", b"encoder="))
    tagged = encoded(murmur(5000), format, mode, tags=TAGS)
    assert (tagged == data) is (format in (Format.AAC, Format.PCM))
    assert encoded(murmur(5000), format, mode, tags={"title": "", "artist": " \x00"}) == data


@pytest.mark.parametrize("format", [Format.MP3, Format.OPUS, Format.FLAC, Format.WAV])
def test_tags_that_no_container_takes_do_no_harm(format: Format) -> None:
    tags = {"title": "a\x00b\ud800c\n" + "x" * 100_000}
    _, _, read = decoded(encoded(murmur(5000), format, "file", tags=tags), format, RATE)
    assert read["title"].startswith("abcxxx")


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 48_000])
@pytest.mark.parametrize("n", [0, 1, 1_024, 2 * RATE + 177])
def test_an_mp4_file_is_whole_in_time_and_tagged_and_has_its_index_in_front(
    n: int, rate: int, ffprobe: str, tmp_path: Path
) -> None:
    samples = murmur(n, seed=rate)
    path = tmp_path / "book.m4b"
    for tags in (TAGS, {}):
        with Encoder(Format.AAC, rate, tags=tags, sink=path, mp4=True) as encoder:
            assert b"".join([encoder.push(part) for part in cut(samples, [n // 3])] + [encoder.finish()]) == b""
        data = path.read_bytes()
        assert data[4:12] == b"ftypM4A "
        assert 0 < data.index(b"moov") < data.index(b"mdat")
        received, received_rate, read = decoded(data, Format.AAC, rate, mp4=True)
        assert received_rate == rate
        assert max(n, 1) <= len(received) <= max(n, 1) + frame_length(Format.AAC, rate)
        assert {key: read.get(key) for key in ("title", "artist", "comment")} == {
            key: tags.get(key) for key in ("title", "artist", "comment")
        }
        assert (b"hibari 0.2.1" in data) is bool(tags)
        assert b"Lavf" not in data
    if n > rate:
        assert abs(lag(samples, received)) <= 0.002 * rate
        tail = slice(n - rate // 10, n)
        assert np.corrcoef(samples[tail], received[tail])[0, 1] > 0.9
    done = subprocess.run(
        [ffprobe, "-v", "warning", "-hide_banner", path], capture_output=True, check=True, timeout=120
    )
    assert done.stderr == b""


@pytest.mark.parametrize("tags", [None, TAGS], ids=["bare", "tagged"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("format", ALL)
def test_ffprobe_has_nothing_to_complain_about(
    format: Format, mode: str, tags: dict[str, str] | None, ffprobe: str, tmp_path: Path
) -> None:
    data = encoded(murmur(3 * RATE + 11), format, mode, tags=tags)
    # ADTS and raw samples have no place for a length: from a file that FFmpeg can measure, they make it say that it
    # estimates one. They are probed the way a stream arrives.
    piped = mode == "stream" or format in (Format.AAC, Format.PCM)
    path = tmp_path / f"sound{format.extension}"
    path.write_bytes(data)
    raw = ["-f", "s16le", "-ar", str(RATE)] if format is Format.PCM else []
    command = [ffprobe, "-v", "warning", "-hide_banner", *raw, "-i", "pipe:0" if piped else str(path)]
    done = subprocess.run(command, input=data if piped else b"", capture_output=True, timeout=120, check=False)
    said = done.stderr.decode().splitlines()
    if (format, mode) == (Format.WAV, "stream"):
        # What it says of every WAV of unknown length, OpenAI's included.
        said = [line for line in said if "maximum wav data size" not in line and "Packet corrupt" not in line]
    assert (done.returncode, said) == (0, [])


def test_the_same_samples_give_the_same_bytes_in_another_process() -> None:
    script = (
        "import hashlib, tests.audio.test_encode as t\n"
        "for f in t.ALL:\n"
        "    for m in t.MODES:\n"
        "        print(hashlib.sha256(t.encoded(t.murmur(30000), f, m, tags=t.TAGS)).hexdigest())\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=True)
    here = [hashlib.sha256(encoded(murmur(30000), f, m, tags=TAGS)).hexdigest() for f in ALL for m in MODES]
    assert done.stdout.split() == here


@pytest.mark.parametrize("format", ALL)
def test_a_path_and_a_file_object_get_the_same_bytes(format: Format, tmp_path: Path) -> None:
    path = tmp_path / "sound"
    with Encoder(format, RATE, sink=path) as encoder:
        encoder.push(murmur(9000))
        encoder.finish()
    assert path.read_bytes() == encoded(murmur(9000), format, "file")


class FullDisk(io.BytesIO):
    """Takes so many bytes and no more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def fill(encoder: Encoder, seconds: float) -> None:
    samples = murmur(round(min(seconds, 10) * RATE))
    for _ in range(max(1, round(seconds / 10))):
        encoder.push(samples)
    encoder.finish()


@pytest.mark.parametrize("room", [0, 10, 20_000])
@pytest.mark.parametrize("format", ALL)
def test_a_full_disk_is_reported_as_what_it_is(format: Format, room: int) -> None:
    encoder = Encoder(format, RATE, sink=FullDisk(room))
    with pytest.raises(OSError, match="No space left") as caught:
        fill(encoder, 200)
    assert caught.value.errno == errno.ENOSPC
    encoder.close()
    with pytest.raises(ValueError, match="closed"):
        encoder.push(murmur(10))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_reported_for_a_path_too() -> None:
    with Encoder(Format.WAV, RATE, sink=Path("/dev/full")) as encoder, pytest.raises(OSError, match="No space left"):
        fill(encoder, 0.1)


def test_a_sink_that_fails_in_its_own_way_is_heard() -> None:
    class Broken(io.BytesIO):
        def write(self, data) -> int:
            raise RuntimeError("the line went dead")

    with Encoder(Format.MP3, RATE, sink=Broken()) as encoder, pytest.raises(RuntimeError, match="went dead"):
        fill(encoder, 60)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files where the system shows them")
@pytest.mark.parametrize("format", ALL)
def test_encoders_that_are_given_up_leave_nothing_behind(format: Format, tmp_path: Path) -> None:
    def give_up() -> None:
        encoder = Encoder(format, RATE, sink=tmp_path / "sound")
        encoder.push(murmur(RATE))
        encoder.close()
        encoder.close()
        Encoder(format, RATE).push(murmur(RATE))

    def memory() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(10):
        give_up()
    gc.collect()
    files, before = len(list(Path("/proc/self/fd").iterdir())), memory()
    for _ in range(40):
        give_up()
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= files
    assert memory() - before < 12e6


def test_a_rate_that_the_codec_does_not_take_is_refused_with_those_it_takes() -> None:
    with pytest.raises(InvalidRequest, match="8000, 12000, 16000, 24000, 48000") as caught:
        Encoder(Format.OPUS, 22_050)
    assert caught.value.param == "sample_rate"

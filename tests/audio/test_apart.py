"""Recordings that are decoded in a process of their own: the same sound and words, and bounds that hold."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from oscine.audio.apart import Decoders
from oscine.audio.decode import Limits, decode
from oscine.errors import Busy, InvalidRequest
from tests.audio.signals import said

LIMITS = Limits(max_bytes=7_000_000, min_seconds=0.5, max_seconds=120)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a limit of memory")


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    found = Decoders()
    yield found
    found.close()


def wav(seconds: float = 1.0) -> bytes:
    rate = 24_000
    data = (np.resize(said("She left in March."), int(seconds * rate)) * 30_000).astype("<i2").tobytes()
    head = struct.pack(
        "<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVEfmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", len(data)
    )
    return head + data


def box(name: bytes, *parts: bytes) -> bytes:
    """A box of an MP4 file (ISO/IEC 14496-12, section 4.2)."""
    data = b"".join(parts)
    return struct.pack(">I", 8 + len(data)) + name + data


def full(name: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", flags), *parts)


def mp4_that_lists(samples: int) -> bytes:
    """An M4A of some hundred bytes with a fragment of so many samples, of which none is there (14496-12, 8.8.8)."""
    entry = box(b"mp4a", bytes(6) + b"\0\1" + bytes(8), struct.pack(">HHHHI", 1, 16, 0, 0, 24_000 << 16))
    lists = [full(name, bytes(4)) for name in (b"stts", b"stsc", b"stco")]
    table = box(b"stbl", full(b"stsd", struct.pack(">I", 1), entry), *lists, full(b"stsz", bytes(8)))
    place = box(b"dinf", full(b"dref", struct.pack(">I", 1), full(b"url ", flags=1)))
    about = (
        full(b"mdhd", struct.pack(">IIIIHH", 0, 0, 24_000, 0, 0x55C4, 0)),
        full(b"hdlr", bytes(4) + b"soun" + bytes(13)),
    )
    media = box(b"mdia", *about, box(b"minf", full(b"smhd", bytes(4)), place, table))
    track = box(b"trak", full(b"tkhd", struct.pack(">III", 0, 0, 1), bytes(68), flags=7), media)
    extends = box(b"mvex", full(b"trex", struct.pack(">IIIII", 1, 1, 1024, 1, 0)))
    run = box(b"traf", full(b"tfhd", struct.pack(">I", 1), flags=0x20000), full(b"trun", struct.pack(">I", samples)))
    movie = box(b"moov", full(b"mvhd", struct.pack(">IIII", 0, 0, 24_000, 0), bytes(80)), track, extends)
    fragment = box(b"moof", full(b"mfhd", struct.pack(">I", 1)), run)
    return box(b"ftyp", b"M4A \0\0\2\0M4A mp42isom") + movie + fragment + box(b"mdat", bytes(100))


def flac_with_tags(count: int) -> bytes:
    """The beginning of a FLAC with so many tags (RFC 9639, section 8.6)."""
    tags = b"".join(struct.pack("<I", len(tag)) + tag for tag in (b"%x=a" % number for number in range(count)))
    tags = struct.pack("<II", 0, count) + tags
    about = struct.pack(">HH6xQ16x", 4096, 4096, 24_000 << 44 | 15 << 36 | 96_000)
    return b"fLaC" + struct.pack(">I", len(about)) + about + struct.pack(">I", 0x84 << 24 | len(tags)) + tags


def refused(decoders: Decoders, data: bytes) -> str:
    with pytest.raises(InvalidRequest) as caught:
        decoders.decode(data, LIMITS, field="voice_audio")
    assert caught.value.param == "voice_audio"
    assert str(caught.value).startswith("voice_audio ")
    return str(caught.value)


def test_the_sound_is_that_of_decoding_here(decoders: Decoders) -> None:
    there, here = decoders.decode(wav(), LIMITS), decode(wav(), LIMITS)
    assert there.sample_rate == here.sample_rate
    np.testing.assert_array_equal(there.samples, here.samples)


@pytest.mark.parametrize("data", [b"", b"no sound", wav(0.2), bytes(8_000_000)], ids=len)
def test_a_refusal_is_that_of_decoding_here(decoders: Decoders, data: bytes) -> None:
    with pytest.raises(InvalidRequest) as here:
        decode(data, LIMITS, field="voice_audio")
    assert refused(decoders, data) == str(here.value)


@LINUX
def test_a_small_file_with_an_index_of_gigabytes_is_refused_in_bounded_memory(decoders: Decoders) -> None:
    data = mp4_that_lists(80_000_000)
    assert len(data) < 1_000
    assert "lasts" not in refused(decoders, data)  # what it says it does once it is read: 24 bytes for each sample
    assert decoders.decode(wav(), LIMITS).duration == pytest.approx(1)


@LINUX
def test_a_process_has_so_much_processor_time_for_each_recording(decoders: Decoders) -> None:
    import resource

    for _ in range(2):
        decoders.decode(wav(), LIMITS)
        (process,) = decoders._idle
        most, _hard = resource.prlimit(process._process.pid, resource.RLIMIT_CPU)
        assert 5 <= most < 60


def test_tags_that_take_minutes_to_look_up_are_refused_and_the_next_recording_is_read() -> None:
    hasty = Decoders(patience_s=0.05)
    assert "takes more time or memory to read than a recording does" in refused(hasty, flac_with_tags(200_000))
    assert hasty._idle == []


def test_a_process_that_was_ended_meanwhile_is_replaced(decoders: Decoders) -> None:
    decoders.decode(wav(), LIMITS)
    (process,) = decoders._idle
    process.end()
    assert decoders.decode(wav(), LIMITS).duration == pytest.approx(1)


def test_where_there_is_no_python_it_is_decoded_here_and_without_room_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", None)
    assert Decoders().decode(wav(), LIMITS).duration == pytest.approx(1)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(subprocess, "Popen", full)
    with pytest.raises(Busy, match="try again"):
        Decoders().decode(wav(), LIMITS)

"""Uploads that are not what they claim to be: each is refused with a reason, soon, and nothing of it is kept."""

from __future__ import annotations

import gzip
import io
import socket
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator

import av
import numpy as np
import pytest

from tests.http.conftest import Running, is_ready, running
from tests.http.raw import Answer, ask, request, upload
from tests.voices.recordings import (
    encoded,
    float_wav,
    hours_of_flac,
    recording,
    speech,
    wav_that_claims,
)

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def taker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose folder of voices stays empty."""
    with running(tmp_path_factory.mktemp("taker")) as found:
        yield is_ready(found)


def kept(server: Running) -> list[str]:
    home = server.settings.voice_home
    return sorted(path.name for path in home.iterdir() if path.name != ".oscine-lock") if home.exists() else []


def turned_away(answer: Answer, server: Running, *statuses: int) -> str:
    """The message of a refusal that kept nothing and tells nothing."""
    assert answer.status in (statuses or (400,)), (answer.status, answer.body[:500])
    message: str = answer.error["message"]
    for secret in ("/", "Traceback", "av.", "Errno", "0x"):
        assert secret not in message.replace("such as 60/minute", "")
    assert kept(server) == []
    assert ask(server.port, request("GET", "/v1/test")).status == 200
    return message


def zipped(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return out.getvalue()


def tarred(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


def many_streams(count: int) -> bytes:
    """A Matroska file of many streams of sound."""
    out = io.BytesIO()
    silence = np.zeros((1, 2_400), np.int16)
    with av.open(out, "w", format="matroska") as container:
        streams = [container.add_stream("pcm_s16le", rate=24_000) for _ in range(count)]
        for stream in streams:
            stream.codec_context.layout = "mono"
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            frame.sample_rate = 24_000
            container.mux(stream.encode(frame))
    return out.getvalue()


def minutes(extension: str) -> bytes:
    """Longer than is allowed, in few bytes."""
    return encoded(np.resize(speech(4.0), 24_000 * 130), extension)


def endless(extension: str) -> bytes:
    """A stream of frames, which may simply be repeated, as long as 9 MiB hold."""
    part = encoded(speech(4.0), extension)
    return part * (9 * MEGABYTE // len(part))


def ogg_that_claims(hours: int) -> bytes:
    """An Opus file whose last page says that it ends after hours."""
    data = bytearray(recording("opus"))
    page = data.rfind(b"OggS")
    data[page + 6 : page + 14] = struct.pack("<q", hours * 3600 * 48_000)
    return bytes(data)


def flac_that_claims(samples: int) -> bytes:
    """A FLAC whose STREAMINFO counts more samples than there are (RFC 9639, section 8.2)."""
    data = bytearray(recording("flac"))
    data[21] = data[21] & 0xF0 | samples >> 32 & 0x0F
    data[22:26] = struct.pack(">I", samples & 0xFFFFFFFF)
    return bytes(data)


HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n%s\n#EXT-X-ENDLIST\n"
WRONG: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one byte": lambda: b"R",
    "text": lambda: b"Hello, I am a recording, trust me. " * 100,
    "zeros": lambda: bytes(MEGABYTE),
    "an image": lambda: b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "a picture that runs scripts": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "XML that names a file": lambda: b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    "a program": lambda: b"\x7fELF" + bytes(5000),
    "a zip": lambda: zipped("../../evil.wav", recording("wav")),
    "a zip bomb": lambda: zipped("zeros.wav", bytes(50 * MEGABYTE)),
    "a gzip": lambda: gzip.compress(recording("wav")),
    "a gzip bomb": lambda: gzip.compress(bytes(50 * MEGABYTE)),
    "a tar": lambda: tarred("../../evil.wav"),
    "a disk image": lambda: bytes(32769) + b"CD001\x01\x00" + bytes(2000),
    "a playlist of a file": lambda: HLS % b"file:///etc/passwd",
    "a playlist of a path": lambda: HLS % b"/etc/passwd",
    "a concat list": lambda: b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "a concat list of an address": lambda: b"ffconcat version 1.0\nfile 'http://127.0.0.1:9/secret.wav'\n",
    "an SDP": lambda: b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "a DASH list": lambda: (
        b'<?xml version="1.0"?><MPD type="static"><Period><BaseURL>file:///etc/</BaseURL></Period></MPD>'
    ),
    "a subtitle": lambda: b"1\n00:00:00,000 --> 01:00:00,000\nHello\n",
    "a MIDI file": lambda: b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\x60MTrk\x00\x00\x00\x04\x00\xff\x2f\x00",
    "an AVI": lambda: b"RIFF" + struct.pack("<I", 1000) + b"AVI LIST" + bytes(1000),
    "half an hour in a FLAC": lambda: hours_of_flac(0.5),
    "an endless MP3": lambda: endless("mp3"),
    "an endless AAC": lambda: endless("aac"),
    "minutes in an Opus": lambda: minutes("opus"),
    "minutes in a WebM": lambda: minutes("webm"),
    "minutes in an M4A": lambda: minutes("m4a"),
    "a WAV of 4 GB": lambda: wav_that_claims(500_000, recording("wav")[44:]),
    "a WAV of 4 GB in 44 bytes": lambda: wav_that_claims(500_000, b""),
    "a FLAC that claims hours": lambda: flac_that_claims(24_000 * 36_000),
    "a FLAC that claims the most": lambda: flac_that_claims(2**36 - 1),
    "many streams": lambda: many_streams(500),
    "not a number": lambda: float_wav(np.full(96_000, np.nan, np.float32)),
    "endless numbers": lambda: float_wav(np.full(96_000, np.inf, np.float32)),
    "silence": lambda: encoded(np.zeros(96_000, np.float32)),
    "too short": lambda: encoded(speech(2.0)),
    "half of a WAV": lambda: recording("wav")[: len(recording("wav")) // 2],
    "half of a FLAC": lambda: recording("flac")[: len(recording("flac")) // 2],
    "half of an Opus": lambda: recording("opus")[: len(recording("opus")) // 2],
    "half of an M4A": lambda: recording("m4a")[: len(recording("m4a")) // 2],
    "a header of a WAV": lambda: recording("wav")[:44],
    "a FLAC with a huge picture": lambda: b"fLaC\x06\xff\xff\xff" + bytes(MEGABYTE),
    "an ID3 tag without end": lambda: b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(MEGABYTE),
    "an atom that holds itself": lambda: b"\x00\x00\x00\x10ftypM4A \x00\x00\x00\x00" + b"\x00\x00\x00\x08moov" * 50_000,
    "EBML all the way down": lambda: b"\x1aE\xdf\xa3\x80" + b"\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff" * 50_000,
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_good_recording_is_refused_with_a_reason_and_not_kept(taker: Running, what: str) -> None:
    data = WRONG[what]()
    assert len(data) <= 10 * MEGABYTE, "it is to be refused for what it is, not for its size"
    message = turned_away(ask(taker.port, upload("bert", data)), taker)
    assert message.startswith("audio_sample ")


def test_a_recording_that_claims_to_be_longer_is_refused_or_kept_for_what_it_is(taker: Running) -> None:
    """An Ogg says its length on its last page only; what is decoded counts."""
    answer = ask(taker.port, upload("bert", ogg_that_claims(9)))
    if answer.status == 200:
        assert ask(taker.port, request("GET", "/v1/audio/voices/bert")).json["duration"] == pytest.approx(4, abs=0.1)
        assert ask(taker.port, request("DELETE", "/v1/audio/voices/bert")).status == 200
    assert kept(taker) == []


def test_a_playlist_makes_no_connection_and_opens_no_file(taker: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as spy:
        spy.settimeout(0.2)
        address = f"http://127.0.0.1:{spy.getsockname()[1]}/a.wav".encode()
        for data in (
            HLS % address,
            b"ffconcat version 1.0\nfile '" + address + b"'\n",
            address,
            b"[playlist]\nFile1=" + address,
        ):
            for name in ("a.m3u8", "a.ffconcat", "a.pls", "a.wav"):
                turned_away(ask(taker.port, upload("bert", data, filename=name)), taker)
        with pytest.raises(TimeoutError):
            spy.accept()


def test_one_byte_more_than_allowed_is_too_much_and_the_last_one_is_not(taker: Running) -> None:
    most = 10 * MEGABYTE
    wav = recording("wav")
    padded = wav + b"LIST" + struct.pack("<I", most - len(wav) - 8) + bytes(most - len(wav) - 8)
    padded = padded[:4] + struct.pack("<I", most - 8) + padded[8:]
    assert len(padded) == most
    message = turned_away(ask(taker.port, upload("bert", padded + b"\0")), taker, 400, 413)
    assert "10 MiB" in message
    assert ask(taker.port, upload("bert", padded)).status == 200
    assert ask(taker.port, request("DELETE", "/v1/audio/voices/bert")).status == 200


def test_uploads_that_take_long_to_decode_do_not_hold_up_the_server(taker: Running) -> None:
    bomb = upload("bert", WRONG["half an hour in a FLAC"]())
    with_bombs: list[Answer] = []
    threads = [threading.Thread(target=lambda: with_bombs.append(ask(taker.port, bomb))) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert ask(taker.port, request("GET", "/v1/test")).status == 200
    assert [answer.status for answer in with_bombs] == [400] * 8
    assert kept(taker) == []

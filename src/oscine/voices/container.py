"""What an audio file really is, whatever it is called."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

from oscine.audio.decode import sound_decoders

_DEMUXERS: Final = {
    "wav": "wav",
    "flac": "flac",
    "mp3": "mp3",
    "m4a": "mov",
    "ogg": "ogg",
    "opus": "ogg",
    "webm": "matroska",
    "aac": "aac",
}


@dataclass(frozen=True)
class Sound:
    """How a recording is stored."""

    extension: str
    """The usual ending of such a file."""
    codec: str
    sample_rate: int
    """Hz."""
    channels: int


def extension_of(data: bytes) -> str | None:
    """The ending that fits the content, by its first bytes: wav flac mp3 m4a ogg opus webm aac, or None."""
    if data[:3] == b"ID3":
        return _after_id3(data)
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        return "wav"
    if data[:4] == b"fLaC":
        return "flac"
    if data[:4] == b"OggS":
        return "opus" if b"OpusHead" in data[:256] else "ogg"
    if data[4:8] == b"ftyp":
        return "m4a"
    if data[:4] == b"\x1aE\xdf\xa3":
        return "webm"
    return _frames(data[:2])


def describe(data: bytes) -> Sound:
    """Read the headers. Raises ValueError for what is not one of the containers above, or holds no sound."""
    import av

    extension = extension_of(data)
    if extension is None:
        raise ValueError("not a container of ours")
    try:
        options = {"codec_whitelist": sound_decoders()}
        with av.open(io.BytesIO(data), format=_DEMUXERS[extension], container_options=options) as container:
            codec = container.streams.audio[0].codec_context
            return Sound(extension, codec.codec.canonical_name, codec.sample_rate, codec.layout.nb_channels)
    except (av.FFmpegError, IndexError) as error:
        raise ValueError("no sound in it") from error


def _after_id3(data: bytes) -> str:
    """ID3v2 tags stand before MP3 as a rule, and before FLAC or ADTS now and then (id3.org, ID3v2.4.0 section 3.1)."""
    size = sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=False))
    rest = data[10 + size : 14 + size]
    return "flac" if rest == b"fLaC" else _frames(rest[:2]) or "mp3"


def _frames(head: bytes) -> str | None:
    """MPEG audio and ADTS begin with a sync word (ISO/IEC 11172-3 section 2.4.2.3, 13818-7 section 6.2: layer 0)."""
    if len(head) < 2 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "aac"
    return "mp3" if head[1] & 0xE0 == 0xE0 else None

"""Audio files from outside, decoded in memory and within limits."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np

from oscine.audio.silence import speech_bounds
from oscine.audio.waveform import Samples, Waveform
from oscine.errors import InvalidRequest


@dataclass(frozen=True)
class Limits:
    """What a recording may be."""

    max_bytes: int
    min_seconds: float
    max_seconds: float
    max_channels: int = 8
    max_sample_rate: int = 192_000
    """Hz."""


def decode(data: bytes, limits: Limits, *, field: str = "audio") -> Waveform:
    """The first audio stream of a wav, mp3, m4a, ogg, opus, flac, webm or aac file, mixed to mono, at its own rate.

    Nothing outside of `data` is opened, and decoding stops where a limit is passed. Raises InvalidRequest with
    `param=field` for what is no such file, is cut off, is outside the limits, is silent, is clipped, or holds values
    that are no numbers.
    """
    if not data:
        _refuse(field, "is an empty file; give a recording")
    if len(data) > limits.max_bytes:
        _refuse(field, f"is larger than {_megabytes(limits.max_bytes)}; give a shorter or compressed recording")
    samples, sample_rate = _read(data, limits, field)
    seconds = len(samples) / sample_rate
    if seconds < limits.min_seconds:
        _refuse(field, f"lasts {seconds:.1f} s; give a recording of {_range(limits)}")
    _check_content(samples, sample_rate, field)
    return Waveform(samples, sample_rate)


def decode_file(path: Path, limits: Limits, *, field: str = "audio") -> Waveform:
    """As `decode`, for a file; one that is too large is not read. Raises OSError where it cannot be read at all."""
    with path.open("rb") as file:
        return decode(file.read(limits.max_bytes + 1), limits, field=field)


@cache
def sound_decoders() -> str:
    """The decoders of sound, as FFmpeg's option `codec_whitelist` takes them.

    FFmpeg decodes pictures too, to find out their size: of a cover of 1 MB that has 144 million pixels it makes 1 GB.
    """
    from av.codec import Codec, codecs_available
    from av.codec.codec import UnknownCodecError

    names = []
    for name in sorted(codecs_available):
        with contextlib.suppress(UnknownCodecError):  # it only encodes
            if Codec(name, "r").type == "audio":
                names.append(name)
    return ",".join(names)


def _read(data: bytes, limits: Limits, field: str) -> tuple[Samples, int]:
    import av
    from av.error import FFmpegError

    try:
        container = av.open(
            io.BytesIO(data),
            "r",
            container_options={
                "format_whitelist": _DEMUXERS,
                "codec_whitelist": sound_decoders(),
                "protocol_whitelist": "none",
                "enable_drefs": "0",
            },
            io_open=_no_other_file,
            metadata_errors="replace",
        )
    except (FFmpegError, OSError, ValueError):
        _refuse(field, f"is no audio file that can be read, or a damaged one; give one of {_KINDS}")
    with contextlib.closing(container):
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            _refuse(field, f"holds no sound that can be read; give one of {_KINDS}")
        _check_header(stream, limits, field)
        announced = _announced_seconds(container, stream, data)
        if announced > limits.max_seconds + _SLACK_SECONDS:
            _refuse(field, f"lasts {announced:.0f} s; give a recording of {_range(limits)}")
        rate = stream.codec_context.sample_rate
        samples = _gather(_frames(container, stream, field), rate, limits, field)
        if len(samples) < (announced - _SLACK_SECONDS) * rate * 0.98 or _ends_within_a_page(data):
            _refuse(field, "is cut off before its end; give the whole file")
        return samples, rate


def _check_header(stream: Any, limits: Limits, field: str) -> None:
    context = stream.codec_context
    if context.layout.nb_channels > limits.max_channels:
        _refuse(field, f"has {context.layout.nb_channels} channels; give at most {limits.max_channels}")
    if context.sample_rate > limits.max_sample_rate:
        _refuse(field, f"has a sample rate of {context.sample_rate} Hz; give at most {limits.max_sample_rate} Hz")
    if context.sample_rate <= 0 or context.layout.nb_channels <= 0:
        _refuse(field, f"holds no sound that can be read; give one of {_KINDS}")


def _announced_seconds(container: Any, stream: Any, data: bytes) -> float:
    """How long the header says the sound is; 0 where it does not say, and FFmpeg would guess from the bit rate."""
    kind = container.format.name.split(",")[0]
    if kind == "wav":
        size = int.from_bytes(data[4:8], "little")
        missing = max(0, size + 8 - len(data)) if size < _UNKNOWN_SIZE else 0
        stored = float(stream.duration * stream.time_base) if stream.duration else 0.0
        return stored + missing * 8 / (stream.codec_context.bit_rate or math.inf)
    if kind == "mp3" and not _counts_frames(data):
        return 0.0
    if kind in _EXACT and stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if kind == "matroska" and container.duration else 0.0


def _counts_frames(data: bytes) -> bool:
    """Whether an MP3 starts with a Xing or Info header that says how many frames follow (flag 1)."""
    start = 0
    if data[:3] == b"ID3" and len(data) > 10:
        start = 10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9])
    head = data[start : start + 64]
    at = max(head.find(b"Xing"), head.find(b"Info"))
    return at >= 0 and len(head) > at + 7 and bool(head[at + 7] & 1)


def _ends_within_a_page(data: bytes) -> bool:
    """Whether an Ogg file stops before its last page does (RFC 3533, section 6)."""
    if data[:4] != b"OggS":
        return False
    page = data.rfind(b"OggS")
    segments = data[page + 27 : page + 27 + data[page + 26]] if len(data) > page + 26 else b""
    return len(data) < page + 27 or len(data) < page + 27 + data[page + 26] + sum(segments)


def _frames(container: Any, stream: Any, field: str) -> Iterator[Any]:
    from av.error import FFmpegError

    try:
        yield from container.decode(stream)
    except (FFmpegError, OSError, ValueError):
        _refuse(field, "is damaged or cut off; give the whole file")


def _gather(frames: Iterator[Any], rate: int, limits: Limits, field: str) -> Samples:
    pieces: list[Samples] = []
    most = int((limits.max_seconds + _SLACK_SECONDS) * rate)
    total = 0
    for frame in frames:
        if frame.sample_rate != rate or frame.layout.nb_channels > limits.max_channels:
            _refuse(field, "changes its sample rate or channels midway; give a plain recording")
        total += frame.samples
        if total > most:
            _refuse(field, f"lasts longer than {limits.max_seconds:g} s; give a recording of {_range(limits)}")
        pieces.append(_mono(frame))
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def _mono(frame: Any) -> Samples:
    """The mean of the channels, float32 `[samples]`."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype.kind == "f":
        mixed = values.mean(axis=0, dtype=np.float64)
    else:
        middle, scale = (128.0, 128.0) if values.dtype == np.uint8 else (0.0, float(-np.iinfo(values.dtype).min))
        mixed = (values.mean(axis=0, dtype=np.float64) - middle) / scale
    samples: Samples = mixed.astype(np.float32)
    return samples


def _check_content(samples: Samples, sample_rate: int, field: str) -> None:
    if not np.isfinite(samples).all():
        _refuse(field, "holds values that are no numbers (NaN or infinity); export the recording again")
    if speech_bounds(samples, sample_rate) is None:
        _refuse(field, "is silent; give a recording of somebody speaking")
    if np.count_nonzero(np.abs(samples) >= _FULL_SCALE) > _CLIPPED_SHARE * len(samples):
        _refuse(field, "is heavily clipped (more than 1 % of it at full scale); record it at a lower level")


def _no_other_file(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError("a recording must not refer to other files")


def _refuse(field: str, reason: str) -> NoReturn:
    raise InvalidRequest(f"{field} {reason}.", param=field) from None


def _range(limits: Limits) -> str:
    return f"{limits.min_seconds:g} to {limits.max_seconds:g} s"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.3g} MB"


_KINDS: Final = "wav, mp3, m4a, ogg, opus, flac, webm or aac"
_DEMUXERS: Final = "wav,w64,mp3,mov,mp4,m4a,ogg,flac,matroska,webm,aac"
"""Containers of sound alone; none that lists other files, as HLS or concat do."""
_EXACT: Final = frozenset({"w64", "flac", "mov", "matroska", "mp3"})
"""Containers whose header says how long the sound is."""
_UNKNOWN_SIZE: Final = 0x7F000000
"""From here on the size in a WAV is a stand-in of a program that could not go back to correct it."""
_SLACK_SECONDS: Final = 0.1
_FULL_SCALE: Final = 0.999
_CLIPPED_SHARE: Final = 0.01

"""Which format and bit rate a file gets."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from oscine.audio.formats import Format, bitrate_for
from oscine.errors import InvalidRequest
from oscine.synthesis.plan import Plan


def format_of(path: Path, format: object, otherwise: object = None) -> Format:
    """The format of a file: the one that was asked for, else the one of its name, else `otherwise`.

    Raises InvalidRequest where the name's ending promises another one.
    """
    ending = path.suffix.lower().lstrip(".")
    named = _ENDINGS.get(ending)
    endings = ", ".join(f".{each}" for each in _ENDINGS)
    if ending in _NOT_WRITTEN:
        raise InvalidRequest(f"output: files of .{ending} are not written; end it in one of {endings}.", param="output")
    if format is None and named is not None:
        return named
    wanted = otherwise if format is None else format
    if wanted is None:
        raise InvalidRequest(f"output must end in one of {endings}, or format must be given.", param="output")
    chosen = file_format(wanted)
    if named is not None and named is not chosen:
        raise InvalidRequest(
            f"output: .{ending} is the ending of {named.value}, but format asks for {chosen.value}; leave format out,"
            f" or end the name in .{chosen.value}.",
            param="output",
        )
    return chosen


def in_mp4(path: Path, format: Format) -> bool:
    """Whether the name asks for AAC in an MP4 file, which holds tags, and not in a plain stream of frames."""
    return format is Format.AAC and path.suffix.lower() in (".m4a", ".m4b")


def file_format(format: object) -> Format:
    """The format of a whole file; older clients call a WAV file `pcm_16`."""
    return Format.WAV if _is_pcm_16(format) else Format.parse(str(format))


def stream_format(format: object) -> Format:
    """The format of a stream of bytes, mp3 where none was asked for; older clients call raw samples `pcm_16`."""
    if format is None:
        return Format.MP3
    return Format.PCM if _is_pcm_16(format) else Format.parse(str(format))


def check_bitrate(bitrate: object) -> None:
    """Raises InvalidRequest for what is no bit rate."""
    if bitrate is not None and (isinstance(bitrate, bool) or not isinstance(bitrate, int) or bitrate <= 0):
        raise InvalidRequest("bitrate must be a whole number of bit/s above 0, such as 128000.", param="bitrate")


def bitrate_of(plan: Plan, format: Format, rate: int, asked: int | None) -> int | None:
    """The bit rate in bit/s: the one asked for, else the engine's own where the result is in its default format."""
    if asked is None:
        return plan.info.default_bitrate if format.value == plan.info.default_format else None
    check_bitrate(asked)
    used = bitrate_for(format, rate, asked)
    if used is None:
        plan.warn(f"The format {format.value} has no bit rate; bitrate was ignored.")
    elif used != asked:
        plan.warn(f"The format {format.value} at {rate} Hz has no such bitrate; {used // 1000} kbit/s was used.")
    return used


_ENDINGS: Final = {
    **{each.value: each for each in Format},
    "ogg": Format.OPUS,
    "oga": Format.OPUS,
    "m4a": Format.AAC,
    "m4b": Format.AAC,
    "wave": Format.WAV,
    "raw": Format.PCM,
}
_NOT_WRITTEN: Final = frozenset({"mp4", "aif", "aiff", "caf", "mka", "webm", "wma"})
"""Endings of containers that no format here is in: nobody would open what is called so and is not."""


def _is_pcm_16(format: object) -> bool:
    return isinstance(format, str) and format.strip().lower() == "pcm_16"

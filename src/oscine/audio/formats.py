"""The formats that speech can be delivered in, and what each codec takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from oscine.errors import InvalidRequest


class Format(StrEnum):
    """A format of the result, by the name that requests use."""

    MP3 = "mp3"
    OPUS = "opus"
    AAC = "aac"
    FLAC = "flac"
    WAV = "wav"
    PCM = "pcm"

    @classmethod
    def parse(cls, name: str, *, field: str = "format") -> Self:
        """The format called `name`, in any case. Raises InvalidRequest that lists them."""
        try:
            return cls(name.strip().lower())
        except ValueError:
            names = ", ".join(each.value for each in cls)
            raise InvalidRequest(f"{field} is not a known format; choose one of {names}.", param=field) from None

    @property
    def spec(self) -> FormatSpec:
        """What the format is made of."""
        return _SPECS[self]

    @property
    def media_type(self) -> str:
        """For `Content-Type`."""
        return self.spec.media_type

    @property
    def extension(self) -> str:
        """With its dot."""
        return f".{self.value}"


@dataclass(frozen=True)
class FormatSpec:
    """Facts about a format."""

    media_type: str
    """What OpenAI-compatible servers send."""
    codec: str
    """FFmpeg's name of the encoder."""
    container: str
    """FFmpeg's name of the muxer."""
    sample_format: str
    """What the encoder is fed: `fltp`, `flt` or `s16`."""
    rates: tuple[int, ...]
    """Sample rates that the codec takes, in Hz, ascending; empty: any."""
    holds_tags: bool
    bitrate: int = 0
    """Default for mono speech at 22,050 Hz and more, bit/s; half of it below. 0: the codec has no bit rate."""
    bitrates: tuple[int, int] = (0, 0)
    """Lowest and highest bit rate at any sample rate, bit/s."""


def nearest_rate(format: Format, rate: int) -> int:
    """The sample rate in Hz that is used for `rate`: the next one up that the codec takes, else its highest."""
    rates = format.spec.rates
    if not rates:
        return rate
    return next((each for each in rates if each >= rate), rates[-1])


def bitrate_for(format: Format, sample_rate: int, wish: int | None = None) -> int | None:
    """The bit rate in bit/s that is used: `wish`, or the default for mono speech, within what the codec takes.

    MP3 below 32 kHz (MPEG-2 Layer III) ends at 160 kbit/s and below 16 kHz (MPEG-2.5) at 64 kbit/s, and has fixed steps
    (ISO 11172-3 and 13818-3, table of `bitrate_index`). AAC ends at 6,144 bits a frame of 1,024 samples (ISO 14496-3).
    None for formats without a bit rate.
    """
    spec = format.spec
    if not spec.bitrate:
        return None
    low, high = spec.bitrates
    wanted = wish if wish is not None else spec.bitrate if sample_rate >= 22_050 else spec.bitrate // 2
    if format is Format.AAC:
        high = min(high, 6 * sample_rate)
    wanted = max(low, min(high, wanted))
    if format is Format.MP3:
        return min(_mp3_bitrates(sample_rate), key=lambda each: (abs(each - wanted), -each))
    return wanted


def frame_length(format: Format, sample_rate: int) -> int:
    """Samples in one codec frame at `sample_rate`; 1 for formats that keep every sample as it is."""
    if format is Format.MP3:
        return 1152 if sample_rate >= 32_000 else 576
    if format is Format.AAC:
        return 1024
    if format is Format.OPUS:
        return sample_rate // 50
    return 1


_MP3_RATES: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_AAC_RATES: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
_OPUS_RATES: Final = (8_000, 12_000, 16_000, 24_000, 48_000)

_SPECS: Final[dict[Format, FormatSpec]] = {
    Format.MP3: FormatSpec("audio/mpeg", "libmp3lame", "mp3", "fltp", _MP3_RATES, True, 128_000, (32_000, 320_000)),
    Format.OPUS: FormatSpec("audio/ogg", "libopus", "ogg", "flt", _OPUS_RATES, True, 64_000, (6_000, 256_000)),
    Format.AAC: FormatSpec("audio/aac", "aac", "adts", "fltp", _AAC_RATES, False, 96_000, (16_000, 256_000)),
    Format.FLAC: FormatSpec("audio/flac", "flac", "flac", "s16", (), True),
    Format.WAV: FormatSpec("audio/wav", "pcm_s16le", "wav", "s16", (), True),
    Format.PCM: FormatSpec("audio/pcm", "pcm_s16le", "s16le", "s16", (), False),
}

_KBIT_MPEG1: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBIT_MPEG2: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBIT_MPEG25: Final = (32, 40, 48, 56, 64)


def _mp3_bitrates(sample_rate: int) -> list[int]:
    table = _KBIT_MPEG1 if sample_rate >= 32_000 else _KBIT_MPEG2 if sample_rate >= 16_000 else _KBIT_MPEG25
    return [kbit * 1000 for kbit in table]

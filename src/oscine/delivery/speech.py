"""Finished speech in memory, and what can be made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oscine.audio.encode import Encoder
from oscine.audio.formats import Format, nearest_rate
from oscine.audio.limiter import TruePeakLimiter
from oscine.audio.waveform import Waveform
from oscine.delivery.captions import captions, check_captions
from oscine.delivery.choice import check_bitrate, file_format, format_of, in_mp4
from oscine.delivery.files import naming, written_whole
from oscine.delivery.tags import chapters_of, tags_for
from oscine.synthesis.assemble import Segment
from oscine.synthesis.master import CEILING_DBTP, ceiling_for
from oscine.synthesis.result import Report


@dataclass(frozen=True, eq=False)
class Speech(Waveform):
    """Finished speech in memory."""

    report: Report
    """How it was made, and what it measures."""
    true_peak: float = CEILING_DBTP
    """dBTP that no decoded file of it shall pass."""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Where each sentence starts and ends."""
        return self.report.segments

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be done as asked."""
        return self.report.warnings

    def save(
        self, path: str | Path, *, format: str | None = None, bitrate: int | None = None, tags: bool = True
    ) -> Path:
        """Write an audio file; the format follows the name's ending unless it is given. Returns the path.

        Raises InvalidRequest for a format or place that does not exist, DeliveryFailed when the disk is full.
        """
        path = Path(path)
        chosen = format_of(path, format)
        check_bitrate(bitrate)
        waveform = self._fit_for(chosen)
        chapters = chapters_of(self.report.chapters, path.stem) if tags else ()
        with (
            written_whole(path) as beside,
            naming("output"),
            Encoder(
                chosen,
                waveform.sample_rate,
                bitrate=bitrate,
                tags=tags_for(self.report, path=path) if tags else None,
                sink=beside,
                mp4=in_mp4(path, chosen),
                chapters=[chapter.title for chapter in chapters],
            ) as encoder,
        ):
            encoder.push(waveform.samples)
            encoder.mark(chapters)
            encoder.finish()
        return path

    def encode(self, format: str = "mp3", *, bitrate: int | None = None) -> bytes:
        """The bytes of an audio file."""
        chosen = file_format(format)
        check_bitrate(bitrate)
        waveform = self._fit_for(chosen)
        with Encoder(chosen, waveform.sample_rate, bitrate=bitrate) as encoder:
            return encoder.push(waveform.samples) + encoder.finish()

    def captions(self, kind: str = "srt") -> str:
        """SubRip (`srt`) or WebVTT (`vtt`) captions."""
        suffix = f".{kind.lower().removeprefix('.')}"
        check_captions(Path(f"captions{suffix}"))
        return captions(self.segments, suffix)

    def _fit_for(self, format: Format) -> Waveform:
        """At a rate that the codec takes, its peaks low enough for what the codec adds to them."""
        waveform = _at_rate(self, nearest_rate(format, self.sample_rate))
        limiter = TruePeakLimiter(waveform.sample_rate, ceiling_for(format, self.report.loudness_lufs, self.true_peak))
        limited = np.concatenate([limiter.push(waveform.samples), limiter.finish()])
        return Waveform(limited, waveform.sample_rate)

    def _repr_html_(self) -> str:
        """A player in Jupyter."""
        from base64 import b64encode

        sound = b64encode(self.encode("mp3")).decode()
        return f'<audio controls src="data:audio/mpeg;base64,{sound}"></audio>'


def _at_rate(waveform: Waveform, rate: int) -> Waveform:
    from oscine.audio.resample import resample

    return waveform if waveform.sample_rate == rate else resample(waveform, rate)

"""Peaks of the decoded file, which is what a listener's player has to cope with."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from oscine import Oscine, Waveform
from oscine.audio.loudness import dbtp, true_peak
from oscine.config import Settings

TEXT = (
    "Who goes there? It is only the wind, said the watchman, and he pulled his coat tight around him. "
    'Twenty-seven boats had left the harbour; one came back. "Never again!" she cried, and slammed the door.'
)


@pytest.fixture(scope="module")
def oscine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oscine]:
    with Oscine(settings=Settings(volume=tmp_path_factory.mktemp("volume")), seed=5) as speaker:
        yield speaker


def decoded(data: bytes) -> Waveform:
    with av.open(io.BytesIO(data), "r") as container:
        rate = container.streams.audio[0].rate
        to_float = av.AudioResampler(format="fltp", layout="mono", rate=rate)
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in to_float.resample(frame)]
    return Waveform(np.concatenate(parts).astype(np.float32), rate)


@pytest.mark.parametrize("loudness", [-18.0, -14.0, -10.0])
@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav"])
def test_no_decoded_peak_passes_the_ceiling(oscine: Oscine, tmp_path: Path, format: str, loudness: float) -> None:
    oscine.save(TEXT, tmp_path / f"x.{format}", loudness=loudness)
    saved = decoded((tmp_path / f"x.{format}").read_bytes())
    assert dbtp(true_peak(saved.samples, saved.sample_rate)) <= -1.0
    at_hand = decoded(oscine.say(TEXT, loudness=loudness).encode(format))
    assert dbtp(true_peak(at_hand.samples, at_hand.sample_rate)) <= -1.0


def test_a_lower_peak_can_be_asked_for(oscine: Oscine, tmp_path: Path) -> None:
    report = oscine.save(TEXT, tmp_path / "x.mp3", loudness=-18, true_peak=-5)
    saved = decoded((tmp_path / "x.mp3").read_bytes())
    assert -7.5 < dbtp(true_peak(saved.samples, saved.sample_rate)) <= -5.0
    assert report.loudness_lufs == pytest.approx(-18, abs=0.5)
    at_hand = decoded(oscine.say(TEXT, loudness=-18, true_peak=-5).encode("opus"))
    assert dbtp(true_peak(at_hand.samples, at_hand.sample_rate)) <= -5.0


def test_a_loudness_that_cannot_be_reached_is_said(oscine: Oscine, tmp_path: Path) -> None:
    report = oscine.save(TEXT, tmp_path / "x.mp3", loudness=-8)
    assert report.loudness_lufs is not None
    assert report.loudness_lufs < -8.5
    assert any("cannot be brought to -8" in warning for warning in report.warnings)
    assert not oscine.save(TEXT, tmp_path / "y.mp3", loudness=-18).warnings

"""Resampling keeps length, time and tone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.audio.resample import Resampler, resample
from oscine.audio.waveform import Waveform
from tests.audio.signals import cut, lag, murmur, sine

RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000]


@settings(deadline=None, max_examples=80)
@given(
    source=st.sampled_from(RATES),
    target=st.sampled_from(RATES),
    n=st.integers(0, 30_000),
    places=st.lists(st.integers(0, 30_000), max_size=8),
)
def test_length_is_exact_however_the_sound_arrives(source: int, target: int, n: int, places: list[int]) -> None:
    samples = murmur(n)
    resampler = Resampler(source, target)
    result = np.concatenate([*(resampler.push(piece) for piece in cut(samples, places)), resampler.finish()])
    assert len(result) == round(Fraction(n * target, source))
    whole = resample(Waveform(samples, source), target)
    assert whole.sample_rate == target
    np.testing.assert_allclose(result, whole.samples, atol=1e-6)


@pytest.mark.parametrize("target", RATES)
@pytest.mark.parametrize("source", RATES)
def test_sound_keeps_its_time_and_its_level(source: int, target: int) -> None:
    result = resample(Waveform(sine(440, 1, source, 0.5), source), target).samples
    wanted = sine(440, 1, target, 0.5)
    inner = slice(target // 10, -target // 10)
    assert np.abs(result[inner] - wanted[inner]).max() < 1e-3


def test_there_and_back_nothing_has_moved() -> None:
    samples = murmur(24_000)
    back = resample(resample(Waveform(samples, 24_000), 48_000), 24_000).samples
    assert lag(samples, back) == 0
    assert len(back) == len(samples)


def test_at_the_same_rate_nothing_changes() -> None:
    waveform = Waveform(murmur(1000), 24_000)
    assert resample(waveform, 24_000) is waveform

"""Loudness against the numbers of EBU Tech 3341, true peak against what is known of a signal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.audio.loudness import LoudnessMeter, TruePeakMeter, dbtp, integrated_loudness, true_peak
from tests.audio.signals import RATE, Samples, cut, murmur, said, sine

RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000]
# Tech 3341 gives its signals in stereo: one channel alone is 10 log10 2 quieter.
MONO = 10 * math.log10(2)


def tone(levels: list[tuple[float, float]], rate: int) -> Samples:
    """Tech 3341: a 1 kHz sine at so many dBFS for so many seconds, one after the other."""
    return np.concatenate([sine(1000, seconds, rate, 10 ** (dbfs / 20)) for dbfs, seconds in levels])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("case", "levels", "lufs"),
    [
        (1, [(-23, 20)], -23),
        (2, [(-33, 20)], -33),
        (3, [(-36, 10), (-23, 60), (-36, 10)], -23),
        (4, [(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        (5, [(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
)
def test_loudness_is_that_of_ebu_tech_3341(
    case: int, levels: list[tuple[float, float]], lufs: float, rate: int
) -> None:
    measured = integrated_loudness(tone(levels, rate), rate)
    assert measured == pytest.approx(lufs - MONO, abs=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_a_full_scale_sine_reads_as_bs_1770_says(rate: int) -> None:
    assert integrated_loudness(sine(997, 10, rate), rate) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("gain", [-20.0, -6.0, 6.0])
def test_loudness_follows_gain(gain: float) -> None:
    samples = np.concatenate([said("She left in March, with both."), said("He lost his tooth.")])
    before = integrated_loudness(samples, RATE)
    after = integrated_loudness((samples * 10 ** (gain / 20)).astype(np.float32), RATE)
    assert before is not None
    assert after == pytest.approx(before + gain, abs=0.05)


@settings(deadline=None, max_examples=15)
@given(places=st.lists(st.integers(0, 60_000), max_size=12))
def test_loudness_does_not_depend_on_how_the_sound_arrives(places: list[int]) -> None:
    samples = murmur(60_000)
    meter = LoudnessMeter(RATE)
    for piece in cut(samples, places):
        meter.push(piece)
    assert meter.integrated() == integrated_loudness(samples, RATE)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(1, np.float32),
        sine(1000, 0.39),
        np.zeros(5 * RATE, np.float32),
        sine(1000, 5, amplitude=1e-4),
    ],
    ids=["nothing", "one sample", "too short", "silence", "too quiet"],
)
def test_what_cannot_be_measured_has_no_loudness(samples: Samples) -> None:
    assert integrated_loudness(samples, RATE) is None


def test_loudness_can_be_asked_for_while_sound_comes() -> None:
    meter = LoudnessMeter(RATE)
    assert meter.integrated() is None
    meter.push(sine(1000, 3, amplitude=0.1))
    first = meter.integrated()
    meter.push(sine(1000, 3, amplitude=0.5))
    second = meter.integrated()
    assert first is not None
    assert second is not None
    assert second > first + 5


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("share", "phase"), [(1 / 4, 45), (1 / 6, 60), (1 / 8, 67.5), (1 / 3, 0)])
def test_true_peak_is_that_of_ebu_tech_3341(rate: int, share: float, phase: float) -> None:
    # Cases 15 to 18: tones whose peaks lie between the samples, at -6 dBFS; +0.2 and -0.4 dB are allowed.
    samples = sine(share * rate, 1, rate, 0.5, math.radians(phase))
    edge = np.ones(len(samples), np.float32)
    edge[: rate // 20] = np.linspace(0, 1, rate // 20)
    edge[-(rate // 20) :] = np.linspace(1, 0, rate // 20)
    assert -0.4 <= dbtp(true_peak(samples * edge, rate)) + 6.02 <= 0.2


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 99), n=st.integers(0, 40_000), places=st.lists(st.integers(0, 40_000), max_size=10))
def test_true_peak_does_not_depend_on_how_the_sound_arrives(seed: int, n: int, places: list[int]) -> None:
    samples = murmur(n, seed)
    meter = TruePeakMeter(RATE)
    for piece in cut(samples, places):
        meter.push(piece)
    assert meter.peak() == pytest.approx(true_peak(samples, RATE), rel=1e-5)
    assert meter.peak() >= np.abs(samples).max(initial=0)


def test_a_peak_at_the_very_first_or_last_sample_counts() -> None:
    for at in (0, -1):
        samples = np.zeros(100, np.float32)
        samples[at] = 0.7
        assert true_peak(samples, RATE) == pytest.approx(0.7, rel=0.01)


def test_asking_for_the_peak_changes_nothing() -> None:
    samples = murmur(20_000, 5)
    meter = TruePeakMeter(RATE)
    for piece in cut(samples, [3000, 9000]):
        meter.push(piece)
        meter.peak()
    # A sound that stops dead rings a little: asked for early, the peak may have had a share of that.
    assert true_peak(samples, RATE) <= meter.peak() <= true_peak(samples, RATE) * 1.1


def test_decibels_of_a_peak() -> None:
    assert dbtp(1) == 0
    assert dbtp(0.5) == pytest.approx(-6.0206, abs=1e-4)
    assert dbtp(0) == -math.inf

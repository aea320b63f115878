"""The limiter: never above the ceiling, never a click, never a changed sample without need."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from oscine.audio.limiter import TruePeakLimiter
from oscine.audio.loudness import dbtp, true_peak
from tests.audio.signals import RATE, Samples, cut, said, sine


def limited(samples: Samples, *, places: list[int] | None = None, rate: int = RATE, **options) -> Samples:
    limiter = TruePeakLimiter(rate, **options)
    pieces = [limiter.push(piece) for piece in cut(samples, places or [])]
    return np.concatenate([*pieces, limiter.finish()])


def between(samples: Samples, factor: int = 16) -> float:
    """The largest value of the signal and between its samples, dBTP, by a way of its own: zeros in its spectrum."""
    size = 1 << (len(samples) + 4096).bit_length()
    spectrum = np.fft.rfft(samples, size)
    dense = np.fft.irfft(np.concatenate([spectrum, np.zeros(size * factor // 2 + 1 - len(spectrum))]), size * factor)
    return dbtp(float(np.abs(dense).max()) * factor)


def hard_cases() -> dict[str, Samples]:
    rng = np.random.default_rng(1)
    n = np.arange(RATE)
    random_signs = np.sign(rng.standard_normal(RATE))
    return {
        "noise": rng.standard_normal(RATE),
        "random full scale": random_signs,
        "square": np.sign(sine(1000, 1)),
        "square off the grid": np.sign(sine(3001, 1)),
        "highest tone": np.cos(np.pi * n),
        "nearly the highest tone": sine(0.49 * RATE, 1),
        "peaks between samples": 1.4 * sine(RATE / 4, 1, phase=np.pi / 4),
        "click": 3.0 * (n == 12_000),
        "clicks over a murmur": np.where(n % 2000 == 999, 5, 0.1) * random_signs,
        "bursts": np.where(n // 3000 % 2, 1.5, 0.05) * rng.standard_normal(RATE),
        "at the first sample": 4.0 * (n == 0),
        "at the last sample": 4.0 * (n == RATE - 1),
        "enormous": 1e6 * rng.standard_normal(RATE),
        "loud speech": 10 * said("She left in March, with both."),
        "a single sample": np.array([7.0]),
    }


@pytest.mark.parametrize(("ceiling", "lookahead"), [(-1.0, 5.0), (-3.0, 5.0), (-1.0, 1.0)])
@pytest.mark.parametrize("name", hard_cases())
def test_nothing_passes_the_ceiling(name: str, ceiling: float, lookahead: float) -> None:
    samples = hard_cases()[name].astype(np.float32)
    result = limited(samples, ceiling_dbtp=ceiling, lookahead_ms=lookahead)
    assert len(result) == len(samples)
    assert dbtp(true_peak(result, RATE)) <= ceiling


@pytest.mark.parametrize("gain", [2, 3, 5])
@pytest.mark.parametrize("text", ["Stop at once.", "What a wish!", "Is this the path?"])
def test_speech_stays_below_the_ceiling_by_another_measure_too(text: str, gain: float) -> None:
    assert between(limited(gain * said(text))) <= -1.0 + 0.1


@settings(deadline=None, max_examples=60)
@given(
    samples=arrays.arrays(
        np.float32, st.integers(0, 3000), elements=st.floats(-8, 8, width=32), fill=st.sampled_from([0.0, 0.5, -1.0])
    ),
    rate=st.sampled_from([8_000, 24_000, 48_000]),
)
def test_nothing_passes_the_ceiling_whatever_comes(samples: Samples, rate: int) -> None:
    result = limited(samples, rate=rate)
    assert len(result) == len(samples)
    assert dbtp(true_peak(result, rate)) <= -1.0 + 0.01


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(0, 20_000),
    places=st.lists(st.integers(0, 20_000), max_size=40),
)
def test_the_result_does_not_depend_on_how_the_sound_arrives(seed: int, n: int, places: list[int]) -> None:
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.choice([0.1, 0.5, 2.0], size=n // 1500 + 1), 1500)[:n]
    samples = (loud * rng.standard_normal(n)).astype(np.float32)
    np.testing.assert_array_equal(limited(samples, places=places), limited(samples))


def test_sample_by_sample_it_is_the_same_too() -> None:
    samples = (2 * said("Stop at once."))[6000:12_000]
    limiter = TruePeakLimiter(RATE)
    pieces = [limiter.push(samples[at : at + 1]) for at in range(len(samples))]
    np.testing.assert_array_equal(np.concatenate([*pieces, limiter.finish()]), limited(samples))


def test_sound_below_the_ceiling_passes_bit_for_bit() -> None:
    samples = said("Hello there.")
    assert dbtp(true_peak(samples, RATE)) < -1.5
    np.testing.assert_array_equal(limited(samples, places=[100, 5000]), samples)


def test_away_from_a_peak_sound_passes_bit_for_bit() -> None:
    samples = 0.3 * sine(440, 2)
    samples[RATE // 2] = 2.0
    changed = np.flatnonzero(limited(samples) != samples) / RATE
    assert 0.5 - changed.min() <= 0.0065
    assert changed.max() - 0.5 <= 0.08


def test_the_gain_moves_without_a_click() -> None:
    samples = 0.5 * sine(100, 1)
    samples[RATE // 2 : RATE // 2 + 24] *= 4
    steady = np.full(RATE, 0.5, np.float32)
    steady[RATE // 2] = 2.0
    gain = np.delete(limited(steady), RATE // 2) / 0.5
    assert gain.min() < 0.5
    # 12 dB within 5 ms are 0.7 dB a step at the steepest; without an edge the slope changes slowly as well.
    decibels = 20 * np.log10(gain)
    assert np.abs(np.diff(decibels)).max() < 0.35
    assert np.abs(np.diff(decibels, 2)).max() < 0.01


def test_little_is_held_back() -> None:
    limiter = TruePeakLimiter(RATE)
    given, back = 0, 0
    for _ in range(100):
        given += 240
        back += len(limiter.push(np.full(240, 0.1, np.float32)))
        assert given - back <= 0.015 * RATE
    assert back + len(limiter.finish()) == given


def test_a_long_sound_leaves_no_trace_in_memory() -> None:
    limiter = TruePeakLimiter(RATE)

    def held() -> int:
        return sum(value.nbytes for value in vars(limiter).values() if isinstance(value, np.ndarray))

    sizes = []
    for _ in range(50):
        limiter.push(np.full(RATE, 2.0, np.float32))
        sizes.append(held())
    assert max(sizes) <= 1.5 * min(sizes) < 30_000

"""Faster or slower: the length that was asked for, the same pitch, the same words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.audio.silence import speech_bounds
from oscine.audio.stretch import TimeStretch
from tests.audio.signals import RATE, Samples, cut, murmur, said, sine

SPEEDS = [0.25, 0.5, 0.8, 1.25, 2.0, 3.0, 4.0]


def stretched(samples: Samples, speed: float, places: list[int] | None = None) -> Samples:
    stretch = TimeStretch(RATE, speed)
    pieces = [stretch.push(piece) for piece in cut(samples, places or [])]
    return np.concatenate([*pieces, stretch.finish()])


@settings(deadline=None, max_examples=60)
@given(speed=st.floats(0.25, 4), n=st.integers(0, 20_000), places=st.lists(st.integers(0, 20_000), max_size=6))
def test_length_follows_speed_however_the_sound_arrives(speed: float, n: int, places: list[int]) -> None:
    samples = murmur(n)
    result = stretched(samples, speed, places)
    assert 0 <= len(result) - round(n / speed) <= RATE // 20
    np.testing.assert_allclose(result, stretched(samples, speed), atol=1e-6)


@pytest.mark.parametrize("speed", SPEEDS)
def test_pitch_stays(speed: float) -> None:
    result = stretched(sine(220, 4), speed)
    spectrum = np.abs(np.fft.rfft(result * np.hanning(len(result)), 1 << 19))
    assert spectrum.argmax() * RATE / (1 << 19) == pytest.approx(220, abs=2)


@pytest.mark.parametrize("speed", SPEEDS)
def test_words_stand_where_they_should_and_the_last_one_is_whole(speed: float) -> None:
    samples = said("Stop at once.")
    before, after = speech_bounds(samples, RATE), speech_bounds(stretched(samples, speed), RATE)
    assert before is not None
    assert after is not None
    for was, now in zip(before, after, strict=True):
        assert now == pytest.approx(was / speed, abs=0.06 * RATE)


def test_a_sound_that_ends_loud_does_not_end_early() -> None:
    for speed in SPEEDS:
        result = stretched(sine(220, 2, amplitude=0.5), speed)
        # The filter places its windows to within 20 ms of the original.
        assert np.abs(result[-round(0.02 * RATE / min(speed, 1)) :]).max() > 0.3


@pytest.mark.parametrize("speed", [1.01, 1.05, 1.1, 1.2])
@pytest.mark.parametrize("seed", range(3))
def test_a_consonant_that_ends_a_sound_is_not_cut_off(speed: float, seed: int) -> None:
    consonant = np.random.default_rng(seed).standard_normal(RATE // 100).astype(np.float32) * 0.2
    result = stretched(np.concatenate([sine(150 + 37 * seed, 1.3, amplitude=0.1), consonant]), speed)
    found = np.correlate(result, consonant, "valid").max() / float(np.dot(consonant, consonant))
    assert found > 0.7


def test_speed_one_changes_nothing() -> None:
    samples = murmur(5000)
    np.testing.assert_array_equal(stretched(samples, 1, [100, 2000]), samples)


@pytest.mark.parametrize("speed", [0, 0.2, 4.1, -1, float("nan"), float("inf")])
def test_speeds_that_nobody_follows_are_refused(speed: float) -> None:
    with pytest.raises(ValueError, match=r"0\.25 to 4"):
        TimeStretch(RATE, speed)

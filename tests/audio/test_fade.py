"""Fades and overlaps without a click and without a dip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.audio.fade import fade_in, fade_out, overlap
from tests.audio.signals import murmur


@settings(deadline=None, max_examples=60)
@given(n=st.integers(0, 500), length=st.integers(0, 800))
def test_fades_start_or_end_in_silence_and_leave_the_rest_alone(n: int, length: int) -> None:
    samples = np.ones(n, np.float32)
    rising, falling = fade_in(samples, length), fade_out(samples, length)
    np.testing.assert_array_equal(rising, falling[::-1])
    np.testing.assert_array_equal(rising[length:], samples[length:])
    assert (np.diff(rising) >= 0).all()
    if 10 <= length <= n:
        assert rising[0] < 0.01
    assert (samples == 1).all()
    assert rising.dtype == falling.dtype == np.float32


def test_an_overlap_of_unrelated_sounds_keeps_its_power() -> None:
    rng = np.random.default_rng(0)
    tail, head = rng.standard_normal((2, 100_000)).astype(np.float32)
    power = np.square(overlap(tail, head)).reshape(10, -1).mean(axis=1)
    np.testing.assert_allclose(power, 1, atol=0.05)


def test_an_overlap_goes_from_one_sound_to_the_other() -> None:
    tail, head = murmur(1000, 1) + 1, murmur(1000, 2) - 1
    result = overlap(tail, head)
    assert result[0] == pytest.approx(tail[0], abs=0.01)
    assert result[-1] == pytest.approx(head[-1], abs=0.01)
    assert result.dtype == np.float32
    assert len(overlap(tail[:0], head[:0])) == 0


def test_pieces_of_different_length_do_not_overlap() -> None:
    with pytest.raises(ValueError, match="one length"):
        overlap(murmur(10), murmur(11))

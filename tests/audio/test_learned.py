"""The loudness that a stream learns, against FFmpeg's meter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.audio.learned import LearnedLoudness
from oscine.audio.loudness import integrated_loudness
from tests.audio.signals import murmur, sine


def learned(samples: np.ndarray, rate: int, places: list[int] | None = None) -> float | None:
    meter = LearnedLoudness(rate)
    for part in np.split(samples, sorted(places or [])):
        meter.push(part)
    return meter.integrated()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("hertz", [100.0, 997.0, 3_000.0])
def test_a_tone_is_as_loud_as_the_standard_says(rate: int, hertz: float) -> None:
    tone = sine(hertz, 3.0, rate) * np.float32(0.1)
    assert learned(tone, rate) == pytest.approx(integrated_loudness(tone, rate), abs=0.05)


def test_speech_is_as_loud_as_by_ffmpegs_meter_at_any_time() -> None:
    from oscine import Oscine

    with Oscine(loudness=None, seed=3) as oscine:
        speech = oscine.say("The harbour was quiet. Nobody came! Its lamps were out, and its sails hung loose. " * 4)
    rate = speech.sample_rate
    for seconds in (0.5, 1, 2, 4, 8, 16):
        part = speech.samples[: round(seconds * rate)]
        assert learned(part, rate) == pytest.approx(integrated_loudness(part, rate), abs=0.05)


def test_quiet_parts_do_not_count() -> None:
    loud, quiet = murmur(4 * 24_000), murmur(20 * 24_000, seed=1) * np.float32(0.01)
    both = np.concatenate([loud, quiet])
    assert learned(both, 24_000) == pytest.approx(integrated_loudness(both, 24_000), abs=0.1)


@pytest.mark.parametrize("samples", [np.zeros(48_000, np.float32), np.ones(5_000, np.float32) * np.float32(0.1)])
def test_what_is_silent_or_too_short_is_not_measured(samples: np.ndarray) -> None:
    assert learned(samples, 24_000) is None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(9_600, 60_000), st.lists(st.integers(0, 60_000), max_size=6))
def test_how_the_sound_arrives_changes_nothing(seed: int, n: int, places: list[int]) -> None:
    samples = (np.random.default_rng(seed).standard_normal(n) * 0.05).astype(np.float32)
    assert learned(samples, 24_000, places) == pytest.approx(learned(samples, 24_000), abs=1e-3)

"""Room tone: as loud and as bright as what it was made from, and nothing where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from oscine.audio.room import has_room_tone, room_tone
from tests.audio.signals import RATE, Samples, sine


def hiss(seconds: float, dbfs: float, seed: int = 1) -> Samples:
    white = np.random.default_rng(seed).standard_normal(round(seconds * RATE) + 15)
    coloured = np.convolve(white, np.ones(16) / 4, "valid")
    return (coloured * 10 ** (dbfs / 20)).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 0.004])
@pytest.mark.parametrize("dbfs", [-45, -60])
def test_room_tone_sounds_as_the_room_does(dbfs: int, offset: float) -> None:
    room = hiss(0.08, dbfs) + np.float32(offset)
    assert has_room_tone(room, RATE)
    tone = room_tone(room, 2 * RATE)
    assert len(tone) == 2 * RATE
    levels = 10 * np.log10(np.square(tone.reshape(-1, RATE // 20)).mean(axis=1))
    assert np.abs(levels - dbfs).max() < 3
    slow = np.abs(np.fft.rfft(tone))[: len(tone) // 24]  # up to 1 kHz, which is where this hiss is
    assert np.square(slow).sum() > 0.6 * np.square(np.abs(np.fft.rfft(tone))).sum()
    assert np.abs(np.diff(tone, 2)).max() < 1.5 * np.abs(np.diff(hiss(2, dbfs), 2)).max()


def test_the_same_room_gives_the_same_tone() -> None:
    room = hiss(0.08, -55)
    np.testing.assert_array_equal(room_tone(room, 5000), room_tone(room, 5000))


@pytest.mark.parametrize("n", [0, 1, 7, 100])
@pytest.mark.parametrize("length", [0, 1, 3, 4, 1000])
def test_any_length_can_be_made_of_any(n: int, length: int) -> None:
    assert len(room_tone(hiss(1, -50)[:length], n)) == n


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(2000, np.float32),
        np.full(2000, 0.01, np.float32),
        hiss(0.08, -90),
        hiss(0.02, -50),
        hiss(0.08, -50) * np.linspace(1, 0, round(0.08 * RATE), dtype=np.float32) ** 2,
        np.concatenate([hiss(0.05, -60), sine(200, 0.03, amplitude=0.05)]),
    ],
    ids=["silence", "an offset", "inaudible", "too short", "dying away", "a sound"],
)
def test_what_is_no_steady_noise_is_no_room_tone(sound: Samples) -> None:
    assert not has_room_tone(sound, RATE)

"""The ends of speech: silence goes, no sound of a word does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.audio.silence import RoomLevel, quiet_runs, speech_bounds
from tests.audio.signals import RATE, Samples, murmur, said, sine

ENDINGS = [
    "Turn off the gas.",
    "I saw him laugh.",
    "He lost his tooth.",
    "Please give me a fresh dish.",
    "That is enough.",
    "Stop at once.",
    "She left in March, with both.",
    "Is this the path?",
    "What a wish!",
    "Fifth.",
]


def level(samples: Samples) -> float:
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean() + 1e-20))


def room_tone(n: int, dbfs: float) -> Samples:
    noise = np.convolve(np.random.default_rng(7).standard_normal(n + 59), np.exp(-np.arange(60) / 8), "valid")
    return np.asarray(noise / noise.std() * 10 ** (dbfs / 20), np.float32)


@pytest.mark.parametrize("text", ENDINGS)
def test_silence_around_speech_is_found_and_no_sound_of_it_lost(text: str) -> None:
    samples = said(text)
    bounds = speech_bounds(samples, RATE)
    assert bounds is not None
    start, end = bounds
    # The voice puts 200 ms and more around what it says, of which nothing stays; 20 ms on, all is near inaudible.
    assert start > 0.15 * RATE
    assert len(samples) - end > 0.2 * RATE
    lead, tail = samples[: start - RATE // 50], samples[end + RATE // 50 :]
    assert max(level(lead[at : at + 120]) for at in range(0, len(lead), 120)) < -60
    assert max(level(tail[at : at + 120]) for at in range(0, len(tail) - 119, 120)) < -60


@pytest.mark.parametrize("dbfs", [-70, -60, -50])
@pytest.mark.parametrize("text", ENDINGS)
def test_room_tone_is_told_from_soft_consonants(text: str, dbfs: float) -> None:
    clean = speech_bounds(said(text), RATE)
    noisy = speech_bounds(said(text) + room_tone(len(said(text)), dbfs), RATE)
    assert clean is not None
    assert noisy is not None
    # What sinks into the noise cannot be told from it; the rest is there, and the noise itself is not.
    most = {-70: 0.01, -60: 0.04, -50: 0.08}[int(dbfs)]
    assert -0.05 * RATE <= noisy[0] - clean[0] <= most * RATE
    assert -0.05 * RATE <= clean[1] - noisy[1] <= most * RATE


@pytest.mark.parametrize("text", ENDINGS)
def test_speech_without_silence_around_it_is_left_whole(text: str) -> None:
    bounds = speech_bounds(said(text), RATE)
    assert bounds is not None
    tight = said(text)[slice(*bounds)]
    again = speech_bounds(tight, RATE)
    assert again is not None
    assert again[0] <= 0.01 * RATE
    assert len(tight) - again[1] <= 0.01 * RATE


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0, np.float32), np.zeros(1, np.float32), np.zeros(RATE, np.float32), room_tone(RATE, -60)],
    ids=["nothing", "one sample", "silence", "room tone"],
)
def test_there_is_no_speech_in_silence(samples: Samples) -> None:
    assert speech_bounds(samples, RATE) is None
    assert quiet_runs(samples, RATE, 50) == []


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(0, 9000),
    lead=st.integers(0, 5000),
    tail=st.integers(0, 5000),
    rate=st.sampled_from([8_000, 22_050, 24_000, 48_000]),
)
def test_bounds_lie_within_the_sound_and_hold_all_that_is_loud(n: int, lead: int, tail: int, rate: int) -> None:
    samples = np.concatenate([np.zeros(lead), 0.5 * np.sign(murmur(n, n)), np.zeros(tail)]).astype(np.float32)
    bounds = speech_bounds(samples, rate)
    if bounds is None:
        assert n <= rate // 1000
        return
    start, end = bounds
    assert 0 <= start < end <= len(samples)
    assert not samples[:start].any()
    assert not samples[end:].any()
    assert lead - start <= 0.02 * rate
    assert end - (lead + n) <= 0.02 * rate


def test_a_pause_between_words_is_found_where_it_is() -> None:
    first, second = (said(text)[slice(*speech_bounds(said(text), RATE))] for text in ("Stop at once.", "Yes."))  # type: ignore[misc]
    gap = np.zeros(RATE // 2, np.float32)
    runs = quiet_runs(np.concatenate([gap, first, gap, second, gap]), RATE, 300)
    assert len(runs) == 1
    start, end = runs[0]
    assert abs(start - (len(gap) + len(first))) <= 0.1 * RATE
    assert abs(end - (2 * len(gap) + len(first))) <= 0.05 * RATE


def test_short_pauses_are_left_out() -> None:
    tone = 0.3 * sine(300, 0.5)
    samples = np.concatenate([tone, np.zeros(RATE // 20, np.float32), tone, np.zeros(RATE // 5, np.float32), tone])
    assert len(quiet_runs(samples, RATE, 40)) == 2
    assert len(quiet_runs(samples, RATE, 150)) == 1


def heard(samples: Samples) -> RoomLevel:
    room = RoomLevel(RATE)
    for piece in np.array_split(samples, 31):
        room.push(piece)
    return room


@pytest.mark.parametrize("dbfs", [-60, -50, -46])
def test_the_level_of_a_room_is_learned_from_what_is_said_in_it(dbfs: float) -> None:
    spoken = np.concatenate([said(text) for text in ENDINGS[:4]])
    assert heard(spoken + room_tone(len(spoken), dbfs)).dbfs() == pytest.approx(dbfs, abs=2)


def test_a_clean_room_has_no_level_not_even_where_nobody_pauses() -> None:
    spoken = [said(text) for text in ENDINGS]
    assert heard(np.concatenate(spoken)).dbfs() == -np.inf
    bounds = [(sound, speech_bounds(sound, RATE) or (0, 0)) for sound in spoken]
    assert heard(np.concatenate([sound[start:end] for sound, (start, end) in bounds])).dbfs() == -np.inf
    assert RoomLevel(RATE).dbfs() == -np.inf


@pytest.mark.parametrize("dbfs", [-55, -48])
@pytest.mark.parametrize("text", ENDINGS[:4])
def test_with_a_room_that_is_known_a_part_is_bounded_as_the_whole(text: str, dbfs: float) -> None:
    samples = said(text)
    noisy = samples + room_tone(len(samples), dbfs)
    whole = speech_bounds(noisy, RATE)
    assert whole is not None
    tail = noisy[whole[1] + RATE // 50 :]
    assert speech_bounds(tail, RATE, room_dbfs=dbfs) is None
    ending = speech_bounds(noisy[whole[1] - RATE // 5 :], RATE, room_dbfs=dbfs)
    assert ending is not None
    assert ending[1] == pytest.approx(RATE // 5, abs=RATE // 25), "far less than the margin that is kept"

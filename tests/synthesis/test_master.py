"""Loudness and ceilings: exact for files, close for streams, and left alone where nothing can be measured."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from oscine.audio.loudness import dbtp, integrated_loudness, true_peak
from oscine.audio.waveform import Samples
from oscine.synthesis.master import FileMaster, StreamMaster
from oscine.synthesis.track import MASTERINGS
from tests.echo import RATE, tone
from tests.voices.recordings import speech as recorded

TEXT = "It was a very long night, and nobody came to the little house at the end of the street. "
SENTENCES = [
    "Nobody came to the house that night, and the lamp went out before she had finished her letter. Then it was light.",
    "Is it really you? I thought that you had left for the coast a week ago. Come in, come in.",
    "Chapter one. The harbour of Bergen was quiet in the early morning, except for the gulls.",
    "In 1984, about forty percent of the people who lived here worked in the mine.",
    "Yes.",
    "You see, it was not so easy as you think, my friend, not easy at all.",
]
TARGETS = [-23.0, -18.0, -14.0]


def speech(seconds: float, lufs: float = -25.0) -> Samples:
    """The built-in voice at a level."""
    sound = recorded(seconds)
    level = integrated_loudness(recorded(8.0), RATE)
    assert level is not None
    return sound * np.float32(10 ** ((lufs - level) / 20))


@cache
def sentences(first: int = 0) -> Samples:
    """Half a minute of different sentences, beginning with one of them."""
    from hibari import Hibari

    speak = Hibari()
    said = [np.asarray(speak(text, seed=n), np.float32).reshape(-1) for n, text in enumerate(SENTENCES)]
    return np.concatenate([*said[first:], *said[:first]])


def cut(samples: Samples, size: int) -> Iterator[Samples]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def mastered(master: FileMaster | StreamMaster, samples: Samples, size: int = 48_000) -> Samples:
    parts = [master.push(part) for part in cut(samples, size)]
    return np.concatenate([*parts, master.finish()])


def loudness(samples: Samples) -> float:
    level = integrated_loudness(samples, RATE)
    assert level is not None
    return level


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("level", [-43.0, -25.0, -8.0])
def test_a_file_reaches_its_loudness_below_its_ceiling(target: float, level: float) -> None:
    out = mastered(FileMaster(RATE, target, ceiling_dbtp=-1.0), speech(12, level))
    assert len(out) == 12 * RATE
    assert loudness(out) == pytest.approx(target, abs=0.5)
    assert dbtp(true_peak(out, RATE)) <= -1.0


def test_what_a_file_reports_is_what_it_measures() -> None:
    master = FileMaster(RATE, -18.0, ceiling_dbtp=-1.0)
    out = mastered(master, speech(8))
    level = master.level()
    assert level.loudness_lufs == pytest.approx(loudness(out), abs=0.05)
    assert level.true_peak_dbtp == pytest.approx(dbtp(true_peak(out, RATE)), abs=0.05)
    assert master.missed_by() == 0


def test_how_the_sound_arrives_changes_nothing() -> None:
    sound = speech(6)
    first = mastered(FileMaster(RATE, -18.0, ceiling_dbtp=-1.0), sound, 48_000)
    second = mastered(FileMaster(RATE, -18.0, ceiling_dbtp=-1.0), sound, 1_717)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_beginning_that_misleads_is_told_and_the_told_gain_mends_it() -> None:
    sound = np.concatenate([speech(31, -45.0), speech(60, -20.0)])
    master = FileMaster(RATE, -18.0, ceiling_dbtp=-1.0)
    mastered(master, sound, RATE)
    assert master.missed_by() < -3
    for _ in range(MASTERINGS - 1):
        better = master.better_gain()
        if better is None:
            break
        master = FileMaster(RATE, -18.0, ceiling_dbtp=-1.0, gain_db=better)
        out = mastered(master, sound, RATE)
    assert loudness(out) == pytest.approx(-18.0, abs=0.5)


@pytest.mark.parametrize("sound", ["short", "silent", "quiet"])
def test_what_cannot_be_measured_is_left_as_it_is(sound: str) -> None:
    samples = {"short": speech(0.35), "silent": np.zeros(3 * RATE, np.float32), "quiet": speech(3, -90.0)}[sound]
    for master in (FileMaster(RATE, -18.0, ceiling_dbtp=-1.0), StreamMaster(RATE, -18.0, ceiling_dbtp=-1.0)):
        np.testing.assert_allclose(mastered(master, samples), samples, atol=1e-7)
        assert master.level().loudness_lufs is None


def test_no_sound_at_all_is_fine() -> None:
    for master in (FileMaster(RATE, -18.0, ceiling_dbtp=-1.0), StreamMaster(RATE, -18.0, ceiling_dbtp=-1.0)):
        assert len(master.push(np.zeros(0, np.float32))) == 0
        assert len(master.finish()) == 0
        assert master.level().loudness_lufs is None
        assert master.level().true_peak_dbtp is None


def test_without_a_target_only_the_ceiling_is_kept() -> None:
    quiet, loud = speech(4), 3 * tone(TEXT, level=0.9)
    for kind in (FileMaster, StreamMaster):
        np.testing.assert_allclose(mastered(kind(RATE, None, ceiling_dbtp=-1.0), quiet), quiet, atol=1e-7)
        assert dbtp(true_peak(mastered(kind(RATE, None, ceiling_dbtp=-1.0), loud), RATE)) <= -1.0


@pytest.mark.parametrize("size", [3_192, 24_000, 120_000])
@pytest.mark.parametrize(("first", "factor"), [(0, 1.0), (1, 0.1), (3, 6.0), (5, 1.0)])
def test_a_stream_is_within_2_lu_every_second_from_the_second_on(first: int, factor: float, size: int) -> None:
    sound = sentences(first) * np.float32(factor)
    out = mastered(StreamMaster(RATE, -18.0, ceiling_dbtp=-1.0), sound, size)
    assert len(out) == len(sound)
    for second in range(2, len(out) // RATE):
        assert loudness(out[: second * RATE]) == pytest.approx(-18.0, abs=2.0), second
    assert dbtp(true_peak(out, RATE)) <= -1.0


def test_a_stream_whose_first_piece_misleads_finds_its_way_without_a_jump() -> None:
    sound = np.concatenate([speech(4, -35.0), speech(60, -21.0)])
    out = mastered(StreamMaster(RATE, -30.0, ceiling_dbtp=-1.0), sound, 3_192)
    assert loudness(out[40 * RATE :]) == pytest.approx(-30.0, abs=2.0)
    gains = [
        loudness(out[s * RATE : (s + 3) * RATE]) - loudness(sound[s * RATE : (s + 3) * RATE]) for s in range(5, 60)
    ]
    assert np.abs(np.diff(gains)).max() < 1.5


def test_a_stream_waits_for_no_more_than_it_needs_to_measure() -> None:
    sound = speech(5)
    master = StreamMaster(RATE, -18.0, ceiling_dbtp=-1.0)
    taken = 0
    for part in cut(sound, 2_400):
        taken += len(part)
        if len(master.push(part)):
            break
    assert taken <= 0.6 * RATE


def test_a_short_first_piece_leaves_with_about_the_right_level() -> None:
    sound = sentences()
    first = sentences(4)[: round(0.35 * RATE)]
    master = StreamMaster(RATE, -18.0, ceiling_dbtp=-1.0)
    assert len(master.push(first)) == 0
    out = master.settle()
    assert len(out) > 0.3 * RATE
    assert len(master.settle()) == 0
    whole = np.concatenate([out, *(master.push(part) for part in cut(sound, 2_400)), master.finish()])
    assert len(whole) == len(first) + len(sound)
    assert loudness(whole) == pytest.approx(-18.0, abs=2.0)


def test_gain_has_limits_so_that_hiss_is_not_blown_up() -> None:
    hiss = speech(5, -60.0)
    out = mastered(FileMaster(RATE, -8.0, ceiling_dbtp=-1.0), hiss)
    assert loudness(out) - loudness(hiss) <= 30.1

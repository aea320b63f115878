"""Joining pieces: pauses to the millisecond, no word cut, no click, sentences where they are said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.audio.waveform import Samples
from oscine.engines.protocol import Turn, Utterance
from oscine.synthesis.assemble import END_MS, INAUDIBLE, START_MS, Assembler
from oscine.synthesis.plan import Piece, Sentence
from oscine.synthesis.speak import Spoken
from tests.echo import RATE, tone, words_at
from tests.synthesis.house import LOW, sounding

WORDS = ["Bird", "on a wire", "sings", "before the morning comes", "again"]


def piece(index: int, text: str, pause_ms: int = 0, sentences: Sequence[str] | None = None) -> Piece:
    utterance = Utterance((Turn("", text),), {"": LOW}, index)
    return Piece(index, utterance, tuple(Sentence(one, None) for one in sentences or [text]), pause_ms, f"{index}")


def spoken(one: Piece, sound: Samples, cut: int | None = None) -> Iterator[Spoken]:
    """In one go, or in chunks of `cut` samples with an empty last one, as engines of the grain `frame` give it."""
    if cut is None:
        yield Spoken(one, sound, last=True)
        return
    for start in range(0, len(sound), cut):
        yield Spoken(one, sound[start : start + cut], last=False)
    yield Spoken(one, np.zeros(0, np.float32), last=True)


def assembled(
    parts: Sequence[tuple[Piece, Samples]], *, cut: int | None = None, rate: int = RATE, tail_ms: int = 0, **how: object
) -> tuple[Samples, Assembler]:
    assembler = Assembler(rate, **how)  # type: ignore[arg-type]
    out = [assembler.push(part) for one, sound in parts for part in spoken(one, sound, cut)]
    out.append(assembler.finish(tail_ms))
    track = np.concatenate(out)
    assert track.dtype == np.float32
    assert assembler.duration == pytest.approx(len(track) / rate)
    return track, assembler


def parts_of(pauses: Sequence[int], **how: float) -> list[tuple[Piece, Samples]]:
    return [
        (piece(n, WORDS[n], pause), tone(WORDS[n], seed=n, **how))  # type: ignore[arg-type]
        for n, pause in enumerate([0, *pauses])
    ]


def runs(track: Samples, rate: int = RATE) -> list[tuple[float, float]]:
    """Whole pieces: words stand 40 ms apart, so rests below 50 ms belong to a piece."""
    return sounding(track, rate, gap_ms=50)


@pytest.mark.parametrize("cut", [None, 3192, 480])
@pytest.mark.parametrize("pauses", [[60, 150, 340, 700], [2000, 100, 800, 1500]])
def test_between_pieces_stands_exactly_the_planned_pause(pauses: list[int], cut: int | None) -> None:
    track, _ = assembled(parts_of(pauses), cut=cut)
    found = runs(track)
    assert len(found) == 5
    for pause, ((_, end), (start, _)) in zip(pauses, pairwise(found), strict=True):
        assert abs((start - end) * 1000 - pause) < 5


@pytest.mark.parametrize("margins", [(0, 0), (5, 5), (130, 170), (600, 900)])
def test_pauses_do_not_depend_on_the_silence_that_the_engine_leaves(margins: tuple[int, int]) -> None:
    track, _ = assembled(parts_of([340, 100, 700, 200], lead_ms=margins[0], trail_ms=margins[1]))
    found = runs(track)
    gaps = [round((start - end) * 1000) for (_, end), (start, _) in pairwise(found)]
    assert gaps == pytest.approx([340, 100, 700, 200], abs=5)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(60, 1500), min_size=4, max_size=4),
    st.integers(0, 400),
    st.integers(0, 400),
    st.sampled_from([0, 20, 100, 1000]),
    st.booleans(),
    st.sampled_from([None, 999, 3192]),
)
def test_pauses_are_kept_whatever_the_margins(
    pauses: list[int], lead: int, trail: int, margin: int, crossfade: bool, cut: int | None
) -> None:
    parts = parts_of(pauses, lead_ms=lead, trail_ms=trail)
    track, _ = assembled(parts, cut=cut, margin_ms=margin, crossfade=crossfade)
    found = runs(track)
    assert len(found) == 5
    gaps = [(start - end) * 1000 for (_, end), (start, _) in pairwise(found)]
    assert gaps == pytest.approx(pauses, abs=5)


@pytest.mark.parametrize("cut", [None, 480])
@pytest.mark.parametrize("pause", [0, 10, 340])
def test_no_sound_of_a_word_is_cut_faded_or_overlapped(pause: int, cut: int | None) -> None:
    parts = parts_of([pause] * 4)
    track, _ = assembled(parts, cut=cut)
    at = 0
    for _, sound in parts:
        inside = np.flatnonzero(np.abs(sound) > INAUDIBLE)
        word = sound[inside[0] : inside[-1] + 1]
        best = next(
            start
            for start in range(at, len(track) - len(word) + 1)
            if track[start] == word[0] and np.array_equal(track[start : start + len(word)], word)
        )
        at = best + len(word)


@pytest.mark.parametrize("cut", [None, 3192])
@pytest.mark.parametrize("pause", [0, 5, 60, 340])
@pytest.mark.parametrize("room", [0.0, 0.0008])
def test_no_click_at_a_seam(pause: int, cut: int | None, room: float) -> None:
    parts = parts_of([pause] * 4)
    noise = np.random.default_rng(1)
    noisy = [(one, sound + (room * noise.standard_normal(len(sound))).astype(np.float32)) for one, sound in parts]
    track, assembler = assembled(noisy, cut=cut)
    steps = np.abs(np.diff(track))
    near = np.zeros(len(steps), dtype=bool)
    for start, end in assembler.seams:
        near[max(0, start - 120) : end + 120] = True
    assert steps[near].max() <= np.percentile(steps[~near], 99.9)


def test_sound_that_stops_dead_is_faded_where_silence_follows() -> None:
    t = np.arange(RATE) / RATE
    hard = (0.5 * np.cos(2 * np.pi * 300 * t)).astype(np.float32)
    track, _ = assembled([(piece(0, "Hard"), hard), (piece(1, "Cut", 200), hard)])
    assert np.abs(np.diff(track)).max() < 1.2 * np.abs(np.diff(hard)).max()


@pytest.mark.parametrize("cut", [100, 999, 3192, 24_000])
def test_frames_give_the_same_track_as_whole_pieces(cut: int) -> None:
    parts = parts_of([340, 0, 700, 150])
    whole, one = assembled(parts)
    framed, other = assembled(parts, cut=cut)
    assert abs(len(framed) - len(whole)) <= 0.005 * RATE
    assert runs(framed) == [pytest.approx(pair, abs=0.005) for pair in runs(whole)]
    for a, b in zip(one.segments, other.segments, strict=True):
        assert (a.start, a.end) == pytest.approx((b.start, b.end), abs=0.01)


def test_the_track_starts_and_ends_with_known_silence() -> None:
    track, _ = assembled(parts_of([340] * 4))
    (start, _), *_, (_, end) = runs(track)
    assert start * 1000 == pytest.approx(START_MS, abs=5)
    assert len(track) / RATE * 1000 - end * 1000 == pytest.approx(END_MS, abs=5 + 8)


def test_pauses_that_were_asked_for_stand_at_the_start_and_the_end() -> None:
    track, _ = assembled([(piece(0, "Wait for it", 1500), tone("Wait for it"))], tail_ms=2500)
    ((start, end),) = runs(track)
    assert start == pytest.approx(1.5, abs=0.005)
    assert len(track) / RATE - end == pytest.approx(2.5, abs=0.013)


@pytest.mark.parametrize("cut", [None, 480])
def test_a_long_noisy_margin_ends_without_a_click(cut: int | None) -> None:
    noise = np.random.default_rng(2).standard_normal(4 * RATE).astype(np.float32) * 0.002
    sound = noise.copy()
    sound[:RATE] += tone("Breath " * 3)[:RATE]
    track, _ = assembled([(piece(0, "Breath"), sound)], cut=cut, margin_ms=2000)
    assert np.abs(track[-24:]).max() < 0.0005


def test_a_chapter_is_marked_in_the_pause_before_it_and_the_first_at_the_start() -> None:
    parts = parts_of([1500, 300, 700, 340])
    titles = ["One", "Two", None, "Three", "Four"]
    silent = np.zeros(RATE, np.float32)
    made = [
        (replace(one, chapter=title), silent if title == "Three" else sound)
        for (one, sound), title in zip(parts, titles, strict=True)
    ]
    _, assembler = assembled(made)
    first, second = assembler.seams[1][1] / RATE, assembler.seams[3]
    pause = (second[1] - second[0]) / RATE
    assert [chapter.title for chapter in assembler.chapters] == ["One", "Two", "Three", "Four"]
    starts = [0.0, first - 0.5, *[second[1] / RATE - pause / 2] * 2]
    assert [chapter.start for chapter in assembler.chapters] == pytest.approx(starts, abs=0.001)


def test_what_is_said_before_the_first_chapter_is_not_part_of_it() -> None:
    (one, sound), (two, other) = parts_of([1500])
    _, assembler = assembled([(one, sound), (replace(two, chapter="One"), other)])
    assert [chapter.start for chapter in assembler.chapters] == pytest.approx(
        [assembler.seams[1][1] / RATE - 0.5], abs=0.001
    )


def levels(track: Samples, ms: float = 20) -> Samples:
    frame = round(ms * RATE / 1000)
    power: Samples = np.square(track[: len(track) // frame * frame]).reshape(-1, frame).mean(axis=1)
    found: Samples = (10 * np.log10(power + 1e-20)).astype(np.float32)
    return found


@pytest.mark.parametrize("cut", [None, 3192])
@pytest.mark.parametrize("dbfs", [-55, -62])
def test_the_room_of_a_noisy_voice_goes_on_through_a_pause(dbfs: int, cut: int | None) -> None:
    chance = np.random.default_rng(3)
    hiss = [np.convolve(chance.standard_normal(RATE * 4), np.ones(8) / 8 * 8**0.5, "same") for _ in range(3)]
    parts = [
        (one, (sound + 10 ** (dbfs / 20) * noise[: len(sound)]).astype(np.float32))
        for (one, sound), noise in zip(parts_of([340, 1500]), hiss, strict=True)
    ]
    track, assembler = assembled(parts, cut=cut, start_ms=800, end_ms=800)
    for start, end in assembler.seams[1:]:
        between = track[start + RATE // 100 : end - RATE // 100]
        assert np.abs(levels(between) - dbfs).max() < 4
        assert np.abs(np.diff(between, 2)).max() < 1.5 * np.abs(np.diff(hiss[0], 2)).max() * 10 ** (dbfs / 20)
    first, last = assembler.seams[0][1], len(track) - round(0.8 * RATE)
    around = [track[round(0.3 * RATE) : first - RATE // 100], track[last + RATE // 100 : -round(0.3 * RATE)]]
    assert all(np.abs(levels(room) - dbfs).max() < 4 for room in around)
    assert np.abs(track[[0, -1]]).max() < 1e-5


@pytest.mark.parametrize("cut", [480, 3192, 12_000])
@pytest.mark.parametrize("dbfs", [-52, -46])
def test_noise_is_no_speech_in_a_stream_either_once_the_voice_is_known(dbfs: int, cut: int) -> None:
    chance = np.random.default_rng(5)
    parts = [
        (one, (sound + 10 ** (dbfs / 20) * chance.standard_normal(len(sound))).astype(np.float32))
        for one, sound in parts_of([340, 340, 700, 340], lead_ms=400, trail_ms=500)
    ]
    track, assembler = assembled(parts, cut=cut)
    for (start, end), pause in zip(assembler.seams[2:], [340, 700, 340], strict=True):
        assert (end - start) / RATE == pytest.approx(pause / 1000, abs=0.015)
        assert np.abs(levels(track[start + RATE // 100 : end - RATE // 100]) - dbfs).max() < 4
    for segment, (one, _) in list(zip(assembler.segments, parts, strict=True))[2:]:
        spoken_s = words_at(one.utterance.text)[-1][2] - words_at(one.utterance.text)[0][1]
        assert segment.end - segment.start == pytest.approx(spoken_s, abs=0.03)


def test_the_room_of_one_voice_fades_where_the_next_one_has_none() -> None:
    noise = (0.002 * np.random.default_rng(4).standard_normal(RATE * 4)).astype(np.float32)
    (one, noisy), clean = parts_of([1000])
    noisy = noisy + noise[: len(noisy)]
    for parts in ([(one, noisy), clean], [(one, clean[1]), (clean[0], noisy)]):
        track, assembler = assembled(parts)
        found = levels(track[slice(*assembler.seams[1])], 50)[1:-2]
        assert found.min() < -75
        assert np.abs(np.diff(found[found > -75])).max() < 8


def test_a_clean_pause_stays_silent() -> None:
    track, assembler = assembled(parts_of([1000]))
    start, end = assembler.seams[1]
    assert not track[start + RATE // 5 : end - RATE // 5].any()


def test_a_piece_without_sound_leaves_no_gap_of_its_own_but_the_pause_before_it() -> None:
    nothing = np.zeros(0, np.float32)
    hush = np.zeros(RATE, np.float32)
    for quiet in (nothing, hush):
        for cut in (None, 480):
            track, assembler = assembled(
                [(piece(0, "One"), tone("One")), (piece(1, "-", 900), quiet), (piece(2, "Two", 340), tone("Two"))],
                cut=cut,
            )
            (_, end), (start, _) = runs(track)
            assert start - end == pytest.approx(0.9, abs=0.005)
            assert [segment.text for segment in assembler.segments] == ["One", "Two"]


def test_pieces_without_any_sound_make_an_empty_track() -> None:
    track, assembler = assembled(
        [(piece(0, "-"), np.zeros(RATE, np.float32)), (piece(1, "-"), np.zeros(0, np.float32))]
    )
    assert len(track) == 0
    assert assembler.segments == []


# -- segments


@pytest.mark.parametrize("rate", [22_050, 24_000, 44_100])
@pytest.mark.parametrize("cut", [None, 1000])
def test_sentences_of_their_own_are_timed_where_they_sound(rate: int, cut: int | None) -> None:
    parts = [(piece(n, text, 300), tone(text, rate=rate, seed=n)) for n, text in enumerate(WORDS)]
    track, assembler = assembled(parts, cut=cut, rate=rate)
    for segment, (start, end) in zip(assembler.segments, runs(track, rate), strict=True):
        assert (segment.start, segment.end) == pytest.approx((start, end), abs=0.02)


SEVERAL = [
    ["It was a very long night.", "Nobody came.", "The lamp went out, and she waited for the light."],
    ["Yes.", "No.", "Perhaps they will come back tomorrow in the early afternoon."],
    ["One two three.", "Four five six."],
]


@pytest.mark.parametrize("rate", [22_050, 24_000])
@pytest.mark.parametrize("cut", [None, 1000])
def test_sentences_within_a_piece_are_timed_within_50_ms(rate: int, cut: int | None) -> None:
    texts = [" ".join(sentences) for sentences in SEVERAL]
    parts = [(piece(n, text, 400, SEVERAL[n]), tone(text, rate=rate, seed=n)) for n, text in enumerate(texts)]
    track, assembler = assembled(parts, cut=cut, rate=rate)
    expected = []
    onsets = [start for start, _ in sounding(track, rate, gap_ms=300)]
    for onset, text, sentences in zip(onsets, texts, SEVERAL, strict=True):
        said = words_at(text)
        first = said[0][1]
        for sentence in sentences:
            count = len(sentence.split())
            own, said = said[:count], said[count:]
            expected.append((onset + own[0][1] - first, onset + own[-1][2] - first))
    assert [segment.text for segment in assembler.segments] == [one for sentences in SEVERAL for one in sentences]
    for segment, (start, end) in zip(assembler.segments, expected, strict=True):
        assert (segment.start, segment.end) == pytest.approx((start, end), abs=0.05), segment.text


def test_sentences_late_in_a_long_piece_are_timed_as_well_as_early_ones() -> None:
    sentences = [f"This is sentence number {n} of a long piece." for n in range(40)]
    text = " ".join(sentences)
    rate = 22_050
    _, assembler = assembled([(piece(0, text, 0, sentences), tone(text, rate=rate))], rate=rate)
    said = words_at(text)
    first = said[0][1]
    last = said[-len(sentences[-1].split())][1] - first + START_MS / 1000
    assert assembler.segments[-1].start == pytest.approx(last, abs=0.05)
    assert last > 90


def test_segments_are_in_order_and_do_not_overlap() -> None:
    texts = [" ".join(sentences) for sentences in SEVERAL]
    parts = [(piece(n, text, 100, SEVERAL[n]), tone(text, seed=n)) for n, text in enumerate(texts)]
    track, assembler = assembled(parts)
    times = [time for segment in assembler.segments for time in (segment.start, segment.end)]
    assert times == sorted(times)
    assert times[-1] <= len(track) / RATE

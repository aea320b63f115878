"""Finding sentences by the pauses between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.synthesis.align import Envelope, sentence_spans
from tests.echo import RATE, tone, words_at


def spans(texts: list[str], sound: np.ndarray, *, rate: int = RATE, cut: int = 10**9) -> list[tuple[float, float]]:
    envelope = Envelope(rate)
    for start in range(0, len(sound), cut):
        envelope.push(sound[start : start + cut])
    return sentence_spans(texts, len(sound) / rate, envelope)


def test_one_sentence_is_the_whole() -> None:
    assert sentence_spans(["Hello."], 2.5, Envelope(RATE)) == [(0.0, 2.5)]


@pytest.mark.parametrize("cut", [10**9, 37, 1000])
def test_boundaries_lie_in_the_pauses(cut: int) -> None:
    texts = ["A short one.", "Then comes one that is a good deal longer than the first.", "End."]
    text = " ".join(texts)
    found = spans(texts, tone(text, lead_ms=0, trail_ms=0), cut=cut)
    said = words_at(text, lead_ms=0)
    for (start, end), sentence in zip(found, texts, strict=True):
        own, said = said[: len(sentence.split())], said[len(sentence.split()) :]
        assert (start, end) == pytest.approx((own[0][1], own[-1][2]), abs=0.02)


def test_sound_without_a_pause_is_shared_by_length() -> None:
    t = np.arange(4 * RATE) / RATE
    found = spans(["One two three.", "One two three."], np.sin(2 * np.pi * 300 * t).astype(np.float32))
    assert found == [pytest.approx((0, 2), abs=0.01), pytest.approx((2, 4), abs=0.01)]


def test_silence_and_nothing_at_all_are_taken() -> None:
    assert len(spans(["One.", "Two."], np.zeros(RATE, np.float32))) == 2
    assert sentence_spans(["One.", "Two."], 0.0, Envelope(RATE)) == [(0.0, 0.0), (0.0, 0.0)]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=6),
    st.lists(st.booleans(), min_size=1, max_size=60),
    st.sampled_from([8_000, 22_050, 48_000]),
)
def test_times_are_ordered_within_the_piece_for_any_sound(texts: list[str], loud: list[bool], rate: int) -> None:
    sound = np.concatenate([np.full(rate // 20, 0.5 if on else 0.0, np.float32) for on in loud])
    found = spans(texts, sound, rate=rate)
    assert len(found) == len(texts)
    times = [time for span in found for time in span]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= len(sound) / rate + 1e-9

"""Where a text of too many tokens is parted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oscine.engines.indextts import pieces
from oscine.engines.indextts.pieces import parted, pause_after

WORDS = st.sampled_from(["▁HELLO", "▁A", "ING", "▁XING2", ".", ",", "?", "。", "，", "…", "好", "▁", "'", "-"])
TOKENS = st.lists(WORDS, max_size=300)
MOST = st.integers(1, 130)


@given(TOKENS, MOST)
def test_nothing_is_lost_and_no_part_is_too_long(tokens: list[str], most: int) -> None:
    parts = parted(tokens, most)
    assert [token for part in parts for token in part.tokens] == tokens
    assert all(1 <= len(part.tokens) <= most for part in parts)


@given(st.integers(1, 600), st.integers(4, 130))
def test_parts_of_words_that_are_all_alike_are_even(count: int, most: int) -> None:
    lengths = [len(part.tokens) for part in parted(["▁A"] * count, most)]
    assert len(lengths) == -(-count // most)
    assert max(lengths) - min(lengths) <= 1


@given(TOKENS, st.integers(2, 130))
def test_there_are_not_many_more_parts_than_needed(tokens: list[str], most: int) -> None:
    assert len(parted(tokens, most)) <= 4 * -(-len(tokens) // most) + 1


@given(st.lists(st.integers(5, 12), min_size=2, max_size=30))
def test_sentences_are_not_cut_where_their_ends_can_be_reached(lengths: list[int]) -> None:
    tokens = [token for length in lengths for token in ["▁A"] * (length - 1) + ["."]]
    parts = parted(tokens, 40)
    assert all(part.tokens[-1] == "." for part in parts)
    assert all(part.pause_ms == 200 for part in parts)


@given(st.lists(st.integers(5, 12), min_size=2, max_size=30))
def test_clauses_are_not_cut_where_their_ends_can_be_reached(lengths: list[int]) -> None:
    tokens = [token for length in lengths for token in ["▁A"] * (length - 1) + [","]]
    assert all(part.tokens[-1] == "," for part in parted(tokens, 40))


@given(st.lists(st.integers(1, 8), min_size=2, max_size=60))
def test_words_are_not_cut_where_their_ends_can_be_reached(lengths: list[int]) -> None:
    tokens = [token for length in lengths for token in ["▁A"] + ["B"] * (length - 1)]
    parts = parted(tokens, 40)
    assert all(part.tokens[0].startswith("▁") for part in parts)


@pytest.mark.parametrize(
    ("text", "pause"),
    [("Yes.", 200), ("Why?'", 200), ("好。", 200), ("well,", 120), ("so；  ", 120), ("and", 0), ("", 0), (" ", 0)],
)
def test_a_pause_is_as_long_as_the_border_is_strong(text: str, pause: int) -> None:
    assert pause_after(text) == pause


@pytest.mark.parametrize(
    ("read", "letters"),
    [
        ("TWO HUNDRED", 11),
        ("你 好 世 界", 14),
        ("你好", 7),
        ("2024", 20),
        ("XING2", 5),
        ("he is <|SPECIAL_TOKEN_1|>G OW1 . IH0 NG<|SPECIAL_TOKEN_1|> home", 18),
    ],
)
def test_what_a_model_reads_is_measured_as_it_is_said(read: str, letters: float) -> None:
    assert pieces.spoken(read) == letters

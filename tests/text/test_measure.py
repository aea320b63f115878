from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.errors import InvalidRequest
from oscine.text.measure import check_text, decode_stream, decode_utf8, speakable


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "must be a string"),
        (b"x", "must be a string"),
        ("", "empty"),
        (" \n\t\u3000", "only blanks"),
        ("\x00\x01\u200b", "only control characters"),
        ("😀👍🏽", "nothing that can be spoken"),
        ("?! … —", "nothing that can be spoken"),
        ("ab\ud800c", "at character 3"),
        ("x" * 100_001, "100,001 characters, more than the 100,000"),
    ],
)
def test_text_that_cannot_be_spoken_is_refused_with_one_sentence(text: object, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        check_text(text, max_length=100_000)
    assert caught.value.param == "text"
    assert "\n" not in caught.value.message


def test_a_text_that_is_too_long_names_both_ways_out() -> None:
    with pytest.raises(InvalidRequest, match=r"MAX_TEXT_LENGTH or --max-text"):
        check_text("abc", max_length=2)
    check_text("abc" * 100_000, max_length=0)


@pytest.mark.parametrize("text", ["a", "1️⃣", "你", "…ok", "½"])
def test_a_single_letter_or_digit_is_enough(text: str) -> None:
    check_text(text, max_length=10)
    assert speakable(text)


def test_bytes_that_are_not_utf8_are_refused_with_their_place() -> None:
    assert decode_utf8("\ufeffgrün".encode()) == "grün"
    with pytest.raises(InvalidRequest, match="at byte 2") as caught:
        decode_utf8("grün".encode("latin-1"), "file")
    assert caught.value.param == "file"
    with pytest.raises(InvalidRequest, match="at byte 5"):
        decode_utf8(b"\xef\xbb\xbfgr\xfcn")
    with pytest.raises(InvalidRequest, match="UTF-16"):
        decode_utf8("grün".encode("utf-16"))


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60), st.booleans(), st.integers(1, 5))
def test_a_stream_of_bytes_is_the_same_text(text: str, marked: bool, size: int) -> None:
    text = text.removeprefix("\ufeff")
    data = (b"\xef\xbb\xbf" if marked else b"") + text.encode()
    assert "".join(decode_stream(data[i : i + size] for i in range(0, len(data), size))) == text


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=40), st.integers(1, 5))
def test_a_stream_of_bytes_fails_where_the_whole_fails(data: bytes, size: int) -> None:
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    assert outcome(lambda: "".join(decode_stream(chunks))) == outcome(lambda: decode_utf8(data))


def outcome(decode: Callable[[], str]) -> str:
    try:
        return decode()
    except InvalidRequest as refused:
        return f"refused: {refused.message}"

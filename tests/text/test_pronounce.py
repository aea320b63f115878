from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.errors import InvalidRequest
from oscine.text.pronounce import Lexicon


@pytest.mark.parametrize(
    ("entries", "text", "spoken"),
    [
        ({"gif": "jiff"}, "A GIF, a Gif, a gif; gifs.", "A jiff, a jiff, a jiff; gifs."),
        ({"SQL": "sequel"}, "SQL and sql, SQL's MySQL", "sequel and sql, sequel's MySQL"),
        ({"new york": "NY", "new": "fresh"}, "New  York is new", "NY is fresh"),
        ({"a": "b", "b": "c"}, "a b", "b c"),
        ({"c++": "see plus plus"}, "C++ is not c", "see plus plus is not c"),
        ({"東京": "とうきょう"}, "東京都に行く", "とうきょう都に行く"),
        ({"नमस्ते": "namaste"}, "नमस्ते दुनिया", "namaste दुनिया"),
        ({"नमस": "x"}, "नमस्ते", "नमस्ते"),
        ({"Polish": "POH-lish", "polish": "shine"}, "Polish polish", "POH-lish shine"),
        ({"sql": "sequel"}, "sql_db", "sql_db"),
        ({"x": "\\1 \\g<0>"}, "x", "\\1 \\g<0>"),
    ],
)
def test_whole_words_are_replaced_once_longest_first(entries: dict[str, str], text: str, spoken: str) -> None:
    assert Lexicon.from_mapping(entries).apply(text) == spoken


def test_a_file_may_hold_lines_tabs_comments_or_json() -> None:
    lines = "\ufeff# names\nOscine = OSS-een\n\nC#\tC sharp\na=b = c\n"
    assert dict(Lexicon.from_file(lines).entries) == {"Oscine": "OSS-een", "C#": "C sharp", "a=b": "c"}
    assert dict(Lexicon.from_file(json.dumps({"x": "y"})).entries) == {"x": "y"}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = b\nnonsense", "line 2"),
        ("a = b\n\n = c", "line 3"),
        ("a =", "line 1"),
        ('{"a": "b",\n}', "line 2"),
        ('{"a": 1}', "entry 1"),
    ],
)
def test_a_lexicon_that_cannot_be_read_names_the_place(text: str, where: str) -> None:
    with pytest.raises(InvalidRequest, match=where) as caught:
        Lexicon.from_file(text)
    assert caught.value.param == "lexicon"


@pytest.mark.parametrize(
    "mapping",
    [
        [],
        "x",
        {"": "x"},
        {" ": "x"},
        {"x": 1},
        {1: "x"},
        {"x": ""},
        {"x": "y" * 201},
        {"x" * 201: "y"},
        {str(i): "x" for i in range(1001)},
    ],
)
def test_wrong_pronunciations_are_refused_by_name(mapping: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Lexicon.from_mapping(mapping)
    assert caught.value.param == "pronunciations"


def test_the_later_lexicon_wins() -> None:
    assert Lexicon({"a": "1", "b": "2"}).merge(Lexicon({"b": "3"})).apply("a b") == "1 3"


@settings(deadline=None, max_examples=100)
@given(
    st.text(max_size=200),
    st.dictionaries(st.from_regex(r"[a-z]{1,6}( [a-z]{1,6})?", fullmatch=True), st.just("Ω"), max_size=5),
)
def test_text_without_known_words_stays_as_it_is(text: str, entries: dict[str, str]) -> None:
    spoken = Lexicon(entries).apply(text)
    if "Ω" not in spoken:
        assert spoken == text
    assert Lexicon({}).apply(text) == text

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.text.hidden import FRONT_LEFT_OUT
from oscine.text.script import read

LEFT_OUT = "Comments, scripts and styles in the text were left out."
CODE_LEFT_OUT = "Blocks of code in the text were left out."


def said(text: str, **options: object) -> tuple[list[str], list[str]]:
    warnings: list[str] = []
    passages = read([text], warn=warnings.append, **options)  # type: ignore[arg-type]
    return [passage.text for passage in passages if passage.text], warnings


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "I like <styled-components> very much.\n\nSecond paragraph.",
        "Write <style> first.\n\nSecond paragraph.",
        "A <!-- that nobody closes.\n\nSecond paragraph.",
        "<script type='x'>\n\nSecond paragraph.",
        "~~~ Chapter ~~~\n\nSecond paragraph.",
        "~~~\n\nSecond paragraph.",
        "~~~ note\nSecond paragraph.",
        "Of `<!--` and `-->`: first.\n\nSecond paragraph.",
    ],
)
def test_what_no_end_hides_is_spoken(text: str, live: bool) -> None:
    spoken, warnings = said(text, live=live)
    assert spoken[-1] == "Second paragraph."
    assert all(word in " ".join(spoken) for word in text.split() if word.isalpha())
    assert warnings == []


def test_an_open_block_of_code_is_text_in_a_whole_text() -> None:
    assert said("First.\n\n```\nSecond.\n\nThird.") == (["First.", "Second.", "Third."], [])


def test_an_open_block_of_code_stays_hidden_in_live_text_and_a_warning_counts_its_lines() -> None:
    spoken, warnings = said("First.\n\n```python\nx = 1\ny = 2\n", live=True)
    assert spoken == ["First."]
    assert warnings == ["A block of code that was never closed was left out (3 lines)."]


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("Before. <!-- hidden. Hidden. --> After.", LEFT_OUT),
        ("Before.\n<!-- hidden\n\nhidden -->\nAfter.", LEFT_OUT),
        ("Before.\n<SCRIPT>\nhidden()\n</Script >\nAfter.", LEFT_OUT),
        ("Before.\n<style media=all>hidden</style>\nAfter.", LEFT_OUT),
        ("Before.\n```\nhidden\n```\nAfter.", CODE_LEFT_OUT),
        ("Before.\n~~~ python\nHidden.\n~~~\nAfter.", CODE_LEFT_OUT),
        ("Before.\n~~~\nhidden(1)\n~~~\nAfter.", CODE_LEFT_OUT),
    ],
)
def test_closed_blocks_are_left_out_with_a_warning(text: str, warning: str, live: bool) -> None:
    spoken, warnings = said(text, live=live)
    assert " ".join(spoken) == "Before. After."
    assert warnings == [warning]


@pytest.mark.parametrize("gap", ["\n\n", "\n"])
@pytest.mark.parametrize("live", [False, True])
def test_tildes_between_scenes_hide_no_scene(gap: str, live: bool) -> None:
    scenes = ["He left.", "“She came,” he said.", "They met.", "It rained.", "The end."]
    spoken, warnings = said(f"{gap}~~~{gap}".join(scenes), live=live)
    assert spoken == [scene.replace("“", '"').replace("”", '"') for scene in scenes]
    assert warnings == []


@pytest.mark.parametrize("live", [False, True])
def test_front_matter_is_left_out_with_a_warning(live: bool) -> None:
    text = "---\ntitle: My post\ndate: 2024-01-01\ntags:\n  - a\n- b\n\n# note\n---\n\n# Hello\n\nText.\n"
    assert said(text, live=live) == (["Hello.", "Text."], [FRONT_LEFT_OUT])


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    "text",
    ["---\nAlice: Hello.\nBob: Hi.\n---\nAlice: Bye.", "---\ntitle: One.\n\nTwo.", "---\nOne.\n---\nTwo.",
     "One.\n---\ntitle: Two.\n---\nThree.", "---", "---\ntitle: never closed"],
)  # fmt: skip
def test_dashes_at_the_start_hide_nothing_else(text: str, live: bool) -> None:
    spoken, warnings = said(text, live=live)
    assert FRONT_LEFT_OUT not in warnings
    assert sum(
        line.rstrip(".").split(": ")[-1] in " ".join(spoken) for line in text.split("\n") if ":" in line
    ) == text.count(":")


LINES = st.sampled_from(
    ["Words here.", "", "```", "~~~", "~~~~", "````", "<!-- one", "two -->", "<script>", "</script> three",
     "---", "title: Words", "<style> x </style>", "x `<!--` y", "> ```", "a | b"]
)  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(st.lists(LINES, max_size=14).map("\n".join), st.booleans())
def test_words_are_left_out_only_with_a_warning(text: str, live: bool) -> None:
    spoken, warnings = said(text, live=live)
    if not warnings:
        assert " ".join(spoken).count("Words") == text.count("Words")


def test_openings_without_ends_take_time_in_proportion() -> None:
    text = "".join("`" * (300 - n % 300) + "\n" + "<!-- a\n" + "~" * (3 + n % 300) + " b\n" for n in range(3000))
    started = time.thread_time()
    for live in (False, True):
        list(read([text], live=live))
    assert time.thread_time() - started < 20

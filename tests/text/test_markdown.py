from __future__ import annotations

import pytest

from oscine.text.script import read


@pytest.mark.parametrize(
    "text",
    [
        "If a<b and c>d then stop.",
        "When x<p and y>q we stop.",
        "The <p-value> is small.",
        "For i<s or j>t it holds.",
        "Where 1<q, 2>r and a <b c d> e.",
        "Use List<T> and <name>.",
    ],
)
def test_comparisons_are_no_tags(text: str) -> None:
    assert [passage.text for passage in read([text])] == [text]


@pytest.mark.parametrize(
    "text",
    [
        "<b>One</b> two.",
        '<img src="a.png" alt="a > b">One two.',
        "<span class=\"a b\" title='c' hidden>One</span> two.",
        "<a href=https://example.com/?a=b>One</a > two.",
        '<p align = "center">One two.</p>',
        "<input disabled/><br />One two.",
        '<div\ndata-x="1">One two.</div>'.replace("\n", " "),
        "One <!-- nothing --> two.",
        "<!DOCTYPE html>\n<html lang='en'>\n<body>\n<main>One two.</main>\n</body>\n</html>",
        "<html><head><title>T</title><style>p {}</style></head><body><p>One two.</p></body></html>",
        "<?xml version='1.0'?>\n<html>\n<head>\n<meta charset='utf-8'>\n<title>T</title>\n</head>\nOne two.</html>",
    ],
)
def test_tags_are_not_spoken(text: str) -> None:
    assert [passage.text for passage in read([text])] == ["One two."]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("> [!NOTE]\n> One.\n\n> [!tip]- Two\n> Three.", ["Note:", "One.", "Tip: Two", "Three."]),
        ("::: tip\nOne.\n:::\n\n:::note[Two]\nThree.\n:::\n::: {.x}\nFour.\n:::", ["One.", "Two.", "Three.", "Four."]),
        (
            "## One {#one}\n[TOC]\n[[toc]]\nTwo.\n[//]: # (x)\n[x]: <> (y)\n##Three\n\nFour.",
            ["One.", "Two.", "Three.", "Four."],
        ),
        ("•\u00a0one\n· two\n- <i>No!</i>", ["one.", "two.", "No!"]),
        ("One,\\\ntwo.", ["One,", "two."]),
    ],
)
def test_marks_of_every_kind_of_markdown_go(text: str, said: list[str]) -> None:
    assert [passage.text for passage in read([text])] == said


@pytest.mark.parametrize("sign", ["⁂", "❦", "✽ ✽ ✽"])
def test_an_ornament_parts_scenes(sign: str) -> None:
    assert [(p.text, p.after.kind) for p in read([f"One.\n\n{sign}\n\nTwo."])] == [
        ("One.", "chapter"),
        ("Two.", "none"),
    ]

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

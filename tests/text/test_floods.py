"""Text that would take minutes if any step looked at it again and again."""

from __future__ import annotations

import contextlib
import time

import pytest

from oscine.errors import InvalidRequest
from oscine.text.normalise import normalise
from oscine.text.pronounce import Lexicon
from oscine.text.script import read, speakers_in
from oscine.text.split import check_words, split

SIZE = 50_000
UNITS = [
    "1", "(", ".", '"', "“", "`", "` ", "``a", "*", "* ", "*a", "_a", "（。", "http://", "www.", "a@", "a.",
    "a-", " ", "\n", "[", "[a](", "[](<", "![", "<", "<a ", "<!--", "&", "&a", "&#", "[pause ", "[pause:x]",
    "[pause:1s]", "-", " -", "- ", "—", "\t", "|", "a | b\n", "#", "> ", ":", "Alice:", "Alice: hi\n",
    "Dr. ", "J. ", "a. ", "!", "! ", "!?", ". ", "\u0301\u0323", "\u200d", "😀", "~", "\\", "\r", "/", "a, ",
    '"a. ', "a.” ", "[a](/", "[^a", "ก", "漢", "'a", "' ", "a' ", "{", "1,", "1 ", "~~~\n", "```a", "word ",
    "Hello there. ", "<!--\n", "~~~\nA b.\n", "```\n~~~\n", "<!-- a --> ", "<script>", "<style >\n", "<b a=\"",
    "<b a=' ", "<b hidden ", "' s' ", "'s' b ", "'s s' b ", "s' b ",
    "a", "abcdefghij-\n", "$a", "\\(a", "(a)", "1\n00:00:01,000 --> 00:00:02,000\n",
    ".[1]", ".[1] ", "aaa[1]", "a.¹", "---\na: b\n", "title: a\n",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_a_flood_of_one_sign_is_read_at_once(unit: str) -> None:
    text = unit * (SIZE // len(unit))
    lexicon = Lexicon({"a b": "x", "1": "one", "Alice": "y"})
    started = time.thread_time()
    normalise(text)
    lexicon.apply(text)
    speakers_in(text)
    for passage in read([text]):
        list(split(passage.text, limit=300, pack=200, shortest=20, first=60))
    list(split(text, limit=300))
    for _ in read((text[i : i + 20] for i in range(0, len(text), 20)), live=True):
        pass
    with contextlib.suppress(InvalidRequest):
        check_words(text)
    assert time.thread_time() - started < 10

"""Pronunciations in the text: no rule, lexicon or cut touches one that the engine reads; of others the word remains."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from oscine.text.lines import LONGEST
from oscine.text.marks import MarkKind, marks, masked, plain_marks
from oscine.text.normalise import Rules, normalise
from oscine.text.pronounce import Lexicon
from oscine.text.script import read
from oscine.text.split import split
from oscine.text.written import Written

READS: frozenset[MarkKind] = frozenset({"phonemes", "annotations"})
PINYIN: frozenset[MarkKind] = frozenset({"pinyin"})

PRONUNCIATIONS = [
    "<going|G OW1 . IH0 NG>",
    "<SQL|S IY1 K W AH0 L>",
    "<read|R EH D>",
    "<Dr. No|D AA1 K T ER0 N OW1>",
    "<行|XING2>",
    "<银行|yin2 hang2>",
    "<略|lüe4>",
    "<長|なが>",
    "<東京|トー キョー>",
    "<3:30|TH R IY1 TH ER1 T IY0>",
    "<it's -- so!!!!|IH1 T S S OW1>",
    "<**bold** “no” a@b.com|B OW1 L D>",
    "[hibari](/hibˈɑɹi/)",
    "[Mr. T... #1!!!!](/mˈɪstɚ tˈiː/)",
    "[pause](/pˈɔːz/)",
]
NO_PRONUNCIATIONS = [
    "List<string|number> is a type",
    "if a<b|c>d then",
    "<|endoftext|> now",
    "a < b | c > d",
    "<a|> or <|b>",
    '<a href="x|Y">so</a>',
    "<行|>",
    "<going| G OW1>",
    "< going|G OW1>",
    "[guide](/guide/)",
    "[x] (/ˈx/)",
]


def said(text: str, kinds: frozenset[MarkKind] = READS, **how: object) -> list[str]:
    return [passage.text for passage in read([text], marks=kinds, **how)]  # type: ignore[arg-type]


def told(text: str, kinds: frozenset[MarkKind]) -> str:
    """What captions show."""
    shown: list[str] = []
    for passage in read([text], marks=kinds, lexicon=Lexicon({"tea": "T-E", "XING2": "wrong"})):
        written = Written(passage.text, passage.respellings)
        for chunk in split(passage.text, limit=40):
            shown += map(written.of, chunk.sentences)
    return " ".join(shown)


@pytest.mark.parametrize("mark", PRONUNCIATIONS)
def test_a_pronunciation_passes_every_rule_as_it_is(mark: str) -> None:
    (found,) = marks(mark)
    assert (found.start, found.end) == (0, len(mark))
    for before, after in [
        ("", ""), ("Say ", " now."), ("**", "**"), ("(", ")!!!!"), ("“", "”"), ("'", "'"), ("well-", "-known"),
        ("我", "了。"), ("- ", ""), ("# ", ""), ("> ", " >"), ("a <b>", "</b> c"), ("x < y ", " z > w"), ("1. ", "."),
        ("See https://example.com/", " now"), ("a@b.com", "@c.com"), ("www.", ".com"), ("...", "..."), ("_", "_"),
        ("| a | ", " | b |"), ("a | ", " | b"), ("~~", "~~"), ("[see](", ")"), ("[note] [", "]"), ("😀", "️⃣"),
        ("e\u0301", "\u0301"), ("\\", ""), ("Wait -- ", " -- so"), ("`", "`"), ("&amp;", "&amp;"), ("it", "'s"),
        ("Alice: ", ""), ("[1]: ", ""), ("*", "*\n"), ("\uf8ff\U000f0000", "\U0010fffd"),
        ("| a | b |\n|---|---|\n| ", " | d |"), ("a | b\n---|---\n", " | d\n"),
    ]:  # fmt: skip
        assert mark in " ".join(said(before + mark + after)), (before, after)


@pytest.mark.parametrize("text", NO_PRONUNCIATIONS)
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert marks(text) == []
    assert plain_marks(text) == text == masked(text)


@pytest.mark.parametrize(
    ("text", "kinds", "read", "shown"),
    [
        ("He is <going|G OW1 . IH0 NG>.", READS, "He is <going|G OW1 . IH0 NG>.", "He is going."),
        ("He is <going|G OW1 . IH0 NG>.", PINYIN, "He is going.", "He is going."),
        ("He is <going|G OW1 . IH0 NG>.", frozenset(), "He is going.", "He is going."),
        ("我去<银行|YIN2 HANG2>了。", READS, "我去<银行|YIN2 HANG2>了。", "我去银行了。"),
        ("我去<银行|YIN2 HANG2>了。", PINYIN, "我去YIN2 HANG2了。", "我去银行了。"),
        ("我去<银行|YIN2 HANG2>了。", frozenset(), "我去银行了。", "我去银行了。"),
        ("<略|lüe4>和<長|なが>。", PINYIN, "lüe4和長。", "略和長。"),
        ("<her|ER1>, <oh|OW1>, <行|OW1>, <行|xing>.", PINYIN, "her, oh, 行, <行|xing>.", "her, oh, 行, <行|xing>."),
        ("Say [Oscine](/ˈɑːsiːn/).", READS, "Say [Oscine](/ˈɑːsiːn/).", "Say Oscine."),
        ("Say [Oscine](/ˈɑːsiːn/).", PINYIN, "Say Oscine.", "Say Oscine."),
        ("我XING2, xuan4！", PINYIN, "我wrong, xuan4！", "我XING2, xuan4！"),
        ("<行|XING2> tea <行|HANG2> tea.", PINYIN, "XING2 T-E HANG2 T-E.", "行 tea 行 tea."),
    ],
)
def test_each_engine_gets_what_it_reads_and_captions_show_the_word(
    text: str, kinds: frozenset[MarkKind], read: str, shown: str
) -> None:
    spoken = " ".join(said(text, kinds, lexicon=Lexicon({"tea": "T-E", "XING2": "wrong"})))
    assert spoken == read
    assert told(text, kinds) == shown


@pytest.mark.parametrize("text", ["他XING2走hao3。", "xuan4 lüe4 lve4 nü3", "重zhong4，重chong2！", "lu\u0308e4"])
def test_pinyin_with_tones_passes_every_rule(text: str) -> None:
    composed = text.replace("u\u0308", "ü")
    assert normalise(text, marks=PINYIN) == composed
    assert said(text, PINYIN) == [composed]
    assert normalise(text) == composed


def test_a_lexicon_speaks_in_pronunciations_but_not_in_those_of_the_text() -> None:
    lexicon = Lexicon({"行": "<行|HANG2>", "go": "[go](/ɡˈoʊ/)", "XING2": "X", "g": "gee", "<": "less"})
    assert lexicon.apply("行 <行|XING2> go [go](/ɡˈɔː/) g < g") == (
        "<行|HANG2> <行|XING2> [go](/ɡˈoʊ/) [go](/ɡˈɔː/) gee less gee"
    )
    assert said("行, go.", PINYIN, lexicon=lexicon) == ["HANG2, go."]
    assert said("行, go.", frozenset(), lexicon=lexicon) == ["行, go."]


def test_nothing_beside_a_pronunciation_is_taken_for_a_part_of_it() -> None:
    """IndexTTS-2.5 takes whatever stands between `<`, `|` and `>` for one, and `<|...|>` for a command."""
    assert said("a < b <go|G OW1> c > d | e > f") == ["a b <go|G OW1> c > d e > f"]
    assert said("Hi <|endoftext|> there <x|y> now") == ["Hi < endoftext > there <x y> now"]
    assert said("a < b | c", frozenset()) == ["a < b | c"]


# -- whatever stands around it

_PLAIN = st.text(st.sampled_from("aB1 .,:;!?'\"“”‘’()-–—_*~/\\@&#%=+<>|漢字。、ーกñ😀\u0301\u200d\n\t"), max_size=12)
_TRICKY = st.sampled_from(
    ["https://a.com/", "a@b.com ", "www.x", ".com", "](x)", "[a](", "**", "'s ", "Dr. ", "e.g. ", ". A", "\n- ", "\n# ",
     "\n| ", " | b |", "<b>", "</b>", "<br>", "Alice: ", "[1]: ", " -- ", "...", "!!!!", "||||", "<<<", ">>>"]
)  # fmt: skip
_AROUND = st.lists(st.one_of(_PLAIN, _TRICKY), max_size=4).map("".join)
_MARKS = st.sampled_from(PRONUNCIATIONS)
_THEIRS = re.compile(r"<([^|>\n]+)\|([^>\n]+)>")
"""What IndexTTS-2.5 takes for an annotation (`PRONUNCIATION_ANNOTATION_PATTERN` in its `infer_v2_5.py`)."""
_HIDING = ("`", "~~~", "<!--", "]:", "[pause")


def _kept(text: str, wanted: list[str], produced: str) -> None:
    at = 0
    for mark in wanted:
        found = produced.find(mark, at)
        assert found >= 0, (text, mark, produced)
        at = found + len(mark)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.tuples(_AROUND, _MARKS), min_size=1, max_size=5), _AROUND, st.booleans())
@example([("<a|B", "<行|XING2>")], "", True)
@example([("", "<行|XING2>")] * 5, "", True)
def test_pronunciations_survive_any_surroundings(parts: list[tuple[str, str]], last: str, markdown: bool) -> None:
    text = "".join(around + mark for around, mark in parts) + last
    assume(not any(sign in around for around, _ in [*parts, (last, "")] for sign in _HIDING))
    wanted = [text[mark.start : mark.end] for mark in marks(text)]
    assume(len(wanted) >= len(parts))
    rules = Rules() if markdown else Rules().without(["markdown"])
    plain = normalise(text.replace("\n", " "), rules, marks=READS)
    _kept(text, wanted, plain)
    annotations = [mark for mark in marks(plain) if mark.kind == "annotations"]
    assert [found.span() for found in _THEIRS.finditer(plain)] == [(mark.start, mark.end) for mark in annotations]
    _kept(text, wanted, " ".join(said(text, rules=rules, lexicon=Lexicon({"a": "b", "G": "x", "行": "y"}))))
    assert not marks(normalise(text))


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.one_of(_MARKS, _AROUND), min_size=1, max_size=30),
    st.sampled_from([1, 5, 20, 60, 300]),
    st.sampled_from([None, 5, 40]),
)
def test_splitting_cuts_no_pronunciation(parts: list[str], limit: int, first: int | None) -> None:
    text = " ".join("".join(parts).split())
    wanted = [text[mark.start : mark.end] for mark in marks(text)]
    chunks = list(split(text, limit=limit, pack=limit, shortest=4, first=first))
    _kept(text, wanted, "\x00".join(chunk.text for chunk in chunks))
    _kept(text, wanted, "\x00".join(sentence for chunk in chunks for sentence in chunk.sentences))
    assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(text.split())


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.one_of(_MARKS, st.sampled_from(["Hi. ", "we go ", "走。", "3 < 5 ", "Yes! ", "so, ", "\n"]))), st.data()
)
def test_no_pronunciation_is_cut_while_text_arrives(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    wanted = [text[mark.start : mark.end] for mark in marks(text)]
    pieces: list[str] = []
    at = 0
    while at < len(text):
        size = data.draw(st.integers(1, 12))
        pieces.append(text[at : at + size])
        at += size
    passages = [passage.text for passage in read(pieces, marks=READS, live=True)]
    _kept(text, wanted, "\x00".join(passages))


def test_a_sign_of_less_does_not_keep_back_what_follows_for_long() -> None:
    told: list[int] = []

    def arriving() -> Iterator[str]:
        for number, piece in enumerate(["I <3 you. ", *["And so on. "] * 20]):
            yield piece
            told.extend([number] * (bool(heard) and not told))

    heard: list[str] = []
    for passage in read(arriving(), marks=READS, live=True):
        heard.append(passage.text)
    assert told[0] <= 7


@pytest.mark.parametrize("mark", ["<Dr. No|D AA1 K T ER0 N OW1>", "<银行|YIN2 HANG2>", "[Mr. T](/mˈɪstɚ tˈiː/)"])
@pytest.mark.parametrize("size", [7, 4096])
@pytest.mark.parametrize("between", ["", " ", "走", "so on "])
def test_no_pronunciation_is_cut_where_a_long_line_is(mark: str, size: int, between: str) -> None:
    for offset in range(0, len(mark), 9):
        text = "x" * offset + (mark + between) * (3 * LONGEST // len(mark + between))
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        passages = [passage.text for passage in read(pieces, marks=READS)]
        assert sum(passage.count(mark) for passage in passages) == text.count(mark)


@pytest.mark.parametrize(
    "unit",
    ["<a|B>", "<行|XING2>", "<a|", "<a|B", "<<a|B>", "|", "<|", "a|B>", "[a](/ɑ/)", "[a](/ɑ", "<a a|B ", "<a |B>",
     "<a|" + "B " * 99, "<a " * 60 + "|B>"]
)  # fmt: skip
def test_a_flood_of_pronunciations_is_read_at_once(unit: str) -> None:
    text = unit * (50_000 // len(unit))
    started = time.thread_time()
    for kinds in (READS, PINYIN, frozenset[MarkKind]()):
        normalise(text, marks=kinds)
        Lexicon({"a b": "x"}).respell(text, kinds=kinds)
    for passage in read([text], marks=READS):
        list(split(passage.text, limit=300, pack=200, shortest=20, first=60))
    for _ in read((text[at : at + 20] for at in range(0, len(text), 20)), live=True, marks=READS):
        pass
    list(split(text, limit=300))
    assert time.thread_time() - started < 20

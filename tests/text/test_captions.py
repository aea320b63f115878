from __future__ import annotations

import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.delivery.captions import captions
from oscine.synthesis.assemble import Segment

TIMES = re.compile(r"(\d+):(\d+):(\d+),(\d+)")


def cues(text: str) -> list[tuple[int, int]]:
    times = [((int(h) * 60 + int(m)) * 60 + int(s)) * 1000 + int(ms) for h, m, s, ms in TIMES.findall(text)]
    return list(zip(times[::2], times[1::2], strict=True))


def test_captions_of_very_short_sentences_do_not_overlap() -> None:
    segments = [Segment("Oh.", None, 0.0, 0.05), Segment("No.", None, 0.11, 0.2), Segment("So.", None, 0.3, 0.31)]
    assert cues(captions(segments, ".srt")) == [(0, 110), (110, 300), (300, 500)]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(0.01, 3), st.floats(0.01, 1), st.integers(1, 60)), min_size=1, max_size=8))
def test_captions_come_one_after_the_other(timings: list[tuple[float, float, int]]) -> None:
    segments, at = [], 0.0
    for length, pause, words in timings:
        segments.append(Segment(" ".join(["word"] * words), None, round(at, 3), round(at + length, 3)))
        at += length + pause
    times = cues(captions(segments, ".srt"))
    assert all(start <= end for start, end in times)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(times))


def texts(text: str) -> list[str]:
    return [block.split("\n", 2)[2].rstrip("\n") for block in text.split("\n\n")]


def test_no_caption_holds_only_what_is_left_of_a_sentence() -> None:
    said = "He had gone down to the harbour every morning for thirty years, and nobody had ever asked him why he did so"
    for end in range(86, len(said) + 1):
        shown = texts(captions([Segment(said[:end].strip(), None, 0.0, 6.0)], ".srt"))
        assert len(shown) == 2
        assert " ".join(shown).replace("\n", " ") == said[:end].strip()
        assert min(map(len, shown)) > 0.6 * max(map(len, shown))
        assert all(len(line) <= 42 for one in shown for line in one.split("\n"))


def test_a_caption_stays_long_enough_to_be_read_where_there_is_room() -> None:
    segments = [Segment("No.", None, 1.0, 1.3), Segment("Why?", None, 3.0, 3.3), Segment("So.", None, 3.5, 3.8)]
    assert cues(captions(segments, ".srt")) == [(1000, 1800), (3000, 3500), (3500, 3800)]


def test_lines_of_chinese_and_japanese_are_as_wide_as_others_and_begin_with_no_closing_sign() -> None:
    said = "他每天早上都去海港散步，三十年来从来没有人问过他为什么，" * 4
    shown = texts(captions([Segment(said, None, 0.0, 20.0)], ".srt"))
    assert "".join(shown).replace("\n", "") == said
    for one in shown:
        assert all(2 * len(line) <= 42 and line[0] not in "，。" for line in one.split("\n"))


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("ab- ’…é漢字ーっ、。「」กำ한\n"), min_size=1, max_size=300))
def test_no_letter_of_a_caption_is_lost(said: str) -> None:
    said = f"a{said}"
    shown = texts(captions([Segment(said, None, 0.0, 20.0)], ".srt"))
    assert "".join("".join(shown).split()) == "".join(said.split())

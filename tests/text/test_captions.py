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

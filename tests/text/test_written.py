from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.text.pronounce import Lexicon
from oscine.text.split import split
from oscine.text.written import Respelling, Written

LEXICON = Lexicon({"SQL": "sequel", "gif": "jiff", "New York": "NY", "tea": "T-E"})
WORDS = st.sampled_from(["SQL", "gif", "Gif,", "New York.", "tea", "so", "and", "It's", "SQL's", "why?", "well."])


@settings(deadline=None, max_examples=200)
@given(st.lists(WORDS, min_size=1, max_size=30).map(" ".join), st.sampled_from([5, 20, 300]))
def test_every_word_that_was_written_is_told_once_and_in_order(text: str, limit: int) -> None:
    spoken, respellings = LEXICON.respell(text)
    assert spoken == LEXICON.apply(text)
    written = Written(spoken, respellings)
    parts = [sentence for chunk in split(spoken, limit=limit) for sentence in chunk.sentences]
    told = [written.of(part) for part in parts]
    assert "".join("".join(told).split()) == "".join(text.split())


def test_a_respelling_that_is_parted_is_told_where_it_starts() -> None:
    written = Written("ask a jif man now", (Respelling(4, 9, "gif"),))
    assert [written.of(part) for part in ("ask a", "jif man", "now")] == ["ask gif", "man", "now"]


def test_what_comes_from_a_respelling_alone_is_told_as_it_is_spoken() -> None:
    written = Written("It is one. Two. Now.", (Respelling(6, 14, "12"),))
    assert [written.of(part) for part in ("It is one.", "Two.", "Now.")] == ["It is 12", "Two.", "Now."]

"""What a plan tells about the words it was given: sentences as they were written, names that never speak."""

from __future__ import annotations

import pytest

from oscine.engines.protocol import Lengths
from tests.echo import EchoEngine
from tests.synthesis.test_plan import planned


def test_a_declared_speaker_without_a_line_is_told() -> None:
    plan = planned("Speaker 1: Hello.", voices={"Speaker 01": "high", "Alicia": "high"})
    [piece] = plan.pieces()
    assert piece.utterance.prompts["1"].key != plan.cast.voice(None, plan.warn).key
    assert plan.warnings == ["The text has no lines for Alicia; a line starts with the name and a colon."]


def test_declared_speakers_that_all_speak_need_no_warning() -> None:
    plan = planned("[1]: Hello.\nALICE: Hi.", voices={"speaker 1": "high", "Alice": "high"})
    assert [piece.utterance.text for piece in plan.pieces()] == ["Hello.", "Hi."]
    assert plan.warnings == []


@pytest.mark.parametrize("limit", [300, 30])
def test_sentences_are_told_as_written_while_their_respelling_is_spoken(limit: int) -> None:
    plan = planned(
        "We like SQL, and SQL likes us. Ask e.g. Nguyen, or Mr. Nguyen's New York wife!",
        EchoEngine(lengths=Lengths(limit=limit, pack=0)),
        pronunciations={"SQL": "sequel", "Nguyen": "win. Win", "new york": "big apple"},
    )
    made = list(plan.pieces())
    assert " ".join(piece.utterance.text for piece in made) == (
        "We like sequel, and sequel likes us. Ask e.g. win. Win, or Mr. win. Win's big apple wife!"
    )
    told = " ".join(sentence.text for piece in made for sentence in piece.sentences)
    assert told.startswith("We like SQL, and SQL likes us. Ask e.g. Nguyen")
    assert "New York wife!" in told
    assert "sequel" not in told


def test_annotations_are_spoken_and_not_told_and_their_sound_is_another() -> None:
    text = "I am <going|G OW1 . IH0 NG> to <行|XING2>. Really."
    reads = EchoEngine(marks=["annotations"])
    made = list(planned(text, reads).pieces())
    assert [piece.utterance.text for piece in made] == ["I am <going|G OW1 . IH0 NG> to <行|XING2>.", "Really."]
    pinyin = list(planned(text, EchoEngine(marks=["pinyin"])).pieces())
    assert [piece.utterance.text for piece in pinyin] == ["I am going to XING2.", "Really."]
    plain = list(planned(text, EchoEngine()).pieces())
    assert [piece.utterance.text for piece in plain] == ["I am going to 行.", "Really."]
    for pieces in (made, pinyin, plain):
        assert [one.text for piece in pieces for one in piece.sentences] == ["I am going to 行.", "Really."]
    other = list(planned(text.replace("OW1", "AW1"), reads).pieces())
    assert [a.key == b.key for a, b in zip(made, other, strict=True)] == [False, True]


def test_phonemes_are_spoken_but_not_told() -> None:
    text = "I say [tomato](/təˈmɑːtoʊ/). SQL too."
    plan = planned(text, EchoEngine(marks=["phonemes"]), pronunciations={"SQL": "[S Q L](/ˈsiːkwəl/)"})
    made = list(plan.pieces())
    assert [piece.utterance.text for piece in made] == ["I say [tomato](/təˈmɑːtoʊ/).", "[S Q L](/ˈsiːkwəl/) too."]
    assert [sentence.text for piece in made for sentence in piece.sentences] == ["I say tomato.", "SQL too."]

"""What a plan tells about the words it was given: sentences as they were written, names that never speak."""

from __future__ import annotations

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

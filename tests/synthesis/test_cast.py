"""Who speaks with which voice."""

from __future__ import annotations

import pytest

from oscine.synthesis.cast import Cast
from oscine.text.labels import canonical_label
from oscine.voices.prompt import Prompt, preset_prompt

NARRATOR, ANNA, BERT, CLEO = (preset_prompt("echo", name) for name in ("narrator", "anna", "bert", "cleo"))


def silent(message: str) -> None:
    raise AssertionError(message)


def cast(speakers: dict[str, Prompt] | None = None, others: list[Prompt] | None = None) -> Cast:
    return Cast(NARRATOR, speakers or {}, lambda: others or [])


@pytest.mark.parametrize(
    "label", ["1", "[1]", "Speaker 1", "speaker 1", " SPEAKER  1 ", "Speaker 01", "#1", "Speaker #001"]
)
def test_labels_that_mean_the_same_are_the_same_speaker(label: str) -> None:
    assert canonical_label(label) == "1"
    assert cast({"Speaker 1": ANNA}).voice(label, silent) is ANNA
    assert cast({label: ANNA}).voice("1", silent) is ANNA


def test_names_are_told_apart_and_their_case_does_not_matter() -> None:
    both = cast({"Alice": ANNA, "Bob": BERT})
    assert both.voice("ALICE", silent) is ANNA
    assert both.voice("bob", silent) is BERT


def test_text_without_a_label_is_the_narrators() -> None:
    assert cast({"1": ANNA}).voice(None, silent) is NARRATOR


def test_undeclared_speakers_get_voices_that_nobody_else_has() -> None:
    crew = cast({"1": ANNA}, [ANNA, BERT, CLEO])
    assert crew.voice("2", silent) is BERT
    assert crew.voice("3", silent) is CLEO
    assert crew.voice("2", silent) is BERT
    assert crew.prompts == (NARRATOR, ANNA, BERT, CLEO)


def test_without_any_declared_the_first_speaker_has_the_asked_voice() -> None:
    crew = cast(None, [NARRATOR, BERT])
    assert crew.voice("1", silent) is NARRATOR
    assert crew.voice("2", silent) is BERT


def test_when_voices_run_out_the_narrator_steps_in_with_one_kind_of_warning() -> None:
    warnings: list[str] = []
    crew = cast({"1": ANNA}, [ANNA])
    assert crew.voice("2", warnings.append) is NARRATOR
    assert crew.voice("3", warnings.append) is NARRATOR
    assert crew.voice("2", warnings.append) is NARRATOR
    assert len(set(warnings)) == 1
    assert "voices" in warnings[0]


def test_understudies_are_looked_for_only_when_they_are_needed() -> None:
    def none() -> list[Prompt]:
        raise AssertionError("nobody asked for them")

    crew = Cast(NARRATOR, {"1": ANNA}, none)
    crew.voice("1", silent)
    crew.voice(None, silent)

"""What a request comes to: pieces, their seeds and keys, pauses, warnings, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.engines.protocol import Lengths
from oscine.errors import InvalidRequest
from oscine.request import SpeechRequest
from oscine.synthesis.cast import Cast
from oscine.synthesis.pauses import BY_MARK_MS, CHAPTER_MS, PARAGRAPH_MS, TURN_MS, pause_after
from oscine.synthesis.plan import CONTINUES, Piece, Plan
from oscine.synthesis.prepare import make_plan
from oscine.voices.prompt import preset_prompt
from tests.echo import EchoEngine
from tests.synthesis.house import settings_for

HOME = Path("nowhere")
NARRATOR = preset_prompt("echo", "low")
HIGH = preset_prompt("echo", "high")
STOP = BY_MARK_MS["."]


def planned(
    text: object, engine: EchoEngine | None = None, *, environ: dict[str, str] | None = None, **fields: object
) -> Plan:
    whole = isinstance(text, str)
    request, _ = SpeechRequest.parse({"text": text if whole else "", "seed": 1, **fields})
    voices = dict.fromkeys(request.voices or {}, HIGH)
    cast = Cast(NARRATOR, voices, lambda: [NARRATOR, HIGH])
    return make_plan(
        request,
        (engine or EchoEngine()).info,
        cast,
        settings_for(HOME, **(environ or {})),
        text=None if whole else text,  # type: ignore[arg-type]
    )


def pieces(text: object, engine: EchoEngine | None = None, **how: Any) -> list[Piece]:
    return list(planned(text, engine, **how).pieces())


def said(made: list[Piece]) -> list[str]:
    return [piece.utterance.text for piece in made]


def pauses(text: object, engine: EchoEngine | None = None, **how: Any) -> list[int]:
    return [piece.pause_ms for piece in pieces(text, engine, **how)]


STORY = "It was late. Nobody came. The lamp went out. Nobody came. She waited. It was late."


def test_each_sentence_is_a_piece_in_order() -> None:
    assert said(pieces(STORY)) == [f"{sentence}." for sentence in STORY.rstrip(".").split(". ")]
    assert [piece.index for piece in pieces(STORY)] == list(range(6))


def test_a_sentence_that_comes_twice_has_a_seed_of_its_own_each_time() -> None:
    made = pieces(STORY)
    assert len({piece.key for piece in made}) == 6
    assert len({piece.utterance.seed for piece in made}) == 6
    assert all(0 <= piece.utterance.seed < 2**63 for piece in made)


def test_inserting_a_sentence_changes_no_other_piece() -> None:
    before = {piece.key for piece in pieces(STORY)}
    after = [piece.key for piece in pieces(STORY.replace("The lamp", "A dog barked. The lamp"))]
    assert len(after) == 7
    assert len(set(after) - before) == 1
    assert before < set(after)


def test_correcting_a_sentence_changes_its_own_piece_only() -> None:
    before = [piece.key for piece in pieces(STORY)]
    after = [piece.key for piece in pieces(STORY.replace("lamp", "light"))]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True, True, True]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["One day.", "Two came.", "Three left.", "Four stayed."]), min_size=1, max_size=8))
def test_equal_texts_get_equal_keys_and_keys_never_repeat(sentences: list[str]) -> None:
    text = " ".join(sentences)
    made = pieces(text)
    assert [piece.key for piece in made] == [piece.key for piece in pieces(text)]
    assert len({piece.key for piece in made}) == len(made)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"speed": 1.5},
        {"language": "de"},
        {"cfg_scale": 2.0},
        {"voices": {"1": "high"}},
    ],
)
def test_whatever_changes_the_sound_changes_the_key(change: dict[str, Any]) -> None:
    engine = EchoEngine(options=["cfg_scale"])
    text = "Speaker 1: Hello there."
    first = pieces(text, engine, voices={"2": "high"})
    assert first[0].key != pieces(text, engine, **({"voices": {"2": "high"}} | change))[0].key


@pytest.mark.parametrize("change", [{"loudness": -23}, {"chunk_pause_ms": 10}, {"cfg_scale": 2.0}, {"format": "wav"}])
def test_what_does_not_change_the_engines_sound_keeps_the_key(change: dict[str, Any]) -> None:
    assert pieces("Hello there.")[0].key == pieces("Hello there.", **change)[0].key


def test_without_a_seed_one_is_chosen_and_reported() -> None:
    request, _ = SpeechRequest.parse({"text": "Hello."})
    chosen = set()
    for _ in range(4):
        plan = make_plan(request, EchoEngine().info, Cast(NARRATOR, {}, list), settings_for(HOME))
        chosen.add(plan.seed)
        assert 0 <= plan.seed < 2**63
    assert len(chosen) > 1


# -- options, language, speed


def test_options_reach_the_engine_that_uses_them_and_are_warned_about_where_it_does_not() -> None:
    plan = planned("Hello.", EchoEngine(options=["cfg_scale"]), cfg_scale=2.5, emo_alpha=0.5, instructions="be nice")
    (piece,) = plan.pieces()
    assert piece.utterance.options == {"cfg_scale": 2.5}
    assert plan.warnings == ["The engine echo has no use for emo_alpha; it was ignored."]


def test_weights_that_an_engine_cannot_quantize_are_warned_about() -> None:
    request, _ = SpeechRequest.parse({"text": "Hello."})
    info = EchoEngine().info
    eight = settings_for(HOME).model_copy(update={"quantize": 8})
    can = replace(info, capabilities=replace(info.capabilities, quantizes=True))
    assert make_plan(request, can, Cast(NARRATOR, {}, list), eight).warnings == []
    (warning,) = make_plan(request, info, Cast(NARRATOR, {}, list), eight).warnings
    assert "echo cannot quantize" in warning


def test_a_blank_text_for_the_emotion_is_not_handed_on() -> None:
    engine = EchoEngine(options=["use_emo_text", "emo_text"])
    (piece,) = pieces("Hello.", engine, use_emo_text=True, emo_text=" ")
    assert piece.utterance.options == {"use_emo_text": True}


def test_an_engine_never_gets_the_mere_name_of_a_recording() -> None:
    request, _ = SpeechRequest.parse({"text": "Hello.", "emo_audio_prompt": "sad"})
    engine = EchoEngine(options=["emo_audio_prompt"])
    cast, settings = Cast(NARRATOR, {}, list), settings_for(HOME)
    (piece,) = make_plan(request, engine.info, cast, settings).pieces()
    assert piece.utterance.options == {}
    (piece,) = make_plan(request, engine.info, cast, settings, recordings={"emo_audio_prompt": HIGH}).pieces()
    assert piece.utterance.options == {"emo_audio_prompt": HIGH}


def test_an_option_that_is_null_counts_as_not_given() -> None:
    assert planned("Hello.", emo_alpha=None).warnings == []


@pytest.mark.parametrize(
    ("asked", "given"), [(None, None), ("auto", None), ("AUTO", None), ("de", "de"), ("EN-us", "en-us")]
)
def test_the_engine_is_told_a_language_only_when_one_was_asked_for(asked: str | None, given: str | None) -> None:
    assert pieces("Hello there.", language=asked)[0].utterance.language == given


def test_a_language_that_the_engine_does_not_speak_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="echo speaks en, de") as caught:
        planned("Bonjour.", language="fr-FR")
    assert caught.value.param == "language"


@pytest.mark.parametrize(
    ("own", "speed", "engine_part", "stretch"),
    [
        ((0.5, 2.0), 1.5, 1.5, 1.0),
        ((0.5, 2.0), 4.0, 2.0, 2.0),
        ((0.5, 2.0), 0.25, 0.5, 0.5),
        (None, 1.5, 1.0, 1.5),
        (None, 1.0, 1.0, 1.0),
    ],
)
def test_speed_is_the_engines_as_far_as_it_goes(
    own: tuple[float, float] | None, speed: float, engine_part: float, stretch: float
) -> None:
    plan = planned("Hello.", EchoEngine(speed=own), speed=speed)
    assert (plan.speed, plan.stretch) == pytest.approx((engine_part, stretch))
    assert next(plan.pieces()).utterance.speed == pytest.approx(engine_part)


# -- speakers


DIALOGUE = "\n".join(
    ["Speaker 1: Good morning.", "Speaker 2: Is it? I doubt it.", "Speaker 1: It is.", "Speaker 3: Hm, no."]
)


def test_an_engine_of_one_voice_speaks_a_dialogue_turn_by_turn() -> None:
    made = pieces(DIALOGUE)
    assert [len(piece.utterance.turns) for piece in made] == [1] * len(made)
    assert [piece.sentences[0].speaker for piece in made] == ["1", "2", "2", "1", "3"]
    assert all(set(piece.utterance.prompts) == {piece.utterance.turns[0].speaker} for piece in made)


def test_turns_are_gathered_for_an_engine_of_several_speakers() -> None:
    engine = EchoEngine(speakers=2, lengths=Lengths(limit=300, pack=300, gather=300))
    made = pieces(DIALOGUE, engine)
    assert [[turn.speaker for turn in piece.utterance.turns] for piece in made] == [["1", "2", "1"], ["3"]]
    assert set(made[0].utterance.prompts) == {"1", "2"}
    assert [sentence.speaker for sentence in made[0].sentences] == ["1", "2", "2", "1"]
    assert [sentence.text for sentence in made[0].sentences] == ["Good morning.", "Is it?", "I doubt it.", "It is."]


def test_no_more_is_gathered_than_the_engine_takes_at_once() -> None:
    engine = EchoEngine(speakers=4, lengths=Lengths(limit=60, pack=60, gather=60))
    made = pieces("\n".join(f"Speaker {n % 2 + 1}: This is turn number {n}." for n in range(9)), engine)
    assert len(made) > 2
    assert all(sum(len(turn.text) for turn in piece.utterance.turns) <= 60 for piece in made)
    assert " ".join(said(made)) == " ".join(f"This is turn number {n}." for n in range(9))


def test_what_a_script_has_around_each_turn_counts_and_so_do_long_characters() -> None:
    """Quick dialogues and scripts of many bytes fill a language model's memory before their letters do."""
    quick = "".join(f"{name}: Yes.\n" for name in ("A", "B") * 40)
    engine = EchoEngine(speakers=2, lengths=Lengths(limit=60, pack=60, gather=200, turn=15))
    assert max(len(piece.utterance.turns) for piece in pieces(quick, engine)) == 200 // (15 + len("Yes."))
    hindi = "".join(f"{name}: नमस्ते।\n" for name in ("A", "B") * 40)
    engine = EchoEngine(speakers=2, lengths=Lengths(limit=60, pack=60, gather=200))
    made = pieces(hindi, engine)
    assert max(len(piece.utterance.turns) for piece in made) > 1
    assert all(sum(len(turn.text.encode()) for turn in piece.utterance.turns) <= 200 for piece in made)


def test_a_pause_tag_ends_what_is_gathered_and_is_kept() -> None:
    engine = EchoEngine(speakers=2, lengths=Lengths(limit=300, pack=300, gather=300))
    made = pieces("Speaker 1: Hello.\nSpeaker 2: Wait. [pause:1500ms]\nSpeaker 1: Go on.", engine)
    assert [len(piece.utterance.turns) for piece in made] == [2, 1]
    assert made[1].pause_ms == 1500


TAKES = Lengths(limit=120, pack=60, gather=300)
"""An engine that speaks long takes, of many turns of one speaker."""


def test_one_speakers_text_is_gathered_into_takes_of_many_turns_that_end_at_paragraphs() -> None:
    paragraph = " ".join(f"This is sentence number {n} of it." for n in range(4))
    made = pieces("\n\n".join([paragraph] * 5), EchoEngine(lengths=TAKES))
    assert [len(piece.sentences) for piece in made] == [8, 8, 4]
    assert all(len(turn.text) <= 70 for piece in made for turn in piece.utterance.turns)
    assert {turn.speaker for piece in made for turn in piece.utterance.turns} == {""}


def test_a_take_of_chinese_holds_as_many_seconds_not_as_many_characters() -> None:
    made = pieces("今天天气很好,我们一起去公园散步吧。" * 30, EchoEngine(lengths=TAKES))
    assert all(len(piece.utterance.text) < 300 / 3 for piece in made)


def test_a_listener_does_not_wait_until_a_take_is_written() -> None:
    written: list[str] = []

    def writer() -> Iterator[str]:
        for sentence in ("The first is here. ", "So is the second. ", "And the third. "):
            written.append(sentence)
            yield sentence

    made = planned(writer(), EchoEngine(lengths=TAKES), stream=True).pieces(listener=True)
    assert next(made).utterance.text == "The first is here."
    assert len(written) == 2


# -- letters


def test_letters_of_a_script_that_the_engine_does_not_speak_are_warned_about_once() -> None:
    plan = planned("Hello 世界 friend. Привет, друг. It is α, β and π. 世界! Привет again.", EchoEngine())
    assert len(list(plan.pieces())) > 3
    assert sorted(warning.split(";")[0] for warning in plan.warnings) == [
        "The engine echo speaks no language with Chinese letters, such as 世界",
        "The engine echo speaks no language with Cyrillic letters, such as Привет",
    ]


def test_letters_of_its_own_languages_are_not_warned_about() -> None:
    info = replace(EchoEngine().info, languages=("en", "zh", "ru-RU"))
    request, _ = SpeechRequest.parse({"text": "Hello 世界. Привет, друг. Ça va, Dvořák? Größe."})
    plan = make_plan(request, info, Cast(NARRATOR, {}, list), settings_for(HOME))
    assert list(plan.pieces())
    assert plan.warnings == []


def test_an_engine_of_several_languages_gets_sentences_as_the_language_of_the_text_has_them() -> None:
    text = "Hr. Weber ist seit dem 3. Mai da. Er schreibt an jo@firma.de und wartet."
    said = ["Hr. Weber ist seit dem 3. Mai da.", "Er schreibt an jo ät firma Punkt de und wartet."]
    assert [piece.utterance.turns[0].text for piece in planned(text).pieces()] == said
    assert [piece.utterance.turns[0].text for piece in planned([text[:20], text[20:]]).pieces()] == said


# -- pauses


def test_pauses_follow_the_punctuation() -> None:
    assert pauses("One. Two? Three!") == [0, BY_MARK_MS["."], BY_MARK_MS["?"]]


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("He said “Yes.”", "."), ("“Wait…”", "…"), ("(Wait ...)", "…"), ("he came (at last)", ")"), ("我走了。", "."),
        ("「行こう。」", "."), ("『行くの？』", "?"), ("（他笑了！）", "!"), ("他来了（昨天）", ")"),
        ("كيف حالك؟", "?"), ("جاء،", ","), ("मैं ठीक हूँ।", "."), ("等等⋯⋯", "…"),
    ],
)  # fmt: skip
def test_marks_of_every_script_make_their_pause_also_inside_quotes(text: str, mark: str) -> None:
    assert pause_after(text, CONTINUES, asked_ms=None, speed=1.0) == BY_MARK_MS[mark]


def test_paragraphs_and_turns_are_further_apart_than_sentences() -> None:
    assert pauses("One day.\n\nNext day. Evening.") == [0, PARAGRAPH_MS, STOP]
    assert pauses("Speaker 1: One day.\nSpeaker 2: Next day.") == [0, TURN_MS]


@pytest.mark.parametrize(
    "text",
    ["One day.\n\n* * *\n\nNext.", "One day.\n\n---\nNext.", "One day.\n# Next\n", "One day.\n\n\nCHAPTER II.\n\nNEXT",
     "One day.\n\nChapter Two: The Next\n", "One day.\n\nBook the First\n", "One day.\n\n**Prologue**",
     "One day.\n\n## Part II"],
)  # fmt: skip
def test_chapters_and_scenes_are_further_apart_than_paragraphs(text: str) -> None:
    assert pauses(text)[:2] == [0, CHAPTER_MS]
    assert pauses([text])[1] == CHAPTER_MS
    assert pauses(text, chunk_pause_ms=25)[1] == 25


@pytest.mark.parametrize(
    "text",
    ["One day.\n\nChapter 2 of the book is good.", "Heading\n---\n\nNext.", "One day.\n\n## Next",
     "One day.\n\nPart of it.", "One day.\n\nPart I, who came, left."],
)  # fmt: skip
def test_other_paragraphs_are_no_chapters(text: str) -> None:
    assert pauses(text)[1] == PARAGRAPH_MS


def test_a_list_of_chapters_is_no_row_of_chapters() -> None:
    assert CHAPTER_MS not in pauses("CONTENTS\nChapter 1\nChapter 2\nChapter 3")


def test_a_group_of_turns_ends_at_a_chapter() -> None:
    engine = EchoEngine(lengths=Lengths(limit=300, gather=2000))
    assert len(pieces("One day.\n\nNext day.\n\n# Two\n\nEvening.", engine)) == 2


def test_a_pause_that_was_asked_for_replaces_the_punctuations() -> None:
    assert pauses("One. Two. Three.", chunk_pause_ms=25) == [0, 25, 25]
    assert pauses("One.\n\nTwo.", chunk_pause_ms=0) == [0, 0]
    assert pauses("One. Two.", environ={"CHUNK_SILENCE_MS": "90"}) == [0, 90]
    assert pauses("One. Two.", environ={"CHUNK_SILENCE_MS": "90"}, chunk_pause_ms=70) == [0, 70]


@pytest.mark.parametrize("asked", [None, 25])
def test_a_tag_goes_before_both_and_tags_add_up(asked: int | None) -> None:
    how: dict[str, Any] = {} if asked is None else {"chunk_pause_ms": asked}
    assert pauses("One. [pause:800ms] Two.", **how) == [0, 800]
    assert pauses("One. [pause:1.5s] [pause:500ms] Two.", **how) == [0, 2000]
    assert pauses("One.\n\n[pause:800ms]\n\nTwo.", **how) == [0, 800]
    assert pauses("[pause:400ms] One.", **how) == [400]


def test_a_pause_at_the_end_is_kept_as_the_tail() -> None:
    for text in ("One. [pause:2s]", "One.\n\n[pause:2s]", "One. [pause:1s] 🙂 [pause:1s]"):
        plan = planned(text)
        list(plan.pieces())
        assert plan.tail_ms == 2000, text
    plan = planned("One. Two.")
    list(plan.pieces())
    assert plan.tail_ms == 0


def test_natural_pauses_shrink_with_speed_and_asked_ones_stay() -> None:
    assert pauses("One. Two.", speed=2.0) == [0, STOP // 2]
    assert pauses("One. [pause:800ms] Two.", speed=2.0) == [0, 800]
    assert pauses("One. Two.", speed=2.0, chunk_pause_ms=100) == [0, 100]


@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_pauses_of_live_text_are_those_of_whole_text(cut: int) -> None:
    text = "One day. [pause:800ms] Two.\n\nThree. Four? [pause:300ms]\n\n"
    live = planned(["".join(part) for part in itertools.batched(text, cut)] if hasattr(itertools, "batched") else
                   [text[n : n + cut] for n in range(0, len(text), cut)])  # fmt: skip
    whole = planned(text)
    assert [(p.utterance.text, p.pause_ms) for p in live.pieces()] == [
        (p.utterance.text, p.pause_ms) for p in whole.pieces()
    ]
    assert live.tail_ms == whole.tail_ms == 300


# -- live text and limits


def test_a_live_sentence_is_planned_before_the_next_one_is_complete() -> None:
    written: list[str] = []

    def writer() -> Iterator[str]:
        for word in ["One", "day", "came.", "Another", "followed", "it.", "The", "end."]:
            written.append(word)
            yield word + " "

    first = next(iter(planned(writer()).pieces(listener=True)))
    assert first.utterance.text == "One day came."
    assert len(written) <= 5


def test_text_that_grows_too_long_is_stopped_where_it_does() -> None:
    sent = 0

    def endless() -> Iterator[str]:
        nonlocal sent
        while True:
            sent += 1
            yield "A sentence of thirty letters.  "

    plan = planned(endless(), environ={"MAX_TEXT_LENGTH": "1000"})
    got: list[Piece] = []
    with pytest.raises(InvalidRequest, match="longer than 1,000 characters") as caught:
        got.extend(plan.pieces())
    assert caught.value.param == "text"
    assert 25 <= len(got) <= 33
    assert sent == 33


def test_zero_means_no_limit() -> None:
    text = "The story went on for years. " * 10_000
    assert len(pieces(text, environ={"MAX_TEXT_LENGTH": "0"})) == 10_000


@pytest.mark.parametrize("parts", [[None], [b"bytes"], ["Good. ", 5]])
def test_parts_that_are_no_strings_are_refused_in_one_sentence(parts: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="iterator of strings") as caught:
        pieces(parts)
    assert caught.value.param == "text"


@pytest.mark.parametrize("text", ["", "   \n", "\x00\x01", "🙂🙂", "...", "\ud800 Hello"])
def test_text_that_cannot_be_spoken_is_refused_before_anything_is_planned(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        planned(text)
    assert caught.value.param == "text"


@pytest.mark.parametrize("parts", [[], ["", " "], ["🙂"], ["..."]])
def test_live_text_without_a_word_is_refused_when_it_has_ended(parts: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="nothing that can be spoken"):
        pieces(parts)


def test_a_word_that_no_engine_can_speak_is_refused_live_too() -> None:
    for text in ("a" * 50_000, ["Hello. ", "a" * 50_000, "."]):
        with pytest.raises(InvalidRequest, match="a word of"):
            pieces(text)


def test_a_listeners_first_piece_is_short() -> None:
    text = (
        "When the first light came over the hills, the birds began to sing, one after the other, and nobody in the "
        "valley slept on."
    )
    plan = planned(text)
    first = next(iter(plan.pieces(listener=True)))
    assert len(first.utterance.text) <= 90
    assert said(pieces(text)) == [text]


def test_lengths_that_were_asked_for_are_kept_to() -> None:
    text = "When the first light came over the hills, the birds began to sing, one after the other. " * 4
    assert max(len(part) for part in said(pieces(text, max_chars_per_chunk=50))) <= 50
    assert max(len(part) for part in said(pieces(text, environ={"MAX_CHUNK_CHARS": "60"}))) <= 60
    assert len(pieces(text, enable_chunking=False)) < len(pieces(text))
    streamed = planned(text, stream=True, stream_max_chars_per_chunk=50, max_chars_per_chunk=200)
    assert max(len(part) for part in said(list(streamed.pieces()))) <= 50


def test_a_plan_knows_how_much_it_has_planned() -> None:
    plan: Plan = planned(STORY)
    made = list(plan.pieces())
    assert plan.characters == sum(len(piece.utterance.text) for piece in made)


def test_pronunciations_are_applied_before_the_engine_sees_the_text() -> None:
    assert said(pieces("Ask Nguyen today.", pronunciations={"Nguyen": "win"})) == ["Ask win today."]


BOOK = """A word before.

# One: the *harbour* [pause:1s] at 9

It was late.

Chapter 2

## No chapter

Nobody came.

* * *

She waited.

# 🎉

CHAPTER III. THE END

It was over."""


def test_pieces_that_open_a_chapter_have_its_title_as_captions_would_show_it() -> None:
    plan = planned(BOOK)
    opened = {piece.utterance.text: piece.chapter for piece in plan.pieces() if piece.chapter}
    assert opened == {
        "One: the harbour": "One: the harbour at 9",
        "Chapter 2": "Chapter 2",
        "CHAPTER III.": "CHAPTER III. THE END",
    }
    assert plan.chapters == ("", *opened.values())


@pytest.mark.parametrize("lengths", [Lengths(limit=300, pack=300), Lengths(limit=300, gather=4000)])
def test_a_chapter_opens_a_piece_however_sentences_are_packed(lengths: Lengths) -> None:
    plan = planned(BOOK, EchoEngine(lengths=lengths))
    assert [piece.chapter for piece in plan.pieces() if piece.chapter] == list(plan.chapters[1:])


def test_a_text_without_chapters_has_none_and_one_still_arriving_has_them_by_piece() -> None:
    assert planned(STORY).chapters == ("",)
    plan = planned(iter([BOOK[:30], BOOK[30:]]))
    assert plan.chapters == ()
    assert [piece.chapter for piece in plan.pieces() if piece.chapter][1:] == ["Chapter 2", "CHAPTER III. THE END"]

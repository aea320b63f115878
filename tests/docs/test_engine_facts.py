"""What docs/engines.md says of the engines is what they say of themselves."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from oscine.config import Settings
from oscine.engines.indextts import emotion, engine, references, sampling, take
from oscine.engines.protocol import EngineInfo
from oscine.engines.registry import Registry
from oscine.text.marks import MarkKind
from tests.docs.pages import ROOT, prose, rows_of, tables

ENGINES = ROOT / "docs" / "engines.md"
FIRST = {"utterance": "a sentence", "frame": "a frame of 133 ms", "segment": "a segment"}
MARKS: dict[MarkKind, list[str]] = {
    "phonemes": ["phonemes"],
    "annotations": ["ARPAbet", "kana"],
    "pinyin": ["pinyin"],
}
PROSE = " ".join(prose(ENGINES).split())


@pytest.fixture(scope="module")
def infos() -> dict[str, EngineInfo]:
    registry = Registry(Settings())
    return {name: registry.get(name).info for name in registry.names}


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, str]]:
    """What the table of the engines says: engine -> fact -> cell."""
    head, rows = next((head, rows) for head, rows in tables(ENGINES) if rows and rows[0][0] == "good at")
    names = [cell.removeprefix("[").partition("]")[0] for cell in head[1:]]
    return {name: {row[0]: row[at] for row in rows} for at, name in enumerate(names, start=1)}


def test_every_engine_can_be_chosen(infos: dict[str, EngineInfo], told: dict[str, dict[str, str]]):
    assert set(told) == set(infos)


def test_what_there_is_to_choose_by_is_true(infos: dict[str, EngineInfo], told: dict[str, dict[str, str]]):
    for name, info in infos.items():
        facts, can = told[name], info.capabilities
        languages = ", ".join(language for language in info.languages if language != "ja")
        assert facts["languages"].partition(";")[0] == languages
        assert ("presets" in facts["voices"], "recordings" in facts["voices"]) == (bool(info.presets), can.cloning)
        assert ("one of its own" in facts["voices"]) is can.unprompted
        assert facts["speakers in one take"] == str(can.speakers)
        assert facts["speed by the engine"] == ("{:g} to {:g}".format(*can.speed) if can.speed else "no")
        marks = [mark for kind in MARKS for mark in MARKS[kind] if kind in can.inline_marks]
        assert facts["pronunciations in the text"] == (", ".join(marks) or "no")
        assert facts["first sound after"] == FIRST[info.grain]
        assert facts["sample rate"] == f"{info.sample_rate} Hz"
        assert info.licence.startswith(facts["licence"].partition(",")[0])


def test_the_emotions_to_choose_by_are_those_that_can_be_asked_for(
    infos: dict[str, EngineInfo], told: dict[str, dict[str, str]]
):
    for name, info in infos.items():
        asked = {"eight numbers": "emo_vector", "a recording": "emo_audio_prompt", "a text": "emo_text"}
        can = [words for words, field in asked.items() if field in info.capabilities.options]
        assert [words for words in asked if words in told[name]["emotion"]] == can


def test_every_field_that_indextts_uses_is_told(infos: dict[str, EngineInfo]):
    fields = {row[0] for row in rows_of(ENGINES, "", "takes", "what it does")}
    assert fields == infos["indextts2"].capabilities.options | {"seed"}
    only = infos["indextts2"].capabilities.options - infos["indextts25"].capabilities.options
    assert f"What 2.5 has no use for ({', '.join(f'`{field}`' for field in sorted(only, reverse=True))})" in PROSE


def test_the_numbers_of_indextts_are_those_of_the_code(infos: dict[str, EngineInfo]):
    info = infos["indextts2"]
    assert f"in order: {', '.join(emotion.EMOTIONS)}." in PROSE
    assert f"are {emotion._MOST:g} in all at most" in PROSE
    assert f"at most {emotion._LONGEST_ANSWER} tokens and {emotion._PATIENCE_S:g} s" in PROSE
    assert f"Of a recording the first {references.LONGEST_S:g} s are heard" in PROSE
    assert f"kept for the latest {references.MOST}" in PROSE
    beams = sampling.Sampling().beams
    assert f"One beam instead of {beams} and {take.FAST_STEPS} steps instead of {take.STEPS}" in PROSE
    assert (take.ATTEMPTS, engine.LANES) == (3, 4)
    assert "with another seed, three times in all" in PROSE
    assert "**Four texts** may be open at once" in PROSE
    assert f"**A piece** has up to {info.lengths.pack} characters" in PROSE
    assert f"a last one below {info.lengths.shortest} characters" in PROSE
    assert f"more than `MAX_TOKENS_PER_SEGMENT` tokens ({Settings().max_tokens_per_segment})" in PROSE
    assert f"Above {engine.MOST_TOKENS} the setting is lowered" in PROSE
    assert info.default_rate == 24_000
    assert f"the result is Opus of 24 kHz and {(info.default_bitrate or 0) // 1000} kbit/s" in PROSE


def test_japanese_is_spoken_where_its_packages_are(infos: dict[str, EngineInfo]):
    assert ("ja" in infos["indextts25"].languages) is (find_spec("fugashi") is not None)

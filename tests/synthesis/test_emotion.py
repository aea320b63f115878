"""The recording that an emotion is taken from: found by its name while planning, and told apart by its content."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from oscine import Oscine
from oscine.errors import InvalidRequest, NotAvailable
from oscine.synthesis.plan import Piece
from oscine.synthesis.studio import Studio
from oscine.voices.prompt import Prompt
from tests.echo import EchoEngine
from tests.synthesis.house import plan_of, studio_with
from tests.voices.recordings import recording

FIELD = "emo_audio_prompt"


class House:
    """A cloning engine that takes emotions from recordings, and a library with two of them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.engine = EchoEngine(cloning=True, options=[FIELD])
        self.studio: Studio = studio_with(self.engine, home)
        self.studio.library.add("anna", recording("opus", 3.2, 1))
        self.studio.library.add("sad Bert", recording("opus", 3.2, 2))

    def pieces(self, text: str = "Hello there. Good night.", **fields: object) -> list[Piece]:
        return list(plan_of(self.studio, text, voice="anna", **fields).pieces())

    def emotion(self, name: str) -> Prompt:
        given = self.pieces(**{FIELD: name})[0].utterance.options[FIELD]
        assert isinstance(given, Prompt)
        return given

    def maps(self, **names: str) -> None:
        (self.home / "voices" / "voices.json").write_text(json.dumps(names))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.studio.close()


@pytest.mark.parametrize("name", ["sad Bert", "SAD BERT", "sad bert.wav", "bert", "Sad"])
def test_it_is_found_as_a_voice_is(house: House, name: str) -> None:
    emotion = house.emotion(name)
    assert emotion.name == "sad Bert"
    assert emotion.reference is not None
    assert emotion.reference.duration > 3


def test_every_piece_has_the_same_one(house: House) -> None:
    first, second = house.pieces(**{FIELD: "sad Bert"})
    assert first.utterance.options[FIELD] is second.utterance.options[FIELD]


def test_an_alias_stands_for_it(house: House) -> None:
    house.maps(gloom="sadness", sadness="sad Bert")
    assert house.emotion("gloom").name == "sad Bert"


@pytest.mark.parametrize("name", ["nobody", "low", "high", "alloy", " ", "gloom", "sunny"])
def test_no_preset_and_no_default_stands_in_for_it(house: House, name: str) -> None:
    house.maps(gloom="high", sunny="alloy")
    with pytest.raises(InvalidRequest, match="is not the name of a recording here; there are anna, sad Bert") as caught:
        house.pieces(**{FIELD: name})
    assert caught.value.param == FIELD
    assert FIELD in caught.value.message


def test_a_name_that_fits_several_is_refused_by_the_fields_name(house: House) -> None:
    house.studio.library.add("sad Cleo", recording("opus", 3.2, 3))
    with pytest.raises(InvalidRequest, match=f"{FIELD} fits several voices: sad Bert, sad Cleo") as caught:
        house.pieces(**{FIELD: "sad"})
    assert caught.value.param == FIELD


def test_a_recording_that_cannot_be_used_is_refused_by_the_fields_name(house: House) -> None:
    (house.home / "voices" / "noise.wav").write_bytes(b"no sound at all" * 1000)
    with pytest.raises(InvalidRequest, match=FIELD) as caught:
        house.pieces(**{FIELD: "noise"})
    assert caught.value.param == FIELD


def test_a_broken_list_of_aliases_is_told_by_the_fields_name(house: House) -> None:
    (house.home / "voices" / "voices.json").write_text("{")
    with pytest.raises(NotAvailable, match=r"voices\.json") as caught:
        house.pieces(**{FIELD: "gloom"})
    assert caught.value.param == FIELD


def test_an_engine_without_it_is_not_held_up_by_a_name_that_is_not_there(tmp_path: Path) -> None:
    with studio_with(EchoEngine(), tmp_path) as studio:
        plan = plan_of(studio, "Hello.", **{FIELD: "nobody"})
    assert plan.warnings == [f"The engine echo has no use for {FIELD}; it was ignored."]


def test_equal_content_has_equal_keys_whatever_it_is_called(house: House) -> None:
    voices = house.home / "voices"
    (original,) = voices.glob("sad Bert.*")
    shutil.copy(original, voices / f"copy{original.suffix}")
    by_name = {name: [piece.key for piece in house.pieces(**{FIELD: name})] for name in ("sad Bert", "copy", "anna")}
    assert by_name["sad Bert"] == by_name["copy"]
    assert not set(by_name["sad Bert"]) & set(by_name["anna"])
    assert not set(by_name["sad Bert"]) & {piece.key for piece in house.pieces()}


def test_a_recording_that_changed_changes_the_keys(house: House) -> None:
    before = {piece.key for piece in house.pieces(**{FIELD: "sad Bert"})}
    house.studio.library.add("sad Bert", recording("opus", 3.2, 3), replace=True)
    assert not before & {piece.key for piece in house.pieces(**{FIELD: "sad Bert"})}


def test_finished_pieces_are_kept_for_the_same_recording_and_not_for_another(house: House, tmp_path: Path) -> None:
    oscine = Oscine(studio=house.studio)

    def spoken(emotion: str) -> int:
        before = house.engine.counts.opened
        oscine.save("Hello there. Good night.", tmp_path / "out.wav", voice="anna", seed=1, emo_audio_prompt=emotion)
        return house.engine.counts.opened - before

    assert [spoken("sad Bert"), spoken("SAD"), spoken("anna"), spoken("bert")] == [2, 0, 2, 0]

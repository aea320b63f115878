"""A text whose language nobody named is read in one language, that of its letters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from oscine.engines.indextts import languages
from oscine.engines.indextts.engine import IndexTTS2Engine, IndexTTS25Engine
from oscine.engines.protocol import Utterance
from oscine.request import SpeechRequest
from oscine.synthesis.cast import Cast
from oscine.synthesis.prepare import make_plan
from tests.engines.indextts import tiny
from tests.engines.indextts.reference import BIRD

BOOK = "1984\n\nIt was a bright cold day in April.\n\n2\n\nHe went to Gate A3 and waited.\n\nMI5\n\n3.14, 2.71"
CUENTO = "Buenos días a todos.\n\nEl niño come pan en la cocina.\n\nDespués sale a la calle.\n\n1984"


def pieces(home: Path, kind: Any, text: str | Iterable[str], **fields: object) -> list[Utterance]:
    settings = tiny.settings(home)
    whole = isinstance(text, str)
    request, _ = SpeechRequest.parse({"text": text if whole else "", "seed": 1} | fields)
    cast = Cast(BIRD, {}, lambda: [BIRD])
    plan = make_plan(request, kind(settings).info, cast, settings, text=None if whole else text)
    return [piece.utterance for piece in plan.pieces(listener=True)]


@pytest.mark.parametrize("kind", [IndexTTS2Engine, IndexTTS25Engine])
def test_numbers_and_names_such_as_a3_are_english_in_an_english_book(home: Path, kind: Any) -> None:
    made = pieces(home, kind, BOOK)
    assert len(made) >= 6
    assert {piece.language for piece in made} == {"en"}


def test_a_spanish_text_is_spanish_to_its_end_also_where_no_sign_tells(home: Path) -> None:
    assert {piece.language for piece in pieces(home, IndexTTS25Engine, CUENTO)} == {"es"}


def test_a_japanese_text_is_japanese_also_where_it_has_only_chinese_characters(home: Path) -> None:
    made = pieces(home, IndexTTS25Engine, "東京です。\n\n大阪。\n\n中国語")
    assert [piece.language for piece in made] == ["ja"] * 3


def test_of_a_text_that_is_still_being_written_the_first_letters_decide(home: Path) -> None:
    made = pieces(home, IndexTTS2Engine, iter(["1984\n\n", "银行有3个人。\n\n", "2\n\n"]))
    assert [piece.language for piece in made] == [None, "zh", "zh"]


def test_all_pieces_know_the_seed_of_the_whole(home: Path) -> None:
    made = pieces(home, IndexTTS2Engine, BOOK, seed=9)
    assert {piece.whole_seed for piece in made} == {9}
    assert len({piece.seed for piece in made}) == len(made)


def test_a_language_that_is_named_is_not_guessed(home: Path) -> None:
    assert {piece.language for piece in pieces(home, IndexTTS25Engine, CUENTO, language="en")} == {"en"}


@pytest.mark.parametrize(
    ("text", "main", "found"),
    [
        ("1984", None, None),
        ("A3", None, None),
        ("NI3 HAO3", None, "zh"),
        ("XING2", None, "zh"),
        ("银 XING2 行", "en", "zh"),
        ("iPhone 15", "zh", "en"),
        ("请打开Microsoft Visual Studio", None, "zh"),
        ("He said 你好 to me.", "en", "en"),
        ("你好世界", "en", "zh"),
        ("Write to anna@example.com", None, "en"),
    ],
)
def test_2_tells_english_from_chinese(text: str, main: str | None, found: str | None) -> None:
    assert languages.two(text, main) == languages.two_five(text, main) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("¿Hola?", "es"),
        ("The storm of El Niño was in the news that he read.", "en"),
        ("مرحبا", "ar"),
        ("我们都喜欢在優の良品那里买零食和其他的好吃的东西", "zh"),
        ("カラオケ is what the others and a friend of his did there.", "en"),
    ],
)
def test_2_5_tells_five_languages(text: str, found: str) -> None:
    assert languages.two_five(text) == found

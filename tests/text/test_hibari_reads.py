"""The built-in engine's own reading of what is passed on to it."""

from __future__ import annotations

from typing import Any

import pytest

from oscine.text.script import read


@pytest.fixture(scope="module")
def engine() -> Any:
    from hibari import Hibari

    return Hibari()


def sounds(engine: Any, text: str) -> str:
    return " ".join(part for passage in read([text]) for part in engine.phonemize(passage.text)).replace("  ", " ")


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Visit https://www.example.com/docs now.", "Visit example dot com slash docs now."),
        ("Mail jane.doe@example.com today.", "Mail jane dot doe at example dot com today."),
        ("**Really** see [this](https://example.com).", "Really see this."),
        ("'Hello,' he said.", '"Hello," he said.'),
        ("so\u00adft hy\u200bphens", "soft hyphens"),
        ("It is −5 degrees.", "It is minus 5 degrees."),
        ("Well done 🎉🎉!!!!", "Well done!"),
        ("| Bob | 42 |", "Bob, 42."),
        ("1. First item", "one, first item."),
    ],
)
def test_the_engine_reads_what_people_would_say(engine: Any, written: str, spoken: str) -> None:
    assert sounds(engine, written) == " ".join(engine.phonemize(spoken))


@pytest.mark.parametrize("text", ["It was late -- too late.", "It was late - too late.", "It was late–too late - so."])
def test_a_dash_is_heard_as_a_pause(engine: Any, text: str) -> None:
    assert "—" in sounds(engine, text)


def test_inline_phonemes_reach_the_engine(engine: Any) -> None:
    (passage,) = read(["Hear [Oscine](/ˈɑːsiːn/) sing."], marks={"phonemes"})
    assert "ˈɑːsiːn" in engine.phonemize(passage.text)[0]

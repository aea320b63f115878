"""The built-in engine's own reading of what is passed on to it."""

from __future__ import annotations

from typing import Any

import pytest

from oscine.text.script import read


@pytest.fixture(scope="module")
def engine() -> Any:
    from oscine.engines.hibari import _voice

    return _voice("heart")


def sounds(engine: Any, text: str) -> str:
    return " ".join(part for passage in read([text]) for part in engine.read(passage.text)).replace("  ", " ")


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
    assert sounds(engine, written) == " ".join(engine.read(spoken))


@pytest.mark.parametrize("text", ["It was late -- too late.", "It was late - too late.", "It was late–too late - so."])
def test_a_dash_is_heard_as_a_pause(engine: Any, text: str) -> None:
    assert "—" in sounds(engine, text)


def test_inline_phonemes_reach_the_engine(engine: Any) -> None:
    (passage,) = read(["Hear [Oscine](/ˈɑːsiːn/) sing."], marks={"phonemes"})
    assert "ˈɑːsiːn" in engine.read(passage.text)[0]


def test_no_at_the_end_of_a_sentence_is_no_number(engine: Any) -> None:
    assert "nˈO." in sounds(engine, "He said no. Then he left.")
    assert "nˈO." in sounds(engine, "(He said no.)")
    assert "nˈʌmbəɹ fˈIv" in sounds(engine, "There is no. 5 on the list.")
    assert "nˈʌmbəɹ fˈIv" in sounds(engine, "No. 5 Privet Drive.")


@pytest.mark.parametrize(
    "text", ["The sea is wide. Then go.", "They came.", "This is it.", "That will do.", "Those were days, he said."]
)
@pytest.mark.parametrize("quotes", ['""', "“”", "‘’"])
def test_the_word_after_an_opening_quote_sounds_as_it_does_without(engine: Any, text: str, quotes: str) -> None:
    quoted = f"{quotes[0]}{text}{quotes[1]}"
    assert sounds(engine, quoted) == sounds(engine, text)
    if quotes != "‘’":
        assert "".join(engine.read(quoted)) == "".join(engine.read(text)), "where the rule for quotes is off"


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("CHAPTER III.", "Chapter three."),
        ("CHAPTER I. THE BEGINNING", "Chapter 1. The beginning"),
        ("Scene ii, vol. iii and Part IV", "Scene 2, volume 3 and Part 4"),
        ("MR. PELL'S LEDGER", "Mr. Pell's ledger"),
        ("THE LAMP AT HOLLOW POINT", "The lamp at hollow point"),
        ("DEAR SIR,", "Dear sir,"),
        ("by E. M. HARCOURT", "by E. M. Harcourt"),
        ("KARL VOSS and Tom", "Karl Voss and Tom"),
        ("WARNING: DO NOT OPEN THIS DOOR!", "Warning: do not open this door!"),
        ("IT WAS the best of times.", "It was the best of times."),
        ("ONCE upon a time, when HE came", "Once upon a time, when he came"),
        ("TELL US THE TRUTH ABOUT THE US ARMY", "Tell us the truth about the US army"),
        ("FIT FOR A PURPOSE AND/OR USE BY VITAMIN A", "Fit for a purpose and/or use by vitamin A"),
        ("FBI AGENT FINDS USB CABLE", "FBI agent finds USB cable"),
        ("George III's son and Henry VIII's wives", "George the third's son and Henry the eighth's wives"),
        ("She is dead these XX years, and he XXXI.", "She is dead these 20 years, and he 31."),
        ("491 - 22 = 469", "491 minus 22 equals 469"),
        ("pages 10 - 12", "pages 10 to 12"),
        ("1 000 000 people and 12 345 678 more", "1,000,000 people and 12,345,678 more"),
        ("It has GHz and kWh.", "It has gigahertz and kilowatt hours."),
        ("Wm. Lee owes £5 10s. and Eq. (2).", "William Lee owes 5 pounds 10 shillings and Equation (2)."),
        ('"Mr. W." had been paid', "Mr. W. had been paid"),
        ("Open Mon.-Fri., 9 a.m.-5 p.m.", "Open Monday to Friday, 9 a.m. to 5 p.m."),
        ("Oil's at 1s. 9d. the gallon.", "Oil's at 1 shilling and 9 pence the gallon."),
        ("He stood 6 ft. 4 in. in his stockings.", "He stood 6 feet 4 inches in his stockings."),
    ],
)  # fmt: skip
def test_what_people_write_in_books_is_read_as_they_say_it(engine: Any, written: str, spoken: str) -> None:
    assert sounds(engine, written) == sounds(engine, spoken)


def test_a_name_after_a_king_is_no_numeral(engine: Any) -> None:
    for name in ("Queen Victoria", "King Lear", "George Clooney", "Charles Lamb"):
        assert "zˈɪɹOθ" not in sounds(engine, f"She saw {name} there.")


def test_a_letter_after_a_noun_is_no_numeral(engine: Any) -> None:
    said = sounds(engine, "A USB Type C plug, Appendix C, Class C and Chapter X.")
    assert said == sounds(engine, "A USB Type see plug, Appendix see, Class see and Chapter ten.")


@pytest.mark.parametrize(
    "text",
    [
        "The FBI said so, and NASA too.",
        "USA, UK, EU, IBM, JSON and HTML",
        "An HTTP API for AT&T and the IT department",
        "The book I read was the part I liked.",
        "Vitamin A, plan B and B12",
        "In Ohio (OR) at 5 AM",
        "the 1920s, a Ph.D. and 5'11\" men",
        "Call 555 123 456 or 030 123 456.",
    ],
)
def test_acronyms_and_single_letters_stay(engine: Any, text: str) -> None:
    said = engine.reader.g2p(text.replace("book I", "book, I").replace("part I", "part, I"))
    assert "".join(engine.read(text)).replace(",", "") == said.replace(",", "")

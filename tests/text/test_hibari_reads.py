"""The built-in engine's own reading of what is passed on to it."""

from __future__ import annotations

from typing import Any

import pytest

from oscine.engines.hibari_figures import with_figures, with_lengths
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
        ("Mme. Roland & Mlle. Julie, &c.", "Madame Roland & Mademoiselle Julie, et cetera."),
    ],
)  # fmt: skip
def test_what_people_write_in_books_is_read_as_they_say_it(engine: Any, written: str, spoken: str) -> None:
    assert sounds(engine, written) == sounds(engine, spoken)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("It is 5€, 3 £, 20 $ or 10 EUR.", "It is 5 euros, 3 pounds, 20 dollars or 10 euros."),
        ("US$5, C$20 and 3,50 €", "5 US dollars, 20 Canadian dollars and 3 euros and 50 cents"),
        ("$1.5bn, £2m and $2.2tn", "1.5 billion dollars, 2 million pounds and 2.2 trillion dollars"),
        ("$10-$20, $5-10 and £5–£10 million", "10 to 20 dollars, 5 to 10 dollars and 5 to 10 million pounds"),
        ("$3.50, $13.50 and USD 5.00", "3 dollars and 50 cents, 13 dollars and 50 cents and 5 dollars"),
        ("Up 5-10% from 2019–20, pages 10-12.", "Up 5 to 10 percent from 2019 to 20, pages 10 to 12."),
        ("2.5-3.5 m, 5–10 kg, the 1960s–70s", "2.5 to 3.5 meters, 5 to 10 kilograms, the 1960s to 70s"),
        ("May 5-7, 24–26 Dec. and Jan–Mar", "May 5 to 7th, 24th to 26 Dec. and January to March"),
        ("9am-5pm, 10:30-11:30, Mon–Fri", "9 am to 5 pm, 10:30 to 11:30, Monday to Friday"),
        ("Call (555) 123-4567 now.", "Call 5 5 5, 1 2 3, 4 5 6 7 now."),
        ("Call +44 20 7946 0958 or 030 123 456.", "Call plus 4 4, 2 0, 7 9 4 6, 0 9 5 8 or 0 3 0, 1 2 3, 4 5 6."),
        ("Python 3.10, version 2.0, 10.50 and 2.5", "Python 3 point 1 0, version 2 point 0, 10 point 5 0 and 2.5"),
        ("v1.20.3, 192.168.0.1 and 1.000.000", "v1 point 20 point 3, 192 dot 168 dot 0 dot 1 and 1000000"),
        ("1 1/2 cups, 2½ cups, ⅓ cup, ⅛ cup", "1 and a half cups, 2 and a half cups, one third cup, one eighth cup"),
        ("1 tsp. salt, 2 tbsp oil, 1½ tsp.", "1 teaspoon salt, 2 tablespoons oil, 1 and a half teaspoons."),
        ("10 m, 5 g, 500 mL, 1.5L, 1 m", "10 meters, 5 grams, 500 milliliters, 1.5 liters, 1 meter"),
        ("50 m², 5 cm3, 10 m/s²", "50 square meters, 5 cubic centimeters, 10 meters per second squared"),
        ("3 dB, 230 V, 5 MB/s, 10x faster", "3 decibels, 230 volts, 5 megabytes per second, 10 times faster"),
        ("Open main.py and .gitignore now.", "Open main dot py and dot gitignore now."),
        ("5m people saw 5m of it.", "5 million people saw 5 meters of it."),
        ("He is 5'11\" tall and has a 27\" screen.", "He is 5 foot 11 tall and has a 27 inch screen."),
        ("At 40° 26' 46\" it is 20℃.", "At 40 degrees 26 minutes 46 seconds it is 20 degrees Celsius."),
        ("A 24/7 shop, a 50/50 chance, 4x4, 10 x 12 ft", "A 24 7 shop, a 50 50 chance, 4 by 4, 10 by 12 feet"),
        ("It is 06.05.2020, 8.30 a.m. now.", "It is 6 May 2020, 8:30 a.m. now."),
        ("√2 ≤ 5 ≈ ∞, 5‰ of π", "the square root of 2 less than or equal to 5 is about infinity, 5 per mille of pie"),
        ("10⁻³ of H₂O, 1e-5", "10 to the power of minus 3 of H2O, 1 times 10 to the power of minus 5"),
        ("the α and Δ of CO2", "the alpha and delta of C O 2"),
        ("C# and main.py, ~/notes.txt, .NET", "C sharp and main dot py, /notes dot txt, dot NET"),
        ("c. 1850, Matt. 5:3, sec. 3, Apt. 4", "circa 1850, Matthew 5:3, section 3, Apartment 4"),
    ],
)  # fmt: skip
def test_figures_and_signs_are_read_as_people_say_them(engine: Any, written: str, spoken: str) -> None:
    assert sounds(engine, written) == sounds(engine, spoken)


@pytest.mark.parametrize(
    "text",
    ["In 2010, 3.14 of 1,000 were 1st.", "the 5G M16, an F-16 and 1080p", "Rooms 12 and 5, B12", "0x10 and 3D",
     "It is $2.5 million.", "At 10.00 in 1990 W. Hill met 3M.", "He left at 5 in the morning.",
     "a well-known 50-year-old"],
)  # fmt: skip
def test_figures_that_the_voice_reads_rightly_stay(text: str) -> None:
    assert with_figures(with_lengths(text)) == text


def test_who_asked_is_said_in_one_breath_with_what_was_asked(engine: Any) -> None:
    assert [len(engine.read(text)) for text in ('"Why?" he asked.', "“Why?” Tom asked.", '"Why? Go!" he said.')] == [
        1,
        1,
        2,
    ]


def test_tis_is_said_with_a_short_vowel(engine: Any) -> None:
    assert "tˌɪz" in sounds(engine, "’Tis late, and 'twas said.")


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
        "the 1920s and a Ph.D.",
        "Call 555 123 456.",
    ],
)
def test_acronyms_and_single_letters_stay(engine: Any, text: str) -> None:
    said = engine.reader.g2p(text.replace("book I", "book, I").replace("part I", "part, I"))
    assert "".join(engine.read(text)).replace(",", "") == said.replace(",", "")

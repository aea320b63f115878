from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.text.normalise import Rules, normalise
from tests.text.examples import ALL

NAMES = [rule.name for rule in dataclasses.fields(Rules)]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("“Hello,” she said. ‘Don’t go,’ he said.", '"Hello," she said. "Don\'t go," he said.'),
        ("'Hello,' he said. 'Don't go.'", '"Hello," he said. "Don\'t go."'),
        ("rock ’n’ roll in the ’90s", "rock 'n' roll in the '90s"),
        ("the dogs’ bones and 'tis James' car", "the dogs' bones and 'tis James' car"),
        ("«\xa0Oui\xa0»", '"Oui"'),
        ("\"quotes 'in quotes' here\" and rock 'n' roll", '"quotes "in quotes" here" and rock \'n\' roll'),
        ("'The dogs' bones are old,' he said.", '"The dogs\' bones are old," he said.'),
        ("She said 'yes' twice and 'no' once.", 'She said "yes" twice and "no" once.'),
        ("the dogs' bones and the cats' tails", "the dogs' bones and the cats' tails"),
        ("'Twould do, 'twill do, 'gainst th' king", "'Twould do, 'twill do, 'gainst th' king"),
        ('"\'S true," he said. "\'Tis so."', '"\'S true," he said. "\'Tis so."'),
        ("don`t ``quoted''", 'don\'t "quoted"'),
        ("「そうか」と言った", "「そうか」と言った"),
    ],
)
def test_quotes_become_plain_and_apostrophes_stay(written: str, read: str) -> None:
    assert normalise(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("It was late -- too late.", "It was late — too late."),
        ("It was late - too late.", "It was late — too late."),
        ("It was late—too late.", "It was late — too late."),
        ("It was late – too late.", "It was late — too late."),
        ("— Bonjour, dit-il.", "Bonjour, dit-il."),
        ("“I was going to—”", '"I was going to—"'),
        ("a well‑known fact, a well-known one", "a well-known fact, a well-known one"),
        ("pages 10–12, 10-12 and 1990--1995", "pages 10–12, 10-12 and 1990–1995"),
        ("it is −5 or -5", "it is -5 or -5"),
        ("use --verbose now", "use --verbose now"),
        ("他说——好的", "他说——好的"),
    ],
)
def test_dashes_become_pauses_and_hyphens_and_ranges_stay(written: str, read: str) -> None:
    assert normalise(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a\u200bb\ufeffc\u00add\u202ee", "abcde"),
        ("e\u0301te\u0301", "été"),
        ("one\u3000two\xa0three\tfour\x00", "one two three four"),
        ("100\u202f000", "100000"),
        ("𝐇𝐞𝐥𝐥𝐨 ﬁne ＡＢＣ", "Hello fine ABC"),
        ("می\u200cروم", "می\u200cروم"),
        ("Ⅳ: 5㎏, 20℃, 1⁄2 (①)", "IV: 5kg, 20°C, 1/2 (1)"),
        ("①苹果", "1, 苹果"),
    ],
)
def test_characters_that_show_nothing_are_not_spoken(written: str, read: str) -> None:
    assert normalise(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Great job 👨‍👩‍👧 🇩🇪 👍🏽!", "Great job!"),
        ("press 1️⃣ or #️⃣", "press 1 or #"),
        ("I ❤️ it ✓", "I it"),
        ("Yes :smile: or :+1:, at 10:30: so", "Yes or, at 10:30: so"),
        ("Oscine™ © 2024 ®", "Oscine™ © 2024 ®"),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿 flag", "flag"),
    ],
)
def test_emoji_are_left_out_and_signs_stay(written: str, read: str) -> None:
    assert normalise(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Wow!!!! Really?!?! Why??", "Wow! Really?! Why?"),
        ("Hm..... so . . . ok…… yes", "Hm... so... ok… yes"),
        ("はず・・・だ", "はず…だ"),
        ("sooooooo good", "sooooooo good"),
        ("((((((x))))", "(x)"),
        ("（。" * 20, "（。"),
        ("a ------ b ====== c", "a b c"),
        ("1000000 and 11111", "1000000 and 11111"),
        ("Bonjour !", "Bonjour!"),
    ],
)
def test_repeated_punctuation_shrinks_and_words_stay(written: str, read: str) -> None:
    assert normalise(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://www.example.com/a-b?x=1", "example dot com"),
        ("See https://www.example.com.", "See example dot com."),
        ("(https://example.com/docs/intro), then", "(example dot com slash docs slash intro), then"),
        ("example.org/a and README.md, e.g. foo.py", "example dot org slash a and README.md, e.g. foo.py"),
        ("https://example.com/a/very/long/path/that/nobody/wants", "example dot com"),
        ("访问https://example.com查看", "访问example dot com查看"),
        ("http://user:secret@example.com:8080/x", "example dot com slash x"),
        ("Hello there.How are you? U.S.A. 3.14 v1.2.3", "Hello there.How are you? U.S.A. 3.14 v1.2.3"),
        ("See <https://fsf.org/> and <http://example.com/a>.", "See fsf dot org and example dot com slash a."),
        ("jane.doe+x@example.co.uk", "jane dot doe plus x at example dot co dot uk"),
        ("write to <john_b@x-y.org>!", "write to john underscore b at x-y dot org!"),
        ("meet @ noon, @oscine", "meet @ noon, @oscine"),
    ],
)
def test_addresses_are_read_as_people_say_them(written: str, read: str) -> None:
    assert normalise(written) == read


def test_addresses_are_read_in_the_language_of_the_text() -> None:
    assert normalise("jane@example.com", language="de-AT") == "jane ät example Punkt com"
    assert normalise("请看example.com/a或写信给jo@example.com吧", language="zh") == (
        "请看example 点 com 斜杠 a或写信给jo 艾特 example 点 com吧"
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            "This is **bold**, *slanted*, ***both***, __strong__ and _this_.",
            "This is bold, slanted, both, strong and this.",
        ),
        ("**Note:** un**believ**able, ~~gone~~ but said", "Note: unbelievable, gone but said"),
        ("a [link](https://example.com/x_(y)) and ![a picture](p.png)", "a link and a picture"),
        ("[![Build](b.svg)](https://ci.example.com) [text][ref] note[^1]", "Build text note"),
        ("[![Build][b]][ci] ![logo][] [![PyPI](p.svg)][pypi] x", "Build logo PyPI x"),
        (r"The area $A = \pi r^2$ is $5 or $6, $x$.", "The area A = π r² is $5 or $6, x."),
        (r"\( c \leq \frac{1}{2} \cdot \sqrt{x_1} \) holds", "c ≤ 1/2 · √x1 holds"),
        (r"$$\int_0^{10} \frac{x}{2+y} \, dx = \text{area}$$", "∫0¹⁰ x/(2+y) dx = area"),
        (r"x = \frac{-b \pm c}{2a}", "x = (-b ± c)/2a"),
        ("It is ==marked== in [[Note]], [[Note|the note]] and ![[a.png]].", "It is marked in Note, the note and."),
        ("run `pip install x_y` or ``a*b*``", "run pip install x_y or a*b*"),
        ("<b>bold</b> &amp; H<sub>2</sub>O &lt; &#39;x&#39;", 'bold & H2O < "x"'),
        (r"\*not emphasis\* and 1\. no list", "*not emphasis* and 1. no list"),
        ("open **bold. Closed", "open bold. Closed"),
    ],
)
def test_markdown_leaves_its_text(written: str, read: str) -> None:
    assert normalise(written) == read


@pytest.mark.parametrize(
    "text",
    [
        "snake_case and MAX_SIZE",
        "3*4 = 12",
        "from $5 to $6, $7-$8 and 9$",
        "a == b if x == y",
        "C:\\times\\alpha and $HOME_DIR or $PATH",
        "5 * 3",
        "2**8",
        "C# and C++",
        "#1",
        "5 > 3 < 7",
        "a<b",
        "*.py",
        "XING2 hao3",
        "[laughs] yes",
        "AT&T",
    ],
)
def test_signs_that_are_no_markup_survive(text: str) -> None:
    assert normalise(text) == text


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("He said so.[12] Then he left.", "He said so. Then he left."),
        ("He said “so.”[1][2] Then, he left.[a]", 'He said "so." Then, he left.'),
        ("He said so.[[3]](#cite-3) Then, in 1999[4], he left[5, 6].", "He said so. Then, in 1999, he left."),
        ("He said so.¹ Then he left².", "He said so. Then he left."),
        ("He said so.† Then he left,‡ again.[citation needed]", "He said so. Then he left, again."),
        ("17 st. 3 lb.[1] His beard", "17 st. 3 lb. His beard"),
    ],
)
def test_marks_of_footnotes_are_left_out(written: str, read: str) -> None:
    assert normalise(written) == read


@pytest.mark.parametrize(
    "text",
    ["Take a[1] and x[i].", "items[1] = 3", "The list[1] is short.", "As shown in [1], it holds.", "[1] About 109 kg.",
     "5 m² and 3 km².", "x² + y² = z²", "10² and sin² x", "[laughs] yes.", "f(x)[1] is"],
)  # fmt: skip
def test_brackets_and_raised_numbers_that_are_content_stay(text: str) -> None:
    assert normalise(text) == text


def test_phonemes_pass_untouched_when_asked_and_leave_the_word_otherwise() -> None:
    text = "[Oscine](/ˈɑːsiːn/) — see [guide](/guide/)"
    assert normalise(text, marks={"phonemes"}) == "[Oscine](/ˈɑːsiːn/) — see guide"
    assert normalise(text) == "Oscine — see guide"


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("quotes", "“so”"),
        ("dashes", "so -- so"),
        ("controls", "s\u200bo"),
        ("emoji", "so 😀"),
        ("markdown", "**so**"),
        ("footnotes", "so.[1]"),
        ("urls", "https://so.com"),
        ("emails", "so@so.com"),
        ("repeats", "so!!!"),
    ],
)
def test_every_rule_has_its_switch(rule: str, text: str) -> None:
    alone = Rules().without(name for name in NAMES if name != rule)
    off = Rules().without(NAMES)
    assert normalise(text, alone) != text
    assert normalise(text, off) == text
    assert normalise(text, Rules().without([rule])) != normalise(text)


def test_a_rule_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no such text rule: speling"):
        Rules().without(["speling"])


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=300))
def test_any_text_can_be_normalised_to_one_tidy_line(text: str) -> None:
    said = normalise(text)
    assert said == " ".join(said.split())


@settings(deadline=None, max_examples=100)
@given(st.lists(st.from_regex(r"[a-z]{1,8}[,;]?", fullmatch=True), min_size=1, max_size=30))
def test_plain_words_are_never_changed(words: list[str]) -> None:
    assert normalise(" ".join(words)) == " ".join(words)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(ALL), st.data())
def test_normalising_twice_changes_nothing_more(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    once = normalise(text[start : start + 120].replace("\\", ""))
    assert normalise(once).split() == once.split()

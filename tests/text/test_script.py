from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oscine.text.normalise import Rules
from oscine.text.pronounce import Lexicon
from oscine.text.script import Break, Passage, read, speakers_in
from tests.text.examples import ALL, ANSWER, CHAT, CHINESE, PLAY, POEM, README, WRAPPED


def texts(text: str, **options: object) -> list[str]:
    return [passage.text for passage in read([text], **options)]  # type: ignore[arg-type]


def kinds(text: str, **options: object) -> list[tuple[str, str, int | None]]:
    return [(p.text, p.after.kind, p.after.ms) for p in read([text], **options)]  # type: ignore[arg-type]


def words(passages: list[Passage]) -> list[tuple[str | None, str]]:
    """Words with their speakers; a full stop may belong to a list item and is left out."""
    return [(p.speaker, word.strip(".")) for p in passages for word in p.text.split() if word.strip(".")]


def test_an_answer_of_a_language_model_is_read_aloud_sensibly() -> None:
    warnings: list[str] = []
    assert texts(ANSWER, warn=warnings.append) == [
        "How to make tea.",
        "Making tea is easy! Here's what you'll need:",
        "Water — about 250 ml.",
        "A tea bag (or loose_leaf).",
        "Milk, optional.",
        "1, Boil the water.",
        "2, Pour it over the tea and wait for 3–5 minutes.",
        "3, Remove the bag — gently.",
        "Tea, Minutes.",
        "Green, 2.",
        "Black, 4.",
        "A cup of tea makes everything better.",
        "See the guide or write to tea at example dot com. Enjoy!",
    ]
    assert warnings == ["Blocks of code in the text were left out."]


def test_a_readme_is_read_without_its_markup() -> None:
    assert texts(README) == [
        "widget-kit.",
        "Build logo",
        "A small kit for widgets.",
        "Setext heading",
        "Install with pip install widget-kit. Set MAX_SIZE to 3*4 & run it. See docs.",
        "Needs Python.",
    ]


def test_markdown_is_plain_text_when_its_rule_is_off() -> None:
    assert texts("# One\n\n* **two**", rules=Rules(markdown=False)) == ["# One", "* **two**"]


def test_hard_wrapped_paragraphs_are_joined() -> None:
    first, second = texts(WRAPPED)
    assert first.startswith("It was a bright cold day in the harbour, and the clocks of the old town were striking")
    assert second.endswith("had been tacked to the wall.")
    assert [kind for _, kind, _ in kinds(WRAPPED)] == ["paragraph", "none"]


PRINTED = """\
The exam-
ple shows that the inter-
national com-
mittee met in the well-
known hall of the city, in a sea-
side town by the sea, on the lee side.
"""


def test_words_that_were_parted_at_the_ends_of_printed_lines_are_whole_and_compounds_stay() -> None:
    (said,) = texts(PRINTED)
    assert said.startswith("The example shows that the international committee met in the well-known hall of the city,")
    assert said.endswith("in a sea-side town by the sea, on the lee side.")
    book = WRAPPED.replace("coloured poster", "coloured tea-\ntable") + ("\n" + WRAPPED) * 12
    assert "coloured tea-table" in texts(book)[1]


def test_the_numbers_of_pages_are_not_spoken() -> None:
    assert texts("One.\n\n- 12 -\n\nTwo.\n\nPage 3 of 10\n\nThree [Pg 7] and{p. 8} four.") == [
        "One.", "Two.", "Three and four."
    ]  # fmt: skip


def test_verse_keeps_its_lines() -> None:
    assert [kind for _, kind, _ in kinds(POEM)] == ["line", "line", "line", "paragraph", "line", "none"]


def test_a_play_is_read_with_its_speakers() -> None:
    assert [(p.speaker, p.text, p.after.kind) for p in read([PLAY])] == [
        (None, "THE LIGHTHOUSE", "paragraph"),
        (None, "(A kitchen. Night.)", "turn"),
        ("MARTHA", "Is that you, Tom?", "turn"),
        ("TOM", "Who else would it be?", "line"),
        ("TOM", "It's only weather.", "turn"),
        ("MARTHA", "The lamp went out at ten. I counted.", "turn"),
        ("TOM", "Then somebody lit it again.", "none"),
    ]
    assert speakers_in(PLAY) == ["MARTHA", "TOM"]


def test_a_chat_is_read_with_its_speakers_and_without_emoji() -> None:
    assert [(p.speaker, p.text) for p in read([CHAT])] == [
        ("Anna", "hey are you coming tonight?"),
        ("Ben", "sure!"),
        ("Anna", "great bring snacks plz"),
        ("Ben", "ok... which ones?"),
        ("Anna", "chips & dip"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Speaker 1: Hi.\nSpeaker 2：你好。\n[1]: Again.\nspeaker 03: Yes.", ["1", "2", "3"]),
        ("**Alice:** Hi there.\n**Bob**: Hello!\n*Alice*: Bye.", ["Alice", "Bob"]),
        ("小明：你好。\n小红：你好吗？\n小明：很好。", ["小明", "小红"]),
        ("Alice:\nHi there.\nHow are you?\n\nBob:\nFine.\n\nAlice:\nGood.", ["Alice", "Bob"]),
        ("Dr. Smith: Sit down.\nMrs. O'Brien: Thank you.\nDr. Smith: Well?", ["Dr. Smith", "Mrs. O'Brien"]),
        ("[pause:500]Speaker 1: Hi.", ["1"]),
        ("Name: Bob\nAge: 42\nCity: Paris", []),
        ("Note: this is important.\nWarning: so is this.\nNote: done.", []),
        ("Alice: one lone line.", []),
        ("April: Are you in?\nJune: I am!\nApril: Good.", ["April", "June"]),
        ("Eve: The sun is up.\nAdam: Some of it is.\nEve: Nothing else was planned.", ["Eve", "Adam"]),
        ("Anna: Guten Morgen.\nBernd: Das Wetter ist schön.\nAnna: Ja, sehr.", ["Anna", "Bernd"]),
        ("London: 5 degrees.\nParis: 7 degrees.\nLondon: rainy.", []),
        ("Monday: Are you in?\nTuesday: We are open!\nMonday: Yes.", []),
        ("Alice\\: Are you in?\nBob\\: We are!\nAlice\\: Good.", []),
        ("Speaker #01: Hi.\n[02]: Hello.", ["1", "2"]),
        ("The rule is simple: be kind.\nThe time: 10:30.", []),
        ("[Alice]: Hi there!\n[Bob]: Hello you.\n[Alice]: Bye.", ["Alice", "Bob"]),
        ("राम: आप कैसे हैं?\nसीता: मैं ठीक हूँ।\nराम: अच्छा।", ["राम", "सीता"]),
        ("[00:12] Alice: Hi!\n00:15:01 Bob: You?\nAlice (00:20): Bye.", ["Alice", "Bob"]),
        ("Alice (at 5:00): Hi!\nBob: You?\nAlice: Bye.", ["Alice", "Bob"]),
        ("Speaker 1: Hi. Speaker 2: Hello! Speaker 1: Bye.", ["1", "2"]),
        ("Speaker 1: 好。Speaker 2：你好。", ["1", "2"]),
        ("We asked speaker 2: who was it?", []),
        ("Shipping: We ship in 3 days.\nReturns: You can return it.\nContact: Call us!", []),
        ("http://example.com\nhttps://example.com", []),
        ("We met Anna.\n\nAnna: hello.\n\nThen we left.\n\nAnd came back.\n\nAnna: hello again.\n\nThe end.", []),
        ("Chapter 1: The Start\n\nIt began.\n\nChapter 2: The End\n\nIt ended.", []),
    ],
)
def test_labels_are_speakers_only_in_what_is_clearly_a_script(text: str, found: list[str]) -> None:
    assert speakers_in(text) == found
    assert list(dict.fromkeys(p.speaker for p in read([text]) if p.speaker)) == found


@pytest.mark.parametrize("size", [1, 5, 100])
def test_numbered_speakers_in_one_line_take_turns_also_while_it_arrives(size: int) -> None:
    text = "Speaker 1: Hi. Speaker 2: Hello there! Speaker 1: Bye."
    passages = read([text[i : i + size] for i in range(0, len(text), size)], live=True)
    assert [(p.speaker, p.text) for p in passages if p.text] == [("1", "Hi."), ("2", "Hello there!"), ("1", "Bye.")]


SUBTITLES = """\
1
00:00:01,000 --> 00:00:03,000
Hello there,
my friend.

2
00:00:03,500 --> 00:00:05,000
And then <i>he</i>

3
00:00:05,500 --> 00:00:06,000
{\\an8}left.

4
00:00:06,500 --> 00:00:07,000
- What?
- <i>No!</i>
"""


def test_subtitles_are_read_as_sentences_without_their_times() -> None:
    assert texts(SUBTITLES) == ["Hello there, my friend.", "And then he left.", "What?", "No!"]
    vtt = "WEBVTT\n\n00:01.000 --> 00:03.000\n<v Ann>Hi, you\nthere!</v>\n\n00:04.000 --> 00:05.000\n<v Ben>Yes?\n\n"
    again = "00:06.000 --> 00:07.000\n<v Ann>No."
    assert [(p.speaker, p.text) for p in read([vtt + again])] == [
        ("Ann", "Hi, you there!"),
        ("Ben", "Yes?"),
        ("Ann", "No."),
    ]
    count = "".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{n + 1}\n\n" for n in range(1, 4))
    assert texts(f"{count}\n17\n\n4\n00:00:09,000 --> 00:00:09,900\nGo!\n\n5") == ["2 3 4", "17", "Go!", "5"]
    assert texts("1\n2\n\n3\n\n4\nWEBVTT\n10:30 --> 11:00") == ["1", "2", "3", "4", "WEBVTT", "10:30 --> 11:00"]


def test_declared_speakers_are_known_in_any_case_and_come_back_as_declared() -> None:
    passages = list(read(["ALICE: Hi. \nNote: yes\nbob:yo\nSpeaker 2: x"], speakers=["Alice", "bob", "2"]))
    assert [(p.speaker, p.text) for p in passages] == [
        ("Alice", "Hi."),
        ("Alice", "Note: yes"),
        ("bob", "yo"),
        ("2", "x"),
    ]
    assert speakers_in("speaker 1: Hi", speakers=["Speaker 1"]) == ["Speaker 1"]


def test_speakers_that_were_guessed_are_told() -> None:
    warnings: list[str] = []
    list(read([CHAT], warn=warnings.append))
    assert len(warnings) == 1
    assert warnings[0].startswith("Anna and Ben were taken for speakers; name them in voices")
    list(read([CHAT], speakers=["Anna", "Ben"], warn=warnings.append))
    list(read(["Speaker 1: Hi!\nSpeaker 2: Hi!"], warn=warnings.append))
    list(read([CHAT.replace("Anna:", "[1]:")], speakers=["Ben"], warn=warnings.append))
    assert len(warnings) == 1


def test_without_the_rule_for_scripts_no_speaker_is_guessed() -> None:
    rules = Rules(script=False)
    assert {p.speaker for p in read([CHAT], rules=rules)} == {None}
    assert texts(CHAT, rules=rules)[0] == "Anna: hey are you coming tonight?"
    assert speakers_in(CHAT, rules=rules) == []
    assert speakers_in("Speaker 1: Hi!\nAlice: Hi!", rules=rules, speakers=["Alice"]) == ["1", "Alice"]


def test_a_backslash_before_the_colon_is_not_spoken() -> None:
    assert texts("Alice\\: one of us.", speakers=["Alice"]) == ["Alice: one of us."]


@pytest.mark.parametrize("declared", ["1", "01", "[01]", "Speaker 1", "Speaker 01", "speaker #1"])
@pytest.mark.parametrize("written", ["Speaker 1: Hi.", "Speaker 01: Hi.", "[1]: Hi.", "speaker #001: Hi."])
def test_numbers_of_speakers_are_the_same_however_they_are_written(declared: str, written: str) -> None:
    assert [p.text for p in read([written], speakers=[declared]) if p.speaker == declared] == ["Hi."]


def test_only_declared_and_numbered_speakers_count_in_live_text() -> None:
    assert {p.speaker for p in read([CHAT], live=True)} == {None}
    assert {p.speaker for p in read([CHAT], live=True, speakers=["Anna", "Ben"])} == {"Anna", "Ben"}
    assert {p.speaker for p in read(["Speaker 1: Hi.\n"], live=True)} == {"1"}


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("One [pause:800ms] two", [("One", "pause", 800), ("two", "none", None)]),
        ("One [PAUSE : 1.5 s] two", [("One", "pause", 1500), ("two", "none", None)]),
        ("One [pause:800] two [pause]", [("One", "pause", 800), ("two", "pause", 1000)]),
        ("[pause:1s] One", [("", "pause", 1000), ("One", "none", None)]),
        ("One.\n\n[pause:1s]\n\n[pause:.5s]\n\nTwo.", [("One.", "pause", 1500), ("Two.", "none", None)]),
        ("One [pause:0] two", [("One", "pause", 0), ("two", "none", None)]),
        ("A [Pause] **b**", [("A", "pause", 1000), ("b", "none", None)]),
        ("[pausing] and [pauses]", [("[pausing] and [pauses]", "none", None)]),
    ],
)
def test_pause_tags_become_pauses(text: str, passages: list[tuple[str, str, int | None]]) -> None:
    assert kinds(text) == passages


@pytest.mark.parametrize(
    "tag",
    [
        "[pause:soon]",
        "[pause:-5ms]",
        "[pause:1h]",
        "[pause:1s",
        "[pause:1.2.3s]",
        "[pause:]x",
        "[pause 1s 2s]",
        "[pause:nan]",
    ],
)
def test_a_pause_tag_that_cannot_be_read_is_never_spoken(tag: str) -> None:
    warnings: list[str] = []
    said = texts(f"One {tag} [pause:90s] two {tag}", warn=warnings.append)
    assert "pause" not in " ".join(said).lower()
    assert "One" in said[0]
    assert said[-1].startswith("two")
    assert any("60 s" in warning for warning in warnings)


def test_a_pause_is_never_longer_than_a_minute() -> None:
    assert kinds("One [pause:99999999s] two")[0] == ("One", "pause", 60_000)


def test_breaks_join_to_the_stronger_and_pauses_add_up() -> None:
    assert Break("line").joined(Break("paragraph")) == Break("paragraph")
    assert Break("pause", 10).joined(Break("turn")) == Break("pause", 10)
    assert Break("pause", 10).joined(Break("pause", 5)) == Break("pause", 15)


def test_the_lexicon_speaks_last_and_words_with_phonemes_pass_when_the_engine_takes_them() -> None:
    lexicon = Lexicon({"SQL": "[sequel](/ˈsiːkwəl/)", "tea": "T -- E"})
    assert texts("**SQL** tea", lexicon=lexicon) == ["sequel T -- E"]
    assert texts("**SQL** tea", lexicon=lexicon, marks={"phonemes"}) == ["[sequel](/ˈsiːkwəl/) T -- E"]


@pytest.mark.parametrize("live", [False, True])
def test_each_passage_has_the_language_that_its_words_tell(live: bool) -> None:
    parts = [
        "Hr. Weber ist seit dem 3. Mai da. ",
        "Mail: jane@",
        "firma.de.\n\n",
        "我去example.com看看。\n\n",
        "It is so.\n",
    ]
    passages = [(p.text, p.language) for p in read(parts, live=live, language=None) if p.text]
    if live:
        assert passages.pop(0) == ("Hr. Weber ist seit dem 3. Mai da.", "de")
    assert passages[0][0].endswith("Mail: jane ät firma Punkt de.")
    assert passages[1:] == [("我去example 点 com看看。", "zh"), ("It is so.", "en")]
    assert {p.language for p in read(parts, live=live)} == {"en"}


def test_what_holds_no_word_is_no_passage() -> None:
    assert list(read(["😀\n\n***\n\n...\n\n```\ncode\n```\n"])) == []


def test_live_text_is_handed_on_as_soon_as_the_next_sentence_begins() -> None:
    seen: list[str] = []

    def tokens() -> Iterator[str]:
        for token, handed_on in [
            ("Hello ", 0), ("there.", 0), (" ", 0), ("How", 1), (" is Dr.", 1), (" Smith", 1), ("?\n", 2), ("\n", 2),
            ("- item", 2), ("\n", 3),
            ("Go [pau", 3), ("se:1s] now", 3), (". [pause:2s] ", 5), ("Ok", 5), ("", 5),
        ]:  # fmt: skip
            yield token
            assert len([text for text in seen if text]) == handed_on, (token, seen)

    for passage in read(tokens(), live=True):
        seen.append(passage.text)
    assert [text for text in seen if text] == ["Hello there.", "How is Dr. Smith?", "item.", "Go", "now.", "Ok"]


def test_a_paragraph_that_becomes_known_too_late_still_makes_its_break() -> None:
    assert [(p.text, p.after.kind) for p in read(["One.\n", "\n", "Two."], live=True)] == [
        ("One.", "line"),
        ("", "paragraph"),
        ("Two.", "none"),
    ]
    assert [(p.text, p.after.kind) for p in read(["One.\n\nTwo."], live=True)] == [
        ("One.", "paragraph"),
        ("Two.", "none"),
    ]


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_live_text_has_the_same_words_as_whole_text(text: str, size: int) -> None:
    cast = ["Anna", "Ben", "Martha", "Tom"]
    whole = list(read([text], speakers=cast))
    live = list(read((text[i : i + size] for i in range(0, len(text), size)), speakers=cast, live=True))
    assert "".join(w for _, w in words(live)) == "".join(w for _, w in words(whole))
    assert [s for s, _ in words(live)] == [s for s, _ in words(whole)] or text == CHINESE or not text.isascii()


LINES = st.sampled_from(
    ["Alice: Hi there. How are you?", "Bob: fine", "", "  ", "Plain words here.", "- item one", "# Head", "[pause:1s]",
     "Speaker 1: x y. Z", "> quoted", "a | b", "|c|d|", "3. third", "It is **bold. And** so on, e.g. this.",
     "Visit www.example.com now. Then go.", "---", "[pause:zz] q", "end"]
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.lists(LINES, max_size=14).map("\n".join), st.integers(1, 40))
def test_how_a_text_is_cut_into_pieces_changes_nothing(text: str, size: int) -> None:
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    assert list(read(pieces)) == list(read([text]))
    live = list(read(pieces, live=True, speakers=["Alice", "Bob"]))
    whole = list(read([text], speakers=["Alice", "Bob"]))
    assert words(live) == words(whole)
    assert sum(p.after.ms or 0 for p in live) == sum(p.after.ms or 0 for p in whole)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.text(max_size=40), max_size=6), st.booleans())
@example(["0\r "], True)
def test_any_text_can_be_read(pieces: list[str], live: bool) -> None:
    for passage in read(pieces, live=live, speakers=["Alice"]):
        assert passage.text == passage.text.strip()
        assert passage.text or passage.after.kind != "none"


def test_a_long_text_is_read_in_memory_that_does_not_grow() -> None:
    held: list[int] = [0]

    def pieces() -> Iterator[str]:
        for number in range(3000):
            held[0] += 1
            yield f"This is sentence number {number} of one endless paragraph, spoken by nobody. "

    passages = read(pieces())
    taken = 0
    for passage in passages:
        taken += len(passage.text)
        assert held[0] * 80 - taken < 40_000
        assert len(passage.text) < 5000
    assert held[0] == 3000

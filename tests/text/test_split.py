from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.errors import InvalidRequest
from oscine.text.language import told
from oscine.text.measure import speakable
from oscine.text.sentences import sentence_ends
from oscine.text.split import Chunk, check_words, split
from tests.text.examples import CHINESE, JAPANESE, WRAPPED

LONG = (
    "When the storm finally came, after three days of waiting, the harbour was already empty; the boats, all of them, "
    "had gone out to sea, because the old men knew that deep water was safer than stone walls, and nobody argued with "
    "the old men about weather: not once, not ever, not in all the years that anybody could remember."
)
WORDS = st.sampled_from(
    ["a", "word", "Harbour", "1,250.75", "10:30", "https://example.com/a,b;c", "e.g.", "Dr.", "3.", "end.", "what?",
     "no!", "so,", "then;", "—", "…", '"Yes."', "“Go", "on.”", "(maybe)", "您好。", "漢字かな、", "ไทย", "e\u0301",
     "x" * 40, "U.S.", "J."]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=60).map(" ".join) | st.text(max_size=200)
SIZES = st.fixed_dictionaries(
    {
        "limit": st.integers(5, 120),
        "pack": st.integers(0, 120),
        "shortest": st.integers(0, 40),
        "first": st.none() | st.integers(5, 60),
    }
)


def sentences(text: str, language: str = "en") -> list[str]:
    ends = sentence_ends(text, language)
    return [text[a:b].strip() for a, b in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("U.S. troops moved in. They left the U.S. He stayed.", 3),
        ("1. First item. 2. Second. 3. Third item is here.", 3),
        ("J. R. R. Tolkien wrote it. J.K. Rowling did too.", 2),
        ("Dr. Smith et al. found it, i.e. all of it. See Fig. 3. The end.", 3),
        ('He said "Hi there. How are you?" and left. “Yes.” She nodded.', 3),
        ('"Stop!" she said. "Why?" he asked.', 2),
        ('"Why?" Tom asked. “Are you in?” Mrs. Lane called again. "So…" I said. "No." Tom said nothing.', 5),
        ("Wait... what? No way!! Really?!", 3),
        ("It costs $5.50 at 10.30 on example.com and Node.js. Fine.", 2),
        ("Really. (Yes.) Ok .", 2),
        ("See vol. iii., pp. 214-219. Open Mon.-Fri., 9 a.m.-5 p.m. today.", 2),
        ("It cost 10s. and was Capt. Wm. Lee's. It is approx. 5 of Eq. (2). On Sat. night he left.", 3),
        ("It weighs 3 lb. 2 oz. and no more. On Dec. 5 he said no. Then Smith Ltd. was sold.", 3),
        ("He sat. Then 3 left. 5 came in. 6 went. hello there. how are you.", 6),
        ("Open Sat. & Sun. in Apt. 4. See Matt. 5:3 and vv. 3-4. Hmm. 5 came.", 4),
        (CHINESE, 4),
        (JAPANESE, 4),
    ],
)
def test_sentences_end_where_people_end_them(text: str, count: int) -> None:
    assert len(sentences(text)) == count, sentences(text)


@pytest.mark.parametrize(
    ("language", "parts"),
    [
        ("en", ["Add 2 tbsp. sugar and 1 tsp. salt.", "Stir.", "It is 10 in. long.", "“Really?” — he asked.", "Yes."]),
        ("de", ["Am 3. Mai und im 19. Jahrhundert war das so.", "Hr. Weber von der Fa. Klein wohnt im 3. Stock.",
                "»Komm!«, rief sie.", "»Nein.«", "Das ist z. B. ein Satz.", "Es war 1989.", "Er ging."]),
        ("fr", ["Mgr. Leroy et M. Dupont viennent.", "J.-P. Sartre écrit, p. 12 et art. 3.", "« Oui. »", "Il part."]),
        ("es", ["D. Juan y Dña. Inés ven al Sr. Paz, pág. 3.", "—¿Vienes? —preguntó Ana.", "Son 3 aprox. en total."]),
        ("it", ["Il sig. Rossi legge pag. 12 dell'art. 3.", "Nacque nel 44 a.C. a Roma.", "Bene."]),
        ("pt", ["V. Exa. mora na Av. Paulista e vê a pág. 3.", "— Vens? — perguntou ela.", "— Não."]),
        ("ru", ["См. рис. 3 и табл. 4.", "Это стоит 20 коп. за штуку.", "— Ты идёшь? — спросил он.", "— Нет."]),
        ("pl", ["Zob. str. 12 i nast. w książce.", "Tzw. cud się zdarzył.", "„Chodź!” — powiedziała."]),
        ("tr", ["Elma, armut vb. vardı.", "Atatürk Cad. No. 5'te oturuyor."]),
        ("vi", ["TS. Nguyễn Văn An sống ở TP. Hồ Chí Minh.", "Rất vui."]),
        ("ko", ['그는 "가자."라고 말했다.', "나는 갔다."]),
        ("ar", ["ولد د. أحمد سنة 1990.", "كيف حالك؟"]),
        ("hi", ["डॉ. शर्मा आए।", "वे बैठे।"]),
        ("th", ["เขาอยู่ที่ ถ. สุขุมวิท กับ ดร. สมชาย"]),
    ],
)  # fmt: skip
def test_sentences_of_other_languages_end_where_people_end_them(language: str, parts: list[str]) -> None:
    assert sentences(" ".join(parts), language) == parts
    assert told(" ".join(parts)) == language


@pytest.mark.parametrize(
    ("language", "parts"),
    [
        ("zh", ["“你去吗？”她问。", "“不去。”", "我走了。"]),
        ("ja", ["「行くの？」と彼女は聞いた。", "彼は「行こう。」と言った。", "「待って！」", "二人は走った。"]),
    ],
)
def test_who_said_it_belongs_to_the_sentence(language: str, parts: list[str]) -> None:
    assert sentences("".join(parts), language) == parts
    assert told("".join(parts)) == language


@settings(deadline=None, max_examples=300)
@given(TEXTS, SIZES)
def test_no_word_is_lost_doubled_or_moved_when_splitting(text: str, sizes: dict[str, Any]) -> None:
    chunks = list(split(text, **sizes))
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(text.split())
    for chunk in chunks:
        assert "".join("".join(chunk.sentences).split()) == "".join(chunk.text.split())
        assert chunk.text == chunk.text.strip() != ""


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, max_size=60), SIZES)
def test_no_word_number_or_address_is_cut(words: list[str], sizes: dict[str, Any]) -> None:
    spaced = [word for word in words if word.isascii()]
    pieces = [piece for chunk in split(" ".join(spaced), **sizes) for piece in chunk.text.split()]
    assert pieces == spaced


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, max_size=60), SIZES)
def test_only_a_single_word_is_longer_than_the_limit(words: list[str], sizes: dict[str, Any]) -> None:
    for chunk in split(" ".join(words), **sizes):
        said = [word for word in chunk.text.split() if speakable(word)]
        if len(said) > 1:
            mute = sum(len(word) + 1 for word in chunk.text.split() if not speakable(word))
            assert len(chunk.text) <= sizes["limit"] + mute, chunk


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("漢字かなゃーん、。นี่คือภาก้e\u0301👨\u200d👩"), max_size=80), st.integers(1, 12))
def test_no_character_is_torn_apart_in_text_without_spaces(text: str, limit: int) -> None:
    for chunk in list(split(text, limit=limit))[1:]:
        assert unicodedata.category(chunk.text[0])[0] != "M"
        assert chunk.text[0] != "\u200d"


@pytest.mark.parametrize("limit", [300, 150, 80, 30])
def test_a_long_sentence_is_cut_at_clauses_in_parts_of_like_length(limit: int) -> None:
    chunks = list(split(LONG, limit=limit))
    assert all(len(chunk.text) <= limit for chunk in chunks)
    assert min(len(chunk.text) for chunk in chunks) >= limit // 3
    if limit >= 80:
        assert [chunk.ending for chunk in chunks[:-1]] == ["clause"] * (len(chunks) - 1)
    assert chunks[-1].ending == "sentence"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("The bridge over the river should be closed to traffic and a new one would be built by Mr. J. R. Harlow",
         ["The bridge over the river should be closed to traffic", "and a new one would be built by Mr. J. R. Harlow"]),
        ("They came over the mountains in the early winter of 1849 with 12 million sheep of the best kind",
         ["They came over the mountains in the early winter", "of 1849 with 12 million sheep of the best kind"]),
        ("Nadie sabe cuándo llegó el viejo marinero a la aldea de la costa porque nunca hablaba con los vecinos",
         ["Nadie sabe cuándo llegó el viejo marinero a la aldea de la costa", "porque nunca hablaba con los vecinos"]),
        ("قال الرجل العجوز إن البحر كان هادئا في تلك الليلة، ولكن الريح بدأت تهب من الشمال",
         ["قال الرجل العجوز إن البحر كان هادئا في تلك الليلة،", "ولكن الريح بدأت تهب من الشمال"]),
        ("He thought of the house where he had lived ... and of the road down to the sea at his feet",
         ["He thought of the house where he had lived ...", "and of the road down to the sea at his feet"]),
    ],
)  # fmt: skip
def test_a_long_sentence_without_commas_is_cut_where_a_part_of_it_begins(text: str, parts: list[str]) -> None:
    assert [chunk.text for chunk in split(text, limit=65)] == parts


def test_a_long_quotation_is_cut_at_its_own_sentences() -> None:
    text = 'He said "I will go home now. Then I will sleep for a long while. Nobody should wake me." and left.'
    assert [chunk.ending for chunk in split(text, limit=50)] == ["sentence"] * 3


def test_sentences_are_packed_up_to_the_length_that_is_asked_for() -> None:
    text = " ".join(WRAPPED.split())
    alone, packed = list(split(text, limit=400)), list(split(text, limit=400, pack=400))
    assert [len(chunk.sentences) for chunk in alone] == [1, 1, 1, 1]
    assert len(packed) == 2
    assert max(len(chunk.text) for chunk in packed) <= 400
    assert [s for chunk in packed for s in chunk.sentences] == [chunk.text for chunk in alone]


def test_a_tiny_last_piece_joins_the_one_before() -> None:
    text = "This is a whole sentence. Yes."
    assert [chunk.text for chunk in split(text, limit=100, shortest=10)] == [text]
    assert len(list(split(text, limit=26, shortest=10))) == 2


def test_what_cannot_be_spoken_never_stands_alone() -> None:
    assert [chunk.text for chunk in split("Hello there. ... ) Good. —", limit=100)] == ["Hello there. ... )", "Good. —"]


def test_the_first_piece_is_short_so_that_sound_comes_soon() -> None:
    text = "Well, hello there my dear friends, and welcome to the long evening of stories that we prepared. Second one."
    chunks = list(split(text, limit=300, pack=300, first=40))
    assert chunks[0] == Chunk("Well, hello there my dear friends,", ("Well, hello there my dear friends,",), "clause")
    assert [chunk.text for chunk in split("No clause is anywhere in this sentence of words.", limit=300, first=20)] == [
        "No clause is anywhere in this sentence of words."
    ]
    assert [c.text for c in split("Yes. No. Maybe so.", limit=300, pack=300, first=8)] == ["Yes. No.", "Maybe so."]


@pytest.mark.parametrize("blank", [chr(c) for c in range(128, 0x3001) if chr(c).isspace()], ids=ascii)
@pytest.mark.parametrize("language", ["en", "de", "ja", "zh", "hi", "ar"])
def test_a_wide_blank_before_a_full_stop_is_a_blank(language: str, blank: str) -> None:
    text = f"It is plan B{blank}. And{blank * 2}. The next one.{blank}Fine."
    ends = sentence_ends(text, language)
    assert ends[-1] == len(text)
    assert ends == sorted(set(ends))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("The .NET framework is big. It runs.", ["The .NET framework is big.", "It runs."]),
        ("We use .NET. Good.", ["We use .NET.", "Good."]),
        ("We use it (.NET Core). Good.", ["We use it (.NET Core).", "Good."]),
        (".NET is big. It runs.", [".NET is big.", "It runs."]),
        ("Save as .PDF. Then go.", ["Save as .PDF.", "Then go."]),
    ],
)
def test_a_name_that_starts_with_a_dot_starts_no_sentence(text: str, sentences: list[str]) -> None:
    assert [chunk.text for chunk in split(text, limit=300)] == sentences


def test_a_word_that_no_engine_can_speak_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="a word of more than 1,000 characters") as caught:
        check_words("hello " + "x" * 50_000)
    assert caught.value.param == "text"


@pytest.mark.parametrize("text", ["漢" * 5000, "ก" * 5000, "!" * 5000, "word " * 5000, "a" + "." * 5000, "x" * 1000])
def test_text_without_spaces_and_floods_of_one_sign_are_no_words(text: str) -> None:
    check_words(text)

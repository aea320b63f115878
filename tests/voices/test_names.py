"""What a voice may be called, and which one a name means."""

from __future__ import annotations

import time
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.errors import InvalidRequest
from oscine.voices.names import MAX_BYTES, clean_name, match
from tests.voices.hostile import NAMES


@given(NAMES)
@settings(deadline=None, max_examples=400)
def test_an_accepted_name_is_a_plain_file_name_on_every_system(name: str) -> None:
    try:
        cleaned = clean_name(name)
    except InvalidRequest:
        return
    filename = f"{cleaned}.webm"
    for system, folder in ((PurePosixPath, "/voices"), (PureWindowsPath, "C:\\voices")):
        path = system(folder) / filename
        assert path.parent == system(folder)
        assert path.name == filename
    assert not _kept_for_devices(cleaned)
    assert len(filename.encode()) <= 255
    assert cleaned[0] not in ".- "
    assert cleaned[-1] not in ". "
    assert len(cleaned.encode()) <= MAX_BYTES
    assert unicodedata.is_normalized("NFC", cleaned)
    assert clean_name(cleaned) == cleaned


def _kept_for_devices(name: str) -> bool:
    first = name.split(".")[0].rstrip(" ").upper()
    return first in {"CON", "PRN", "AUX", "NUL"} or (first[:3] in {"COM", "LPT"} and first[3:] in {*"0123456789¹²³"})


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Alice", "Alice"),
        ("  Alice ", "Alice"),
        ("alice.wav", "alice"),
        ("alice.WAV.mp3", "alice"),
        ("en-Alice_woman", "en-Alice_woman"),
        ("Dr. Who 2", "Dr. Who 2"),
        ("Jose\u0301", "Jos\u00e9"),
        ("हिन्दी", "हिन्दी"),
        ("v1.5", "v1.5"),
        ("a" * 100, "a" * 100),
    ],
)
def test_ordinary_names_are_kept_as_people_write_them(name: str, kept: str) -> None:
    assert clean_name(name) == kept


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            ".",
            "..",
            ".hidden",
            "../x",
            "a/b",
            "a\\b",
            "/etc/passwd",
            "C:\\x",
            "C:x",
            "a\0b",
            "a\nb",
            "a  b",
            "x.",
        ),
        *(
            "CON",
            "con.wav",
            "Nul",
            "com1",
            "LPT9.txt",
            "COM\xb9",
            "-rf",
            "a" * 101,
            "字" * 90,
            "a" * 10_000_000,
            "\ud800",
        ),
        *("a\u202eb", "a\u2215b", "a:b", "a*b", "a?b", "~root", "$HOME", ".wav", "\u0301a", "🐦"),
    ],
    ids=lambda name: ascii(name[:12]),
)
def test_a_name_that_could_mislead_is_refused_with_its_field_and_never_repeated(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        clean_name(name, field="name")
    assert caught.value.param == "name"
    assert caught.value.message.startswith("name ")
    assert len(caught.value.message) < 200
    assert len(name) < 3 or name not in caught.value.message


@pytest.mark.parametrize(
    ("wanted", "names", "found"),
    [
        ("alice", ["alice", "alice2"], "alice"),
        ("ALICE.WAV", ["bob", "Alice"], "Alice"),
        ("alice.mp3", ["Alice", "alice"], "alice"),
        ("ali", ["malik", "alice"], "alice"),
        ("lic", ["bob", "alice"], "alice"),
        ("Woman", ["en-Alice_woman", "en-Carl_man", "woman-2"], "woman-2"),
        ("strasse", ["Straße"], "Straße"),
        ("jose\u0301", ["JOS\u00c9"], "JOS\u00c9"),
        ("dr. who", ["Dr. Who"], "Dr. Who"),
        ("v1.wav", ["v1.wav", "v1"], "v1.wav"),
    ],
)
def test_a_name_fits_with_or_without_ending_in_any_case_exact_before_prefix_before_part(
    wanted: str, names: list[str], found: str
) -> None:
    chosen = match(wanted, names)
    assert chosen.name == found
    assert chosen.warning is None


def test_a_part_that_fits_several_voices_is_an_error_that_names_them() -> None:
    with pytest.raises(InvalidRequest, match="fits several voices: alice, alina;") as caught:
        match("ali", ["alice", "alina", "bob"])
    assert caught.value.param == "voice"
    with pytest.raises(InvalidRequest, match="Anna, anna"):
        match("ANNA", ["Anna", "anna"])


def test_an_unknown_name_is_an_error_that_lists_at_most_twenty_names_and_how_to_add_one() -> None:
    with pytest.raises(InvalidRequest) as caught:
        match("secret words", [f"voice{n:05}" for n in range(10_000)], field="speaker_name")
    message = caught.value.message
    assert "voice00000, voice00001" in message
    assert "voice00019 and 9980 more" in message
    assert "oscine voices add NAME FILE" in message
    assert "secret words" not in message
    assert caught.value.param == "speaker_name"


def test_an_unknown_name_in_an_empty_library_says_how_to_add_one() -> None:
    with pytest.raises(InvalidRequest, match=r"there is none yet.*oscine voices add"):
        match("alice", [])
    with pytest.raises(InvalidRequest, match=r"there is none yet.*oscine voices add"):
        match("alice", [], loose=True)


@pytest.mark.parametrize(
    ("wanted", "found", "warned"),
    [
        ("Alice", "en-Alice_woman", False),
        ("Speaker Bob the builder", "Bob", False),
        ("bob.wav", "Bob", False),
        ("Zoe", "Carl", True),
        ("", "Carl", True),
        ("x" * 1000, "Carl", True),
    ],
)
def test_a_speaker_name_takes_the_first_part_that_fits_either_way_else_the_first_voice_with_a_warning(
    wanted: str, found: str, warned: bool
) -> None:
    chosen = match(wanted, ["Carl", "en-Alice_woman", "Bob", "en-Alice2"], loose=True, field="speaker_name")
    assert chosen.name == found
    assert (chosen.warning is not None) == warned
    if chosen.warning:
        assert "speaker_name" in chosen.warning
        assert "Carl" in chosen.warning


@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=12), max_size=12, unique=True), st.booleans())
@settings(deadline=None, max_examples=300)
def test_what_is_matched_is_always_one_of_the_names(wanted: str, names: list[str], loose: bool) -> None:
    try:
        found = match(wanted, names, loose=loose).name
    except InvalidRequest:
        return
    assert found in names


@pytest.mark.parametrize("piece", ["(", ".", ".wav", "a", "é", "../"])
def test_a_flood_is_answered_at_once(piece: str) -> None:
    flood = piece * (1_000_000 // len(piece))
    names = [f"{letter}{n}" for letter in "a(." for n in range(3_000)]
    before = time.thread_time()  # of this thread alone, whatever else the machine does
    match(flood, names, loose=True)
    with pytest.raises(InvalidRequest):
        match(flood, names)
    with pytest.raises(InvalidRequest):
        clean_name(flood)
    assert time.thread_time() - before < 30


def test_every_name_a_new_voice_may_have_finds_it_again() -> None:
    for name in ("Alice", "Dr. Who 2", "v1.5", "_x", "字"):
        cleaned = clean_name(name)
        assert match(name, [cleaned, "other"]).name == cleaned

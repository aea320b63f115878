"""OpenAI's names and the user's own, from a file that may be wrong in any way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.errors import NotAvailable
from oscine.voices.aliases import MAX_BYTES, OPENAI_NAMES, Aliases, parse


def aliases_of(folder: Path, content: object) -> Aliases:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "voices.json").write_text(text, encoding="utf-8")
    return aliases_in(folder)


def aliases_in(home: Path) -> Aliases:
    """The aliases of a folder, whose file was read."""
    aliases = Aliases(home)
    aliases.resolve("")
    return aliases


def test_without_a_file_openai_names_mean_the_default_voice(tmp_path: Path) -> None:
    for home in (tmp_path, tmp_path / "missing"):
        aliases = aliases_in(home)
        assert len(OPENAI_NAMES) == 13
        for name in OPENAI_NAMES:
            assert aliases.knows(name.upper())
            assert aliases.resolve(name) is None
        assert not aliases.knows("anna")


def test_the_file_maps_openai_names_and_others_whatever_their_case(tmp_path: Path) -> None:
    aliases = aliases_of(tmp_path, {"alloy": "en-Alice_woman", "Narrator": "Carl", "echo": "alloy"})
    assert aliases.resolve("ALLOY") == "en-Alice_woman"
    assert aliases.resolve("narrator") == "Carl"
    assert aliases.resolve("echo") == "alloy"
    assert aliases.resolve("nova") is None
    assert aliases.knows("NARRATOR")
    assert not aliases.knows("carl")


def test_an_edited_file_counts_at_once(tmp_path: Path) -> None:
    aliases = aliases_of(tmp_path, {"nova": "Anna"})
    assert aliases.resolve("nova") == "Anna"
    (tmp_path / "voices.json").write_text('{"nova": "Bert"}')
    assert aliases.resolve("nova") == "Bert"
    (tmp_path / "voices.json").unlink()
    assert aliases.resolve("nova") is None


def test_a_file_saved_by_windows_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "voices.json").write_bytes(b'\xef\xbb\xbf{"nova": "Anna"}\r\n')
    assert aliases_in(tmp_path).resolve("nova") == "Anna"


def test_a_name_mapped_to_itself_is_the_voice_of_that_name(tmp_path: Path) -> None:
    aliases = aliases_of(tmp_path, {"nova": "Nova", "anna": "anna"})
    assert aliases.resolve("nova") is None
    assert not aliases.knows("anna")


BROKEN = {
    "empty": ("", "not valid JSON"),
    "cut": ('{"nova": "Anna", \n', "line 2"),
    "comma": ('{"nova": "Anna",}', "line 1, column"),
    "list": (["nova"], "flat object"),
    "string": ("nova", "line 1"),
    "number": (3, "flat object"),
    "null": ("null", "flat object"),
    "nested": ({"nova": {"voice": "Anna"}}, "entry 1"),
    "number inside": ({"alloy": "Anna", "nova": 3}, "entry 2"),
    "null inside": ({"nova": None}, "entry 1"),
    "blank target": ({"nova": "  "}, "entry 1"),
    "blank name": ({"": "Anna"}, "entry 1"),
    "twice": ('{"nova": "Anna", "Nova": "Bert"}', "twice"),
    "circle": ({"nova": "echo", "echo": "alloy", "alloy": "NOVA"}, "circle"),
    "deep": ("[" * 200_000, "not valid JSON"),
    "deep object": ('{"a":' * 100_000, "not valid JSON"),
    "long number": ('{"a": ' + "9" * 100_000 + "}", "not valid JSON"),
    "too large": (" " * MAX_BYTES + "{}", "1 MB"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_one_sentence_that_names_it_and_what_to_repair(tmp_path: Path, what: str) -> None:
    content, repair = BROKEN[what]
    with pytest.raises(NotAvailable) as caught:
        aliases_of(tmp_path, content)
    assert "voices.json" in caught.value.message
    assert repair in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 250


def test_a_file_that_is_not_utf8_or_not_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "voices.json").write_bytes(b'{"nova": "\xff"}')
    with pytest.raises(NotAvailable, match=r"voices\.json.*UTF-8"):
        aliases_in(tmp_path)
    (tmp_path / "voices.json").unlink()
    os.mkfifo(tmp_path / "voices.json")
    with pytest.raises(NotAvailable, match=r"voices\.json"):
        aliases_in(tmp_path)


def test_a_file_that_is_a_link_out_of_the_home_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "elsewhere.json").write_text('{"nova": "Anna"}')
    (tmp_path / "home" / "voices.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(NotAvailable, match=r"voices\.json"):
        aliases_in(tmp_path / "home")


def test_a_long_chain_and_a_long_circle_are_read_at_once() -> None:
    chain = {f"a{n}": f"a{n + 1}" for n in range(30_000)}
    assert len(parse(json.dumps(chain).encode())) == 30_000
    chain["a30000"] = "a0"
    with pytest.raises(NotAvailable, match="circle"):
        parse(json.dumps(chain).encode())


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdefXYZ")))
@settings(deadline=None, max_examples=300)
def test_aliases_that_are_accepted_always_end_at_a_voice(mapping: dict[str, str]) -> None:
    try:
        targets = parse(json.dumps(mapping).encode())
    except NotAvailable:
        assert any(_returns(mapping, name) for name in mapping)
        return
    for name in targets:
        for _ in range(len(targets)):
            name = targets.get(name, name)
        assert name not in targets


def _returns(mapping: dict[str, str], start: str) -> bool:
    name = mapping[start]
    for _ in mapping:
        if name == start:
            return mapping[start] != start
        name = mapping.get(name, "")
    return False

"""Which voice speaks: presets, the library, aliases, defaults, and the sentence when none fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from oscine.errors import InvalidRequest, NotAvailable, OscineError
from oscine.voices.aliases import OPENAI_NAMES, Aliases
from oscine.voices.library import VoiceLibrary
from oscine.voices.prompt import Prompt
from oscine.voices.resolve import resolve_voice
from oscine.voices.store import PromptStore
from tests.voices.recordings import recording


@dataclass(frozen=True)
class Preset:
    name: str
    installed: bool = True


HIBARI = (
    Preset("heart"),
    Preset("fenrir", False),
    Preset("emma", False),
    Preset("fable", False),
    Preset("kore", False),
)


class House:
    """A library, aliases and an engine to ask for voices."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.library = VoiceLibrary([], home)
        self.aliases = Aliases(home)
        self.prompts = PromptStore(self.library)
        self.presets: tuple[Preset, ...] = HIBARI
        self.default_preset: str | None = "heart"
        self.default_speaker: str | None = None
        self.cloning = False
        self.engine = "hibari"

    def cloner(self, *voices: str, presets: tuple[Preset, ...] = (), default: str | None = None) -> House:
        self.presets, self.default_preset, self.cloning, self.engine = presets, default, True, "vibevoice"
        return self.voices(*voices)

    def voices(self, *names: str) -> House:
        for seed, name in enumerate(names):
            self.library.add(name, recording("opus", 3.2, seed % 3 + 1))
        return self

    def maps(self, content: str) -> House:
        self.home.mkdir(exist_ok=True)
        (self.home / "voices.json").write_text(content)
        return self

    def ask(self, wanted: str | None, *, loose: bool = False, field: str = "voice") -> tuple[Prompt, list[str]]:
        return resolve_voice(
            wanted,
            presets=self.presets,
            default_preset=self.default_preset,
            default_speaker=self.default_speaker,
            cloning=self.cloning,
            library=self.library,
            aliases=self.aliases,
            prompts=self.prompts,
            engine=self.engine,
            loose=loose,
            field=field,
        )

    def name(self, wanted: str | None, *, loose: bool = False) -> str:
        prompt, warnings = self.ask(wanted, loose=loose)
        assert warnings == []
        return prompt.name


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "voices")


def test_a_preset_is_found_in_any_case_and_by_a_part(house: House) -> None:
    for wanted in ("heart", "HEART", "hea", "art"):
        prompt, warnings = house.ask(wanted)
        assert (prompt.name, prompt.key, prompt.reference, warnings) == ("heart", "preset:hibari:heart", None, [])


def test_without_a_wish_the_default_preset_speaks(house: House) -> None:
    for wanted in (None, "", "  "):
        assert house.name(wanted) == "heart"


@pytest.mark.parametrize("name", OPENAI_NAMES)
def test_every_openai_name_speaks_even_where_a_preset_of_that_name_is_not_downloaded(house: House, name: str) -> None:
    assert house.name(name) == "heart"
    assert house.name(name.title(), loose=True) == "heart"


def test_an_installed_preset_comes_before_an_openai_name(house: House) -> None:
    house.presets = (Preset("heart"), Preset("fable"))
    assert house.name("Fable") == "fable"


@pytest.mark.parametrize("wanted", ["fenrir", "FENRIR", "fen"])
def test_a_preset_that_is_not_downloaded_names_the_command_that_brings_it(house: House, wanted: str) -> None:
    for loose in (False, True) if wanted != "fen" else (False,):
        with pytest.raises(NotAvailable, match="`oscine download hibari`") as caught:
            house.ask(wanted, loose=loose)
        assert caught.value.param == "voice"


def test_an_unknown_name_lists_the_voices_there_are(house: House) -> None:
    with pytest.raises(InvalidRequest, match="heart, fenrir, emma, fable, kore") as caught:
        house.ask("my secret text", field="voices")
    assert caught.value.param == "voices"
    assert "secret" not in caught.value.message
    house.cloner("anna", presets=(Preset("base"),))
    with pytest.raises(InvalidRequest, match=r"base, anna .*`oscine voices add NAME FILE`"):
        house.ask("nobody")


def test_a_part_that_fits_a_preset_and_a_recording_is_ambiguous(house: House) -> None:
    house.cloner("Annabel", presets=(Preset("anna-base"),))
    with pytest.raises(InvalidRequest, match="anna-base, Annabel"):
        house.ask("ann")


def test_a_recording_is_found_by_the_rules_of_names(house: House) -> None:
    house.cloner("en-Alice_woman", "Bob")
    for wanted, found in {"bob.wav": "Bob", "EN-ALICE_WOMAN": "en-Alice_woman", "alice": "en-Alice_woman"}.items():
        prompt, _ = house.ask(wanted)
        assert prompt.name == found
        assert prompt.key.startswith("sha256:")
        assert prompt.reference is not None


def test_a_preset_comes_before_a_recording_of_the_same_name(house: House) -> None:
    house.cloner("heart", presets=(Preset("heart"),))
    assert house.ask("heart")[0].reference is None
    assert house.ask("hear")[0].reference is None


def test_a_recording_comes_before_an_alias_of_the_same_name(house: House) -> None:
    house.cloner("alloy", "bob").maps('{"alloy": "bob"}')
    assert house.name("alloy") == "alloy"


@pytest.mark.parametrize("wanted", ["anna", "Anna.wav", "ann"])
def test_an_engine_that_cannot_clone_says_so(house: House, wanted: str) -> None:
    house.voices("anna")
    with pytest.raises(
        InvalidRequest, match=r"hibari has preset voices only and cannot clone; choose one of heart"
    ) as e:
        house.ask(wanted)
    assert e.value.param == "voice"


def test_aliases_lead_to_presets_recordings_and_other_aliases(house: House) -> None:
    house.cloner("Anna", "Bob", presets=(Preset("base"),), default="base")
    house.maps('{"nova": "ANNA.wav", "alloy": "nova", "echo": "base", "sage": "verse", "narrator": "bo"}')
    found = {name: house.name(name) for name in ("nova", "alloy", "echo", "sage", "narrator", "coral")}
    assert found == {
        "nova": "Anna",
        "alloy": "Anna",
        "echo": "base",
        "sage": "base",
        "narrator": "Bob",
        "coral": "base",
    }


@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        ("fenrir", NotAvailable, "oscine download hibari"),
        ("anna", InvalidRequest, "cannot clone"),
        ("nobody", InvalidRequest, "there are heart"),
        ("../../etc/passwd", InvalidRequest, "there are heart"),
    ],
)
def test_an_alias_that_leads_nowhere_says_that_the_file_is_to_blame(
    house: House, target: str, error: type[OscineError], says: str
) -> None:
    house.voices("anna").maps(f'{{"nova": "{target}"}}')
    for loose in (False, True):
        with pytest.raises(error, match=r"voices\.json") as caught:
            house.ask("nova", loose=loose)
        assert says in caught.value.message
        assert caught.value.param == "voice"


def test_a_very_long_chain_of_aliases_is_followed_to_its_end(house: House) -> None:
    chain = ", ".join(f'"a{n}": "a{n + 1}"' for n in range(2_000))
    house.maps(f'{{{chain}, "a2000": "heart"}}')
    assert house.name("a0") == "heart"


def test_a_broken_alias_file_stops_only_who_needs_it(house: House) -> None:
    house.maps("{")
    assert house.name("heart") == "heart"
    assert house.name(None) == "heart"
    with pytest.raises(NotAvailable, match=r"voices\.json.*line 1") as caught:
        house.ask("nova")
    assert caught.value.param == "voice"


def test_a_speaker_name_that_fits_nothing_gets_the_first_voice_with_a_warning(house: House) -> None:
    prompt, warnings = house.ask("Nobody", loose=True, field="speaker_name")
    assert prompt.name == "heart"
    assert len(warnings) == 1
    assert "speaker_name" in warnings[0]
    assert "heart" in warnings[0]
    house.cloner("carl", "Bea", presets=(Preset("base"),), default="base")
    prompt, warnings = house.ask("Zoe", loose=True, field="speaker_name")
    assert (prompt.name, len(warnings)) == ("Bea", 1)
    assert house.name("Carl the great", loose=True) == "carl"


def test_the_default_speaker_speaks_when_nothing_is_asked_for(house: House) -> None:
    house.cloner("Anna", "Bob", presets=(Preset("base"), Preset("far", False)), default="base")
    for setting, found in {
        "bob": "Bob",
        "Bob.wav": "Bob",
        "an": "Anna",
        "BASE": "base",
        None: "base",
        " ": "base",
    }.items():
        house.default_speaker = setting
        assert house.name(None) == found
    house.default_speaker = "bob"
    assert house.name("alloy") == "Bob"
    house.default_speaker = "far"
    with pytest.raises(NotAvailable, match=r"DEFAULT_SPEAKER.*oscine download vibevoice"):
        house.ask(None)


def test_a_default_speaker_that_is_missing_gives_the_first_voice_with_a_warning(house: House) -> None:
    house.default_speaker = "Alice"
    prompt, warnings = house.ask(None)
    assert prompt.name == "heart"
    assert "DEFAULT_SPEAKER" in warnings[0]
    house.cloner("Carl", "bea")
    prompt, warnings = house.ask(None)
    assert prompt.name == "bea"
    assert len(warnings) == 1
    assert "DEFAULT_SPEAKER" in warnings[0]
    assert "bea" in warnings[0]


def test_an_engine_without_a_voice_of_its_own_takes_the_first_recording_and_says_so(house: House) -> None:
    house.cloner("Carl", "bea")
    prompt, warnings = house.ask(None)
    assert prompt.name == "bea"
    assert len(warnings) == 1


@pytest.mark.parametrize("wanted", [None, "alloy"])
def test_where_there_is_no_voice_at_all_the_error_says_where_to_put_one(house: House, wanted: str | None) -> None:
    house.cloner()
    for speaker in (None, "Alice"):
        house.default_speaker = speaker
        with pytest.raises(NotAvailable, match=r"oscine voices add NAME FILE.*AUDIO_VOICES_DIR"):
            house.ask(wanted)


def test_a_recording_that_cannot_be_used_is_an_error_about_the_field_and_never_passed_over(house: House) -> None:
    house.cloner("Bob")
    (house.home / "anna.wav").write_bytes(b"Dear diary")
    for loose in (False, True):
        with pytest.raises(InvalidRequest) as caught:
            house.ask("anna", loose=loose, field="speaker_name")
        assert caught.value.param == "speaker_name"
    house.default_speaker = "anna"
    with pytest.raises(InvalidRequest):
        house.ask(None)


def test_a_link_that_leads_out_is_named_as_the_reason(house: House, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(recording())
    house.cloner("Bob")
    (house.home / "anna.wav").symlink_to(tmp_path / "secret.wav")
    with pytest.raises(InvalidRequest, match="leads out"):
        house.ask("anna")

"""What RunPod's Hub is told: settings that exist, with values that they take, and jobs that are valid.

The form of both files: https://docs.runpod.io/hub/publishing-guide.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from oscine.config import Settings
from oscine.engines.registry import Registry
from oscine.request import SpeechRequest
from tests.container.container import ROOT

HUB: Final = json.loads((ROOT / ".runpod" / "hub.json").read_text())
TESTS: Final = json.loads((ROOT / ".runpod" / "tests.json").read_text())
CONFIG: Final = HUB["config"]
SETTINGS: Final = {str(field.validation_alias) for field in Settings.model_fields.values()}
OTHERS: Final = {"HF_TOKEN", "RUNPOD_INIT_TIMEOUT"}
"""Variables that the Hugging Face Hub's package and the platform read."""
POOLS: Final = {"AMPERE_24", "ADA_24", "AMPERE_48", "ADA_48_PRO", "AMPERE_80", "ADA_80_PRO", "HOPPER_141"}
ENV: Final = {each["key"]: each for each in CONFIG["env"]}


def written(value: Any) -> str:
    """A value as the platform puts it into the environment."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_listing_has_what_the_platform_asks_for():
    assert (HUB["type"], HUB["category"], CONFIG["runsOn"], CONFIG["gpuCount"]) == ("serverless", "audio", "GPU", 1)
    assert HUB["title"]
    assert HUB["description"]
    assert isinstance(CONFIG["containerDiskInGb"], int)
    assert set(CONFIG["gpuIds"].split(",")) <= POOLS
    assert len(ENV) == len(CONFIG["env"]), "a variable stands there twice"
    for name in ("handler.py", "Dockerfile", "README.md"):
        assert (ROOT / name).is_file()


def test_every_variable_is_a_setting_and_its_values_are_taken():
    assert set(ENV) <= SETTINGS | OTHERS
    for key, entry in ENV.items():
        asked = entry.get("input")
        if asked is None:
            assert isinstance(entry["value"], str)
            continue
        assert asked["type"] in {"string", "number", "boolean", "huggingface"}
        assert asked["name"]
        assert asked["description"].endswith(".")
        values = [asked[part] for part in ("default", "min", "max") if part in asked]
        values += [option["value"] for option in asked.get("options", ())]
        if asked["type"] == "boolean":
            values = [asked["trueValue"], asked["falseValue"]]
        if "options" in asked:
            assert asked["default"] in [option["value"] for option in asked["options"]]
        for value in values:
            Settings.from_env({key: written(value)})


def test_a_default_says_what_happens_without_it():
    """But for the engine: the images have one of their own."""
    field_of = {str(field.validation_alias): name for name, field in Settings.model_fields.items()}
    for key, entry in ENV.items():
        default = entry.get("input", {}).get("default")
        if default is not None and key in SETTINGS - {"OSCINE_ENGINE"}:
            name = field_of[key]
            assert getattr(Settings.from_env({key: written(default)}), name) == getattr(Settings.from_env({}), name)


def test_secrets_have_no_default():
    for key in ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "HF_TOKEN", "OSCINE_API_KEYS"):
        assert "default" not in ENV[key]["input"]
        assert "value" not in ENV[key]


@pytest.mark.parametrize("preset", CONFIG["presets"], ids=lambda preset: preset["name"])
def test_a_preset_names_an_engine_that_is_there(preset: dict[str, Any]):
    assert set(preset["defaults"]) <= set(ENV)
    settings = Settings.from_env({key: written(value) for key, value in preset["defaults"].items()})
    assert settings.engine in Registry(settings).names


def test_there_is_a_preset_for_every_large_model():
    presets = [preset["defaults"] for preset in CONFIG["presets"]]
    assert [(each["OSCINE_ENGINE"], each.get("MODEL_PATH")) for each in presets] == [
        ("vibevoice", "vibevoice/VibeVoice-1.5B-hf"),
        ("vibevoice", "vibevoice/VibeVoice-7B-hf"),
        ("indextts2", None),
        ("indextts25", None),
    ]


def test_the_jobs_that_the_platform_tries_are_valid():
    assert {each["key"] for each in TESTS["config"]["env"]} <= SETTINGS | OTHERS
    assert all(isinstance(each["value"], str) for each in TESTS["config"]["env"])
    names = [each["name"] for each in TESTS["tests"]]
    assert len(set(names)) == len(names)
    for each in TESTS["tests"]:
        assert isinstance(each["timeout"], int)
        fields = dict(each["input"])
        if fields.pop("action", "speak") == "speak":
            _, warnings = SpeechRequest.parse(fields)
            assert list(warnings) == []
        else:
            assert fields == {}

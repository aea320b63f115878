"""Which engine answers, and what is said when none can."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from oscine.config import Settings
from oscine.engines.protocol import Engine, Missing
from oscine.engines.registry import Registry
from oscine.errors import InvalidRequest, NotAvailable
from oscine.extras import install_command
from oscine.request import SpeechRequest
from oscine.synthesis.studio import Studio
from tests.echo import EchoEngine, echo

SETTINGS = Settings.from_env({"OSCINE_ENGINE": "echo"})


def two() -> Registry:
    return Registry(SETTINGS, {"echo": echo(), "other": echo(name="other")})


def test_the_built_in_engine_is_found_by_its_entry_point() -> None:
    registry = Registry(Settings.from_env({}))
    assert "hibari" in registry.names
    assert registry.get("hibari").info.name == "hibari"


def test_an_engine_of_another_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = tmp_path / "loud_voices-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: loud-voices\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[oscine.engines]\nloud = loud_voices:make\n")
    (tmp_path / "loud_voices.py").write_text(
        "from tests.echo import EchoEngine\n\ndef make(settings):\n    return EchoEngine(name='loud')\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    registry = Registry(Settings.from_env({}))
    assert {"hibari", "loud"} <= set(registry.names)
    assert registry.get("loud").info.name == "loud"


def test_an_engine_is_constructed_once_also_by_threads_at_the_same_time() -> None:
    made: list[Engine] = []
    meet = threading.Barrier(8)

    def factory(_settings: Settings) -> Engine:
        made.append(EchoEngine())
        threading.Event().wait(0.05)
        return made[-1]

    registry = Registry(SETTINGS, {"echo": factory})

    def ask() -> None:
        meet.wait()
        registry.get("echo")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


@pytest.mark.parametrize(
    ("engine", "model", "chosen"),
    [
        (None, None, "echo"),
        (None, "tts-1", "echo"),
        (None, "gpt-4o-mini-tts", "echo"),
        (None, "other", "other"),
        (None, "OTHER", "other"),
        ("other", None, "other"),
        ("Other", "echo", "other"),
        ("echo", "other", "echo"),
    ],
)
def test_engine_goes_before_model_and_an_unknown_model_means_the_default(
    engine: str | None, model: str | None, chosen: str
) -> None:
    assert two().select(engine, model) == chosen


def test_an_engine_is_chosen_by_its_name_also_where_its_package_writes_it_with_capitals() -> None:
    registry = Registry(Settings.from_env({"OSCINE_ENGINE": "Nightingale"}), {"Nightingale": echo()})
    assert registry.names == ["nightingale"]
    assert registry.select("Nightingale", None) == registry.select(None, None) == "nightingale"
    assert registry.get("nightingale").info.name == "echo"


def test_an_unknown_engine_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InvalidRequest, match=r"echo, other") as caught:
        two().select("nightingale", None)
    assert caught.value.param == "engine"


def test_a_default_that_is_not_installed_is_named_by_its_setting() -> None:
    registry = Registry(Settings.from_env({"OSCINE_ENGINE": "vibevoice"}), {"echo": echo()})
    with pytest.raises(NotAvailable, match="OSCINE_ENGINE"):
        registry.select(None, "tts-1")
    assert registry.select("echo", None) == "echo"


def test_an_engine_whose_packages_are_missing_names_the_command_that_brings_them() -> None:
    def factory(_settings: Settings) -> Engine:
        import a_package_that_is_not_here  # type: ignore[import-not-found]  # noqa: F401

        raise AssertionError

    registry = Registry(SETTINGS, {"echo": factory})
    with pytest.raises(NotAvailable) as caught:
        registry.get("echo")
    assert "a_package_that_is_not_here" in caught.value.message
    assert 'pip install "oscine[echo]"' in caught.value.message
    with pytest.raises(NotAvailable):
        registry.get("echo")


@pytest.mark.parametrize(
    ("stamps", "command"),
    [
        ((), 'pip install "oscine[vibevoice]"'),
        (("ready-core",), "make extra EXTRA=vibevoice"),
        (("ready-core", "ready-serve"), "make extra EXTRA=vibevoice"),
        (("ready-core", "ready-serve", "ready-dev"), 'pip install "oscine[vibevoice]"'),
    ],
)
def test_in_an_environment_of_make_which_has_no_pip_a_target_of_make_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stamps: tuple[str, ...], command: str
) -> None:
    for stamp in stamps:
        (tmp_path / stamp).touch()
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    assert install_command("vibevoice") == command
    point = EntryPoint("vibevoice", "a_module_that_is_not_here:make", "oscine.engines")
    monkeypatch.setattr("oscine.engines.registry.entry_points", lambda **_: [point])
    with pytest.raises(NotAvailable) as caught:
        Registry(SETTINGS).get("vibevoice")
    assert caught.value.message.endswith(f"which is not installed; run: {command}.")


def test_an_entry_point_whose_module_is_missing_is_treated_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("ghost", "a_module_that_is_not_here:make", "oscine.engines")
    monkeypatch.setattr("oscine.engines.registry.entry_points", lambda **_: [point])
    with pytest.raises(NotAvailable, match=r'pip install "oscine\[ghost\]"'):
        Registry(SETTINGS).get("ghost")


def test_an_engine_that_misses_its_weights_is_not_loaded_and_the_remedy_is_named(tmp_path: Path) -> None:
    engine = EchoEngine(missing=Missing("its weights", "oscine download echo"))
    settings = Settings.from_env({"OSCINE_ENGINE": "echo", "OSCINE_VOLUME": str(tmp_path)})
    with Studio(settings, factories={"echo": lambda _: engine}) as studio:
        with pytest.raises(NotAvailable, match="its weights; run: oscine download echo"):
            studio.scheduler("echo")
        assert engine.counts.loads == 0


def test_what_is_missing_of_an_engine_is_told_before_the_voice_that_it_has_not_got(tmp_path: Path) -> None:
    engine = EchoEngine(missing=Missing("a package", "make it so"), cloning=True)
    engine.info = replace(engine.info, presets=(), default_preset=None)
    settings = Settings.from_env({"OSCINE_ENGINE": "echo", "OSCINE_VOLUME": str(tmp_path)})
    request, _ = SpeechRequest.parse({"text": "One."})
    with pytest.raises(NotAvailable, match="a package; run: make it so"):
        Studio(settings, factories={"echo": lambda _: engine}).plan(request)
    complete = EchoEngine(cloning=True)
    complete.info = engine.info
    with pytest.raises(NotAvailable, match="has no voice to speak with"):
        Studio(settings, factories={"echo": lambda _: complete}).plan(request)

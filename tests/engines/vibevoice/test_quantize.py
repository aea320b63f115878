"""How weights are loaded: their types and bits, the device, and whatever attention a checkpoint asks for."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oscine.audio.waveform import Samples
from oscine.config import Settings
from oscine.engines.protocol import Done, Turn, Utterance
from oscine.engines.vibevoice.engine import VibeVoiceEngine
from oscine.errors import NotAvailable
from oscine.voices.prompt import Prompt
from tests.engines.contract import quiet, run
from tests.engines.vibevoice import tiny

LANGUAGE = "model.language_model.layers."
ATTENTION = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny"), hidden=128, stop=1.2)


def engine_of(checkpoint: Path, **settings: Any) -> VibeVoiceEngine:
    """A loaded engine."""
    engine = VibeVoiceEngine(Settings(model_path=str(checkpoint), vibevoice_lanes=1, **settings))
    engine.load(quiet)
    return engine


def spoken(engine: VibeVoiceEngine) -> Samples:
    """A sentence of nine frames or so, which came to its end."""
    voice = Prompt("tone", "tone", tiny.voice(220))
    sentence = Utterance((Turn("a", "Hello there, this is a test."),), {"a": voice}, seed=3)
    (heard,) = run(engine, [sentence])
    assert isinstance(heard.events[-1], Done)
    assert np.isfinite(heard.samples).all()
    return heard.samples


def layers(engine: VibeVoiceEngine) -> dict[str, torch.nn.Linear]:
    return {name: module for name, module in engine._model.named_modules() if isinstance(module, torch.nn.Linear)}


def alike(one: Samples, other: Samples) -> float:
    both = min(len(one), len(other))
    return float(np.corrcoef(one[:both], other[:both])[0, 1])


@pytest.mark.parametrize(("bits", "likeness"), [(8, 0.95), (4, 0.7)])
def test_a_quantized_language_model_says_nearly_the_same(checkpoint: Path, bits: int, likeness: float) -> None:
    plain, coarse = engine_of(checkpoint), engine_of(checkpoint, quantize=bits)
    said, heard = spoken(plain), spoken(coarse)
    assert abs(len(said) - len(heard)) <= 2 * 3200
    assert alike(said, heard) > likeness
    assert not np.array_equal(said, heard)
    assert coarse.info.version == f"{plain.info.version}+{bits}bit", "finished pieces of the other are not taken"


@pytest.mark.parametrize("bits", [8, 4])
def test_only_the_layers_of_the_language_model_are_quantized(checkpoint: Path, bits: int) -> None:
    plain, coarse = layers(engine_of(checkpoint)), layers(engine_of(checkpoint, quantize=bits))
    assert plain.keys() == coarse.keys()
    made_coarse = {name for name, layer in coarse.items() if layer.weight.dtype != torch.float32}
    assert made_coarse == {name for name in plain if name.startswith(LANGUAGE)}
    assert len(made_coarse) == 7 * 2
    assert {coarse[name].weight.dtype for name in made_coarse} == {torch.int8 if bits == 8 else torch.uint8}
    assert all(torch.equal(plain[name].weight, coarse[name].weight) for name in plain.keys() - made_coarse)


def test_nothing_is_said_about_types_of_numbers(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    spoken(engine_of(checkpoint, quantize=8))
    assert [record for record in caplog.records if record.thread == threading.get_ident()] == []


def test_without_its_package_quantizing_names_the_command(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(NotAvailable, match=r'pip install "oscine\[quantize\]"'):
        engine_of(checkpoint, quantize=4)


@pytest.mark.parametrize("key", ATTENTION)
@pytest.mark.parametrize("part", ["", "text_config", "audio_config", "semantic_model_config", "diffusion_head_config"])
def test_attention_that_is_not_installed_is_not_needed(checkpoint: Path, tmp_path: Path, key: str, part: str) -> None:
    folder = tmp_path / "asking"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    (config[part] if part else config)[key] = "flash_attention_2"
    (folder / "config.json").write_text(json.dumps(config))
    engine = engine_of(folder)
    assert engine._model.config._attn_implementation == "sdpa"
    if (key, part) == (ATTENTION[0], ""):
        assert alike(spoken(engine), spoken(engine_of(checkpoint))) > 0.999


def test_on_a_cpu_weights_of_16_bits_become_float32(tmp_path: Path) -> None:
    tiny.model().bfloat16().save_pretrained(tmp_path)
    tiny.processor().save_pretrained(tmp_path)
    engine = engine_of(tmp_path, device="cpu")
    assert {weight.dtype for weight in engine._model.parameters()} == {torch.float32}
    assert {str(weight.device) for weight in engine._model.parameters()} == {"cpu"}
    assert engine.info.device == "cpu"


@pytest.mark.parametrize("device", ["nonsense", "meta", "cuda:99", "CPU", "cpu;"])
def test_a_device_that_is_not_here_is_one_sentence(checkpoint: Path, device: str) -> None:
    with pytest.raises(NotAvailable) as refused:
        engine_of(checkpoint, device=device)
    assert refused.value.message.startswith("DEVICE names no device that PyTorch can use here")
    assert "\n" not in refused.value.message

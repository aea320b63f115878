"""The packages are brought in so that nothing else in the process changes, and settings that do nothing are told."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from oscine.engines.indextts import packages
from oscine.engines.indextts.engine import MOST_TOKENS, IndexTTS2Engine, IndexTTS25Engine, IndexTTSEngine
from oscine.errors import NotAvailable
from tests.engines.contract import quiet
from tests.engines.indextts import tiny
from tests.engines.indextts.reference import model_of, said, utterance

IMPORTED = """
import logging, sys, warnings
import numpy  # has filters of its own
warnings.simplefilter("default")
filters, level, handlers = list(warnings.filters), logging.root.level, list(logging.root.handlers)
from oscine.engines.indextts import packages
packages.indextts(), packages.indextts25()
import torch
assert warnings.filters == filters, warnings.filters
assert (logging.root.level, logging.root.handlers) == (level, handlers)
import torchaudio, torchaudio.transforms, torchaudio.compliance.kaldi
assert torchaudio.transforms.Resample(24_000, 16_000)(torch.zeros(1, 240)).shape == (1, 160)
from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor
assert packages.indextts() is sys.modules["indextts.infer_v2"]
print("fine")
"""


def test_importing_them_changes_no_filter_and_no_log_and_leaves_transformers_whole() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fine\n"


@pytest.mark.parametrize(
    ("package", "extra", "bring"),
    [
        ("indextts2-inference", "indextts2", packages.indextts),
        ("indextts25-inference", "indextts25", packages.indextts25),
    ],
)
def test_another_version_is_refused_in_one_sentence_with_the_command(
    monkeypatch: pytest.MonkeyPatch, package: str, extra: str, bring: Callable[[], object]
) -> None:
    made_for = metadata.version(package)
    monkeypatch.setattr(metadata, "version", lambda _name: "9.9")
    with pytest.raises(NotAvailable) as caught:
        bring()
    for part in (f"{package} 9.9 is installed", f"{package} {made_for}", f'pip install "oscine[{extra}]"'):
        assert part in caught.value.message
    assert "\n" not in caught.value.message

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(NotAvailable, match="is not installed"):
        bring()


@pytest.mark.parametrize("kind", [IndexTTS2Engine, IndexTTS25Engine])
def test_settings_that_do_nothing_here_are_told_and_it_speaks(
    home: Path, unwritten: None, caplog: pytest.LogCaptureFixture, kind: type[IndexTTSEngine]
) -> None:
    engine = kind(
        tiny.settings(home, use_fp16=True, use_deepspeed=True, use_cuda_kernel=True, max_tokens_per_segment=800)
    )
    with caplog.at_level(logging.WARNING, "oscine"):
        engine.load(quiet)
        told = [record.getMessage() for record in caplog.records if record.name.startswith("oscine")]
        assert len(said(engine, utterance(fast=True, steps=2)))
    engine.close()
    for name in ("USE_FP16", "USE_DEEPSPEED", "USE_CUDA_KERNEL", "MAX_TOKENS_PER_SEGMENT"):
        (line,) = [line for line in told if line.startswith(name)]
        assert line.endswith(".")
    assert engine._most_tokens == MOST_TOKENS < 600


def test_nothing_that_is_said_comes_into_the_log_or_onto_a_screen(
    engine: IndexTTSEngine, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    words = "Zanzibar quixotic ☃ 王 XING2"
    said(engine, utterance(words, fast=True, steps=2))
    shown = caplog.text + "".join(capfd.readouterr())
    for word in ("zanzibar", "quixotic", "☃", "王"):
        assert word not in shown.lower()


def test_loading_puts_back_what_it_changed(home: Path, unwritten: None) -> None:
    module, module_25 = packages.indextts(), packages.indextts25()
    names = ("hf_hub_download", "SeamlessM4TFeatureExtractor", "build_semantic_model", "QwenEmotion", "bigvgan")
    before = [getattr(module, name) for name in names]
    before += [module.TextNormalizer.load, module_25.ensure_models_available]
    for kind in (IndexTTS2Engine, IndexTTS25Engine):
        engine = kind(tiny.settings(home))
        engine.load(quiet)
        engine.close()
    after = [getattr(module, name) for name in names]
    assert [*after, module.TextNormalizer.load, module_25.ensure_models_available] == before


def test_no_first_weights_are_drawn_for_what_the_checkpoint_holds_all_weights_of(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    drawn: list[object] = []

    class Draws(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, _types: Any, given: Any = (), more: Any = None) -> Any:
            drawn.extend([function] if str(function).startswith(("aten.normal_", "aten.uniform_")) else [])
            return function(*given, **(more or {}))

    module = packages.indextts()
    made_with: Any = module.UnifiedVoice

    class Watched(made_with):  # type: ignore[misc]
        def __init__(self, **config: object) -> None:
            with Draws():  # type: ignore[no-untyped-call]
                super().__init__(**config)

    monkeypatch.setattr(module, "UnifiedVoice", Watched)
    engine = IndexTTS2Engine(tiny.settings(home))
    engine.load(quiet)
    assert drawn == []
    assert module.UnifiedVoice is Watched, "others who use the package have it as it was"
    stored = torch.load(engine._checkpoint.files().folder / "gpt.pth", weights_only=True)
    loaded = model_of(engine).loaded.gpt.state_dict()
    assert stored.keys() <= loaded.keys()
    assert all(torch.equal(loaded[name], stored[name]) for name in stored)
    assert len(said(engine, utterance(steps=1, fast=True)))
    engine.close()

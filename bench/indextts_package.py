"""The packages' own code, as their users run it."""

from __future__ import annotations

import contextlib
import os
import warnings
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oscine.engines.indextts.engine import IndexTTSEngine
from oscine.engines.indextts.grammars import Plain
from oscine.engines.protocol import Utterance
from tests.engines.indextts.mask import mask_kept


class Package:
    """`infer_generator` of the model that an engine has loaded, with its references on disk."""

    def __init__(self, engine: IndexTTSEngine, folder: Path) -> None:
        assert engine._model is not None
        self._loaded = engine._model.loaded
        self._is_two = engine.name == "indextts2"
        self._folder = folder
        self.takes_steps = not self._is_two
        if self._is_two:
            self._loaded.normalizer._normalizers.update(en=Plain(), zh=Plain())

    def sounds(self, wanted: Utterance, *, beams: int, steps: int, codes: int) -> Iterator[torch.Tensor]:
        """The segments of an utterance as they are made, and the silence after each."""
        (prompt,) = wanted.prompts.values()
        path = self._folder / f"{prompt.name}.wav"
        if not path.exists():
            assert prompt.reference is not None
            _write(path, prompt.reference.samples, prompt.reference.sample_rate)
        how: dict[str, Any] = {"stream_return": True, "num_beams": beams, "max_mel_tokens": codes}
        with self._as_is():
            torch.manual_seed(wanted.seed)
            if self._is_two:
                sounds = self._loaded.infer_generator(str(path), wanted.text, None, interval_silence=0, **how)
            else:
                how["diffusion_steps"] = steps
                sounds = self._loaded.infer_generator(str(path), wanted.text, None, "en", interval_silence=0, **how)
            for sound in sounds:
                if isinstance(sound, torch.Tensor):
                    yield sound

    @contextlib.contextmanager
    def _as_is(self) -> Iterator[None]:
        """Without its bars and warnings; 2.0 with the mask that `generate()` drops, without which it does not run."""
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self._is_two:
                with mask_kept():
                    yield
            else:
                yield


def _write(path: Path, samples: Any, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())

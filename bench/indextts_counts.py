"""Operations that PyTorch is asked for with each code: the package's `inference_speech`, and Oscine's loop.

`python -m bench.indextts_counts`: the published model's number of layers and codes, narrow, with random weights. On a
GPU each operation outside of a graph is a launch that a code waits for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.indextts import VOICE, finish
from bench.indextts_package import Package
from oscine.config import Settings
from oscine.engines.indextts.decoding import decode
from oscine.engines.indextts.engine import IndexTTS25Engine
from oscine.engines.indextts.gpt import Memories
from oscine.engines.indextts.grammars import Plain
from oscine.engines.indextts.sampling import Sampling
from tests.engines.indextts import tiny

CODES = (20, 40)


class Count(TorchDispatchMode):
    """Counts operations while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def main() -> None:
    """Print operations for each code, of both sides and numbers of beams."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        tiny.save_two_five(home, tiny.Size(layers=24, codes=8192))
        engine = IndexTTS25Engine(Settings(volume=home, device="cpu"))
        engine._grammars._loaded.update(en=Plain(), zh=Plain())
        engine.load(lambda _what, _share: None)
        assert engine._model is not None
        model = engine._model
        Package(engine, home)
        with torch.no_grad():
            model.loaded.gpt.mel_head.bias[model.weights.choice.stop] = -1e4
        print("operations of a code          1 beam   3 beams")
        for name, side in (
            ("generate()", _package(model)),
            ("loop", _loop(model, replay=False)),
            ("loop, beside its graph", _beside(model)),
        ):
            found = [(side(beams, CODES[1]) - side(beams, CODES[0])) / (CODES[1] - CODES[0]) for beams in (1, 3)]
            print(f"{name:28} {found[0]:7.0f} {found[1]:9.0f}")


def _given(model: Any) -> tuple[Any, Any, Any]:
    with torch.inference_mode():
        voice = model.voice(VOICE)
        (segment,) = model.segments("She closed the door.", "en", 500)
        return segment, voice, model.mood(voice, VOICE, 1.0)


def _package(model: Any) -> Callable[[int, int], int]:
    segment, voice, mood = _given(model)
    text, language = torch.tensor([segment.tokens], dtype=torch.int32), torch.tensor([segment.language])

    def run(beams: int, codes: int) -> int:
        torch.manual_seed(1)
        with torch.inference_mode(), Count() as counted:
            model.loaded.gpt.inference_speech(
                text,
                language,
                mood,
                voice.style,
                max_generate_length=codes,
                do_sample=True,
                top_p=0.8,
                top_k=30,
                temperature=0.8,
                length_penalty=0.0,
                num_beams=beams,
                repetition_penalty=10.0,
            )
        return int(counted.count)

    return run


def _loop(model: Any, *, replay: bool) -> Callable[[int, int], int]:
    segment, voice, mood = _given(model)
    memories = Memories(model.weights, replay=replay)

    def run(beams: int, codes: int) -> int:
        generator = torch.Generator().manual_seed(1)
        with torch.inference_mode(), Count() as counted:
            prompt = model.prompt(segment, voice, mood)
            finish(decode(model.weights, memories, prompt, Sampling(beams=beams), codes, generator))
        return int(counted.count)

    return run


def _beside(model: Any) -> Callable[[int, int], int]:
    """What is left where a step is one graph: all but what `Replayed._step` asks for."""
    from oscine.engines.indextts.gpt import Replayed

    whole = _loop(model, replay=True)
    inside = [0]
    step = Replayed._step

    def counted(self: Replayed, view: int) -> None:
        with Count() as found:
            step(self, view)
        inside[0] += found.count

    def run(beams: int, codes: int) -> int:
        inside[0] = 0
        Replayed._step = counted  # type: ignore[method-assign]
        try:
            return int(whole(beams, codes) - inside[0])
        finally:
            Replayed._step = step  # type: ignore[method-assign]

    return run


if __name__ == "__main__":
    main()

"""What a GPU replays says the same as what a CPU runs."""

from __future__ import annotations

import weakref
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from oscine.engines.graphs import Recorder
from oscine.engines.indextts.decoding import decode
from oscine.engines.indextts.engine import IndexTTS2Engine, IndexTTS25Engine
from oscine.engines.indextts.gpt import LEAST_VIEW, Memories, Replayed, Weights
from oscine.engines.indextts.sampling import Codes, Overflow, Sampling
from oscine.engines.torchaudio import make_importable
from tests.engines.contract import quiet
from tests.engines.emulated import emulated
from tests.engines.indextts import reference, tiny

STOP = 65


def weights(device: str = "cpu", layers: int = 3, width: int = 64, stop: float = -4.0) -> Weights:
    """A GPT-2 of the models' kind, that ends by itself."""
    make_importable()
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(3)
    config = GPT2Config(vocab_size=8, n_positions=8, n_embd=width, n_layer=layers, n_head=4, n_inner=4 * width)
    gpt = GPT2Model(config).eval()
    head = torch.nn.Linear(width, STOP + 1)
    with torch.no_grad():
        head.weight *= 6
        head.bias[:] = 0
        head.bias[STOP] = stop
        head.bias[STOP - 1] = -1e4
    norm, codes, places = (
        torch.nn.LayerNorm(width),
        torch.nn.Embedding(STOP + 1, width),
        torch.nn.Embedding(1000, width),
    )
    for part in (gpt, norm, head, codes, places):
        part.to(device).requires_grad_(False)
    choice = Codes(STOP + 1, STOP, (1, STOP - 1))
    return Weights(gpt.h, gpt.ln_f, norm, head, codes, places, 4, STOP - 1, choice, 2)


def said(model: Weights, memories: Memories, seed: int, sampling: Sampling, most: int, prompt: int = 40) -> list[int]:
    device = model.head.weight.device
    given = torch.randn(prompt, 64, generator=torch.Generator().manual_seed(seed)).to(device)
    generator = torch.Generator(device).manual_seed(seed)
    return finish(decode(model, memories, given, sampling, most, generator))


def finish(steps: Generator[None, None, list[int]]) -> list[int]:
    with torch.inference_mode():
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return list(end.value)


@pytest.mark.parametrize("beams", [1, 3])
def test_steps_that_can_be_replayed_say_the_same(beams: int) -> None:
    model = weights()
    run, replayed = Memories(model, replay=False), Memories(model, replay=True)
    prompt, lengths = LEAST_VIEW - 40, []
    for seed in range(6):
        sampling = Sampling(beams=beams, temperature=1.5)
        codes = said(model, run, seed, sampling, 300, prompt)
        assert said(model, replayed, seed, sampling, 300, prompt) == codes
        lengths.append(prompt + len(codes))
    assert max(lengths) > LEAST_VIEW  # so that both sizes were in use
    (memory,) = replayed._free[beams]
    assert isinstance(memory, Replayed)


def test_a_memory_that_was_used_is_used_again_and_says_nothing_of_before() -> None:
    model = weights()
    fresh = [said(model, Memories(model, replay=True), seed, Sampling(), 80) for seed in (1, 2)]
    used = Memories(model, replay=True)
    said(model, used, 9, Sampling(temperature=2.0), 200)
    (memory,) = used._free[3]
    assert [said(model, used, seed, Sampling(), 80) for seed in (1, 2)] == fresh
    assert used._free[3] == [memory]


def test_two_at_a_time_have_memories_of_their_own() -> None:
    model = weights()
    memories = Memories(model, replay=True)
    alone = [said(model, memories, seed, Sampling(), 80) for seed in (1, 2)]
    given = [torch.randn(40, 64, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    takes = [
        decode(model, memories, prompt, Sampling(), 80, torch.Generator().manual_seed(seed))
        for seed, prompt in zip((1, 2), given, strict=True)
    ]
    results: dict[int, list[int]] = {}
    with torch.inference_mode():
        while len(results) < 2:
            for number, take in enumerate(takes):
                if number not in results:
                    try:
                        next(take)
                    except StopIteration as end:
                        results[number] = end.value
    assert [results[0], results[1]] == alone


def test_a_segment_that_is_left_gives_its_memory_back() -> None:
    model = weights()
    memories = Memories(model, replay=True)
    with torch.inference_mode():
        take = decode(model, memories, torch.randn(40, 64), Sampling(), 80, torch.Generator().manual_seed(1))
        next(take)
        assert memories._free[3] == []
        take.close()
    assert len(memories._free[3]) == 1


@pytest.mark.parametrize("beams", [1, 3])
def test_what_is_no_number_any_more_stays_in_its_take(beams: int) -> None:
    model = weights()
    memories = Memories(model, replay=True)
    before = said(model, memories, 1, Sampling(beams=beams), 300)
    bias = model.head.bias.clone()
    model.head.bias[7] = torch.nan
    with pytest.raises(Overflow):
        said(model, memories, 1, Sampling(beams=beams), 300)
    model.head.bias.copy_(bias)
    (memory,) = memories._free[beams]
    with torch.inference_mode():
        memory._all.fill_(torch.nan)  # as what float16 cannot hold leaves it
    assert said(model, memories, 1, Sampling(beams=beams), 300) == before


@pytest.mark.parametrize("beams", [1, 3])
def test_nothing_needs_numbers_of_64_bits_which_apple_s_gpus_do_not_have(beams: int) -> None:
    class Only32(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, _types: Any, given: Any = (), more: Any = None) -> Any:
            found = function(*given, **(more or {}))
            for each in found if isinstance(found, tuple | list) else (found,):
                assert not isinstance(each, torch.Tensor) or each.dtype != torch.float64, function
            return found

    model = weights()
    with Only32():  # type: ignore[no-untyped-call]
        assert said(model, Memories(model), 1, Sampling(beams=beams), 80)


@pytest.mark.parametrize("beams", [1, 3])
def test_the_host_waits_for_a_gpu_once_a_code(beams: int) -> None:
    class Waits(TorchFunctionMode):
        """Counts reads, and refuses what PyTorch copies to a GPU only when all before it is done."""

        reads = 0

        def __torch_function__(self, function: Any, _types: Any, given: Any = (), more: Any = None) -> Any:
            more = more or {}
            self.reads += function in (torch.Tensor.tolist, torch.Tensor.item, torch.Tensor.__bool__)
            assert function is not torch.tensor or more.get("device") is None, "numbers are copied while the host waits"
            if function is torch.Tensor.__getitem__:
                keys = given[1] if isinstance(given[1], tuple) else (given[1],)
                assert not any(isinstance(key, list) for key in keys), "a list is copied while the host waits"
            return function(*given, **more)

    model = weights()
    memories = Memories(model, replay=True)
    said(model, memories, 1, Sampling(beams=beams), 80)  # which makes the memory ready
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode(), Waits() as waits:
        steps = sum(1 for _ in decode(model, memories, torch.randn(40, 64), Sampling(beams=beams), 80, generator))
    assert steps > 20
    assert waits.reads == steps


def test_a_memory_that_is_too_small_is_gone_before_its_successor_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Replayed]] = []
    alive: list[int] = []
    begin = Replayed.__init__

    def watched(memory: Replayed, *given: Any) -> None:
        alive.append(sum(each() is not None for each in made))
        begin(memory, *given)
        made.append(weakref.ref(memory))

    monkeypatch.setattr(Replayed, "__init__", watched)
    model = weights()
    memories = Memories(model, replay=True)
    for most in (80, 300, 600):
        said(model, memories, 1, Sampling(), most)
    assert alive == [0, 0, 0]


@pytest.mark.parametrize("beams", [1, 3])
def test_codes_that_a_gpu_replays_are_those_of_the_loop_and_cost_one_wait_each(beams: int) -> None:
    """Over two sizes of graphs, with a memory that is used again; the numbers are drawn as on a CPU."""
    sampling, prompt = Sampling(beams=beams, temperature=1.5), LEAST_VIEW - 12
    plain = weights()
    right = [said(plain, Memories(plain), seed, sampling, 40, prompt) for seed in (1, 2)]
    assert max(map(len, right)) > 12
    with emulated() as gpu:
        model = weights("cuda")
        memories = Memories(model)
        assert said(model, memories, 1, sampling, 40, prompt) == right[0]
        gpu.waits.clear()
        before = gpu.replays
        assert said(model, memories, 2, sampling, 40, prompt) == right[1]
        assert gpu.waits.count("tolist") - (gpu.replays - before) in (0, 1)
        assert set(gpu.waits) - {"synchronize", "tolist"} == {"copy from the host"}, "which the prompt is, here"
        (memory,) = memories._free[beams]
        assert isinstance(memory, Replayed)
        assert len(memory._graphs) == 2


def test_where_there_is_no_memory_for_a_graph_steps_are_run_and_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, prompt = weights(), LEAST_VIEW - 12
    right = said(plain, Memories(plain), 1, Sampling(), 40, prompt)
    record, made = Recorder.record, 0

    def until_it_is_full(*given: Any) -> Any:
        nonlocal made
        made += 1
        if made > 1:
            raise torch.AcceleratorError("CUDA error: out of memory")
        return record(*given)

    monkeypatch.setattr(Recorder, "record", until_it_is_full)
    with emulated() as gpu:
        model = weights("cuda")
        memories = Memories(model)
        assert said(model, memories, 1, Sampling(), 40, prompt) == right
        assert 0 < gpu.replays < len(right) - 1
        with pytest.raises(torch.AcceleratorError):
            memories.warm_up(1, 300)


def test_memory_that_loading_took_in_passing_is_there_for_what_is_said() -> None:
    with emulated() as gpu:
        gpu.free, gpu.cached = 1_000, 60_000_000_000
        fit = Memories(weights("cuda", layers=1)).fit(3, 2_000)
        assert fit is not None
        assert fit > 1_000


@pytest.mark.long
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("kind", [IndexTTS2Engine, IndexTTS25Engine])
def test_all_of_an_engine_works_on_a_gpu(
    home: Path, unwritten: None, kind: type[IndexTTS2Engine | IndexTTS25Engine], half: bool
) -> None:
    wishes: list[dict[str, Any]] = [
        {"fast": True},
        {"emo_audio_prompt": reference.FROG, "emo_alpha": 0.5},
        {"emo_vector": [0.1] * 8},
        {"emo_vector": [0.1] * 8, "use_random": True},
    ]
    if kind is IndexTTS2Engine:
        wishes.append({"use_emo_text": True, "emo_text": "a b"})
    settings = tiny.settings(home, use_fp16=half, max_tokens_per_segment=30)

    def spoken(device: str) -> list[Any]:
        engine = kind(settings.model_copy(update={"device": device}))
        engine.load(quiet)
        sounds = [reference.said(engine, reference.utterance(steps=2, **wish)) for wish in wishes]
        engine.close()
        return sounds

    with emulated() as gpu:
        there = spoken("cuda")
        assert gpu.replays > 50
    if not half:
        for here, sound in zip(spoken("cpu"), there, strict=True):
            np.testing.assert_allclose(sound, here, atol=1e-4)


@pytest.mark.gpu
def test_a_gpu_replays_graphs_and_says_the_same_each_time() -> None:
    model: Any = weights("cuda")
    memories = Memories(model)
    first = [said(model, memories, seed, Sampling(), 400) for seed in range(4)]
    assert [said(model, memories, seed, Sampling(), 400) for seed in range(4)] == first
    (memory,) = memories._free[3]
    assert memory._graphs
    plain = Memories(model, replay=False)
    assert [said(model, plain, seed, Sampling(), 400) for seed in range(4)] == first

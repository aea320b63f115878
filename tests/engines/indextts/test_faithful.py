"""What is heard is what the models' own packages say, sample for sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oscine.engines.indextts.emotion import balanced
from oscine.engines.indextts.engine import IndexTTS2Engine, IndexTTS25Engine, IndexTTSEngine
from oscine.engines.indextts.gpt import Memory
from oscine.engines.indextts.sampling import Sampling
from tests.engines.indextts.reference import BIRD, FROG, TEXT, codes, model_of, own_codes, own_sound, said, utterance

SHARES = [0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.3, 0.1]
GREAT = [0.9, 0.0, 0.5, 0.0, 0.0, 0.0, 0.3, 0.1]
WISHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "beams": ({}, {}),
    "one beam": ({"fast": True, "steps": 25}, {"num_beams": 1}),
    "eight numbers": ({"emo_vector": SHARES}, {"emo_vector": balanced(SHARES)}),
    "too much of them": ({"emo_vector": GREAT}, {"emo_vector": balanced(GREAT)}),
    "a third of them": (
        {"emo_vector": SHARES, "emo_alpha": 0.33, "fast": True, "steps": 25},
        {"emo_vector": balanced(SHARES), "emo_alpha": 0.33, "num_beams": 1},
    ),
    "an emotion's recording": ({"emo_audio_prompt": FROG}, {"emotion": FROG}),
    "some of it": (
        {"emo_audio_prompt": FROG, "emo_alpha": 0.6, "fast": True, "steps": 25},
        {"emotion": FROG, "emo_alpha": 0.6, "num_beams": 1},
    ),
}


@pytest.mark.parametrize("wish", list(WISHES))
def test_it_sounds_as_the_package_does(engine: IndexTTSEngine, tmp_path: Path, wish: str) -> None:
    options, own = WISHES[wish]
    for seed in range(3) if engine.name == "indextts25" else [1]:
        wanted = utterance(seed=seed, **options)
        right = own_sound(engine, tmp_path, wanted, **own)
        assert float(np.abs(right).max()) > 0.05
        _same(said(engine, wanted), right)


def test_another_voice_sounds_as_the_package_does(engine: IndexTTSEngine, tmp_path: Path) -> None:
    wanted = utterance("Why not, dog?", seed=5, voice=FROG, fast=True, steps=25)
    _same(said(engine, wanted), own_sound(engine, tmp_path, wanted, num_beams=1))


def test_a_recording_of_another_rate_sounds_as_the_package_does(two: IndexTTS2Engine, tmp_path: Path) -> None:
    from tests.engines.indextts import tiny

    wanted = utterance(voice=tiny.voice("toad", 240.0, 1.0, 48_000), fast=True, steps=25)
    ours, right = said(two, wanted), own_sound(two, tmp_path, wanted, num_beams=1)
    assert len(ours) == len(right)
    np.testing.assert_allclose(ours, right, atol=1e-3)


def test_fewer_steps_and_another_duration_are_those_of_2_5(two_five: IndexTTS25Engine, tmp_path: Path) -> None:
    wanted = utterance(seed=3, steps=7, speed=0.8)
    _same(said(two_five, wanted), own_sound(two_five, tmp_path, wanted, diffusion_steps=7, duration_factor=1 / 0.8))


SAMPLINGS = {
    "beams": (Sampling(), 400),
    "one": (Sampling(beams=1), 400),
    "few to choose from": (Sampling(top_k=4), 400),
    "cut short": (Sampling(), 6),
    "one of few": (Sampling(beams=1, top_k=4), 400),
    "one cut short": (Sampling(beams=1), 6),
    "one code": (Sampling(), 1),
    "many beams": (Sampling(beams=5, temperature=2.0, repetition_penalty=2.0), 100),
    "wild": (Sampling(temperature=2.0, top_k=200, top_p=0.99, repetition_penalty=1.5), 200),
}


def test_2_chooses_the_codes_that_the_package_chooses(two: IndexTTS2Engine) -> None:
    for how in list(SAMPLINGS)[:4]:
        _same_codes(two, how, range(2))


@pytest.mark.parametrize("how", list(SAMPLINGS))
def test_2_5_chooses_the_codes_that_the_package_chooses(two_five: IndexTTS25Engine, how: str) -> None:
    _same_codes(two_five, how, range(10))


def _same_codes(engine: IndexTTSEngine, how: str, seeds: Sequence[int]) -> None:
    sampling, most = SAMPLINGS[how]
    model = model_of(engine)
    with torch.inference_mode():
        voice, mood = model.voice(BIRD), model.mood(model.voice(BIRD), FROG, 0.7)
        (segment,) = model.segments(TEXT, "en", 120)
        prompt = model.prompt(segment, voice, mood)
    said = []
    for seed in seeds:
        said.append(codes(model, prompt, sampling, most, seed))
        assert said[-1] == own_codes(engine, segment, voice, mood, sampling, most, seed), (how, seed)
    assert most == 1 or len({tuple(each) for each in said}) > 1
    ended = [each[-1] == model.weights.choice.stop for each in said]
    if most < 10:
        assert False in ended
        assert max(map(len, said)) == most
    else:
        assert True in ended


def test_beams_that_change_places_at_almost_every_step_say_what_the_package_says(
    two_five: IndexTTS25Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(two_five)
    sampling, most = Sampling(beams=4, temperature=4.0, top_p=1.0, repetition_penalty=1.0), 120
    moves: list[int] = []
    move = Memory.move

    def watched(memory: Memory, parents: list[int], start: int) -> None:
        moves.append(memory.length - start)
        move(memory, parents, start)

    monkeypatch.setattr(Memory, "move", watched)
    with torch.inference_mode():
        voice, mood = model.voice(BIRD), model.mood(model.voice(BIRD), BIRD, 1.0)
        (segment,) = model.segments(TEXT, "en", 120)
        prompt = model.prompt(segment, voice, mood)
    steps = 0
    for seed in range(10):
        found = codes(model, prompt, sampling, most, seed)
        assert found == own_codes(two_five, segment, voice, mood, sampling, most, seed), seed
        steps += len(found)
    assert len(moves) > steps / 3
    assert max(moves) > 3


def _same(ours: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> None:
    assert len(ours) == len(right)
    np.testing.assert_allclose(ours, right, rtol=0, atol=3e-7)  # the packages go by way of 16 bits' scale and back

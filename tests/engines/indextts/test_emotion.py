"""Emotions: numbers that are balanced, texts that a small language model reads, and what becomes of its answers."""

from __future__ import annotations

import importlib
import json
import math
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from oscine.engines.indextts import packages
from oscine.engines.indextts.emotion import EMOTIONS, TextEmotion, balanced, parsed, scaled
from oscine.engines.indextts.engine import IndexTTS2Engine
from oscine.engines.protocol import Done, Failed
from oscine.errors import Cancelled, NotAvailable
from tests.engines.contract import quiet
from tests.engines.indextts import tiny
from tests.engines.indextts.reference import heard, model_of, said, utterance

CALM = [0.0] * 7 + [1.0]
QUICK: dict[str, Any] = {"fast": True, "steps": 4}
NAMES = ("高兴", "愤怒", "悲伤", "恐惧", "反感", "低落", "惊讶", "自然")


@pytest.fixture
def folder(home: Path) -> Path:
    """Where the model of emotions lies."""
    return home / "indextts" / "checkpoints" / "qwen0.6bemo4-merge"


def answer(**shares: object) -> str:
    return json.dumps({NAMES[EMOTIONS.index(name)]: share for name, share in shares.items()}, ensure_ascii=False)


@pytest.mark.parametrize(
    ("told", "right"),
    [
        (answer(happy=0.7, calm=0.2), [0.7, 0, 0, 0, 0, 0, 0, 0.2]),
        (answer(happy="0.7"), [0.7] + [0] * 7),
        (answer(happy=9), [1.2] + [0] * 7),
        (answer(happy=1e308, sad=-1e308), [1.2] + [0] * 7),
        (answer(angry=-3, sad=0.1), [0, 0, 0.1, 0, 0, 0, 0, 0]),
        ('{"高兴": 0.5, "愤怒": 0.25', [0.5, 0.25] + [0] * 6),
        ("高兴: 0.5, 愤怒: .25", [0.5, 0.25] + [0] * 6),
        ('{"高兴": NaN, "愤怒": Infinity}', [0, 1.2] + [0] * 6),
        ('{"高兴": null, "愤怒": [1], "悲伤": {"a": 1}, "恐惧": true}', None),
        ('{"joy": 1.0, "愤": 1.0}', CALM),
        ("", CALM),
        ("{}", CALM),
        ("null", CALM),
        ("[1, 2, 3]", CALM),
        ("高兴" * 1000, CALM),
        ("[" * 100_000, CALM),
        ('{"a":' * 100_000, CALM),
        (":" * 100_000, CALM),
        ("a" * 100_000, CALM),
    ],
)
def test_whatever_the_model_says_becomes_eight_shares(told: str, right: list[float] | None) -> None:
    begun = time.thread_time()
    shares = parsed(told, "What a day!")
    assert time.thread_time() - begun < 5
    assert len(shares) == 8
    assert all(math.isfinite(share) and 0 <= share <= 1.2 for share in shares)
    assert sum(shares) > 0
    if right is not None:
        assert shares == right


def test_words_of_melancholy_take_the_model_at_what_it_means() -> None:
    assert parsed(answer(sad=0.6), "She felt gloomy.") == [0, 0, 0, 0, 0, 0.6, 0, 0]
    assert parsed(answer(sad=0.6), "She cried.") == [0, 0, 0.6, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("text", ["What a day!", "She felt gloomy.", "Qué melancolía.", "Una mirada melancólica."])
def test_answers_are_read_as_the_package_reads_them(
    folder: Path, unwritten: None, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    packages.indextts()
    emotion = importlib.import_module("indextts.emotion")
    monkeypatch.setattr(emotion.AutoModelForCausalLM, "from_pretrained", lambda *_, **__: SimpleNamespace(device="cpu"))
    reader = emotion.QwenEmotion(str(folder))
    reader.model.generate = lambda input_ids, **_: input_ids
    answers = [answer(happy=0.7, sad=0.3), answer(melancholic=0.9, calm=0.1), "{}", "高兴: 0.5, 悲伤: 0.25", "no idea"]
    for told in answers:
        monkeypatch.setattr(reader.tokenizer, "decode", lambda *_, told=told, **__: told)
        assert parsed(told, text) == list(reader.inference(text).values())


def test_numbers_are_balanced_as_the_package_balances_them(two: IndexTTS2Engine) -> None:
    loaded = model_of(two).loaded
    for seed in range(20):
        shares = np.random.default_rng(seed).uniform(0, 1, 8).round(2).tolist()
        for biased in (True, False):
            assert balanced(shares, biased=biased) == pytest.approx(loaded.normalize_emo_vec(shares, apply_bias=biased))
        assert sum(balanced(shares)) <= 0.8 + 1e-9
    assert balanced([0.0] * 8) == [0.0] * 8
    assert scaled([0.5, 0.33333], 1.0) == [0.5, 0.33333]
    assert scaled([0.5, 0.33333], 0.5) == [0.25, 0.1666]
    assert scaled([0.5, 0.3], 0.0) == [0.0, 0.0]


def test_the_model_of_emotions_is_loaded_when_it_is_needed_and_says_the_same_each_time(
    home: Path, unwritten: None
) -> None:
    engine = IndexTTS2Engine(tiny.settings(home))
    engine.load(quiet)
    assert engine._emotions is not None
    assert model_of(engine).loaded.qwen_emo is None
    said(engine, utterance(**QUICK))
    said(engine, utterance(emo_vector=[0.5] + [0.0] * 7, **QUICK))
    assert not engine._emotions.is_loaded
    wishes: dict[str, Any] = {"use_emo_text": True, "emo_text": "What a day!"} | QUICK
    one = said(engine, utterance(**wishes))
    assert engine._emotions.is_loaded
    np.testing.assert_array_equal(said(engine, utterance(**wishes)), one)
    engine.close()
    engine.load(quiet)
    assert not engine._emotions.is_loaded
    np.testing.assert_array_equal(said(engine, utterance(**wishes)), one)
    engine.close()


def test_without_a_text_for_the_emotion_it_is_read_from_what_is_said(
    two: IndexTTS2Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def shares(text: str, _stop: threading.Event) -> list[float]:
        asked.append(text)
        return [0.5] + [0.0] * 7

    assert two._emotions is not None
    monkeypatch.setattr(two._emotions, "shares", shares)
    for emotion in (None, "  ", "Joy!"):
        said(two, utterance("Hello.", use_emo_text=True, emo_text=emotion, **QUICK))
    said(two, utterance("Hello.", emo_text="Joy!", **QUICK))
    assert asked == ["Hello.", "Hello.", "Joy!"]


def test_an_answer_that_never_ends_is_cut_in_tokens_and_asked_for_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emotions = TextEmotion(folder, torch.device("cpu"))
    emotions._load()
    emotions._model.generation_config.eos_token_id = None
    emotions._model.config.eos_token_id = None
    passes: list[int] = []
    forward = emotions._model.forward

    def counted(*given: Any, **named: Any) -> Any:
        passes.append(1)
        return forward(*given, **named)

    monkeypatch.setattr(emotions._model, "forward", counted)
    first = emotions.shares("a b a", threading.Event())
    assert 100 < len(passes) <= 128
    assert emotions.shares("a b a", threading.Event()) == first
    assert len(passes) <= 128


def test_who_leaves_while_the_model_answers_does_not_wait_and_leaves_no_half_answer(folder: Path) -> None:
    emotions = TextEmotion(folder, torch.device("cpu"))
    gone = threading.Event()
    gone.set()
    with pytest.raises(Cancelled):
        emotions.shares("a b", gone)
    assert len(emotions.shares("a b", threading.Event())) == 8


def test_without_the_model_of_emotions_all_else_works_and_its_wish_is_told_in_one_sentence(
    two: IndexTTS2Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotAvailable, match="oscine download indextts2") as caught:
        TextEmotion(None, torch.device("cpu")).shares("a", threading.Event())
    assert caught.value.param == "use_emo_text"
    monkeypatch.setattr(two, "_emotions", TextEmotion(None, torch.device("cpu")))
    last = heard(two, utterance(use_emo_text=True, **QUICK)).events[-1]
    assert isinstance(last, Failed)
    assert "oscine download indextts2" in last.error
    assert not last.retryable
    assert isinstance(heard(two, utterance(**QUICK)).events[-1], Done)

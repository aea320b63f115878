"""Two hundred requests leave nothing behind."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from oscine.engines.indextts.engine import IndexTTS2Engine, IndexTTS25Engine
from oscine.engines.indextts.references import MOST, Kept
from oscine.engines.protocol import Done, Failed, Lane, State
from oscine.heap import give_back
from tests.engines.indextts import tiny
from tests.engines.indextts.reference import BIRD, FROG, TEXT, model_of, said, until_it, utterance

QUICK: dict[str, Any] = {"fast": True, "steps": 1}


def held() -> int:
    """Bytes of all tensors that Python knows of, each piece of memory once."""
    gc.collect()
    found = {}
    for each in gc.get_objects():
        if issubclass(type(each), torch.Tensor):
            storage = each.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return sum(found.values())


def resident_mb() -> float:
    give_back()
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def buffer_of(engine: IndexTTS25Engine) -> int:
    """Bytes of the keys and values of one segment with one beam."""
    weights = model_of(engine).weights
    return int(2 * weights.layers * weights.head.weight.shape[-1] * 4 * 100)


def test_two_hundred_requests_in_random_order_leave_nothing_behind(two_five: IndexTTS25Engine) -> None:
    chance = random.Random(0)
    said(two_five, utterance(voice=FROG, **QUICK))
    said(two_five, utterance(emo_audio_prompt=FROG, **QUICK))
    open_lanes: list[Lane] = []
    gone: list[weakref.ref[Lane]] = []
    asked, before, resident = 0, 0, 0.0
    for _ in range(1_000_000):
        if asked == 200 and not open_lanes:
            break
        wanted = utterance(chance.choice([TEXT, "Yes."]), seed=asked, voice=chance.choice([BIRD, FROG]), **QUICK)
        if asked < 200 and chance.random() < 0.3 and two_five.capacity(wanted).state is State.NOW:
            open_lanes.append(two_five.open(wanted, threading.Event()))
            gone.append(weakref.ref(open_lanes[-1]))
            asked += 1
            if asked == 50:
                resident = resident_mb()
        chance.shuffle(open_lanes)
        over = {event.lane for event in two_five.step(open_lanes, 0.0) if isinstance(event, Done | Failed)}
        for lane in list(open_lanes):
            if lane in over or chance.random() < 0.01:
                two_five.close_lane(lane)
                open_lanes.remove(lane)
        del over
        lane = None  # type: ignore[assignment]
        if asked == 20 and not before and not open_lanes:
            before = held()
        elif asked == 20 and not before:
            for lane in open_lanes:
                two_five.close_lane(lane)
            open_lanes.clear()
            lane = None  # type: ignore[assignment]
            before = held()
    assert asked == 200
    assert not two_five._open
    assert abs(held() - before) < buffer_of(two_five)
    assert [ref for ref in gone if ref() is not None] == []
    assert resident_mb() - resident < 100


@pytest.mark.long
def test_many_voices_and_emotions_take_the_memory_of_those_that_are_kept(
    two_five: IndexTTS25Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(two_five)
    assert model._voices._most == model._feelings._most == MOST
    for kept in (model._voices, model._feelings, model._moods):
        kept.clear()
        monkeypatch.setattr(kept, "_most", 3)
    sizes = []
    for number in range(9):
        voice = tiny.voice(f"bird{number}", 150.0 + number, 0.6)
        with torch.inference_mode():
            heard = model.voice(voice)
            model.mood(heard, voice, 0.5)
        size = heard.features.nbytes
        del heard, voice
        sizes.append(held())
    assert len(model._voices) == len(model._feelings) == len(model._moods) == 3
    assert sizes[2] > sizes[1] + size
    assert max(sizes[3:]) < sizes[2] + size


def test_the_latest_are_kept_and_are_known_by_their_content() -> None:
    kept: Kept[int] = Kept(3)
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number

    for number in (1, 2, 3, 1, 4, 1, 2):
        assert kept.get(number, partial(make, number)) == number
    assert made == [1, 2, 3, 4, 2]
    assert len(kept) == 3
    with pytest.raises(ZeroDivisionError):
        kept.get(9, lambda: 1 // 0)
    assert kept.get(9, lambda: 9) == 9
    kept.clear()
    assert len(kept) == 0


@pytest.mark.parametrize("part", ["_codes", "flow"])
def test_who_leaves_midway_takes_its_memory_along(two: IndexTTS2Engine, part: str) -> None:
    said(two, utterance(**QUICK))
    before = held()
    lane, stop = until_it(two, utterance(seed=5), part)
    assert held() > before + 1_000_000 or part == "flow"
    stop.set()
    two.close_lane(lane)
    assert held() == before


def test_an_engine_that_is_closed_keeps_nothing(home: Any, unwritten: None) -> None:
    before = held()
    engine = IndexTTS25Engine(tiny.settings(home))
    engine.load(lambda _what, _share: None)
    loaded = held()
    said(engine, utterance(**QUICK))
    engine.close()
    assert loaded > before + 10_000_000
    assert held() < before + 3_000_000

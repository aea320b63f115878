"""What the scheduler may rely on, with every engine that can run here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from oscine.config import Settings
from oscine.engines import hibari
from oscine.engines.hibari import HibariEngine
from oscine.engines.protocol import Done, Engine, Failed, Lane, State
from tests.echo import EchoEngine
from tests.engines.contract import PATIENCE_S, quiet, run, spoken, utterance

TEXTS = ["The first one is short.", "The second sentence is a little longer than that.", "Third.", "And a fourth one."]
LONG = " ".join(["This sentence goes on and on, as the long ones do."] * 6)


@pytest.fixture(scope="module", params=["echo", "echo-utterance", "hibari"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made: Engine
    if request.param == "hibari":
        cores = hibari._usable_cores()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hibari, "_usable_cores", lambda: max(2, cores))  # on a single one it speaks nothing beside
            made = HibariEngine(Settings.from_env({}))
    else:
        made = EchoEngine(grain="utterance" if "utterance" in request.param else "frame")
    made.load(quiet)
    yield made
    made.close()


def test_facts_are_known_before_anything_is_loaded(engine: Engine) -> None:
    info = engine.info
    assert isinstance(engine, Engine)
    assert info.max_lanes >= 1
    assert info.sample_rate >= 8_000
    assert info.version
    assert info.licence
    assert info.lengths.limit > 0
    assert info.default_preset in {preset.name for preset in info.presets if preset.installed}
    assert engine.missing() is None


def test_loading_again_changes_nothing(engine: Engine) -> None:
    before = spoken(engine, TEXTS[0])
    engine.load(quiet)
    np.testing.assert_array_equal(spoken(engine, TEXTS[0]), before)


def test_sound_is_mono_float_of_a_sensible_level_and_length(engine: Engine) -> None:
    sound = spoken(engine, TEXTS[1])
    assert sound.dtype == np.float32
    assert sound.ndim == 1
    assert 1.0 < len(sound) / engine.info.sample_rate < 10.0
    assert 0.01 < float(np.abs(sound).max()) <= 1.5


def test_sound_does_not_depend_on_neighbours(engine: Engine) -> None:
    alone = [spoken(engine, text, seed=seed) for seed, text in enumerate(TEXTS)]
    together = run(engine, [utterance(engine, text, seed=seed) for seed, text in enumerate(TEXTS * 3)])
    for index, heard in enumerate(together[: len(TEXTS)]):
        np.testing.assert_array_equal(heard.samples, alone[index])


def test_the_same_seed_gives_the_same_sound_and_another_seed_another(engine: Engine) -> None:
    np.testing.assert_array_equal(spoken(engine, TEXTS[1], seed=7), spoken(engine, TEXTS[1], seed=7))
    assert not np.array_equal(spoken(engine, TEXTS[1], seed=7), spoken(engine, TEXTS[1], seed=8))


def test_the_largest_seed_is_taken(engine: Engine) -> None:
    assert len(spoken(engine, "Yes.", seed=2**63 - 1))


def test_each_lane_ends_exactly_once_and_nothing_follows(engine: Engine) -> None:
    for heard in run(engine, [utterance(engine, text) for text in TEXTS]):
        assert isinstance(heard.events[-1], Done)
        assert sum(isinstance(event, Done | Failed) for event in heard.events) == 1


def test_opening_is_cheap_and_takes_a_slot(engine: Engine) -> None:
    wanted = utterance(engine, LONG)
    begun = time.process_time()
    lanes = [engine.open(wanted, threading.Event()) for _ in range(engine.info.max_lanes)]
    assert time.process_time() - begun < 0.05 * len(lanes)
    assert engine.capacity(wanted).state is State.LATER
    for lane in lanes:
        engine.close_lane(lane)
    assert engine.capacity(wanted).state is State.NOW


def test_closing_a_lane_twice_or_before_its_first_step_is_fine(engine: Engine) -> None:
    lane = engine.open(utterance(engine, TEXTS[0]), threading.Event())
    engine.close_lane(lane)
    engine.close_lane(lane)
    assert engine.capacity(utterance(engine, TEXTS[0])).state is State.NOW
    assert len(spoken(engine, TEXTS[0]))


def test_a_lane_that_is_closed_midway_frees_its_slot_and_disturbs_nobody(engine: Engine) -> None:
    undisturbed = spoken(engine, TEXTS[1])
    stop = threading.Event()
    long = engine.open(utterance(engine, LONG), stop)
    engine.step([long], 0.001)
    stop.set()
    engine.close_lane(long)
    heard = run(engine, [utterance(engine, TEXTS[1]) for _ in range(engine.info.max_lanes)])
    for one in heard:
        np.testing.assert_array_equal(one.samples, undisturbed)


def test_a_step_is_no_barrier(engine: Engine) -> None:
    for _ in range(5):  # where this thread stood still, both may be over at the first look
        long = engine.open(utterance(engine, LONG), threading.Event())
        short = engine.open(utterance(engine, "Yes."), threading.Event())
        over: list[list[Lane]] = []
        going, until = [long, short], time.monotonic() + PATIENCE_S
        while going and time.monotonic() < until:
            over.append([event.lane for event in engine.step(going, 0.02) if isinstance(event, Done)])
            going = [lane for lane in going if lane not in over[-1]]
        engine.close_lane(long)
        engine.close_lane(short)
        if [lanes for lanes in over if lanes] == [[short], [long]]:
            return
    pytest.fail("what is short is not over before what is long")


def test_a_lane_that_is_left_out_of_steps_waits_without_loss(engine: Engine) -> None:
    whole = spoken(engine, TEXTS[1])
    paused = engine.open(utterance(engine, TEXTS[1]), threading.Event())
    first = [event for event in engine.step([paused], 0.001) if event.lane is paused]
    run(engine, [utterance(engine, text) for text in TEXTS[:2]])
    parts = [event.samples for event in first if hasattr(event, "samples")]
    done = any(isinstance(event, Done) for event in first)
    until = time.monotonic() + PATIENCE_S
    while not done and time.monotonic() < until:
        for event in engine.step([paused], 0.05):
            done = done or isinstance(event, Done)
            parts += [event.samples] if hasattr(event, "samples") else []
    engine.close_lane(paused)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_more_speakers_than_the_engine_has_are_refused_with_a_reason(engine: Engine) -> None:
    answer = engine.capacity(utterance(engine, "Hello.", speakers=engine.info.capabilities.speakers + 1))
    assert answer.state is State.NEVER
    assert engine.info.name in answer.reason
    assert answer.reason.endswith(".")


def test_speed_changes_the_length_within_the_range_it_names(engine: Engine) -> None:
    assert engine.info.capabilities.speed is not None
    slowest, fastest = engine.info.capabilities.speed
    plain = len(spoken(engine, TEXTS[1]))
    assert len(spoken(engine, TEXTS[1], speed=slowest)) > 1.3 * plain
    assert len(spoken(engine, TEXTS[1], speed=fastest)) < 0.75 * plain


def test_it_speaks_again_after_it_was_closed_with_lanes_open(engine: Engine) -> None:
    before = spoken(engine, TEXTS[0])
    lanes = [engine.open(utterance(engine, text), threading.Event()) for text in TEXTS[:2]]
    engine.step(lanes, 0.001)
    engine.close()
    engine.close()
    engine.load(quiet)
    for lane in lanes:
        engine.close_lane(lane)
    assert engine.capacity(utterance(engine, TEXTS[0])).state is State.NOW
    np.testing.assert_array_equal(spoken(engine, TEXTS[0]), before)

"""What the scheduler and listeners may rely on with IndexTTS: wishes, segments, lanes, retries, and what it refuses."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oscine.audio.waveform import Samples
from oscine.engines.indextts import take
from oscine.engines.indextts.decoding import decode
from oscine.engines.indextts.engine import LANES, IndexTTS2Engine, IndexTTS25Engine, IndexTTSEngine
from oscine.engines.protocol import Audio, Done, Engine, EngineBroken, Failed, State, Turn, Utterance
from oscine.synthesis.scheduler import Pace, Scheduler
from oscine.voices.prompt import Prompt
from tests.engines.contract import quiet, run
from tests.engines.indextts import tiny
from tests.engines.indextts.reference import BIRD, FROG, TEXT, heard, model_of, said, until_it, utterance

QUICK: dict[str, Any] = {"fast": True, "steps": 4}
SHARES = [0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.3, 0.1]
SENTENCES = "Hello world, hello. This is a tiny test. Why not, why not? One two three four."


@pytest.fixture
def short(home: Path, unwritten: None) -> Iterator[IndexTTS25Engine]:
    """2.5 with segments as short as can be set."""
    made = IndexTTS25Engine(tiny.settings(home, max_tokens_per_segment=26))
    made.load(quiet)
    yield made
    made.close()


def test_facts_are_known_before_it_is_loaded(home: Path) -> None:
    for engine in (IndexTTS2Engine(tiny.settings(home)), IndexTTS25Engine(tiny.settings(home))):
        assert isinstance(engine, Engine)
        info = engine.info
        assert (info.sample_rate, info.default_format, info.default_rate) == (22_050, "opus", 24_000)
        assert "Bilibili" in info.licence
        assert info.capabilities.cloning
        assert not info.capabilities.unprompted
        assert engine.missing() is None
        assert engine.capacity(utterance()).state is State.LATER


def test_loading_takes_no_gpu_but_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", taken.append)

    class Enough(Exception):
        pass

    def loads() -> None:
        raise Enough

    engine = IndexTTS25Engine(tiny.settings(home))
    monkeypatch.setattr(engine, "_load", loads)
    with pytest.raises(Enough):
        engine.load(quiet)
    assert taken == []


def test_whatever_changes_the_sound_changes_the_version(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def versions(**settings: Any) -> set[str]:
        return {kind(tiny.settings(home, **settings)).info.version for kind in (IndexTTS2Engine, IndexTTS25Engine)}

    plain = versions()
    assert versions() == plain
    assert versions(max_tokens_per_segment=500) == versions(max_tokens_per_segment=800)
    changed = [versions(max_tokens_per_segment=60), versions(use_fp16=True)]
    with monkeypatch.context() as patch:
        patch.setattr("oscine.engines.indextts.engine._REVISION", 10**6)
        changed.append(versions())
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "version", absent)
        changed.append(versions())
    assert all(plain.isdisjoint(other) for other in changed)


def absent(name: str) -> str:
    raise importlib.metadata.PackageNotFoundError(name)


def test_sound_is_mono_float_of_a_sensible_level_that_begins_and_ends_in_silence(engine: IndexTTSEngine) -> None:
    sound = said(engine, utterance(**QUICK))
    assert sound.dtype == np.float32
    assert sound.ndim == 1
    assert 0.05 < float(np.abs(sound).max()) <= 1.0
    assert abs(sound[0]) < 1e-3
    assert abs(sound[-1]) < 1e-3


def test_the_same_seed_says_the_same_and_another_another(engine: IndexTTSEngine) -> None:
    one, again, other = (said(engine, utterance(seed=seed, **QUICK)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert len(said(engine, utterance(seed=2**63 - 1, **QUICK)))


def test_wishes_are_heard_and_text_goes_before_numbers_before_a_recording_before_the_voice(
    two: IndexTTS2Engine,
) -> None:
    wishes: dict[str, dict[str, Any]] = {
        "voice": {},
        "recording": {"emo_audio_prompt": FROG},
        "half of it": {"emo_audio_prompt": FROG, "emo_alpha": 0.5},
        "numbers": {"emo_vector": SHARES},
        "few of them": {"emo_vector": SHARES, "emo_alpha": 0.25},
        "by chance": {"emo_vector": SHARES, "use_random": True},
        "text": {"use_emo_text": True, "emo_text": "What a day!"},
    }
    sounds = {name: said(two, utterance(seed=3, **QUICK, **options)) for name, options in wishes.items()}
    names = list(sounds)
    for index, name in enumerate(names):
        for other in names[:index]:
            assert not np.array_equal(sounds[name], sounds[other]), (name, other)
    many: dict[str, Any] = wishes["numbers"] | wishes["recording"]
    np.testing.assert_array_equal(said(two, utterance(seed=3, **QUICK, **many)), sounds["numbers"])
    many |= wishes["text"]
    np.testing.assert_array_equal(said(two, utterance(seed=3, **QUICK, **many)), sounds["text"])


def test_without_an_emotion_its_strength_changes_nothing_and_numbers_that_are_all_zero_are_the_voice_itself(
    two_five: IndexTTS25Engine,
) -> None:
    plain = said(two_five, utterance(**QUICK))
    np.testing.assert_array_equal(said(two_five, utterance(emo_alpha=0.3, **QUICK)), plain)
    np.testing.assert_array_equal(said(two_five, utterance(emo_vector=[0.0] * 8, **QUICK)), plain)
    np.testing.assert_array_equal(said(two_five, utterance(emo_vector=SHARES, emo_alpha=0.0, **QUICK)), plain)


def test_an_emotion_by_chance_is_repeated_with_its_seed(two_five: IndexTTS25Engine) -> None:
    def sound(seed: int, **more: Any) -> Samples:
        return said(two_five, utterance(seed=seed, emo_vector=[0.8] + [0.0] * 7, **QUICK, **more))

    np.testing.assert_array_equal(sound(4, use_random=True), sound(4, use_random=True))
    assert any(not np.array_equal(sound(seed, use_random=True), sound(seed)) for seed in range(3))


def test_an_emotion_by_chance_is_the_same_in_all_pieces_of_a_text(two_five: IndexTTS25Engine) -> None:
    model: Any = model_of(two_five)
    drawn: list[torch.Tensor] = []
    mood_of = model.mood_of

    def watched(*given: Any) -> torch.Tensor:
        drawn.append(mood_of(*given))
        return drawn[-1]

    model.mood_of = watched
    try:
        for seed in range(6):
            wanted = utterance(seed=seed, emo_vector=[0.1] * 8, use_random=True, **QUICK)
            said(two_five, replace(wanted, whole_seed=7))
        said(two_five, replace(wanted, whole_seed=8))
    finally:
        del model.mood_of
    assert all(torch.equal(mood, drawn[0]) for mood in drawn[:-1])
    assert not torch.equal(drawn[-1], drawn[0])


def test_steps_win_over_fast_and_both_are_heard(two_five: IndexTTS25Engine) -> None:
    slow, fast, ten = (
        said(two_five, utterance(**options)) for options in ({}, {"fast": True}, {"fast": True, "steps": 10})
    )
    assert not np.array_equal(slow, fast)
    assert len(fast) == len(ten)
    assert not np.array_equal(fast, ten)
    np.testing.assert_array_equal(said(two_five, utterance(fast=True, steps=15)), fast)
    np.testing.assert_array_equal(said(two_five, utterance(steps=25)), slow)


def test_2_5_speaks_at_the_pace_that_is_asked_for(two_five: IndexTTS25Engine) -> None:
    assert two_five.info.capabilities.speed is not None
    slowest, fastest = two_five.info.capabilities.speed
    plain, slow, fast = (len(said(two_five, utterance(speed=speed, **QUICK))) for speed in (1.0, slowest, fastest))
    assert slow == pytest.approx(plain / slowest, rel=0.02)
    assert fast == pytest.approx(plain / fastest, rel=0.02)


def test_segments_leave_one_by_one_with_a_pause_between_them(short: IndexTTS25Engine) -> None:
    segments = model_of(short).segments(SENTENCES, "en", 26)
    assert len(segments) >= 3
    assert sum(segment.letters for segment in segments) == pytest.approx(len(SENTENCES), rel=0.1)
    wanted = utterance(SENTENCES, **QUICK)
    lane = short.open(wanted, threading.Event())
    parts, turns = [], []
    for turn in range(100_000):
        events = short.step([lane], 0.0)
        if any(isinstance(event, Done) for event in events):
            break
        assert not any(isinstance(event, Failed) for event in events), events
        parts += [event.samples for event in events if isinstance(event, Audio)]
        turns += [turn for event in events if isinstance(event, Audio)]
    short.close_lane(lane)
    assert len(parts) == len(segments)
    assert len(set(turns)) == len(turns)
    assert turns[0] < turns[-1] / 2
    for part, segment in zip(parts[:-1], segments[:-1], strict=True):
        silent = 22_050 * segment.pause_ms // 1000
        assert not part[len(part) - silent :].any()
    np.testing.assert_array_equal(np.concatenate(parts), said(short, wanted))


@pytest.mark.parametrize("part", ["_codes", "flow"])
def test_who_leaves_midway_frees_the_lane_and_disturbs_nobody(engine: IndexTTSEngine, part: str) -> None:
    wanted = utterance(seed=2)
    right = said(engine, wanted)
    lane, stop = until_it(engine, utterance(seed=5), part)
    stop.set()
    assert engine.step([lane], 10.0) == []
    engine.close_lane(lane)
    engine.close_lane(lane)
    assert lane.steps is None
    assert not engine._open
    np.testing.assert_array_equal(said(engine, wanted), right)


class Leaves(threading.Event):
    """Is set when it is looked at for the twentieth time."""

    looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        if self.looks == 20:
            self.set()
        return super().is_set()


def test_it_looks_at_once_whether_somebody_still_wants_the_rest(two: IndexTTS2Engine) -> None:
    stop = Leaves()
    lane = two.open(utterance("Hello world. " * 8), stop)
    assert two.step([lane], 600.0) == [], "so many looks are less than a piece of sound apart"
    two.close_lane(lane)
    assert stop.looks == 20


def test_a_lane_that_is_left_out_or_comes_between_waits_without_loss(two_five: IndexTTS25Engine) -> None:
    wanted = [utterance(seed=seed) for seed in range(4)]
    right = [said(two_five, each) for each in wanted]
    for found, each in zip(run(two_five, wanted, budget_s=0.0), right, strict=True):
        np.testing.assert_array_equal(found.samples, each)
    paused, _ = until_it(two_five, wanted[0], "flow")
    np.testing.assert_array_equal(said(two_five, wanted[1]), right[1])
    (audio, done) = two_five.step([paused], 60.0)
    two_five.close_lane(paused)
    assert isinstance(audio, Audio)
    assert isinstance(done, Done)
    np.testing.assert_array_equal(audio.samples, right[0])


def test_who_waits_for_a_grammar_holds_up_nobody(two_five: IndexTTS25Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    spanish, english = utterance("¿Qué tal?", language="es", **QUICK), utterance("Hello.", language="en", **QUICK)
    right = [said(two_five, spanish), said(two_five, english)]
    compiled = threading.Event()
    monkeypatch.setattr(
        "oscine.engines.indextts.grammars.Grammars.ready", lambda _self, name: name != "es" or compiled.is_set()
    )
    lanes = [two_five.open(each, threading.Event()) for each in (spanish, english)]
    (audio, _done) = two_five.step(lanes, 60.0)
    assert audio.lane is lanes[1]
    assert isinstance(audio, Audio)
    np.testing.assert_array_equal(audio.samples, right[1])
    begun = time.monotonic()
    assert two_five.step(lanes[:1], 0.05) == []
    assert time.monotonic() - begun > 0.04
    compiled.set()
    (audio, _done) = two_five.step(lanes[:1], 60.0)
    assert isinstance(audio, Audio)
    np.testing.assert_array_equal(audio.samples, right[0])
    for lane in lanes:
        two_five.close_lane(lane)


def test_there_are_so_many_lanes_and_one_voice_in_each(two_five: IndexTTS25Engine) -> None:
    lanes = [two_five.open(utterance(), threading.Event()) for _ in range(LANES)]
    assert two_five.capacity(utterance()).state is State.LATER
    for lane in lanes:
        two_five.close_lane(lane)
    assert two_five.capacity(utterance()).state is State.NOW
    two_voices = Utterance((Turn("a", "Yes."), Turn("b", "No.")), {"a": BIRD, "b": FROG}, 1)
    nobody = Utterance((Turn("a", "Yes."),), {"a": Prompt("nobody", "none")}, 1)
    for wanted, reason in ((two_voices, "one speaker"), (nobody, "needs a recording")):
        answer = two_five.capacity(wanted)
        assert answer.state is State.NEVER
        assert reason in answer.reason
        assert answer.reason.endswith(".")


def test_twenty_at_once_sound_as_one_after_the_other_whatever_else_runs(
    two_five: IndexTTS25Engine, tmp_path: Path
) -> None:
    from oscine.config import Settings
    from oscine.engines.vibevoice.engine import VibeVoiceEngine
    from tests.engines.vibevoice import reference as vibevoice
    from tests.engines.vibevoice import tiny as tiny_vibevoice

    other = VibeVoiceEngine(Settings(model_path=str(tiny_vibevoice.save(tmp_path / "v")), volume=tmp_path))
    other.load(quiet)
    lines = [("a", "Hello there, this is a test of some length.", tiny_vibevoice.voice(220))]
    foreign = [vibevoice.utterance(lines, seed) for seed in range(2)]
    texts = [TEXT, "Why not?", "One two three."]
    moods: list[dict[str, Any]] = [{"emo_vector": SHARES}, {"emo_audio_prompt": FROG, "emo_alpha": 0.5}, {}, {}, {}]
    ways: list[dict[str, Any]] = [{"steps": 6}, {"fast": True}]
    wanted = [
        utterance(texts[seed % 3], seed=seed, voice=(FROG, BIRD)[seed % 2], **moods[seed % 5], **ways[seed % 2])
        for seed in range(20)
    ]
    right = [said(two_five, each) for each in wanted]
    right_foreign = [run(other, [each])[0].samples for each in foreign]
    over = threading.Event()

    def draw() -> None:
        while not over.is_set():
            torch.manual_seed(0)
            torch.rand(100)
            np.random.seed(0)
            time.sleep(0.001)

    found: dict[int, Samples] = {}
    foreign_found: dict[int, Samples] = {}
    busy, beside = Scheduler(two_five), Scheduler(other)

    def ask(scheduler: Scheduler, each: Utterance, into: dict[int, Samples], number: int) -> None:
        with scheduler.job(Pace.LISTENER if number % 2 else Pace.FILE) as job:
            reading, parts = job.submit(each), []
            while (part := reading.read()) is not None:
                parts.append(part)
            into[number] = np.concatenate(parts)

    threads = [
        threading.Thread(target=ask, args=(busy, each, found, number), daemon=True)
        for number, each in enumerate(wanted)
    ]
    threads += [
        threading.Thread(target=ask, args=(beside, each, foreign_found, number), daemon=True)
        for number, each in enumerate(foreign)
    ]
    drawing = threading.Thread(target=draw, daemon=True)
    drawing.start()
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    finally:
        over.set()
        drawing.join()
        beside.close()
        busy.close()  # the engine is closed with it
        two_five.load(quiet)
    assert sorted(found) == list(range(20))
    for number, each in enumerate(right):
        np.testing.assert_array_equal(found[number], each)
    for number, each in enumerate(right_foreign):
        np.testing.assert_allclose(foreign_found[number], each, atol=1e-3)  # its lanes share a pass


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@contextmanager
def biased(engine: IndexTTSEngine, token: int, bias: float) -> Iterator[None]:
    """Let the model of an engine choose a token as often as `bias` makes it."""
    every = model_of(engine).weights.head.bias.data
    before = every.clone()
    every[token] = bias
    try:
        yield
    finally:
        every.copy_(before)


@pytest.mark.parametrize(
    ("bias", "text", "fault"),
    [
        (-1e4, "Yes.", "did not come to an end"),
        (1e4, "Yes.", "said nothing"),
        (float("nan"), "Yes.", "too large to compute with"),
        (6.0, "Hello world. This is a tiny test. " * 3, "left out most of the text"),
    ],
)
def test_a_segment_that_cannot_be_right_is_decoded_again_and_told_in_one_sentence_in_the_end(
    two_five: IndexTTS25Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    bias: float,
    text: str,
    fault: str,
) -> None:
    seeds: list[int] = []
    begin = take._generator

    def watched(model: Any, seed: int) -> torch.Generator:
        seeds.append(seed)
        return begin(model, seed)

    monkeypatch.setattr(take, "_generator", watched)
    with caplog.at_level(logging.INFO), biased(two_five, model_of(two_five).weights.choice.stop, bias):
        found = heard(two_five, utterance(text, **QUICK))
    (failed,) = found.events
    assert isinstance(failed, Failed)
    assert fault in failed.error
    assert failed.error.startswith("indextts25 ")
    assert failed.error.count(".") == 1
    assert failed.error.endswith(".")
    assert not failed.retryable
    assert len(set(seeds)) == len(seeds) == take.ATTEMPTS
    assert text not in caplog.text
    assert len(said(two_five, utterance(**QUICK)))


def test_figures_get_as_long_as_they_take_to_say(engine: IndexTTSEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = "one million two hundred thirty four thousand five hundred sixty seven dollars and eighty nine cents"

    class Grammar:
        def normalize(self, text: str, verbose: bool = False) -> str:
            return text.replace("$1,234,567.89", figure)

    given: list[int] = []

    def watched(*arguments: Any) -> Any:
        given.append(arguments[4])
        return decode(*arguments)

    monkeypatch.setattr(take, "decode", watched)
    monkeypatch.setattr("oscine.engines.indextts.grammars.Grammars.get", lambda _self, _language: Grammar())
    model = model_of(engine)
    text = "$1,234,567.89 and $1,234,567.89."
    heard(engine, utterance(text, language="en", seed=3, **QUICK))
    letters = sum(segment.letters for segment in model.segments(text, "en", 120))
    assert letters == pytest.approx(2 * len(figure), rel=0.2)
    rate = model.codes_per_s
    assert sum(given) >= min(model.most_codes, 2 * len(figure) / 15 * rate * 1.5)


def test_2_makes_no_part_that_would_last_longer_than_it_can_speak(
    two: IndexTTS2Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = model_of(two)
    assert len(model.segments("HELLO " * 60, "en", 500)) > 1
    monkeypatch.setattr(type(model), "most_codes", 1500)
    assert len(model.segments("HELLO " * 60, "en", 500)) == 1


def test_a_segment_that_is_right_the_second_time_is_heard_and_the_same_each_time(
    two_five: IndexTTS25Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    begin = take._generator

    def watched(model: Any, seed: int) -> torch.Generator:
        tries.append(seed)
        return begin(model, seed)

    monkeypatch.setattr(take, "_generator", watched)
    text = "Hello world. This is a tiny test."
    with biased(two_five, model_of(two_five).weights.choice.stop, 5.5):
        for seed in range(40):
            tries.clear()
            found = heard(two_five, utterance(text, seed=seed, **QUICK))
            if len(tries) == 2 and isinstance(found.events[-1], Done):
                np.testing.assert_array_equal(said(two_five, utterance(text, seed=seed, **QUICK)), found.samples)
                return
    pytest.fail("no seed needed a second try")


def test_a_start_in_the_middle_is_no_sound(two_five: IndexTTS25Engine) -> None:
    with biased(two_five, model_of(two_five).weights.start, 1e4):
        (failed,) = heard(two_five, utterance(**QUICK)).events
    assert isinstance(failed, Failed)
    assert "began anew" in failed.error


def test_sound_that_is_no_number_is_a_failure_of_its_lane_only(
    two_five: IndexTTS25Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = utterance(seed=1, **QUICK), utterance(seed=2, **QUICK)
    right = said(two_five, good)
    model = model_of(two_five)
    kept, _ = until_it(two_five, good, "flow", 1)
    vocode = model.vocode
    monkeypatch.setattr(model, "vocode", lambda mel: vocode(mel) * np.float32(np.nan))
    (failed,) = heard(two_five, bad).events
    monkeypatch.undo()
    assert isinstance(failed, Failed)
    assert failed.retryable
    assert "no numbers" in failed.error
    assert two_five._open == {kept}
    (audio, _done) = two_five.step([kept], 60.0)
    two_five.close_lane(kept)
    assert isinstance(audio, Audio)
    np.testing.assert_array_equal(audio.samples, right)


def test_it_loads_and_speaks_with_its_own_gpu_as_the_current_one(
    home: Path, unwritten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    on: list[torch.device] = []
    loaded_on: list[list[torch.device]] = []
    spoken_on: list[list[torch.device]] = []

    @contextmanager
    def current(device: torch.device) -> Iterator[None]:
        on.append(device)
        yield
        on.pop()

    monkeypatch.setattr("oscine.engines.indextts.engine.current", current)

    def watched(call: Any, into: list[list[torch.device]]) -> Any:
        def calls(*given: Any) -> Any:
            into.append(list(on))
            return call(*given)

        return calls

    monkeypatch.setattr(IndexTTS25Engine, "_load", watched(IndexTTS25Engine._load, loaded_on))
    engine = IndexTTS25Engine(tiny.settings(home))
    engine.load(quiet)
    model = model_of(engine)
    monkeypatch.setattr(model, "vocode", watched(model.vocode, spoken_on))
    said(engine, utterance(**QUICK))
    engine.close()
    assert loaded_on == spoken_on == [[torch.device("cpu")]]
    assert on == []


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("no memory"),
        torch.AcceleratorError("an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
    ],
    ids=["memory", "access", "cudnn", "cublas"],
)
def test_a_gpu_that_fails_breaks_the_engine_which_can_be_loaded_again(
    two_five: IndexTTS25Engine, monkeypatch: pytest.MonkeyPatch, failure: RuntimeError
) -> None:
    wanted = utterance(**QUICK)
    right = said(two_five, wanted)

    def full(*_: object) -> None:
        raise failure

    monkeypatch.setattr(model_of(two_five), "vocode", full)
    monkeypatch.setattr(two_five, "_most_lanes", LANES)
    lane = two_five.open(wanted, threading.Event())
    with pytest.raises(EngineBroken):
        two_five.step([lane], 60.0)
    two_five.close()
    assert two_five._model is None
    assert two_five.capacity(wanted).state is State.LATER
    two_five.load(quiet)
    two_five.close_lane(lane)
    assert two_five.info.max_lanes == (LANES // 2 if isinstance(failure, torch.OutOfMemoryError) else LANES)
    two_five.info = replace(two_five.info, max_lanes=LANES)
    np.testing.assert_array_equal(said(two_five, wanted), right)


def test_codes_whose_shapes_do_not_fit_cost_their_piece_another_try_and_not_the_engine(
    two_five: IndexTTS25Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(model_of(two_five), "vocode", lambda _: torch.ones(2, 3) @ torch.ones(2, 3))
        (failed,) = heard(two_five, utterance(**QUICK)).events
    assert isinstance(failed, Failed)
    assert failed.retryable
    assert len(said(two_five, utterance(**QUICK)))


def test_what_one_piece_cannot_be_is_told_without_its_text_and_the_others_go_on(
    two_five: IndexTTS25Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = said(two_five, utterance(**QUICK))

    def strange(text: str, *_: object) -> None:
        raise KeyError(text)

    with monkeypatch.context() as patch:
        patch.setattr(model_of(two_five).loaded, "split_text_by_tokens", strange)
        (failed,) = heard(two_five, utterance("My secret.", **QUICK)).events
    assert isinstance(failed, Failed)
    assert not failed.retryable
    assert failed.error.startswith("indextts25 ")
    assert "secret" not in failed.error + caplog.text
    np.testing.assert_array_equal(said(two_five, utterance(**QUICK)), right)


@pytest.mark.parametrize("missing", [ImportError, RuntimeError])
def test_japanese_that_cannot_be_read_names_the_command_and_breaks_nothing(
    two_five: IndexTTS25Engine, monkeypatch: pytest.MonkeyPatch, missing: type[Exception]
) -> None:
    def no_tagger(*_: object, **__: object) -> None:
        raise missing("no fugashi, or no dictionary")

    loaded = model_of(two_five).loaded
    monkeypatch.setattr(loaded, "_ja_text_process", None)
    monkeypatch.setattr(importlib.import_module("indextts25.infer_v2_5"), "JapaneseG2PProcessor", no_tagger)
    (failed,) = heard(two_five, utterance("こんにちは。", **QUICK)).events
    assert isinstance(failed, Failed)
    assert not failed.retryable
    assert 'pip install "indextts25-inference[ja]"' in failed.error
    assert len(said(two_five, utterance(**QUICK)))


@pytest.mark.parametrize("text", ["…", "?!", "   ", "😀"])
def test_a_text_without_words_is_told_or_said_but_breaks_nothing(engine: IndexTTSEngine, text: str) -> None:
    found = heard(engine, utterance(text, **QUICK))
    last = found.events[-1]
    assert isinstance(last, Done | Failed)
    if isinstance(last, Failed):
        assert last.error.startswith(engine.name)
        assert not last.retryable


# -- languages and pronunciations --------------------------------------------------------------------------------------


def test_the_language_is_the_one_that_is_named_or_the_one_of_the_script(two_five: IndexTTS25Engine) -> None:
    model = model_of(two_five)

    def kind(text: str, language: str | None) -> int:
        (segment,) = model.segments(text, language, 120)
        return segment.language

    assert kind("Hello world.", None) == kind("Hello world.", "en") == kind("Hello world.", "en-GB")
    assert kind("你好世界。", None) == kind("你好世界。", "zh")
    assert kind("Hola amigo.", "es") != kind("Hola amigo.", "en")
    assert kind("¿Hola?", None) == kind("Hola amigo.", "es")
    assert kind("مرحبا", None) == kind("مرحبا", "ar")
    sounds = [said(two_five, utterance("Hello.", language=language, **QUICK)) for language in ("en", "zh", "es", None)]
    assert not np.array_equal(sounds[0], sounds[1])
    assert not np.array_equal(sounds[0], sounds[2])
    np.testing.assert_array_equal(sounds[0], sounds[3])
    assert len(said(two_five, utterance("你好世界。", **QUICK)))


def test_2_reads_english_and_chinese_by_name_and_by_script(
    two: IndexTTS2Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = model_of(two)
    asked: list[str] = []
    get = model._grammars.get

    def watched(language: str) -> Any:
        asked.append(language)
        return get(language)

    monkeypatch.setattr(model._grammars, "get", watched)
    for text, language in (("Hello.", None), ("你好。", None), ("Hello.", "zh"), ("Hello.", "en-US")):
        assert model.segments(text, language, 120)
    assert asked == ["en", "zh", "zh", "en"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_2_reads_no_inches_after_a_quoted_number_and_knows_each_dash(
    two: IndexTTS2Engine, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    model: Any = model_of(two)
    read: list[str] = []

    class Grammar:
        def normalize(self, text: str, verbose: bool = False) -> str:
            read.append(text)
            return text

    monkeypatch.setattr(model._grammars, "get", lambda _language: Grammar())
    (segment,) = model.segments('In "Room 12" 1914–1918, one—two.', language, 120)
    assert read == ["In 'Room 12' 1914–1918, one—two."]
    written = "".join(model.loaded.tokenizer.convert_ids_to_tokens(list(segment.tokens)))
    assert written.count("-") == 2


def test_pinyin_reaches_2_as_it_is(two: IndexTTS2Engine) -> None:
    model: Any = model_of(two)
    (segment,) = model.segments("银 XING2 行 HANG2。", None, 120)
    tokens = model.loaded.tokenizer.convert_ids_to_tokens(list(segment.tokens))
    written = "".join(tokens).replace("▁", " ")
    assert "XING2" in written
    assert "HANG2" in written


@pytest.mark.parametrize(
    ("text", "language", "read"),
    [
        ("He is <going|G OW1 . IH0 NG> home.", "en", "<|SPECIAL_TOKEN_1|>G OW1 . IH0 NG<|SPECIAL_TOKEN_1|>"),
        ("银<行|XING2>。", "zh", "<|SPECIAL_TOKEN_2|>XING2<|SPECIAL_TOKEN_2|>"),
    ],
)
def test_pronunciations_reach_2_5_as_they_are(two_five: IndexTTS25Engine, text: str, language: str, read: str) -> None:
    model: Any = model_of(two_five)
    tokenizer = model.loaded.tokenizer
    for most in (120, 30, 12):
        segments = model.segments(text, language, most)
        assert any(read in tokenizer.decode(list(segment.tokens)) for segment in segments), most


def test_a_pronunciation_that_no_segment_can_hold_is_told(two_five: IndexTTS25Engine) -> None:
    model = model_of(two_five)
    assert model._slots(120) >= model.longest_mark + model.most_codes
    (failed,) = heard(two_five, utterance(f"Say <it|{'か ' * 199}か> now.", language="en", **QUICK)).events
    assert isinstance(failed, Failed)
    assert "pronunciation" in failed.error


def test_japanese_is_offered_only_where_it_can_be_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "oscine.engines.indextts.engine.find_spec"
    real = importlib.util.find_spec
    monkeypatch.setattr(module, lambda name: None if name == "fugashi" else real(name))
    assert "ja" not in IndexTTS25Engine(tiny.settings(home)).info.languages
    monkeypatch.setattr(module, lambda name: object() if name == "fugashi" else real(name))
    assert "ja" in IndexTTS25Engine(tiny.settings(home)).info.languages


def test_a_voice_is_heard_once_whatever_it_is_called(
    two_five: IndexTTS25Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = model_of(two_five)
    listened: list[str] = []
    hear = model._hear

    def watched(key: str, audio: torch.Tensor) -> Any:
        listened.append(key)
        return hear(key, audio)

    monkeypatch.setattr(model, "_hear", watched)
    new = tiny.voice("owl", 260.0, 1.0)
    one = said(two_five, utterance(voice=new, **QUICK))
    np.testing.assert_array_equal(said(two_five, utterance(voice=replace(new, name="another"), **QUICK)), one)
    assert listened == [new.key]

"""Pieces that fail, and engines that break."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from oscine.engines.protocol import Capacity, EngineBroken, Event, Lane, Progress, Utterance
from oscine.errors import NotAvailable, SynthesisFailed
from oscine.synthesis.job import Job, Pace, whole
from oscine.synthesis.scheduler import ATTEMPTS, MAX_RELOADS
from tests.echo import EchoEngine, Failure
from tests.synthesis.house import in_thread, minutes, said, scheduling, studio_with
from tests.waiting import until

BAD = "A bad piece of some length."
GOOD = "A good piece of some length."


def speak_good(job: Job) -> int:
    return len(whole(job.submit(said(GOOD))))


def seeds(engine: EchoEngine, text: str = BAD) -> list[int]:
    return [utterance.seed for utterance in engine.counts.utterances if utterance.text == text]


def test_a_piece_that_failed_before_its_first_sound_is_tried_again_with_another_seed() -> None:
    engine = EchoEngine(failures=[Failure("bad", times=2)])
    with scheduling(engine) as scheduler, scheduler.job(Pace.LISTENER) as job:
        take = job.submit(said(BAD, seed=2**63 - 1))
        sound = whole(take)
    assert len(set(seeds(engine))) == 3
    assert all(0 <= seed < 2**63 for seed in seeds(engine))
    np.testing.assert_array_equal(sound, engine.sound(take.utterance))


def test_it_is_tried_three_times_at_most() -> None:
    engine = EchoEngine(failures=[Failure("bad", times=99)])
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE, hold=True) as job:
        with pytest.raises(SynthesisFailed, match=r"echo could not speak this piece\."):
            whole(job.submit(said(BAD)))
        assert len(whole(job.submit(said(GOOD))))
    assert len(seeds(engine)) == ATTEMPTS


def test_what_the_engine_calls_final_is_not_tried_again() -> None:
    engine = EchoEngine(failures=[Failure("bad", retryable=False)])
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE, hold=True) as job, pytest.raises(SynthesisFailed):
        whole(job.submit(said(BAD)))
    assert len(seeds(engine)) == 1


def test_what_somebody_has_heard_is_never_said_twice() -> None:
    engine = EchoEngine(failures=[Failure("bad", after_frames=3)])
    with scheduling(engine) as scheduler, scheduler.job(Pace.LISTENER) as job:
        take = job.submit(said(BAD))
        heard = [take.read() for _ in range(3)]
        with pytest.raises(SynthesisFailed):
            take.read()
    assert all(part is not None and len(part) for part in heard)
    assert len(seeds(engine)) == 1


def test_a_file_keeps_samples_back_until_a_piece_is_whole_so_late_failures_are_tried_again() -> None:
    engine = EchoEngine(failures=[Failure("bad", times=2, after_frames=5)])
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE, hold=True) as job:
        take = job.submit(said(BAD))
        np.testing.assert_array_equal(whole(take), engine.sound(take.utterance))
    assert len(seeds(engine)) == 3


def test_sound_that_holds_no_numbers_counts_as_a_failure() -> None:
    engine = EchoEngine(failures=[Failure("bad", kind="noise")])
    with scheduling(engine) as scheduler, scheduler.job(Pace.LISTENER) as job:
        sound = whole(job.submit(said(BAD)))
    assert np.isfinite(sound).all()
    assert len(seeds(engine)) == 2


@pytest.mark.parametrize("kind", ["broken", "error"])
def test_a_broken_engine_is_loaded_again_and_what_was_in_hand_is_spoken_with_its_own_seed(kind: str) -> None:
    engine = EchoEngine(failures=[Failure("bad", kind=kind)])  # type: ignore[arg-type]
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE, hold=True) as job:
        takes = [job.submit(said(text, seed=n)) for n, text in enumerate([GOOD, BAD, GOOD])]
        for n, take in enumerate(takes):
            np.testing.assert_array_equal(whole(take), engine.sound(said(take.utterance.text, seed=n)))
        assert scheduler.ready
    assert engine.counts.loads == 2
    assert set(seeds(engine)) == {1}


def test_a_listener_who_has_heard_a_part_is_told_and_others_go_on() -> None:
    engine = EchoEngine(failures=[Failure("bad", kind="broken", after_frames=4)])
    with scheduling(engine) as scheduler:
        heard, waiting = scheduler.job(Pace.LISTENER), scheduler.job(Pace.LISTENER)
        take = heard.submit(said(BAD))
        for _ in range(4):
            assert take.read() is not None
        with pytest.raises(SynthesisFailed, match="broke down"):
            take.read()
        assert len(whole(waiting.submit(said(GOOD))))
        heard.close()
        waiting.close()


def test_a_piece_that_breaks_the_engine_each_time_does_not_bring_the_house_down() -> None:
    engine = EchoEngine(lanes=1, failures=[Failure("bad", times=99, kind="broken")])
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE, hold=True) as job:
        bad, good = job.submit(said(BAD)), job.submit(said(GOOD))
        with pytest.raises(SynthesisFailed):
            whole(bad)
        assert len(whole(good))


def test_an_engine_that_breaks_again_and_again_fails_everything_and_can_be_started_anew(tmp_path: Path) -> None:
    engine = EchoEngine(failures=[Failure("", times=MAX_RELOADS + 1, kind="broken")])
    with studio_with(engine, tmp_path) as studio:
        scheduler = studio.scheduler("echo")
        gate = threading.Event()
        engine._on_step = gate.wait
        jobs = [scheduler.job(Pace.FILE, hold=True) for _ in range(MAX_RELOADS + 2)]
        readers = [in_thread(partial(speak_good, job)) for job in jobs]
        until(lambda: all(job._takes for job in jobs))
        gate.set()
        for reader in readers:
            with pytest.raises((NotAvailable, SynthesisFailed), match="broke down"):
                reader()
        until(lambda: scheduler.failure is not None)
        with pytest.raises(NotAvailable, match=f"broke down {MAX_RELOADS + 1} times in a row"):
            scheduler.job(Pace.FILE)
        again = studio.scheduler("echo")
        assert again is not scheduler
        with again.job(Pace.FILE) as job:
            assert len(whole(job.submit(said(GOOD))))


def test_an_engine_that_cannot_be_loaded_again_fails_everything_with_a_clear_word() -> None:
    engine = EchoEngine(failures=[Failure("bad", kind="broken")])
    load = engine.load
    engine.load = lambda progress: load(progress) if not engine.counts.loads else 1 / 0  # type: ignore[assignment, method-assign]
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE, hold=True) as job:
        reader = in_thread(lambda: whole(job.submit(said(BAD))))
        with pytest.raises(NotAvailable, match=r"broke down and could not be loaded again \(ZeroDivisionError\)"):
            reader()


class Brittle(EchoEngine):
    """Breaks where a lane is opened."""

    breaks: type[Exception] = EngineBroken
    times = 1

    def open(self, utterance: Utterance, stop: threading.Event) -> Lane:
        if "bad" in utterance.text and self.times:
            self.times -= 1
            raise self.breaks("no lane")
        return super().open(utterance, stop)


def test_an_engine_that_breaks_while_a_lane_is_opened_is_loaded_again() -> None:
    engine = Brittle()
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE) as job:
        assert len(whole(job.submit(said(BAD))))
    assert engine.counts.loads == 2


def test_a_piece_that_cannot_be_opened_fails_alone() -> None:
    engine = Brittle()
    engine.breaks = KeyError
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE) as job:
        bad, good = job.submit(said(BAD)), job.submit(said(GOOD))
        with pytest.raises(SynthesisFailed, match="could not begin"):
            whole(bad)
        assert len(whole(good))
    assert engine.counts.loads == 1


class Confused(EchoEngine):
    """Asks for what is not there when it counts its room."""

    def capacity(self, utterance: Utterance) -> Capacity:
        if "bad" in utterance.text:
            raise KeyError("speaker")
        return super().capacity(utterance)


def test_a_piece_that_confuses_the_engine_fails_alone() -> None:
    engine = Confused()
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE) as job:
        bad, good = job.submit(said(BAD)), job.submit(said(GOOD))
        with pytest.raises(SynthesisFailed):
            whole(bad)
        assert len(whole(good))


@pytest.mark.parametrize("where", ["step", "open"])
def test_nobody_waits_for_a_reload_to_queue_or_to_leave(where: str) -> None:
    engine = Brittle(failures=[Failure("bad", kind="broken", times=int(where == "step"))])
    engine.times = int(where == "open")
    gate, reloading = threading.Event(), threading.Event()
    load = engine.load

    def slow(progress: object) -> None:
        if engine.counts.loads:
            reloading.set()
            gate.wait()
        load(progress)  # type: ignore[arg-type]

    engine.load = slow  # type: ignore[method-assign]
    with scheduling(engine) as scheduler:
        job = scheduler.job(Pace.FILE, hold=True)
        take = job.submit(said(BAD))
        assert reloading.wait(60)

        def queue_and_leave() -> bool:
            with scheduler.job(Pace.LISTENER) as other:
                other.submit(said(GOOD))
            return True

        assert in_thread(queue_and_leave)()
        assert not scheduler.ready
        gate.set()
        assert len(whole(take))
        job.close()


def test_an_engine_that_hangs_lets_go_when_the_reader_leaves() -> None:
    engine = EchoEngine(failures=[Failure("bad", kind="hang")])
    with scheduling(engine) as scheduler:
        with scheduler.job(Pace.LISTENER) as job:
            job.submit(said(BAD))
            until(lambda: engine.counts.steps == 1)
        with scheduler.job(Pace.LISTENER) as job:
            assert in_thread(lambda: len(whole(job.submit(said(GOOD)))))()


def test_an_engine_is_never_called_by_two_threads_when_it_is_started_anew(tmp_path: Path) -> None:
    engine = EchoEngine(load_failures=[RuntimeError("first")])
    inside = threading.Semaphore(1)
    close = engine.close

    def slow_close() -> None:
        assert inside.acquire(blocking=False)
        threading.Event().wait(0.2)
        close()
        inside.release()

    load = engine.load

    def exclusive_load(progress: object) -> None:
        assert inside.acquire(blocking=False), "load beside close"
        try:
            load(progress)  # type: ignore[arg-type]
        finally:
            inside.release()

    engine.close, engine.load = slow_close, exclusive_load  # type: ignore[method-assign]
    with studio_with(engine, tmp_path) as studio:
        first = studio.scheduler("echo")
        until(lambda: first.failure is not None)
        with studio.scheduler("echo").job(Pace.FILE) as job:
            assert len(whole(job.submit(said(GOOD))))


def test_held_samples_are_let_go_when_a_piece_is_given_up() -> None:
    engine = EchoEngine(failures=[Failure("bad", times=99, after_frames=50)])
    long = "bad " + minutes(0.3)
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE, hold=True) as job:
        take = job.submit(said(long))
        with pytest.raises(SynthesisFailed):
            whole(take)
        assert take._held == []


def test_a_piece_that_breaks_the_engine_each_time_harms_none_that_is_spoken_beside_it() -> None:
    all_there = threading.Event()
    engine = EchoEngine(
        lanes=4,
        failures=[Failure("bad", times=99, kind="broken", after_frames=2)],
        on_step=lambda: all_there.wait(60),
    )
    with scheduling(engine) as scheduler:
        jobs = [scheduler.job(Pace.FILE, hold=True) for _ in range(3)]
        bad = jobs[0].submit(said(BAD))
        good = [jobs[1].submit(said(GOOD, seed=2)), jobs[2].submit(said(GOOD, seed=3))]
        all_there.set()
        for take in good:
            np.testing.assert_array_equal(whole(take), engine.sound(take.utterance))
        with pytest.raises(SynthesisFailed, match="broke down"):
            whole(bad)
        until(lambda: scheduler.ready)
        for job in jobs:
            job.close()
    assert sum(BAD in texts and len(texts) > 1 for texts in engine.counts.stepped) <= 3  # until it broke first
    assert engine.counts.loads == 4


def test_two_pieces_that_break_the_engine_harm_none_that_is_spoken_beside_them() -> None:
    engine = EchoEngine(lanes=4, failures=[Failure("bad", times=99, kind="broken")])
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE, hold=True) as job:
        takes = [job.submit(said(text)) for text in (BAD, GOOD, BAD, GOOD)]
        for take in (takes[1], takes[3]):
            np.testing.assert_array_equal(whole(take), engine.sound(take.utterance))
        for take in (takes[0], takes[2]):
            with pytest.raises(SynthesisFailed, match="broke down"):
                whole(take)


def test_a_piece_that_breaks_the_engine_where_its_lane_is_opened_fails_alone() -> None:
    engine = Brittle()
    engine.times = 99
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE, hold=True) as job:
        bad, good = job.submit(said(BAD)), job.submit(said(GOOD))
        with pytest.raises(SynthesisFailed, match="broke down"):
            whole(bad)
        assert len(whole(good))


def test_an_engine_that_breaks_while_it_is_closed_is_not_loaded_again() -> None:
    engine = EchoEngine(failures=[Failure("bad", kind="broken")])
    stepping, gate = threading.Event(), threading.Event()

    def on_step() -> None:
        stepping.set()
        gate.wait(60)

    engine._on_step = on_step
    with scheduling(engine) as scheduler:
        scheduler.job(Pace.FILE, hold=True).submit(said(BAD))
        assert stepping.wait(60)
        closed = in_thread(scheduler.close)
        until(lambda: scheduler.over)
        gate.set()
        closed()
    assert engine.counts.loads == 1


def test_closing_beside_a_call_never_lets_two_threads_into_one_engine(tmp_path: Path) -> None:
    engine = EchoEngine()
    stepping, gate = threading.Event(), threading.Event()

    def on_step() -> None:
        stepping.set()
        gate.wait(60)

    engine._on_step = on_step
    with studio_with(engine, tmp_path) as studio:
        first = studio.scheduler("echo")
        first.job(Pace.FILE).submit(said(GOOD))
        assert stepping.wait(60)
        closed = in_thread(studio.close)
        until(lambda: first.over)
        again = in_thread(lambda: studio.scheduler("echo"))
        threading.Event().wait(0.1)
        assert first._thread.is_alive()
        assert len(engine.counts.threads) == 1, "a second thread called the engine before the first had left it"
        gate.set()
        closed()
        scheduler = again()
        assert scheduler is not first
        assert not first._thread.is_alive()


def test_the_log_tells_the_whole_cause_to_those_who_look_for_it(caplog: pytest.LogCaptureFixture) -> None:
    engine = EchoEngine(failures=[Failure("bad", kind="error")])
    with (
        caplog.at_level(logging.DEBUG, "oscine"),
        scheduling(engine) as scheduler,
        scheduler.job(Pace.FILE, hold=True) as job,
    ):
        assert len(whole(job.submit(said(BAD))))
    told = [record for record in caplog.records if record.thread == scheduler._thread.ident]
    lines = [record for record in told if record.levelno == logging.ERROR]
    causes = [record.exc_info[1] for record in told if record.exc_info]
    assert [line.exc_info for line in lines] == [None]
    assert [str(cause) for cause in causes] == ["unexpected"]
    assert logging.getLogger("oscine").handlers, "Python prints errors of libraries that have no handler"


class Weights:
    """What takes memory."""


@pytest.mark.parametrize("chained", [False, True])
def test_what_an_engine_had_loaded_before_it_gave_up_is_gone(chained: bool) -> None:
    class Large(EchoEngine):
        held: weakref.ref[Weights]

        def load(self, progress: Progress) -> None:
            weights = Weights()
            self.held = weakref.ref(weights)
            if not chained:
                raise NotAvailable("There is no room beside the weights.")
            try:
                raise MemoryError
            except MemoryError:
                raise NotAvailable("There is no room beside the weights.") from None

    engine = Large()
    with scheduling(engine) as scheduler:
        assert not scheduler.wait_loaded()
        until(lambda: engine.held() is None)
        assert isinstance(scheduler.failure, NotAvailable)


def test_what_broke_is_gone_before_the_engine_is_loaded_again() -> None:
    class Heavy(EchoEngine):
        model: Weights | None = None
        held: weakref.ref[Weights] | None = None
        left: list[bool]

        def load(self, progress: Progress) -> None:
            if self.held is not None:
                self.left.append(self.held() is not None)
            self.model = Weights()
            super().load(progress)

        def step(self, lanes: Sequence[Lane], budget_s: float) -> list[Event]:
            if self.held is None and lanes:
                self.speak(self.model)
            return super().step(lanes, budget_s)

        def speak(self, model: Weights | None) -> None:
            assert model is not None
            self.held = weakref.ref(model)
            raise EngineBroken("no memory") from MemoryError()

        def close(self) -> None:
            self.model = None
            super().close()

    engine = Heavy()
    engine.left = []
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE) as job:
        assert speak_good(job)
    assert engine.left == [False]

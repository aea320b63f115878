"""Who is served when, and what happens to readers that are slow, leave, or meet a full house."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from oscine.engines.protocol import LATER, Capacity, Utterance
from oscine.errors import Busy, Cancelled, EngineFailed, NotAvailable, SynthesisFailed
from oscine.synthesis import job as jobs
from oscine.synthesis import scheduler as schedulers
from oscine.synthesis.job import AHEAD_S, Job, Pace, chunks, whole
from oscine.synthesis.scheduler import Scheduler
from tests.echo import RATE, EchoEngine, Failure
from tests.synthesis.house import Endless, Held, in_thread, minutes, said, scheduling
from tests.waiting import PATIENCE_S, until


def seconds_made(engine: EchoEngine, text: str) -> float:
    return engine.counts.frames[text] * 0.133


def settled(engine: EchoEngine) -> None:
    """Wait until the engine has nothing to do."""
    before, since = engine.counts.steps, time.monotonic()
    end = since + PATIENCE_S
    while time.monotonic() - since < 0.25:
        assert time.monotonic() < end, "it never rests"
        if engine.counts.steps != before:
            before, since = engine.counts.steps, time.monotonic()
        time.sleep(0.005)


def book(scheduler: Scheduler, name: str, pieces: int = 40, words: int = 12) -> Job:
    job = scheduler.job(Pace.FILE, hold=True)
    for number in range(pieces):
        job.submit(said(f"{name}{number} " + "wordliest " * words))
    return job


def test_pieces_come_in_order_and_whole_whatever_their_length() -> None:
    engine = EchoEngine(lanes=4)
    texts = [f"Piece {n} " + "la " * (7 * n % 11) for n in range(20)]
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE) as job:
        takes = [job.submit(said(text, seed=n)) for n, text in enumerate(texts)]
        for n, take in enumerate(takes):
            np.testing.assert_array_equal(whole(take), engine.sound(said(texts[n], seed=n)))
    assert engine.counts.most_open > 1


def test_a_new_listener_is_served_at_once_while_books_are_spoken() -> None:
    held = Held()
    engine = EchoEngine(lanes=4, delay_s=0.003, on_step=held)
    with scheduling(engine) as scheduler:
        books = [book(scheduler, name) for name in "abc"]
        until(lambda: engine.counts.steps > 20)
        with scheduler.job(Pace.LISTENER) as job:
            with held:
                asked = len(engine.counts.stepped)
                take = job.submit(said("Hello there."))
            assert take.read() is not None
        first = next(n for n, texts in enumerate(engine.counts.stepped) if "Hello there." in texts)
        assert first - asked <= 3
        for one in books:
            one.close()


def test_with_a_single_lane_a_listener_waits_for_no_more_than_the_piece_in_hand() -> None:
    held = Held()
    engine = EchoEngine(lanes=1, delay_s=0.002, on_step=held)
    with scheduling(engine) as scheduler:
        with book(scheduler, "a"), book(scheduler, "b"):
            until(lambda: engine.counts.steps > 5)
            with scheduler.job(Pace.LISTENER) as job:
                with held:
                    opened = engine.counts.opened
                    take = job.submit(said("Hello there."))
                assert whole(take).size
        after = [utterance.text for utterance in engine.counts.utterances[opened:]]
        assert "Hello there." in after[:2]


def test_books_are_not_starved_by_a_stream_of_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "FILE_PATIENCE_S", 0.1)
    engine = EchoEngine(lanes=2, delay_s=0.001)
    over = threading.Event()
    served = 0

    def listeners() -> None:
        nonlocal served
        while not over.is_set():
            with scheduler.job(Pace.LISTENER) as job:
                whole(job.submit(said("Somebody new comes again and again.")))
                served += 1

    with scheduling(engine) as scheduler:
        crowd = [in_thread(listeners) for _ in range(6)]
        try:
            until(lambda: served > 6)
            with scheduler.job(Pace.FILE, hold=True) as job:
                before = served
                takes = [job.submit(said(f"Page {n} of a book.")) for n in range(5)]
                assert in_thread(lambda: [len(whole(take)) for take in takes])()
                until(lambda: served > before)
        finally:
            over.set()
        for one in crowd:
            one()


def test_files_leave_a_part_of_the_lanes_to_listeners() -> None:
    all_there = threading.Event()
    engine = EchoEngine(lanes=8, on_step=lambda: all_there.wait(PATIENCE_S))
    with scheduling(engine) as scheduler:
        books = [book(scheduler, name, pieces=6) for name in "abcd"]
        all_there.set()
        for one in books:
            for take in list(one._takes):
                whole(take)
            one.close()
    assert engine.counts.most_open == 6


def test_one_listener_does_not_take_the_lanes_of_the_next() -> None:
    engine = Endless(lanes=4, delay_s=0.003)
    with scheduling(engine) as scheduler, scheduler.job(Pace.LISTENER) as first:
        for n in range(6):
            first.submit(said(f"{n} " + "wordliest " * 30))
        until(lambda: engine.counts.opened >= 3 and engine.counts.steps > 10)
        assert engine.counts.most_open == 3
        with scheduler.job(Pace.LISTENER) as second:
            assert second.submit(said("Hello there.")).read() is not None
    assert engine.counts.utterances[3].text == "Hello there."


def test_a_reader_that_does_not_read_pauses_after_half_a_minute_and_others_go_on() -> None:
    engine = EchoEngine(lanes=4)
    long = minutes(2)
    with scheduling(engine) as scheduler, scheduler.job(Pace.LISTENER) as idle:
        take = idle.submit(said(long))
        until(lambda: seconds_made(engine, long) > AHEAD_S)
        with scheduler.job(Pace.FILE) as busy:
            assert len(whole(busy.submit(said("Others go on.")))) > RATE / 2
        settled(engine)
        assert AHEAD_S < seconds_made(engine, long) < AHEAD_S + 1
        sound = in_thread(lambda: whole(take))()
        np.testing.assert_array_equal(sound, engine.sound(said(long)))


def test_what_waits_for_a_reader_is_bounded_over_all_its_pieces() -> None:
    engine = EchoEngine(lanes=4)
    with scheduling(engine) as scheduler, scheduler.job(Pace.LISTENER) as idle:
        takes = [idle.submit(said(f"{n} " + minutes(0.4))) for n in range(12)]
        until(lambda: sum(list(engine.counts.frames.values())) * 0.133 > AHEAD_S)
        settled(engine)
        made = sum(engine.counts.frames.values()) * 0.133
        assert AHEAD_S < made < 2 * AHEAD_S
        assert in_thread(lambda: [len(whole(take)) for take in takes])()


def test_a_reader_that_keeps_up_is_never_held_to_the_pace_of_speech() -> None:
    engine = EchoEngine(lanes=2)
    with scheduling(engine) as scheduler, scheduler.job(Pace.LISTENER) as job:

        def read() -> float:
            total = 0
            for n in range(6):
                total += len(whole(job.submit(said(f"{n} " + minutes(0.5)))))
            return total / RATE

        begun = time.monotonic()
        assert float(str(in_thread(read)())) > 170
        assert time.monotonic() - begun < 60  # three minutes of speech


def test_stalled_readers_do_not_keep_their_places_from_others() -> None:
    engine = EchoEngine(lanes=2)
    with scheduling(engine) as scheduler:
        stalled = [scheduler.job(Pace.LISTENER) for _ in range(2)]
        for n, job in enumerate(stalled):
            for part in range(3):
                job.submit(said(f"{n} {part} " + minutes(1)))
        until(lambda: engine.open_lanes == 2)
        settled(engine)
        assert engine.open_lanes == 2
        with scheduler.job(Pace.FILE) as job:
            assert in_thread(lambda: len(whole(job.submit(said("My turn.")))))()
        for job in stalled:
            job.close()


def test_leaving_midway_frees_the_lanes_and_ends_the_work() -> None:
    engine = EchoEngine(lanes=4, delay_s=0.001)
    texts = [f"{n} " + minutes(2) for n in range(4)]
    with scheduling(engine) as scheduler:
        job = scheduler.job(Pace.LISTENER)
        takes = [job.submit(said(text)) for text in texts]
        assert takes[0].read() is not None
        blocked = in_thread(lambda: whole(takes[3]))
        job.close()
        job.close()
        with pytest.raises(Cancelled):
            blocked()
        until(lambda: engine.open_lanes == 0)
        settled(engine)
        made = sum(engine.counts.frames.values())
        with scheduler.job(Pace.FILE) as other:
            whole(other.submit(said("Next.")))
        assert sum(engine.counts.frames.values()) - engine.counts.frames["Next."] == made
        with pytest.raises(Cancelled):
            job.submit(said("More."))
        assert scheduler.lanes_busy == 0


def test_a_full_queue_answers_at_once_and_says_when_to_come_back() -> None:
    gate = threading.Event()
    engine = EchoEngine(on_step=gate.wait)
    with scheduling(engine, max_jobs=3) as scheduler:
        held = [scheduler.job(Pace.LISTENER) for _ in range(3)]
        held[0].submit(said("Hold the engine."))
        with pytest.raises(Busy) as caught:
            scheduler.job(Pace.LISTENER)
        assert caught.value.retry_after >= 1
        assert caught.value.http_status == 429
        held[1].close()
        scheduler.job(Pace.LISTENER).close()
        gate.set()


def test_what_the_engine_can_never_speak_fails_with_its_reason_and_nothing_else_does() -> None:
    engine = EchoEngine(tokens=60)
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE) as job:
        good = job.submit(said("Short enough."))
        bad = job.submit(said("much " * 30))
        last = job.submit(said("Short again."))
        assert len(whole(good))
        with pytest.raises(SynthesisFailed, match="echo takes 60 characters at once"):
            whole(bad)
        assert len(whole(last))
    assert engine.counts.opened == 2


def test_utterances_wait_for_what_the_engine_is_short_of_and_large_ones_are_not_overtaken_for_ever() -> None:
    all_there = threading.Event()
    engine = EchoEngine(lanes=8, tokens=100, delay_s=0.001, on_step=lambda: all_there.wait(PATIENCE_S))
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE) as large:
        jobs_small = [scheduler.job(Pace.FILE) for _ in range(3)]
        small = [job.submit(said(f"small {n} " + "la " * 8)) for job in jobs_small for n in range(12)]
        big = large.submit(said("big " * 24))
        all_there.set()
        assert in_thread(lambda: len(whole(big)))()
        for take in small:
            assert len(whole(take))
        assert engine.counts.utterances.index(big.utterance) < len(small)
        for job in jobs_small:
            job.close()


class Moody(EchoEngine):
    """Has no room for a while although nothing is open."""

    refusals = 2

    def capacity(self, utterance: Utterance) -> Capacity:
        if self.refusals:
            self.refusals -= 1
            return LATER
        return super().capacity(utterance)


def test_an_engine_that_has_no_room_although_it_is_idle_is_asked_again() -> None:
    with scheduling(Moody()) as scheduler, scheduler.job(Pace.FILE) as job:
        assert in_thread(lambda: len(whole(job.submit(said("At last.")))))()


def test_closing_while_busy_ends_the_thread_and_tells_every_reader() -> None:
    engine = Endless(delay_s=0.002)
    with scheduling(engine) as scheduler:
        job = scheduler.job(Pace.LISTENER)
        readers = [in_thread(partial(whole, job.submit(said(f"{n} " + minutes(1))))) for n in range(6)]
        until(lambda: engine.counts.steps > 3)
        scheduler.close()
        scheduler.close()
        for reader in readers:
            with pytest.raises(Cancelled):
                reader()
        assert engine.counts.closes == 1
        with pytest.raises(Cancelled):
            scheduler.job(Pace.LISTENER)
        with pytest.raises(Cancelled):
            job.submit(said("Too late."))


def test_closing_while_the_engine_is_being_loaded_ends_the_thread() -> None:
    engine, closing = EchoEngine(), threading.Event()
    load = engine.load
    engine.load = lambda progress: (closing.wait(PATIENCE_S), load(progress))[1]  # type: ignore[method-assign]
    with scheduling(engine) as scheduler:
        job = scheduler.job(Pace.LISTENER)
        reader = in_thread(partial(whole, job.submit(said("Never said."))))
        closed = in_thread(scheduler.close)
        with pytest.raises(Cancelled):
            reader()
        closing.set()
        closed()
    assert engine.counts.opened == 0


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NotAvailable("The weights are not here; run: oscine download echo"), "oscine download echo"),
        (RuntimeError("secret detail"), r"The engine echo could not be loaded \(RuntimeError\)"),
        (MemoryError(), r"could not be loaded \(MemoryError\)"),
    ],
)
def test_an_engine_that_cannot_be_loaded_tells_every_reader_that_waits(error: Exception, message: str) -> None:
    gate = threading.Event()
    engine = EchoEngine(load_failures=[error])
    load = engine.load
    engine.load = lambda progress: (gate.wait(), load(progress))[1]  # type: ignore[method-assign]
    with scheduling(engine) as scheduler:
        open_jobs = [scheduler.job(Pace.LISTENER) for _ in range(3)]
        readers = [in_thread(partial(whole, job.submit(said("Hello.")))) for job in open_jobs]
        gate.set()
        for reader in readers:
            with pytest.raises(NotAvailable, match=message):
                reader()
        assert scheduler.failure is not None
        assert not scheduler.ready
        with pytest.raises(NotAvailable, match=message):
            scheduler.job(Pace.FILE)
        with pytest.raises(NotAvailable, match=message):
            open_jobs[0].submit(said("Again."))


@pytest.mark.parametrize("busy_with", ["load", "open", "step"])
def test_closing_waits_no_longer_than_told_for_an_engine_that_does_not_come_back(busy_with: str) -> None:
    engine, inside, back = EchoEngine(), threading.Event(), threading.Event()
    does = getattr(engine, busy_with)

    def stuck(*given: object) -> object:
        inside.set()
        back.wait(PATIENCE_S)
        return does(*given)

    setattr(engine, busy_with, stuck)
    with scheduling(engine) as scheduler:
        job = scheduler.job(Pace.LISTENER)
        reader = in_thread(partial(whole, job.submit(said("Never heard."))))
        assert inside.wait(PATIENCE_S)
        assert in_thread(lambda: scheduler.close(0.01))() is False
        back.set()
        assert scheduler.close(PATIENCE_S) is True
        with pytest.raises(Cancelled):
            reader()


def test_who_did_not_ask_for_the_end_is_told_the_reason() -> None:
    engine = Endless(delay_s=0.002)
    with scheduling(engine) as scheduler:
        job, left = scheduler.job(Pace.LISTENER), scheduler.job(Pace.LISTENER)
        reader = in_thread(partial(whole, job.submit(said(minutes(1)))))
        leaver = in_thread(partial(whole, left.submit(said(minutes(1)))))
        until(lambda: engine.counts.steps > 3)
        left.close()
        scheduler.close(reason=EngineFailed("The house is on fire."))
        with pytest.raises(EngineFailed, match="fire"):
            reader()
        with pytest.raises(Cancelled):
            leaver()
        with pytest.raises(EngineFailed, match="fire"):
            scheduler.job(Pace.LISTENER)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_readers_are_told_even_when_the_owner_thread_is_ended_from_within() -> None:
    engine = EchoEngine(on_step=lambda: (_ for _ in ()).throw(SystemExit))
    with scheduling(engine) as scheduler, scheduler.job(Pace.FILE) as job, pytest.raises(EngineFailed):
        in_thread(lambda: whole(job.submit(said("Hello."))))()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_crowd_that_comes_and_goes_at_random_leaves_nothing_behind(seed: int) -> None:
    dice = random.Random(seed)
    engine = EchoEngine(
        lanes=dice.choice([1, 3, 5]),
        delay_s=0.0002,
        tokens=dice.choice([None, 200]),
        failures=[
            Failure("fails", times=15),
            Failure("final", times=15, retryable=False),
            Failure("breaks", times=2, kind="broken", after_frames=1),
            Failure("odd", times=2, kind="error"),
        ],
    )
    threads = set(threading.enumerate())
    outcomes: list[str] = []

    def visit(number: int) -> None:
        own = random.Random(seed * 1000 + number)
        time.sleep(own.random() * 0.5)
        kind = own.choice(["plain"] * 8 + ["fails", "final", "breaks", "odd"])
        try:
            with scheduler.job(own.choice(list(Pace)), hold=own.random() < 0.5) as job:
                takes = [job.submit(said(f"{number} {kind} {n} " + "la " * own.randrange(12))) for n in range(3)]
                leaves = own.random()
                for take in takes:
                    for _ in chunks(take):
                        if leaves < 0.3:
                            outcomes.append("left")
                            return
                        time.sleep(own.random() * 0.001)
            outcomes.append("done")
        except (SynthesisFailed, NotAvailable) as error:
            outcomes.append(type(error).__name__)

    with scheduling(engine) as scheduler:
        crowd = [in_thread(partial(visit, number)) for number in range(200)]
        for one in crowd:
            one()
        until(lambda: engine.open_lanes == 0)
        assert scheduler.lanes_busy == 0
        assert scheduler._jobs == []
        assert scheduler._open == {}
        assert scheduler.ready
    assert len(outcomes) == 200
    assert outcomes.count("done") > 80
    until(lambda: set(threading.enumerate()) <= threads)


def test_threads_that_open_and_close_jobs_at_the_same_time_never_wait_for_each_other() -> None:
    engine = EchoEngine(lanes=2)

    def churn(act: Callable[[Job], object]) -> None:
        for _ in range(40):
            with scheduler.job(Pace.LISTENER) as job:
                act(job)

    with scheduling(engine) as scheduler:
        acts: list[Callable[[Job], object]] = [
            lambda job: job.submit(said("A word.")),
            lambda job: job.submit(said("A word.")).read(),
            lambda job: whole(job.submit(said("A word."))),
            lambda job: job.close(),
            lambda job: [job.submit(said("A word.")) for _ in range(3)],
        ]
        for one in [in_thread(partial(churn, act)) for act in acts * 2]:
            one()
        until(lambda: engine.open_lanes == 0)


def test_memory_is_given_back_once_after_each_busy_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    engine = EchoEngine(delay_s=0.02)
    monkeypatch.setattr(schedulers, "REST_S", 0.05)

    def give_back() -> None:
        if threading.current_thread() is scheduler._thread:  # and not of another scheduler of this process
            given.append(len(engine.counts.utterances))

    monkeypatch.setattr(schedulers, "give_back", give_back)
    with scheduling(engine) as scheduler:
        until(lambda: given == [0])
        with scheduler.job(Pace.FILE) as job:
            whole(job.submit(said("one two three")))
            time.sleep(0.15)
            assert given == [0], "not while somebody is there"
        until(lambda: given == [0, 1])
        time.sleep(0.15)
        assert given == [0, 1]

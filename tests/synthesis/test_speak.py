"""From pieces to sound in order, also while the text is being written."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from oscine.audio.waveform import Samples
from oscine.errors import Cancelled, InvalidRequest, SynthesisFailed
from oscine.synthesis.job import Pace
from oscine.synthesis.speak import Speaking, Spoken
from oscine.synthesis.spool import Spool
from tests.echo import EchoEngine, Failure
from tests.synthesis.house import in_thread, plan_of, studio_with, threads
from tests.waiting import PATIENCE_S, until

STORY = "It was late. Nobody came. The lamp went out. She waited. Then it was light."


def by_piece(parts: list[Spoken]) -> dict[str, Samples]:
    found: dict[str, list[Samples]] = {}
    for part in parts:
        found.setdefault(part.piece.utterance.text, []).append(part.samples)
    return {text: np.concatenate(sounds) for text, sounds in found.items()}


def test_pieces_come_in_order_each_with_one_last_part(tmp_path: Path) -> None:
    engine = EchoEngine()
    with studio_with(engine, tmp_path) as studio, studio.scheduler("echo").job(Pace.LISTENER) as job:
        plan = plan_of(studio, STORY)
        parts = list(Speaking(plan, job))
    order = [part.piece.index for part in parts]
    assert order == sorted(order)
    assert [part.piece.index for part in parts if part.last] == [0, 1, 2, 3, 4]
    for utterance in engine.counts.utterances:
        np.testing.assert_array_equal(by_piece(parts)[utterance.text], engine.sound(utterance))


def test_only_a_bounded_number_of_pieces_is_planned_ahead(tmp_path: Path) -> None:
    with studio_with(EchoEngine(lanes=3), tmp_path) as studio, studio.scheduler("echo").job(Pace.FILE) as job:
        plan = plan_of(studio, "A sentence. " * 300)
        most = 0
        for part in Speaking(plan, job):
            most = max(most, len(job._takes) - part.last)
    assert 2 <= most <= 5


def test_spooled_pieces_are_not_spoken_again(tmp_path: Path) -> None:
    engine = EchoEngine()
    spool = Spool(tmp_path / "spool", max_age_s=1000, max_bytes=1e9)
    with studio_with(engine, tmp_path) as studio:
        results = []
        for text in (STORY, STORY.replace("waited", "slept")):
            with studio.scheduler("echo").job(Pace.FILE, hold=True) as job:
                results.append(list(Speaking(plan_of(studio, text), job, spool=spool)))
    assert [part.reused for part in results[0]] == [False] * 5
    assert [part.reused for part in results[1]] == [True, True, True, False, True]
    for one, other in zip(results[0], results[1], strict=True):
        if other.reused:
            np.testing.assert_array_equal(one.samples, other.samples)
    assert engine.counts.opened == 6


def test_a_piece_without_sound_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    for spool in (None, Spool(tmp_path / "spool", max_age_s=1000, max_bytes=1e9)):
        with studio_with(EchoEngine(), tmp_path) as studio, studio.scheduler("echo").job(Pace.FILE, hold=True) as job:
            plan = plan_of(studio, "One came. Only silence here. Two left.")
            sounds = by_piece(list(Speaking(plan, job, spool=spool)))
        assert [len(sound) > 0 for sound in sounds.values()] == [True, False, True]
        assert plan.warnings == []


@pytest.mark.parametrize("speed", [0.3, 3.0])
def test_what_the_engine_cannot_stretch_is_stretched_piece_by_piece(tmp_path: Path, speed: float) -> None:
    engine = EchoEngine(speed=(0.5, 2.0))
    with studio_with(engine, tmp_path) as studio, studio.scheduler("echo").job(Pace.LISTENER) as job:
        parts = list(Speaking(plan_of(studio, STORY, speed=speed), job))
    for utterance in engine.counts.utterances:
        expected = len(engine.sound(utterance)) / (speed / utterance.speed)
        assert len(by_piece(parts)[utterance.text]) == pytest.approx(expected, rel=0.02, abs=480)


def test_a_failed_piece_is_raised_after_what_came_before_it(tmp_path: Path) -> None:
    engine = EchoEngine(failures=[Failure("lamp", times=99)])
    heard: list[str] = []
    with studio_with(engine, tmp_path) as studio:
        with studio.scheduler("echo").job(Pace.LISTENER) as job, pytest.raises(SynthesisFailed):
            heard.extend(part.piece.utterance.text for part in Speaking(plan_of(studio, STORY), job) if part.last)
        until(lambda: engine.open_lanes == 0)
    assert heard == ["It was late.", "Nobody came."]


# -- live text


class Writer:
    """Text that arrives when the test says so."""

    def __init__(self) -> None:
        self.parts: list[str | BaseException | None] = []
        self.changed = threading.Condition()

    def write(self, part: str | BaseException | None) -> None:
        with self.changed:
            self.parts.append(part)
            self.changed.notify_all()

    def __iter__(self) -> Iterator[str]:
        at = 0
        while True:
            with self.changed:
                assert self.changed.wait_for(lambda: len(self.parts) > at, PATIENCE_S)  # noqa: B023
                part = self.parts[at]
            at += 1
            if part is None:
                return
            if isinstance(part, BaseException):
                raise part
            yield part


def test_finished_sound_is_never_held_back_by_a_slow_writer(tmp_path: Path) -> None:
    writer = Writer()
    heard: list[str] = []
    with studio_with(EchoEngine(), tmp_path) as studio, studio.scheduler("echo").job(Pace.LISTENER) as job:

        def listen() -> None:
            heard.extend(part.piece.utterance.text for part in Speaking(plan_of(studio, writer), job) if part.last)

        done = in_thread(listen)
        writer.write("One came. Two ")
        until(lambda: heard == ["One came."])
        writer.write("left. Th")
        until(lambda: heard == ["One came.", "Two left."])
        writer.write("ree stayed.")
        writer.write(None)
        done()
    assert heard == ["One came.", "Two left.", "Three stayed."]


def test_what_is_written_while_somebody_listens_is_spoken_meanwhile(tmp_path: Path) -> None:
    engine = EchoEngine()
    writer = Writer()
    with studio_with(engine, tmp_path) as studio, studio.scheduler("echo").job(Pace.LISTENER) as job:
        writer.write("One came and stayed. Two ")
        parts = Speaking(plan_of(studio, writer), job)
        assert next(parts).piece.index == 0
        writer.write("left again. Three ")  # the listener is still at the first one's first frame
        until(lambda: engine.counts.frames["Two left again."] > 0)
        writer.write(None)
        assert [part.piece.index for part in parts if part.last] == [0, 1, 2]


def test_what_was_written_before_the_writer_failed_is_spoken_first(tmp_path: Path) -> None:
    writer = Writer()
    for part in ("One came. ", "Two left. Three ", ConnectionError("the writer is gone")):
        writer.write(part)
    heard: list[str] = []
    with studio_with(EchoEngine(), tmp_path) as studio:
        job = studio.scheduler("echo").job(Pace.LISTENER)
        with job, pytest.raises(ConnectionError, match="the writer is gone"):
            heard.extend(part.piece.utterance.text for part in Speaking(plan_of(studio, writer), job) if part.last)
    assert heard == ["One came.", "Two left."]


def test_text_that_grows_too_long_is_spoken_up_to_there(tmp_path: Path) -> None:
    heard: list[str] = []
    text = (f"This is sentence {n}. " for n in range(1_000))
    with studio_with(EchoEngine(), tmp_path, MAX_TEXT_LENGTH="200") as studio:
        job = studio.scheduler("echo").job(Pace.LISTENER)
        with job, pytest.raises(InvalidRequest, match="200 characters"):
            heard.extend(part.piece.utterance.text for part in Speaking(plan_of(studio, text), job) if part.last)
    assert len(heard) >= 8


def test_a_writer_that_never_ends_does_not_keep_a_listener_who_leaves(tmp_path: Path) -> None:
    engine = EchoEngine()
    before = threads("oscine-text")
    with studio_with(engine, tmp_path) as studio:
        job = studio.scheduler("echo").job(Pace.LISTENER)
        endless = (f"This is sentence {n}. " for n in iter(int, 1))
        parts = Speaking(plan_of(studio, endless, speed=1.0), job)
        for _ in range(20):
            next(parts)
        parts.close()
        job.close()
        until(lambda: engine.open_lanes == 0)
        until(lambda: threads("oscine-text") <= before)


def test_closing_the_job_wakes_a_listener_who_waits_for_the_writer(tmp_path: Path) -> None:
    writer = Writer()
    before = threads("oscine-text")
    with studio_with(EchoEngine(), tmp_path) as studio:
        job = studio.scheduler("echo").job(Pace.LISTENER)
        waiting = in_thread(lambda: list(Speaking(plan_of(studio, writer), job)))
        until(lambda: bool(threads("oscine-text") - before))
        job.close()
        with pytest.raises(Cancelled):
            waiting()
        writer.write(None)


def test_a_writer_faster_than_the_listener_is_held_back(tmp_path: Path) -> None:
    written = 0

    def eager() -> Iterator[str]:
        nonlocal written
        while True:
            written += 1
            yield f"This is sentence number {written}. "

    with studio_with(EchoEngine(lanes=2), tmp_path) as studio, studio.scheduler("echo").job(Pace.LISTENER) as job:
        parts = Speaking(plan_of(studio, eager()), job)
        next(parts)
        threading.Event().wait(0.3)
        assert written < 15
        parts.close()

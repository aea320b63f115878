"""What requests share, and the Python interface on top of it."""

from __future__ import annotations

import asyncio
import base64
import gc
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from oscine import AsyncOscine, Oscine
from oscine.errors import EngineFailed, InvalidRequest, NotAvailable
from oscine.synthesis.assemble import END_MS, FILE_END_MS, FILE_START_MS, START_MS
from oscine.synthesis.job import Pace, whole
from oscine.synthesis.studio import Studio
from tests.echo import RATE, EchoEngine, Failure
from tests.synthesis.house import Endless, in_thread, plan_of, said, studio_with, threads
from tests.voices.recordings import recording
from tests.waiting import PATIENCE_S, until

STORY = "It was a very long night. Nobody came to the house. The lamp went out. She waited there."


class House:
    """An engine, its studio and the library on top of them."""

    def __init__(self, folder: Path, kind: type[EchoEngine] = EchoEngine) -> None:
        self.engine = kind(delay_s=0.001)
        self.studio = studio_with(self.engine, folder)
        self.oscine = Oscine(studio=self.studio)

    def is_idle(self) -> bool:
        return self.engine.open_lanes == 0 and self.studio.scheduler("echo")._jobs == []


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.oscine.close()


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[House]:
    """Whose engine goes on until somebody stops it."""
    made = House(tmp_path, Endless)
    yield made
    made.oscine.close()


# -- studio


def test_an_engine_is_loaded_once_for_all_requests(house: House) -> None:
    schedulers = {in_thread(lambda: house.studio.scheduler("echo"))() for _ in range(5)}
    assert len(schedulers) == 1
    house.oscine.say("One.")
    house.oscine.say("Two.")
    assert house.engine.counts.loads == 1


def test_a_closed_studio_has_no_thread_left_and_can_be_used_again(house: House) -> None:
    before = threads("oscine-echo")
    house.oscine.say("One.")
    house.studio.close()
    house.studio.close()
    assert threads("oscine-echo") <= before
    assert house.engine.counts.closes == 1
    assert house.oscine.say("Two.").duration > 0.3


def test_a_studio_that_has_ended_is_closed_and_loads_nothing_anew(endless: House) -> None:
    house = endless
    stream = house.oscine.stream(STORY)
    next(stream)
    reading = in_thread(lambda: sum(1 for _ in stream))
    house.studio.end(PATIENCE_S)
    house.studio.end(PATIENCE_S)
    house.studio.close()
    with pytest.raises(EngineFailed, match="try again"):
        reading()
    with pytest.raises(EngineFailed, match="try again"):
        house.oscine.say("Two.")
    assert (house.engine.counts.loads, house.engine.counts.closes) == (1, 1)


def test_the_end_of_a_studio_does_not_wait_for_an_engine_that_is_stuck(tmp_path: Path) -> None:
    back = threading.Event()
    engine = EchoEngine()
    engine.load = lambda _: back.wait(PATIENCE_S)  # type: ignore[assignment, method-assign]
    studio = studio_with(engine, tmp_path)
    thread = studio.scheduler("echo")._thread
    in_thread(lambda: studio.end(0.01))()
    studio.close()
    assert thread.is_alive()
    assert thread.daemon, "it would keep the process"
    back.set()
    until(lambda: not thread.is_alive())
    assert engine.counts.closes == 1


def test_an_engine_that_could_not_be_loaded_is_tried_again_by_the_next_request(tmp_path: Path) -> None:
    engine = EchoEngine(load_failures=[NotAvailable("The graphics card is busy; try again later.")])
    with studio_with(engine, tmp_path) as studio:
        first = studio.scheduler("echo")
        until(lambda: first.failure is not None)
        with studio.scheduler("echo").job(Pace.FILE) as job:
            assert len(whole(job.submit(said("Now it works."))))


def test_an_engine_that_failed_is_left_alone_for_longer_each_time(
    tmp_path: Path,
) -> None:
    engine = EchoEngine(load_failures=[NotAvailable(f"No {number}.") for number in range(8)])
    with studio_with(engine, tmp_path) as studio:
        studio.rest_s = 20.0
        for number, rest_s in enumerate([20, 40, 80, 160, 300, 300, 300, 300]):
            failed = studio.scheduler("echo")
            failed._thread.join(PATIENCE_S)
            assert failed.failed_at is not None
            for passed_s in (0.1, rest_s - min(20, rest_s / 2)):  # what is left is for a machine that stands still
                failed.failed_at = time.monotonic() - passed_s
                with pytest.raises(NotAvailable, match=f"No {number}"):
                    studio.scheduler("echo")
            assert engine.counts.loads == number + 1
            failed.failed_at = time.monotonic() - rest_s
        with studio.scheduler("echo").job(Pace.FILE) as job:
            assert len(whole(job.submit(said("Now it works."))))


def test_an_engine_that_has_spoken_since_it_failed_is_soon_loaded_again(tmp_path: Path) -> None:
    engine = EchoEngine(load_failures=[NotAvailable("No.")] * 3)
    with studio_with(engine, tmp_path) as studio:
        for _ in range(3):
            failed = studio.scheduler("echo")
            failed._thread.join(PATIENCE_S)
        spoken = studio.scheduler("echo")
        with spoken.job(Pace.FILE) as job:
            assert len(whole(job.submit(said("Now it works."))))
        engine.failures.append(Failure("bad", times=99, kind="broken"))
        engine.load_failures.append(NotAvailable("Gone."))
        with spoken.job(Pace.FILE) as job, pytest.raises(NotAvailable):
            whole(job.submit(said("This is bad.")))
        until(lambda: spoken.failed_at is not None)
        assert spoken.failed_at is not None
        studio.rest_s = 100.0
        with pytest.raises(NotAvailable, match="Gone"):
            studio.scheduler("echo")
        spoken.failed_at -= 100.0
        assert studio.scheduler("echo") is not spoken


def test_a_voice_that_is_not_downloaded_or_not_known_is_refused(house: House) -> None:
    with pytest.raises(NotAvailable, match="oscine download echo"):
        plan_of(house.studio, "Hello.", voice="away")
    with pytest.raises(InvalidRequest) as caught:
        plan_of(house.studio, "Hello.", voices={"1": "nobody"})
    assert caught.value.param == "voices"
    assert house.engine.counts.opened == 0


def test_voices_of_a_dialogue_are_cast(house: House) -> None:
    plan = plan_of(house.studio, "Speaker 1: Hello.\nSpeaker 2: Hello.", voices={"1": "high", "2": "low"})
    assert [next(iter(piece.utterance.prompts.values())).name for piece in plan.pieces()] == ["high", "low"]


def upload(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_recording_that_comes_along_is_refused_where_the_engine_cannot_clone(house: House) -> None:
    with pytest.raises(InvalidRequest, match="cannot clone") as caught:
        plan_of(house.studio, "Hello.", voice_audio=upload(recording()))
    assert caught.value.param == "voice_audio"


def test_a_recording_that_comes_along_is_the_voice(tmp_path: Path) -> None:
    with studio_with(EchoEngine(cloning=True), tmp_path) as studio:
        for text in (upload(recording()), "data:audio/wav;base64," + upload(recording())):
            (piece,) = plan_of(studio, "Hello.", voice_audio=text).pieces()
            prompt = piece.utterance.prompts[""]
            assert prompt.reference is not None
            assert prompt.reference.duration == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("bad", ["", "not base64!", upload(b"a text file"), "A" * 10_000_000])
def test_a_recording_that_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path, bad: str) -> None:
    with studio_with(EchoEngine(cloning=True), tmp_path) as studio, pytest.raises(InvalidRequest) as caught:
        plan_of(studio, "Hello.", voice_audio=bad)
    assert caught.value.param == "voice_audio"


# -- the Python interface


def test_say_gives_all_of_it(house: House) -> None:
    speech = house.oscine.say(STORY, seed=3)
    assert [segment.text for segment in speech.segments] == [f"{part}." for part in STORY.rstrip(".").split(". ")]
    assert speech.report.seed == 3
    assert house.is_idle()
    np.testing.assert_array_equal(speech.samples, house.oscine.say(STORY, seed=3).samples)


def test_a_stream_that_is_read_to_the_end_frees_its_place(house: House) -> None:
    assert sum(len(waveform.samples) for waveform in house.oscine.stream(STORY)) > 24_000
    until(house.is_idle)


def test_leaving_a_stream_early_frees_its_lanes(house: House) -> None:
    with house.oscine.stream(STORY * 50) as stream:
        next(stream)
    until(house.is_idle)
    encoded = house.oscine.stream_bytes(STORY * 50, format="mp3")
    next(encoded)
    encoded.close()
    encoded.close()
    until(house.is_idle)
    with pytest.raises(StopIteration):
        next(encoded)


def test_a_stream_that_nobody_begins_or_finishes_frees_its_place(house: House) -> None:
    for begin in (False, True):
        for stream in (house.oscine.stream(STORY * 50), house.oscine.stream_bytes(STORY * 50)):
            if begin:
                next(stream)
        del stream
        gc.collect()
        until(house.is_idle)


def test_a_request_that_is_wrong_takes_no_place(house: House) -> None:
    house.oscine.say("Hello.")
    for wrong in ({"speed": 9}, {"voice": "nobody"}, {"language": "fr"}):
        with pytest.raises(InvalidRequest):
            house.oscine.stream(STORY, **wrong)
        with pytest.raises(InvalidRequest):
            house.oscine.say(STORY, **wrong)
    assert house.is_idle()


def test_two_threads_use_one_oscine(house: House) -> None:
    alone = {seed: house.oscine.say(STORY, seed=seed).samples for seed in range(4)}

    def speak(seed: int) -> np.ndarray:
        return house.oscine.say(STORY, seed=seed).samples

    jobs = [(seed, in_thread(partial(speak, seed))) for seed in [0, 1, 2, 3, 0, 1]]
    for seed, result in jobs:
        np.testing.assert_array_equal(np.asarray(result()), alone[seed])
    assert house.engine.counts.most_open > 1
    assert len(house.engine.counts.threads) == 1


def test_a_file_is_the_same_whoever_else_speaks(house: House, tmp_path: Path) -> None:
    house.oscine.save(STORY, tmp_path / "alone.wav", seed=5)
    with house.oscine.stream("Somebody else listens here. " * 40) as other:
        next(other)
        house.studio.spool._folder = tmp_path / "another spool"
        house.oscine.save(STORY, tmp_path / "among.wav", seed=5, title="alone")
    assert (tmp_path / "alone.wav").read_bytes() == (tmp_path / "among.wav").read_bytes()


def test_closing_while_somebody_listens_ends_the_stream(endless: House) -> None:
    stream = endless.oscine.stream(STORY)
    next(stream)
    reading = in_thread(lambda: sum(1 for _ in stream))
    endless.oscine.close()
    with pytest.raises(Exception, match=r"cancelled|closed"):
        reading()


def test_a_file_is_written_although_the_data_folder_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    engine = EchoEngine()
    with studio_with(engine, tmp_path / "file" / "data") as studio:
        report = Oscine(studio=studio).save(STORY, tmp_path / "story.wav")
    assert (tmp_path / "story.wav").stat().st_size > 1000
    assert any("will not go on where it was" in warning for warning in report.warnings)


def test_a_studio_that_is_dropped_frees_its_engine(tmp_path: Path) -> None:
    engine = EchoEngine()
    studio = studio_with(engine, tmp_path)
    Oscine(studio=studio).say(STORY)
    thread = studio.scheduler("echo")._thread
    del studio
    until(lambda: not thread.is_alive())
    assert engine.counts.closes == 1


def test_what_is_being_heard_is_heard_to_its_end_although_the_studio_is_dropped(tmp_path: Path) -> None:
    engine = EchoEngine(delay_s=0.0005)
    studio = studio_with(engine, tmp_path)
    scheduler = studio.scheduler("echo")
    with scheduler.job(Pace.FILE, hold=True) as job:
        take = job.submit(said(STORY))
        del studio
        assert scheduler._unwanted
        np.testing.assert_array_equal(whole(take), engine.sound(take.utterance))
        assert scheduler._thread.is_alive()
    until(lambda: not scheduler._thread.is_alive())


# -- asyncio


def asynchronous(folder: Path, **kinds: object) -> tuple[EchoEngine, Studio, AsyncOscine]:
    engine = EchoEngine(**kinds)  # type: ignore[arg-type]
    studio = studio_with(engine, folder)
    return engine, studio, AsyncOscine(studio=studio)


def test_asyncio_hears_the_same(tmp_path: Path) -> None:
    async def listen() -> tuple[np.ndarray, np.ndarray]:
        _, _, oscine = asynchronous(tmp_path)
        async with oscine:
            speech = await oscine.say(STORY, seed=1)
            parts = [waveform.samples async for waveform in oscine.stream(STORY, seed=1)]
        return speech.samples, np.concatenate(parts)

    said, heard = asyncio.run(listen())
    frame = (FILE_START_MS - START_MS + FILE_END_MS - END_MS) * RATE // 1000  # a file has more silence around it
    assert len(heard) == pytest.approx(len(said) - frame, rel=0.02)


def test_leaving_an_asynchronous_stream_early_frees_its_lanes(tmp_path: Path) -> None:
    async def leave() -> None:
        engine, studio, oscine = asynchronous(tmp_path, delay_s=0.001)
        async with oscine:
            stream = oscine.stream(STORY * 100)
            async for _ in stream:
                break
            await stream.aclose()
            await asyncio.to_thread(until, lambda: engine.open_lanes == 0 and not studio.scheduler("echo")._jobs)

    asyncio.run(leave())


def test_a_cancelled_task_frees_its_lanes_and_the_event_loop_goes_on(tmp_path: Path) -> None:
    async def cancel() -> None:
        engine, studio, oscine = asynchronous(tmp_path, delay_s=0.005)
        ticks = 0

        async def listen() -> None:
            async for _ in oscine.stream(STORY * 100):
                pass

        async with oscine:
            task = asyncio.create_task(listen())
            while engine.counts.steps < 20 or ticks <= 5:
                await asyncio.sleep(0.001)
                ticks += 1
            assert not task.done(), "it kept the event loop to itself until it had heard all"
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(until, lambda: engine.open_lanes == 0 and not studio.scheduler("echo")._jobs)

    asyncio.run(cancel())

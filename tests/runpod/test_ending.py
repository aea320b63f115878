"""Jobs and workers that end before they should, and what becomes of what was spoken."""

from __future__ import annotations

import asyncio
import signal

import pytest
from runpod.serverless.modules import rp_scale

from oscine.runpod.draining import Drain
from tests.runpod.conftest import TONES, Start
from tests.runpod.engines import SECRETS
from tests.runpod.house import Client, Process, is_alive
from tests.waiting import until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("stream", [False, True])
def test_a_cancelled_job_frees_its_lanes_and_the_next_one_speaks(tones: tuple[Client, Process], stream: bool):
    platform, process = tones
    before = len(process.begun())
    job = platform.run({"text": "One comes first. Two is held. Three is held.", "stream": stream})
    until(lambda: any("held" in text for text in process.begun()[before:]))
    assert platform.call("POST", f"cancel/{job.id}").json()["status"] == "CANCELLED"
    until(lambda: process.lanes() == 0)
    assert platform.done({"text": "Another one."})["status"] == "completed"
    assert job.status == "CANCELLED"
    assert job.progress == []
    assert job.error is None


def test_a_stream_that_is_cancelled_while_a_piece_is_sent_frees_its_lanes(tones: tuple[Client, Process]):
    platform, process = tones
    platform.plane.holds_pieces = True
    job = platform.run({"text": "One comes first. Two is held. Three is held.", "stream": True})
    until(lambda: job.streamed and process.lanes())
    platform.call("POST", f"cancel/{job.id}")
    until(lambda: process.lanes() == 0)
    platform.plane.holds_pieces = False
    assert platform.done({"text": "Another one."})["status"] == "completed"


def test_a_job_that_takes_too_long_is_stopped(tones: tuple[Client, Process]):
    platform, process = tones
    job = platform.run({"text": "This one is held."}, policy={"executionTimeout": 300})
    assert platform.ended(job).status == "TIMED_OUT"
    until(lambda: process.lanes() == 0)
    assert platform.done({"text": "Another one."})["status"] == "completed"


def test_an_error_inside_says_nothing_of_the_machine(tones: tuple[Client, Process]):
    platform, process = tones
    told = platform.failed({"text": "Good day.", "engine": "haunted"})
    assert told == "The worker failed (RuntimeError); send the job again."
    failed = platform.failed({"text": "This piece fails."})
    assert failed.count("\n") == 0
    assert "piece" in failed
    for secret in (*SECRETS, "Traceback", 'File "', str(process.volume), "-host", "Good day", "This piece"):
        assert secret not in told + failed
        assert secret not in process.log()


def test_progress_is_told_while_a_job_is_spoken_and_never_after_it(tones: tuple[Client, Process]):
    platform, process = tones
    job = platform.run({"text": "One is told. Two is told. Three is held."})
    until(lambda: job.progress and job.progress[-1]["chunks"] == 2)  # a slow machine may tell of the first one before
    progress = job.progress[-1]
    assert progress["audio_seconds"] > 0
    assert progress["real_time_factor"] > 0
    assert platform.call("GET", f"status/{job.id}").json()["output"] == progress
    platform.call("POST", f"cancel/{job.id}")
    until(lambda: process.lanes() == 0)
    assert [late for late in job.late if late.get("status") == "IN_PROGRESS"] == []


def test_a_worker_that_is_asked_to_stop_finishes_its_job_and_takes_no_other(platform: Client, start: Start):
    platform.plane.poll_s = 60.0  # a poll that ends was ended by the worker
    process = start(**TONES)
    job = platform.run({"text": "This one is held."})
    until(lambda: any("held" in text for text in process.begun()) and process.polls())
    process.stop()
    until(lambda: not process.polls())
    other = platform.run({"text": "Another one."})
    process.go()
    assert platform.ended(job).status == "COMPLETED"
    assert process.ended() == 0
    assert other.status == "IN_QUEUE"
    platform.plane.lost(process.pod)
    start(**TONES)
    assert platform.ended(other).status == "COMPLETED"
    assert other.taken == 1


def test_a_job_is_cancelled_also_while_its_worker_only_waits_for_it(platform: Client, start: Start):
    platform.plane.poll_s = 0.2
    process = start(**TONES)
    job = platform.run({"text": "This one is held."})
    until(lambda: any("held" in text for text in process.begun()))
    process.stop()
    until(lambda: not process.polls())
    asked = platform.plane.asked_for_stops
    until(lambda: platform.plane.asked_for_stops > asked + 1)
    platform.call("POST", f"cancel/{job.id}")
    assert process.ended() == 0
    assert process.lanes() == 0
    assert job.status == "CANCELLED"


def test_a_worker_that_is_asked_to_stop_while_it_loads_its_engine_ends_at_once(platform: Client, start: Start):
    process = start(OSCINE_ENGINE="slow", OSCINE_PRELOAD="always", taking=False)
    until((process.volume / "loading").exists)
    process.stop()
    assert process.ended() == 128 + 15
    assert not process.is_taking()


def test_an_idle_worker_that_is_asked_to_stop_ends_at_once_and_says_nothing_that_is_wrong(
    platform: Client, start: Start
):
    platform.plane.poll_s = 120.0
    process = start(**TONES)
    process.stop()
    assert process.ended() == 0
    assert "Traceback" not in process.log()
    assert "before the first job" not in process.log()  # its heartbeat is ended too


def test_a_worker_that_is_asked_to_stop_before_its_first_question_waits_for_no_answer(monkeypatch: pytest.MonkeyPatch):
    async def nothing(*_: object) -> None:
        await asyncio.Event().wait()

    for name in ("get_job", "get_stop_signals"):
        monkeypatch.setattr(rp_scale, name, nothing)
    monkeypatch.setattr(rp_scale.JobScaler, "monitor_stop_signals", nothing)
    Drain().watch()
    scaler = rp_scale.JobScaler({})
    former = {number: signal.signal(number, scaler.handle_shutdown) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        scaler.handle_shutdown(signal.SIGTERM, None)
        assert asyncio.run(asyncio.wait_for(rp_scale.get_job("session", 1), 60)) == []
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def test_a_job_whose_worker_is_killed_while_it_speaks_goes_on_where_it_was(platform: Client, start: Start):
    process = start(**TONES)
    job = platform.run({"text": "One is done. Two is done. Three is held. Four is last."})
    until(lambda: _spooled(process) >= 2)
    process.kill()
    assert job.status == "IN_QUEUE"
    second = start(**TONES)
    second.go()
    assert platform.ended(job).status == "COMPLETED"
    assert job.taken == 2
    assert [text for text in second.begun() if "done" in text] == ["One is done.", "Two is done."]
    assert [segment["text"] for segment in job.output[0]["segments"]] == [
        "One is done.",
        "Two is done.",
        "Three is held.",
        "Four is last.",
    ]
    assert list((process.volume / "indextts" / "output_audio").glob(".*.part")) == []


def test_no_heartbeat_is_left_of_a_worker_that_is_killed(platform: Client, start: Start):
    """It would tell for ever that the worker lives; here only the worker is killed, not its whole container."""
    process = start(**TONES)
    (beating,) = until(process.children)
    process.popen.kill()
    process.popen.wait()
    until(lambda: not is_alive(beating))


def test_a_worker_whose_engine_breaks_for_good_asks_for_another(platform: Client, start: Start):
    platform.plane.poll_s = 120.0  # a poll that ends before was ended by the worker
    process = start(**TONES)
    job = platform.run({"text": "There is doom."})
    assert platform.ended(job).status == "FAILED"
    assert job.error == "The engine tones broke down and could not be loaded again (RuntimeError)."
    assert job.stop_pod
    assert process.ended() == 0
    for secret in SECRETS:
        assert secret not in process.log()


def _spooled(process: Process) -> int:
    """Finished pieces; while one is written, it has another name."""
    return sum(1 for _ in (process.volume / "spool" / "pieces").rglob("*.osp"))

"""The SDK's loop waits for jobs, not for time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from runpod.serverless.modules import rp_scale

from oscine.runpod.waking import Waking

FOR_EVER_S = 1e6
PATIENCE_S = 60.0


class Stretched(Waking):
    """Whose time-outs never come within a test."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds * FOR_EVER_S)

    async def wait(self, tasks: Any, **more: Any) -> Any:
        return await super().wait(tasks, **{**more, "timeout": more["timeout"] * FOR_EVER_S})


@pytest.mark.parametrize(("lanes", "batch"), [(1, 1), (3, 3), (2, 1), (4, 2)])
def test_the_sdks_loop_takes_and_begins_each_job_without_a_timer(
    lanes: int, batch: int, monkeypatch: pytest.MonkeyPatch
):
    """With lanes that are all busy, with jobs that come one by one, and with fewer jobs than lanes."""
    free = asyncio.Event()
    coming = [{"id": f"job-{number}", "input": {}} for number in range(7)]
    at_once: list[int] = []
    done: list[str] = []
    all_done = asyncio.Event()

    async def get_job(_session: Any, count: int) -> list[dict[str, Any]]:
        if not coming:
            await all_done.wait()
        return [coming.pop(0) for _ in range(min(count, batch, len(coming)))]

    async def handle_job(_session: Any, _config: Any, job: dict[str, Any]) -> None:
        at_once.append(scaler.job_progress.get_job_count())
        if len(at_once) >= lanes:  # until then no job is done, so that nothing else wakes the loop
            free.set()
        await free.wait()
        done.append(job["id"])
        if not coming and len(done) == 7:
            scaler.kill_worker()
            all_done.set()

    async def stops(_session: Any) -> list[str]:
        await all_done.wait()
        return ["a job that nobody has"]

    for name, part in (
        ("asyncio", asyncio),
        ("get_job", get_job),
        ("handle_job", handle_job),
        ("get_stop_signals", stops),
    ):
        monkeypatch.setattr(rp_scale, name, part)
    time = Stretched()
    time.watch()
    scaler = rp_scale.JobScaler({"concurrency_modifier": lambda _: lanes})
    asyncio.run(asyncio.wait_for(scaler.run(), PATIENCE_S))
    assert sorted(done) == [f"job-{number}" for number in range(7)]
    assert max(at_once) == lanes
    assert time.sleeps > 0


def test_all_who_sleep_wake_when_a_job_comes_and_when_one_is_done():
    async def check() -> None:
        time = Waking()
        queue = time.Queue(maxsize=2)
        events: list[Callable[[], None]] = [lambda: queue.put_nowait("a job"), queue.task_done]
        for happens in events:
            sleepers = [asyncio.create_task(time.sleep(FOR_EVER_S)) for _ in range(3)]
            await asyncio.sleep(0.001)
            assert not any(sleeper.done() for sleeper in sleepers)
            happens()
            await asyncio.wait_for(asyncio.gather(*sleepers), PATIENCE_S)

    asyncio.run(check())


def test_a_sleep_ends_when_its_time_is_over():
    async def check() -> None:
        await asyncio.wait_for(Waking().sleep(0.001), PATIENCE_S)
        await Waking().sleep(0)

    asyncio.run(check())


def test_waiting_for_tasks_ends_with_news_and_tells_only_of_the_tasks():
    async def check() -> None:
        time = Waking()
        queue = time.Queue(maxsize=2)
        task = asyncio.create_task(asyncio.sleep(FOR_EVER_S))
        waits = asyncio.create_task(time.wait({task}, timeout=FOR_EVER_S, return_when=asyncio.FIRST_COMPLETED))
        await asyncio.sleep(0.001)
        queue.put_nowait("a job")
        assert await asyncio.wait_for(waits, PATIENCE_S) == (set(), {task})
        assert await time.wait({task}, timeout=0.001) == (set(), {task})
        task.cancel()
        assert await time.wait({task}) == ({task}, set())

    asyncio.run(check())


def test_everything_else_is_asyncios_own():
    assert Waking().CancelledError is asyncio.CancelledError
    assert Waking().wait_for is asyncio.wait_for

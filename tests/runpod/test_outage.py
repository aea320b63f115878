"""A platform that cannot be reached for a while: nothing is lost, and nobody is flooded."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientResponseError

from oscine.runpod.patience import Patience, once
from oscine.runpod.progress import Reporter
from oscine.synthesis.track import Progress
from tests.runpod.conftest import TONES, Start
from tests.runpod.house import Client
from tests.waiting import until

LENIENT = 3
"""Attempts after which RunPod's package gives up."""


@pytest.mark.slow
@pytest.mark.parametrize("stream", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_result_that_the_platform_does_not_take_is_offered_until_it_does(
    platform: Client, start: Start, stream: bool
):
    start(**TONES).go()
    platform.plane.deaf = True
    job = platform.run({"text": "One is said. Two is said. Three is said.", "stream": stream})
    until(lambda: platform.plane.turned_away > LENIENT)
    platform.plane.deaf = False
    last = platform.ended(job).output[-1]
    assert job.status == "COMPLETED"
    if stream:
        assert [item["index"] for _, _, item in job.streamed if "index" in item] == list(range(last["total_chunks"]))
        sound = b"".join(base64.b64decode(item["audio_chunk"]) for item in job.output[:-1])
        assert len(sound) == pytest.approx(48_000 * last["duration_sec"], abs=48)
    else:
        assert base64.b64decode(last["audio_base64"])


class Pauses:
    """Takes the place of `asyncio.sleep` there alone (other loops of this process sleep on), and takes no time.

    Nothing else takes time there either, however long this machine stands still.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        monkeypatch.setattr("oscine.runpod.patience.asyncio", SimpleNamespace(sleep=self.sleep))
        monkeypatch.setattr("oscine.runpod.patience.time", SimpleNamespace(monotonic=lambda: sum(self.seconds)))

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_questions_for_jobs_that_fail_come_ever_more_slowly_until_one_is_answered(monkeypatch: pytest.MonkeyPatch):
    pauses = Pauses(monkeypatch)
    answers: list[Any] = [ClientConnectionError()] * 12 + [[{"id": "a job"}], ClientConnectionError()]

    async def ask(_session: object, _count: int) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def check() -> None:
        asked = Patience().asking(ask)
        for _ in range(12):
            with pytest.raises(ClientConnectionError):
                await asked(None, 1)
        assert len(pauses.seconds) == 12
        assert pauses.seconds[0] <= 0.2
        assert min(pauses.seconds[6:]) >= 2.5
        assert max(pauses.seconds) <= 5.0
        assert await asked(None, 1) == [{"id": "a job"}]
        with pytest.raises(ClientConnectionError):
            await asked(None, 1)
        assert pauses.seconds[12] <= 0.2

    asyncio.run(check())


def test_a_platform_that_answers_at_once_that_there_is_no_job_is_not_asked_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
):
    pauses = Pauses(monkeypatch)

    async def ask(_session: object, _count: int) -> list[Any]:
        return []

    async def check() -> None:
        asked = Patience().asking(ask)
        for _ in range(10):
            assert await asked(None, 1) == []

    asyncio.run(check())
    assert len(pauses.seconds) == 10
    assert 0.2 <= pauses.seconds[-1] <= 0.5


def session(**headers: str) -> SimpleNamespace:
    """What the SDK sends through; all jobs share one."""
    return SimpleNamespace(headers=headers)


def refusal(status: int) -> ClientResponseError:
    return ClientResponseError(None, (), status=status)  # type: ignore[arg-type]  # nobody looks at the request


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (refusal(500), 3),
        (refusal(429), 3),
        (TimeoutError(), 3),
        (ClientConnectionError(), 3),
        (refusal(400), 1),
        (refusal(413), 1),
    ],
)
def test_only_what_may_pass_is_sent_again(monkeypatch: pytest.MonkeyPatch, error: Exception, attempts: int):
    pauses = Pauses(monkeypatch)
    made = 0

    async def send(*_: object) -> None:
        nonlocal made
        made += 1
        if made < 3:
            raise error

    async def check() -> None:
        sent = Patience().sending(send)
        if attempts == 1:
            with pytest.raises(type(error)):
                await sent(session(), "url", "data")
        else:
            await sent(session(), "url", "data")

    asyncio.run(check())
    assert made == attempts
    assert len(pauses.seconds) == attempts - 1


def test_progress_is_sent_once_however_badly_that_goes(monkeypatch: pytest.MonkeyPatch):
    """Its job's result would wait for it."""
    tries: list[bool] = []
    sent = asyncio.Event()

    async def send_result(*_: object) -> None:
        tries.append(once.get())
        sent.set()

    monkeypatch.setattr("runpod.serverless.modules.rp_http.JOB_DONE_URL", "http://127.0.0.1:1/done")
    monkeypatch.setattr("runpod.serverless.modules.rp_http.send_result", send_result)

    async def check() -> None:
        async with Reporter({"id": "a-job"}, every_s=0.001) as reporter:
            reporter.told(Progress(characters=1, audio_seconds=1.0, elapsed_seconds=1.0))
            await asyncio.wait_for(sent.wait(), 60)

    asyncio.run(check())
    assert tries == [True]
    assert not once.get()


def test_a_result_waits_for_the_report_that_is_on_its_way(monkeypatch: pytest.MonkeyPatch):
    """The platform takes the one that comes last for the job's output."""
    happened: list[str] = []
    on_its_way, may_arrive = asyncio.Event(), asyncio.Event()

    async def send_result(*_: object) -> None:
        on_its_way.set()
        await may_arrive.wait()
        happened.append("told")

    monkeypatch.setattr("runpod.serverless.modules.rp_http.JOB_DONE_URL", "http://127.0.0.1:1/done")
    monkeypatch.setattr("runpod.serverless.modules.rp_http.send_result", send_result)

    async def check() -> None:
        async with Reporter({"id": "a-job"}, every_s=0.001) as reporter:
            reporter.told(Progress(characters=1, audio_seconds=1.0, elapsed_seconds=1.0))
            await asyncio.wait_for(on_its_way.wait(), 60)
            asyncio.get_running_loop().call_later(0.01, may_arrive.set)
        happened.append("done")

    asyncio.run(check())
    assert happened == ["told", "done"]


def test_what_is_sent_again_still_says_whose_it_is(monkeypatch: pytest.MonkeyPatch):
    Pauses(monkeypatch)
    shared = session(**{"X-Request-ID": "one"})
    named: list[str] = []

    async def send(*_: object) -> None:
        named.append(shared.headers["X-Request-ID"])
        if len(named) < 3:
            shared.headers["X-Request-ID"] = "another"  # whose result is sent while this one waits
            raise refusal(503)

    async def check() -> None:
        await Patience().sending(send)(shared, "url", "data")

    asyncio.run(check())
    assert named == ["one"] * 3


def test_news_that_are_of_no_use_later_and_what_waited_too_long_are_not_sent_again(monkeypatch: pytest.MonkeyPatch):
    Pauses(monkeypatch)
    made = 0

    async def send(*_: object) -> None:
        nonlocal made
        made += 1
        raise refusal(503)

    async def check(news: bool, patience_s: float) -> int:
        nonlocal made
        made = 0
        once.set(news)
        with pytest.raises(ClientResponseError):
            await Patience(patience_s=patience_s).sending(send)(session(), "url", "data")
        return made

    assert asyncio.run(check(True, 600.0)) == 1
    assert asyncio.run(check(False, -1.0)) == 1

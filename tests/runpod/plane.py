"""A control plane shaped like RunPod's, which drives the worker loop of the platform's own SDK.

The client's side is `/v2/<endpoint>/…` as the API's reference has it: `run`, `runsync`, `status`, `stream` (which
drains), `cancel`, `retry`, `health`, with a bearer key and the limits of production. The worker's side is what the SDK
calls: `job-take` and `job-take-batch` (204 where there is nothing), `job-stop` (a long poll), `job-done` and
`job-stream` (JSON under the name of a form), `ping`.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

ENDPOINT: Final = "ep"
KEY: Final = "rpa_client"
WORKER_KEY: Final = "rpa_worker"
RUN_BYTES: Final = 10 << 20
RUNSYNC_BYTES: Final = 20 << 20
CHUNK_BYTES: Final = 1 << 20
POLL_S: Final = 2.0
"""So long a poll of a worker waits for news, where a test says nothing else."""
ENDED: Final = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")


@dataclass
class Job:
    """A job as the platform knows it."""

    id: str
    asked: dict[str, Any]
    """The request: `input`, and `policy`, `webhook`, `s3Config` where it had them."""
    sync: bool
    status: str = "IN_QUEUE"
    output: Any = None
    error: str | None = None
    worker: str | None = None
    taken: int = 0
    """How often a worker took it."""
    pieces: deque[Any] = field(default_factory=deque)
    """What `/stream` has not given out yet."""
    streamed: list[tuple[float, int, Any]] = field(default_factory=list)
    """What came in: when, how many bytes, and what."""
    progress: list[Any] = field(default_factory=list)
    late: list[Any] = field(default_factory=list)
    """What came when it had ended, for whatever reason."""
    refused: list[int] = field(default_factory=list)
    """Bytes of results and pieces that were too many."""
    result_bytes: int = 0
    stop_pod: bool = False
    took: tuple[float, float] = (0.0, 0.0)
    """When a worker took it, and when its result came."""

    @property
    def most(self) -> int:
        return RUNSYNC_BYTES if self.sync else RUN_BYTES

    def told(self) -> dict[str, Any]:
        """As `/status` tells it."""
        told: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.output is not None:
            told["output"] = self.output
        if self.error is not None:
            told["error"] = self.error
        if self.worker is not None:
            told["workerId"] = self.worker
        return told


class Plane:
    """The platform. Jobs and workers are looked at from the tests' thread; all else happens on its own loop."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.workers: dict[str, float] = {}
        """When each of them was last heard of."""
        self.takers: set[str] = set()
        """The workers that have asked for jobs."""
        self.polls: list[str] = []
        """The workers whose questions for jobs are open."""
        self.asked_for_stops = 0
        """How often a worker asked which jobs to stop."""
        self.pings: list[dict[str, str]] = []
        self.poll_s = POLL_S
        """So long a poll of a worker waits for news."""
        self.deaf = False
        """Whether results and pieces are answered with an error, as in an outage."""
        self.turned_away = 0
        """How many of them were."""
        self.holds_pieces = False
        """Whether what takes pieces is so slow that it never answers."""
        self.url = ""
        self._gone: set[str] = set()
        """Workers whose containers have ended: what they asked before may be read only now."""
        self._queue: deque[str] = deque()
        self._stops: dict[str, deque[str]] = {}
        self._news = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    # What a client of the platform calls.

    async def run(self, request: web.Request) -> web.Response:
        return web.json_response(self._short(await self._accepted(request, sync=False)))

    async def runsync(self, request: web.Request) -> web.Response:
        job = await self._accepted(request, sync=True)
        await self._until(lambda: job.status in ENDED, float(request.query.get("wait", "90000")) / 1000)
        return web.json_response(job.told())

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response(self._job(request).told())

    async def stream(self, request: web.Request) -> web.Response:
        job = self._job(request)
        held = float(request.query.get("wait", "1000"))  # 10,000 in production
        if not 1000 <= held <= 300_000:
            raise web.HTTPBadRequest
        await self._until(lambda: bool(job.pieces) or job.status in ENDED, held / 1000)
        pieces = [{"output": item} for item in job.pieces]
        job.pieces.clear()
        return web.json_response({"status": job.status, "stream": pieces})

    async def cancel(self, request: web.Request) -> web.Response:
        job = self._job(request)
        if job.status not in ENDED:
            await self._stop(job, "CANCELLED")
        return web.json_response(self._short(job))

    async def retry(self, request: web.Request) -> web.Response:
        """FAILED and TIMED_OUT jobs go into the queue again, with their id and their input."""
        job = self._job(request)
        if job.status not in ("FAILED", "TIMED_OUT"):
            raise web.HTTPBadRequest
        job.output = job.error = None
        await self._queued(job)
        return web.json_response(self._short(job))

    async def health(self, request: web.Request) -> web.Response:
        self._authorised(request)
        count = [job.status for job in self.jobs.values()].count
        busy = {job.worker for job in self.jobs.values() if job.status == "IN_PROGRESS"}
        return web.json_response(
            {
                "jobs": {
                    "completed": count("COMPLETED"),
                    "failed": count("FAILED"),
                    "inProgress": count("IN_PROGRESS"),
                    "inQueue": count("IN_QUEUE"),
                    "retried": sum(max(0, job.taken - 1) for job in self.jobs.values()),
                },
                "workers": {"idle": len(self.workers.keys() - busy), "running": len(busy)},
            }
        )

    # What a worker calls.

    async def take(self, request: web.Request) -> web.Response:
        return web.json_response((await self._taken(request, 1))[0])

    async def take_batch(self, request: web.Request) -> web.Response:
        return web.json_response(await self._taken(request, int(request.query["batch_size"])))

    async def stops(self, request: web.Request) -> web.Response:
        pod = self._of_worker(request)
        waiting = self._stops.setdefault(pod, deque())
        self.asked_for_stops += 1
        await self._until(lambda: bool(waiting), self.poll_s)
        if not waiting:
            return web.Response(status=204)
        ids = list(waiting)
        waiting.clear()
        return web.json_response({"jobsToStop": ids})

    async def done(self, request: web.Request) -> web.Response:
        pod = self._of_worker(request)
        job, told, size = await self._told(request)
        self._listen()
        if job.status != "IN_PROGRESS" or job.worker != pod:
            job.late.append(told)
            return web.json_response({})
        if told.get("status") == "IN_PROGRESS":
            job.progress.append(told["output"])
            job.output = told["output"]
            return web.json_response({})
        if size > job.most:
            job.refused.append(size)
            raise web.HTTPRequestEntityTooLarge(job.most, size)
        job.took, job.result_bytes = (job.took[0], time.monotonic()), size
        job.stop_pod = bool(told.get("stopPod"))
        job.output, job.error = told.get("output"), told.get("error")
        await self._over(job, "FAILED" if job.error else "COMPLETED")
        return web.json_response({})

    async def piece(self, request: web.Request) -> web.Response:
        pod = self._of_worker(request)
        job, told, size = await self._told(request)
        self._listen()
        if size > CHUNK_BYTES:
            job.refused.append(size)
            raise web.HTTPRequestEntityTooLarge(CHUNK_BYTES, size)
        if job.status != "IN_PROGRESS" or job.worker != pod:
            job.late.append(told)
            return web.json_response({})
        job.streamed.append((time.monotonic(), size, told["output"]))
        job.pieces.append(told["output"])
        self._changed()
        await self._until(lambda: not self.holds_pieces, 60.0)
        return web.json_response({})

    async def ping(self, request: web.Request) -> web.Response:
        self._of_worker(request)
        self.pings.append(dict(request.query))
        return web.json_response({})

    # What the tests call.

    def lost(self, pod: str) -> None:
        """A worker's container has ended: its jobs go to the next worker."""
        asyncio.run_coroutine_threadsafe(self._lost(pod), self._loop).result()

    def answer(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        client, worker = f"/v2/{ENDPOINT}", "/w"
        app.add_routes(
            [
                web.post(f"{client}/run", self.run),
                web.post(f"{client}/runsync", self.runsync),
                web.get(f"{client}/status/{{id}}", self.status),
                web.get(f"{client}/stream/{{id}}", self.stream),
                web.post(f"{client}/cancel/{{id}}", self.cancel),
                web.post(f"{client}/retry/{{id}}", self.retry),
                web.get(f"{client}/health", self.health),
                web.get(f"{worker}/job-take/{{pod}}", self.take),
                web.get(f"{worker}/job-take-batch/{{pod}}", self.take_batch),
                web.get(f"{worker}/job-stop/{{pod}}", self.stops),
                web.post(f"{worker}/job-done/{{pod}}/{{id}}", self.done),
                web.post(f"{worker}/job-stream/{{pod}}/{{id}}", self.piece),
                web.get(f"{worker}/ping/{{pod}}", self.ping),
            ]
        )
        return app

    @contextmanager
    def running(self) -> Iterator[Plane]:
        thread = threading.Thread(target=self._loop.run_forever, name="plane", daemon=True)
        thread.start()
        runner = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(runner), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    async def _start(self) -> web.AppRunner:
        runner = web.AppRunner(self.answer(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _end(self, runner: web.AppRunner) -> None:
        await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _listen(self) -> None:
        if self.deaf:
            self.turned_away += 1
            raise web.HTTPInternalServerError

    def _authorised(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise web.HTTPUnauthorized

    def _of_worker(self, request: web.Request) -> str:
        if request.headers.get("Authorization") != WORKER_KEY:
            raise web.HTTPUnauthorized
        pod = request.match_info["pod"]
        self.workers[pod] = time.monotonic()
        return pod

    def _job(self, request: web.Request) -> Job:
        self._authorised(request)
        job = self.jobs.get(request.match_info["id"])
        if job is None:
            raise web.HTTPNotFound
        return job

    def _short(self, job: Job) -> dict[str, str]:
        return {"id": job.id, "status": job.status}

    async def _accepted(self, request: web.Request, *, sync: bool) -> Job:
        self._authorised(request)
        most = RUNSYNC_BYTES if sync else RUN_BYTES
        body = await request.read()
        if len(body) > most:
            raise web.HTTPRequestEntityTooLarge(most, len(body))
        asked = json.loads(body)
        if not isinstance(asked, dict) or "input" not in asked:
            raise web.HTTPBadRequest
        # Production's ids end in the region; those of runsync begin with it.
        job = Job(f"sync-{uuid.uuid4()}-e1" if sync else f"{uuid.uuid4()}-e1", asked, sync)
        self.jobs[job.id] = job
        await self._queued(job)
        return job

    async def _queued(self, job: Job) -> None:
        job.status, job.worker = "IN_QUEUE", None
        self._queue.append(job.id)
        self._changed()

    async def _taken(self, request: web.Request, count: int) -> list[dict[str, Any]]:
        pod = self._of_worker(request)
        self.polls.append(pod)
        self.takers.add(pod)

        def has_gone() -> bool:
            return request.transport is None or pod in self._gone

        try:
            await self._until(lambda: bool(self._queue) or has_gone(), self.poll_s)
        finally:
            self.polls.remove(pod)
        if has_gone():
            raise web.HTTPNoContent
        jobs = [self.jobs[self._queue.popleft()] for _ in range(min(count, len(self._queue)))]
        jobs = [job for job in jobs if job.status == "IN_QUEUE"]
        if not jobs:
            raise web.HTTPNoContent
        for job in jobs:
            job.status, job.worker, job.took = "IN_PROGRESS", pod, (time.monotonic(), 0.0)
            job.taken += 1
            limit = (job.asked.get("policy") or {}).get("executionTimeout")
            if limit is not None:
                self._later(self._timed_out(job, job.taken, limit / 1000))
        told = ("input", "webhook", "s3Config")
        return [{"id": job.id, **{name: job.asked[name] for name in told if name in job.asked}} for job in jobs]

    async def _told(self, request: web.Request) -> tuple[Job, dict[str, Any], int]:
        assert request.content_type == "application/x-www-form-urlencoded"
        assert "isStream" in request.query
        body = await request.read()
        return self.jobs[request.match_info["id"]], json.loads(body), len(body)

    async def _over(self, job: Job, status: str) -> None:
        job.status = status
        self._changed()
        if "webhook" in job.asked:
            self._later(self._called_back(job))

    async def _stop(self, job: Job, status: str) -> None:
        pod = job.worker
        await self._over(job, status)
        if pod is not None:
            self._stops.setdefault(pod, deque()).append(job.id)
            self._changed()

    async def _timed_out(self, job: Job, attempt: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if job.status == "IN_PROGRESS" and job.taken == attempt:
            await self._stop(job, "TIMED_OUT")

    async def _called_back(self, job: Job) -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.post(job.asked["webhook"], json=job.told()) as answer:
                    if answer.status == 200:
                        return

    async def _lost(self, pod: str) -> None:
        self.workers.pop(pod, None)
        self._gone.add(pod)
        for job in self.jobs.values():
            if job.worker == pod and job.status == "IN_PROGRESS":
                await self._queued(job)

    def _changed(self) -> None:
        """Have those who wait look again."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait for something to hold, but no longer than so many seconds."""
        end = time.monotonic() + seconds
        while not holds() and (left := end - time.monotonic()) > 0:
            with suppress(TimeoutError):  # what nobody tells, such as a connection that was closed, is seen soon
                await asyncio.wait_for(self._news.wait(), min(left, 0.05))

    def _later(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

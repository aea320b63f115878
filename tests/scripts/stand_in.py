"""The platform's routes before the real worker, in this process: answers can be spoiled, which a real worker's cannot.

It stands in for an endpoint that breaks its promises. What a real endpoint does is tried with tests/runpod/plane.py.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from oscine.config import Settings
from oscine.runpod.worker import Worker
from oscine.synthesis.studio import Studio

Answer = dict[str, Any]
Spoil = Callable[[str, Answer], Answer]
"""Gets the operation (`status`, `stream` ...) and its answer; gives the answer that is sent."""
ENDPOINT: Final = "endpoint"
PATIENCE_S: Final = 120.0


class StandIn:
    """Jobs by their ids, spoken by a worker on an event loop of its own."""

    def __init__(self, folder: Path, settings: Mapping[str, str], key: str | None) -> None:
        self.key = key
        self.spoil: Spoil = lambda _operation, answer: answer
        self.worker = Worker(Studio(Settings.from_env({"OSCINE_VOLUME": str(folder), **settings})))
        self.jobs: dict[str, Answer] = {}
        self.streams: dict[str, list[Answer]] = {}
        self.tasks: dict[str, Any] = {}
        self.asked: list[str] = []
        self.fail: list[int] = []
        """Statuses that the next requests are answered with."""
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self._lock = threading.Lock()
        """Each request has a thread of its own, and jobs are spoken on the loop's."""

    def answer(self, operation: str, job: str, body: Answer | None) -> Answer:
        """What the platform says."""
        self.asked.append(operation)
        if operation == "health":
            return {"jobs": {"inQueue": 0}, "workers": {"idle": 1, "running": 0}}
        if operation in ("run", "runsync"):
            assert body is not None
            with self._lock:
                job = f"job-{len(self.jobs)}"
                self.jobs[job] = {"id": job, "status": "IN_PROGRESS"}
            self.streams[job] = []
            task = asyncio.run_coroutine_threadsafe(self._speak(job, body["input"]), self.loop)
            self.tasks[job] = task
            if operation == "runsync":
                task.result(PATIENCE_S)
                return self.jobs[job]
            return {"id": job, "status": "IN_QUEUE"}
        if operation == "cancel" and self._end(job, {"status": "CANCELLED"}):
            self.tasks[job].cancel()
        if operation == "stream":
            with self._lock:
                items, self.streams[job] = self.streams[job], []
                return {"status": self.jobs[job]["status"], "stream": [{"output": item} for item in items]}
        return self.jobs[job]

    def _end(self, job: str, how: Answer) -> bool:
        """Note how a job ended, unless it has ended before."""
        with self._lock:
            runs: bool = self.jobs[job]["status"] == "IN_PROGRESS"
            if runs:
                self.jobs[job] |= how
            return runs

    async def _speak(self, job: str, fields: Answer) -> None:
        output: list[Answer] = []
        async with aclosing(self.worker.answer({"id": job, "input": fields})) as documents:
            async for document in documents:
                if "error" in document:  # as the SDK does with a generator: the sentence alone
                    self._end(job, {"status": "FAILED", "error": document["error"]})
                    return
                output.append(document)
                with self._lock:
                    self.streams[job].append(document)
        single = self.worker.settings.single_result
        self._end(job, {"status": "COMPLETED", "output": output[-1] if single else output})

    async def left(self) -> None:
        """End what nobody waits for any more."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def stand_in(
    folder: Path, settings: Mapping[str, str] | None = None, *, key: str | None = None
) -> Iterator[tuple[StandIn, str]]:
    """A running endpoint and what stands before its id in an address."""
    plane = StandIn(folder, settings or {}, key)
    plane.worker.readiness.prepare()

    class Routes(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._do(None)

        def do_POST(self) -> None:
            self._do(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _do(self, body: Answer | None) -> None:
            _, _, endpoint, operation, *job = self.path.split("/")
            if plane.fail:
                self._send(plane.fail.pop(0), {"error": "not now"})
            elif plane.key is not None and self.headers.get("Authorization") != f"Bearer {plane.key}":
                self._send(401, {"error": f"not you: {self.headers.get('Authorization')}"})
            elif endpoint != ENDPOINT:
                self._send(404, {"error": "endpoint not found"})
            else:
                answer = plane.answer(operation, job[0] if job else "", body)
                self._send(200, plane.spoil(operation, json.loads(json.dumps(answer))))

        def _send(self, status: int, answer: Answer) -> None:
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Routes)
    plane.port = server.server_port
    threads = [threading.Thread(target=plane.loop.run_forever), threading.Thread(target=server.serve_forever)]
    for thread in threads:
        thread.start()
    try:
        yield plane, f"http://127.0.0.1:{server.server_port}/v2"
    finally:
        server.shutdown()
        server.server_close()
        asyncio.run_coroutine_threadsafe(plane.left(), plane.loop).result(PATIENCE_S)
        plane.loop.call_soon_threadsafe(plane.loop.stop)
        for thread in threads:
            thread.join(PATIENCE_S)
        plane.worker.studio.end(5.0)
        plane.loop.close()

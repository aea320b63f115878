"""What stands between the bridge and the platform in the tests: it counts what passes, and plays an outage."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

_KEPT: Final = ("authorization", "content-type", "x-request-id")


@dataclass(frozen=True)
class Passed:
    """A request of the bridge."""

    at: float
    """By time.monotonic."""
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """`run`, `stream`, `cancel` and so on."""
        found = re.match(r"/v2/[^/]+/(\w+)", self.path)
        return found[1] if found else self.path


@dataclass
class Gate:
    """A proxy in front of `upstream`. `rule` answers a request itself, loses the answer, or lets it pass (None)."""

    upstream: str
    url: str = ""
    passed: list[Passed] = field(default_factory=list)
    rule: Callable[[Passed], web.Response | str | None] | None = None
    """`lose`: the request reaches the platform, and its answer gets lost. `drop`: it does not even reach it."""

    def counted(self) -> Counter[str]:
        return Counter(passed.kind for passed in self.passed)

    def of(self, kind: str) -> list[Passed]:
        return [passed for passed in self.passed if passed.kind == kind]

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        passed = Passed(
            time.monotonic(),
            request.method,
            request.path,
            dict(request.query),
            {k.lower(): v for k, v in request.headers.items()},
            await request.read(),
        )
        self.passed.append(passed)
        ruled = self.rule(passed) if self.rule else None
        if isinstance(ruled, web.Response):
            return ruled
        if ruled == "drop":
            raise _closed(request)
        headers = {name: value for name, value in passed.headers.items() if name in _KEPT}
        async with self._session.request(
            request.method, f"{self.upstream}{request.path_qs}", headers=headers, data=passed.body or None
        ) as answer:
            if ruled == "lose":
                await answer.read()
                raise _closed(request)
            back = web.StreamResponse(status=answer.status)
            for name in answer.headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    back.headers[name] = answer.headers[name]
            await back.prepare(request)
            async for data in answer.content.iter_any():
                await back.write(data)
            await back.write_eof()
            return back

    @contextmanager
    def running(self) -> Iterator[Gate]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="gate", daemon=True)
        thread.start()
        runner = asyncio.run_coroutine_threadsafe(self._start(), loop).result()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(runner), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _start(self) -> web.AppRunner:
        # Every request waits for the answer it gets; none for a connection.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        app = web.Application(client_max_size=64 << 20)
        app.add_routes([web.route("*", "/{path:.*}", self._pass)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _end(self, runner: web.AppRunner) -> None:
        await self._session.close()
        await runner.cleanup()


def _closed(request: web.Request) -> Exception:
    assert request.transport is not None
    request.transport.abort()
    return ConnectionResetError()


def refusal(status: int, told: Any = None) -> web.Response:
    """An answer of the platform's own."""
    return web.json_response(told if told is not None else {"error": "no"}, status=status)

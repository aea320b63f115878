"""The server as it is, in a process whose event loop also has a task that notes how late it wakes.

For each line on standard input it writes a line of JSON: the lags in ms since the last one, and how many tasks there
are.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

NAP_S: Final = 0.005


def main() -> None:
    """Run `oscine serve` with this process's arguments."""
    import uvicorn

    from oscine.cli import main as oscine

    start = uvicorn.Server.startup
    watching: list[asyncio.Task[None]] = []

    async def startup(self: Any, *arguments: Any, **named: Any) -> None:
        await start(self, *arguments, **named)
        if not watching:
            watching.append(asyncio.create_task(_watch()))

    uvicorn.Server.startup = startup  # type: ignore[method-assign]
    sys.argv[1:1] = ["serve"]
    oscine()


async def _watch() -> None:
    lags: list[float] = []

    def tell() -> None:
        if sys.stdin.readline():
            print(json.dumps({"lags": lags, "tasks": len(asyncio.all_tasks())}), flush=True)
            lags.clear()
        else:
            asyncio.get_running_loop().remove_reader(sys.stdin)

    asyncio.get_running_loop().add_reader(sys.stdin, tell)
    while True:
        asleep = time.perf_counter()
        await asyncio.sleep(NAP_S)
        lags.append((time.perf_counter() - asleep - NAP_S) * 1e3)


if __name__ == "__main__":
    main()

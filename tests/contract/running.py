"""A server as a user starts it: a process of its own, on a free port, with a volume of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

COMMAND: Final = (sys.executable, "-m", "oscine", "serve")
_TOLD: Final = (
    "OSCINE_",
    "PORT",
    "AUDIO_",
    "OUTPUT_",
    "DEFAULT_",
    "MAX_",
    "MIN_",
    "CHUNK_",
    "S3_",
    "BUCKET_",
    "DEVICE",
)


@contextmanager
def running(volume: Path, *, command: Sequence[str] = COMMAND, **settings: str) -> Iterator[str]:
    """The address of a server that keeps its things in `volume` and is told `settings` by its environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_TOLD)}
    environment |= {"OSCINE_VOLUME": str(volume), **settings}
    process = subprocess.Popen(
        [*command, "--port", "0"], env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stderr is not None
    said: list[str] = []
    # Whoever leaves a pipe unread stops the writer in the end.
    reader = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        url = None
        for line in process.stderr:
            said.append(line)
            url = _address(line)
            if url:
                break
        assert url, f"the server did not start: {''.join(said)}"
        reader.start()
        yield url
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if reader.ident is not None:
            reader.join()
        process.stderr.close()


def _address(line: str) -> str | None:
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told.get("url") if isinstance(told, dict) and told.get("event") == "listening" else None

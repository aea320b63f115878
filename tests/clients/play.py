"""How the tests drive other people's programs, and how they compare what was heard."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from tests.contract import sound
from tests.contract.wire import send

ROOT: Final = Path(__file__).resolve().parents[2]
KEY: Final = "sk-ours"
RATE: Final = 24_000


def drive(place: str, client: str, *arguments: str | Path) -> dict[str, Any]:
    """What the driver of `client` tells, by take."""
    script = Path(__file__).with_name(f"drive_{client}.py")
    done = subprocess.run(
        [python(place), script, *arguments], capture_output=True, text=True, env=environment(), timeout=240
    )
    assert done.returncode == 0, done.stderr[-4000:]
    takes = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for take in takes:
        if "file" in take:
            take["path"] = str(Path(arguments[-1]) / take["file"])
    return {take["take"]: take for take in takes}


def python(place: str) -> Path:
    found = ROOT / ".tools" / place / "bin" / "python"
    if not found.exists():
        pytest.fail(f"this client is not here: run `make .tools/{place}/ready`")
    return found


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "LITELLM_"))}


def the_same_is_heard(url: str, take: dict[str, Any], without_s: float = 0) -> None:
    """What a client holds in the end is what the server says to anybody."""
    assert take.get("problem") is None
    wanted = spoken(url, take["text"])
    heard = sound.samples(Path(take["path"]).read_bytes())
    # A frame of the codec may stand at either end.
    assert len(heard) / 2 / RATE == pytest.approx(len(wanted) / 2 / RATE - without_s, abs=0.06)
    assert alike(heard, wanted) > 0.95


def spoken(url: str, text: str) -> bytes:
    """The server's own words, as samples."""
    body = json.dumps({"model": "tts-1", "input": text, "voice": "alloy", "response_format": "pcm"}).encode()
    head = f"POST /v1/audio/speech HTTP/1.1\nContent-Type: application/json\nAuthorization: Bearer {KEY}"
    answer = send(url, head, body)
    assert answer.status == 200, answer.body
    return answer.body


def alike(one: bytes, other: bytes) -> float:
    """The largest normalised cross-correlation within 100 ms; 1 is the same sound."""
    a, b = (np.frombuffer(data, np.int16).astype(np.float64) for data in (one, other))
    size = 1 << (len(a) + len(b)).bit_length()
    across = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)))
    near = np.r_[across[: RATE // 10], across[-RATE // 10 :]]
    return float(near.max() / (np.linalg.norm(a) * np.linalg.norm(b)))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])

"""What a client does: ask, listen, and read what it was told."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import av
import httpx
import numpy as np
from numpy.typing import NDArray

from oscine.api import Oscine
from oscine.engines.protocol import Event
from oscine.request import SpeechRequest
from oscine.synthesis.result import Report
from tests.echo import EchoEngine, _Lane
from tests.http.conftest import Running
from tests.waiting import PATIENCE_S

HELLO = "Good morning to all of you. The train leaves at nine."
SPEECH = "/v1/audio/speech"
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
ECHO = {"OSCINE_ENGINE": "echo"}


class Reachable(Protocol):
    """A server, wherever it runs."""

    @property
    def url(self) -> str: ...


def call(running: Reachable, method: str, path: str, **more: Any) -> httpx.Response:
    """The whole answer to a request; without certificates, whose loading takes longer than most answers."""
    return httpx.request(method, running.url + path, timeout=PATIENCE_S, verify=False, **more)


def get(running: Reachable, path: str, **more: Any) -> httpx.Response:
    return call(running, "GET", path, **more)


def speak(running: Reachable, text: object = HELLO, *, headers: Any = None, **fields: Any) -> httpx.Response:
    """The whole answer to a speech request."""
    return call(running, "POST", SPEECH, json={"input": text, **fields}, headers=headers)


def pieces(running: Reachable, text: str = HELLO, **fields: Any) -> Iterator[bytes]:
    """The sound as it comes."""
    asked = {"input": text, **fields}
    with httpx.stream("POST", running.url + SPEECH, json=asked, timeout=PATIENCE_S, verify=False) as answer:
        assert answer.status_code == 200
        yield from answer.iter_raw()


def listen(running: Reachable, text: str = HELLO, **fields: Any) -> tuple[bytes, bool]:
    """The bytes that come, and whether the answer was whole."""
    got = bytearray()
    try:
        for part in pieces(running, text, **fields):
            got += part
    except httpx.RemoteProtocolError:
        return bytes(got), False
    return bytes(got), True


def spoken(running: Reachable, text: str = HELLO, **fields: Any) -> bytes:
    """The sound of a request that is answered with some."""
    answer = speak(running, text, **fields)
    assert answer.status_code == 200, answer.text
    return answer.content


def refused(answer: httpx.Response) -> dict[str, Any]:
    """The error of an answer that is exactly one."""
    assert answer.headers["content-type"] == "application/json", answer.headers
    body = answer.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].endswith(".") or "; run: " in error["message"]
    return error


def warnings_of(answer: httpx.Response) -> str:
    return unquote(answer.headers.get("x-oscine-warnings", ""))


def by_the_library(running: Running, text: str = HELLO, **fields: Any) -> tuple[bytes, Report]:
    """What the library streams for the same fields."""
    with Oscine(studio=running.studio).stream_request(*SpeechRequest.parse({"text": text, **fields})) as stream:
        data = b"".join(stream)
    assert stream.report is not None
    return data, stream.report


def samples_of(data: bytes, format: str, *, rate: int = 24_000) -> tuple[NDArray[np.float32], int]:
    """Samples and rate of an answer's bytes, by FFmpeg's decoders."""
    if format == "pcm":
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768), rate
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        parts = [frame.to_ndarray()[0] for frame in container.decode(stream)]
        rate = stream.rate
    sound = np.concatenate(parts)
    return sound.astype(np.float32) / np.float32(32768 if sound.dtype == np.int16 else 1), rate


def seconds_of(data: bytes, format: str) -> float:
    samples, rate = samples_of(data, format)
    return len(samples) / rate


def events_of(data: bytes) -> list[tuple[str | None, dict[str, Any]]]:
    """The events of a stream, read as the standard says; name and data."""
    assert data.endswith(b"\n\n")
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        assert set(lines) <= {"event", "data"}
        found.append((lines.get("event"), json.loads(lines["data"])))
    return found


def audio_of(events: list[tuple[str | None, dict[str, Any]]]) -> bytes:
    return b"".join(base64.b64decode(data["audio"]) for _, data in events if data["type"] == "speech.audio.delta")


class Gated(EchoEngine):
    """Tones that come no further than to utterances that hold `word` until the gate is opened."""

    def __init__(self, word: str, **kinds: Any) -> None:
        super().__init__(**kinds)
        self._word = word
        self._opened = threading.Event()

    def open_gate(self) -> None:
        self._opened.set()

    def close_gate(self) -> None:
        self._opened.clear()

    def _advance(self, lane: _Lane) -> list[Event]:
        if self._word in lane.utterance.text and not self._opened.is_set():
            time.sleep(0.002)
            return []
        return super()._advance(lane)


class Asking:
    """Requests that run beside the test, each in a thread; `answers` are in the order of asking."""

    def __init__(self) -> None:
        self.answers: list[httpx.Response | Exception | None] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self.join()

    def ask(self, running: Reachable, text: str = HELLO, **fields: Any) -> None:
        place = len(self.answers)
        self.answers.append(None)

        def run() -> None:
            try:
                self.answers[place] = speak(running, text, **fields)
            except Exception as error:
                self.answers[place] = error

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)

    def join(self) -> list[httpx.Response]:
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for answer in self.answers:
            assert isinstance(answer, httpx.Response), answer
        return self.answers  # type: ignore[return-value]


def docs_fields() -> Iterator[tuple[str, str]]:
    """Every field of docs/request.md, with what it takes."""
    page = (Path(__file__).parents[2] / "docs" / "request.md").read_text()
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 5 and cells[0].startswith("`"):
            yield cells[0].strip("`"), cells[1]

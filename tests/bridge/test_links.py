"""Results that lie in a store, and the workers that people run today."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.conftest import House
from tests.bridge.gate import Gate, refusal
from tests.bridge.house import Bridge, Bundle, endpoint_of, running
from tests.bridge.old_worker import SAMPLES
from tests.delivery.seaweed import WRITER, seaweed
from tests.runpod.house import environment, worker
from tests.runpod.plane import KEY, Plane
from tests.waiting import until

pytestmark = pytest.mark.long


class Store(ThreadingHTTPServer):
    """What a presigned link leads to; counts who came, and with what."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:
        self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("location", f"{self.server.url}/secret")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        sound = b"" if self.path.startswith("/empty") else SAMPLES
        self.send_response(200 if self.path.startswith(("/speech", "/empty")) else 403)
        self.send_header("content-type", "audio/ogg; codecs=opus")
        self.send_header("content-length", str(len(sound)))
        self.end_headers()
        self.wfile.write(sound)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def store() -> Iterator[Store]:
    found = Store()
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        found.shutdown()
        thread.join()
        found.server_close()


def linked(gate: Gate, url: Any, **more: Any) -> None:
    """Let every job end with a link to its result."""
    document = {"status": "completed", "url": url, "audio_url": url, "format": "mp3", "sample_rate": 24000, **more}

    def rule(passed: Any) -> Any:
        if passed.kind == "stream":
            return refusal(200, {"status": "COMPLETED", "stream": [{"output": document}]})
        return (
            refusal(200, {"id": "x", "status": "COMPLETED", "output": [document]}) if passed.kind == "runsync" else None
        )

    gate.rule = rule


@pytest.mark.parametrize("fields", [{}, {"stream": False}], ids=["stream", "file"])
def test_a_link_into_the_store_is_fetched(start: Callable[..., Bridge], gate: Gate, store: Store, fields: Any):
    linked(gate, f"{store.url}/speech.mp3?signature=1", metadata={"engine": "hibari", "seed": 3})
    answer = start(STORE_ORIGINS=f"https://other.example.com {store.url}").speech(**fields)
    assert answer.status_code == 200, answer.text
    assert answer.content == SAMPLES
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["x-oscine-seed"] == "3"
    ((path, headers),) = store.seen
    assert path == "/speech.mp3?signature=1"
    assert KEY not in str(headers), "the key for RunPod is none of the store's business"


@pytest.mark.parametrize(
    "url",
    ["{store}/speech", "{store}@evil.example.com/x", "http://x:y@127.0.0.1:1/x", "file:///etc/passwd", "nonsense"],
)
def test_no_other_host_is_asked(start: Callable[..., Bridge], gate: Gate, store: Store, url: str):
    linked(gate, url.format(store=store.url))
    answer = start(STORE_ORIGINS="https://store.example.com,http://127.0.0.1:1").speech()
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "unknown_store"
    assert not store.seen


@pytest.mark.parametrize("fields", [{}, {"stream": False}], ids=["stream", "file"])
def test_a_link_to_nothing_is_an_error(start: Callable[..., Bridge], gate: Gate, store: Store, fields: Any):
    linked(gate, f"{store.url}/empty.mp3")
    answer = start(STORE_ORIGINS=store.url).speech(**fields)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "no_sound"


@pytest.mark.parametrize("name", ["speech", "speech.OGG?x=.mp3"])
def test_the_store_says_what_a_file_is_of_which_nothing_else_does(
    start: Callable[..., Bridge], gate: Gate, store: Store, name: str
):
    linked(gate, f"{store.url}/{name}", format=None)
    answer = start(STORE_ORIGINS=store.url).speech()
    assert answer.headers["content-type"] == "audio/ogg"
    assert "opus" in answer.headers["x-oscine-warnings"], "which is not what was asked for"


@pytest.mark.parametrize("path", ["gone.mp3", "moved.mp3"])
def test_a_link_that_leads_nowhere_is_an_error(start: Callable[..., Bridge], gate: Gate, store: Store, path: str):
    linked(gate, f"{store.url}/{path}")
    answer = start(STORE_ORIGINS=store.url).speech()
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "store_failed"
    assert len(store.seen) == 1, "no redirect is followed"
    assert store.url not in answer.text


class Old:
    """An older worker before a bridge that was told so."""

    def __init__(self, bridge: Bridge, plane: Plane) -> None:
        self.bridge = bridge
        self.plane = plane

    def asked(self) -> dict[str, Any]:
        found: dict[str, Any] = list(self.plane.jobs.values())[-1].asked["input"]
        return found


@contextmanager
def older(bundle: Bundle, kind: str, folder: Path, link: str) -> Iterator[Old]:
    with Plane().running() as plane, Gate(plane.url).running() as gate:
        pod = f"pod-{kind}"
        script = Path(__file__).with_name("old_worker.py")
        kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, script, kind, link], env={**kept, **environment(plane, pod)}, stdout=log, stderr=log
            )
        try:
            until(lambda: pod in plane.workers or process.poll() is not None)
            origin = link.partition("/speech")[0]
            with running(
                bundle, endpoint_of(gate), WORKER=kind, STORE_ORIGINS=origin, kv='{"alloy": "Alice"}'
            ) as bridge:
                yield Old(bridge, plane)
        finally:
            process.kill()
            process.wait()


def wav(data: bytes) -> tuple[int, bytes]:
    """Sample rate and samples of a WAV file that was streamed."""
    riff, open_end, wave, size, codec, channels, rate, *more = struct.unpack("<4sI8sIHHIIHH4sI", data[:44])
    assert (riff, wave, open_end) == (b"RIFF", b"WAVEfmt ", 0xFFFFFFFF)
    assert (size, codec, channels) == (16, 1, 1)
    assert more == [rate * 2, 2, 16, b"data", 0xFFFFFFFF]
    return rate, data[44:]


def end_of(events: str) -> dict[str, Any]:
    """The last event."""
    found: dict[str, Any] = json.loads(events.strip().splitlines()[-1].removeprefix("data: "))
    return found


def test_the_vibevoice_worker_is_heard_as_it_is(bundle: Bundle, tmp_path: Path, store: Store):
    with older(bundle, "vibevoice", tmp_path, "") as old:
        pcm = old.bridge.speech(response_format="pcm")
        assert pcm.headers["content-type"] == "audio/pcm;rate=48000"
        assert pcm.content == SAMPLES
        assert old.asked()["speaker_name"] == "Alice"
        assert old.asked()["text"]
        assert old.asked()["output_format"] == "pcm_16"
        assert wav(old.bridge.speech(response_format="wav").content) == (48_000, SAMPLES)
        mp3 = old.bridge.speech()
        assert (mp3.headers["content-type"], mp3.content) == ("audio/mpeg", SAMPLES)
        flac = old.bridge.speech(response_format="flac")
        assert flac.headers["content-type"] == "audio/mpeg", "what comes is what is said"
        assert "flac" in flac.headers["x-oscine-warnings"]
        whole = old.bridge.speech(stream=False)
        assert (whole.headers["content-type"], whole.content) == ("audio/mpeg", SAMPLES)
        events = old.bridge.speech(stream_format="sse")
        assert events.text.count("speech.audio.delta") == 3
        assert end_of(events.text)["type"] == "speech.audio.done"
        assert "flac" in end_of(old.bridge.speech(response_format="flac", stream_format="sse").text)["warnings"][0]
        broken = old.bridge.speech(input="break")
        assert broken.status_code == 500
        assert "/workspace" not in broken.text
        assert old.bridge.speech(input="nothing").status_code == 502


def test_the_vibevoice_worker_with_a_store_is_heard(bundle: Bundle, tmp_path: Path, store: Store):
    with older(bundle, "vibevoice", tmp_path, f"{store.url}/speech.mp3") as old:
        answer = old.bridge.speech(stream=False)
        assert (answer.headers["content-type"], answer.content) == ("audio/mpeg", SAMPLES)


def test_the_indextts_worker_is_heard_as_it_is(bundle: Bundle, tmp_path: Path, store: Store):
    with older(bundle, "indextts", tmp_path, f"{store.url}/speech.ogg") as old:
        assert old.bridge.speech(response_format="pcm").content == SAMPLES
        assert old.asked()["speaker_voice"] == "Alice"
        answer = old.bridge.speech(response_format="mp3")
        assert answer.headers["content-type"] == "audio/wav", "its streams are samples"
        assert wav(answer.content) == (22_050, SAMPLES)
        opus = old.bridge.speech(response_format="opus")
        assert (opus.headers["content-type"], opus.content) == ("audio/ogg", SAMPLES), "its files are Opus"
        assert old.asked()["stream"] is False
        events = old.bridge.speech(response_format="opus", stream_format="sse")
        assert end_of(events.text)["duration"] == 0.2


def test_a_store_that_checks_signatures_gives_what_the_worker_left(bundle: Bundle, alone: House, tmp_path: Path):
    """The worker, SeaweedFS and the bridge, as they are deployed."""
    if not Path(sys.executable).with_name("weed").exists():
        pytest.skip("SeaweedFS's package has no build for this system")
    folder = tmp_path / "seaweed"
    folder.mkdir()
    with seaweed(folder) as found:
        access, secret = WRITER
        settings: dict[str, Any] = {
            "S3_ENDPOINT_URL": found.url,
            "S3_ACCESS_KEY_ID": access,
            "S3_SECRET_ACCESS_KEY": secret,
            "S3_BUCKET_NAME": found.bucket,
        }
        with (
            worker(alone.plane, tmp_path, **settings),
            running(bundle, endpoint_of(alone.gate), STORE_ORIGINS=found.url) as bridge,
            running(bundle, endpoint_of(alone.gate)) as unknowing,
        ):
            answer = bridge.speech(response_format="mp3", stream=False)
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"] == "audio/mpeg"
            assert "audio_base64" not in list(alone.plane.jobs.values())[-1].output[-1]
            assert len(answer.content) > 10_000
            assert bridge.speech(response_format="mp3").status_code == 200, "a stream is heard as it comes"
            assert unknowing.speech(stream=False).json()["error"]["code"] == "unknown_store"

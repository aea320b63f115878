"""Other people's programs speak through the server: their real code, each with the versions it asks for.

`make test-clients` brings their environments and runs this; the drivers beside this file run in them.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contract import sound
from tests.contract.running import running
from tests.contract.wire import send

pytestmark = pytest.mark.clients

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-ours"
RATE = 24_000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("volume"), OSCINE_API_KEYS=KEY) as address:
        yield address


@pytest.fixture(scope="module")
def livekit(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return drive("agents", "livekit", url, KEY, tmp_path_factory.mktemp("livekit"))


@pytest.fixture(scope="module")
def pipecat(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return drive("agents", "pipecat", url, KEY, tmp_path_factory.mktemp("pipecat"))


@pytest.fixture(scope="module")
def litellm(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return drive("litellm", "litellm", url, KEY, tmp_path_factory.mktemp("litellm"))


@pytest.fixture(scope="module")
def bridge(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """wyoming-openai as Home Assistant runs it, with nothing said about voices: it finds them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    log = tmp_path_factory.mktemp("bridge") / "log"
    command: list[str | Path] = [
        python("wyoming"),
        "-m",
        "wyoming_openai",
        "--uri",
        address,
        "--tts-openai-url",
        f"{url}/v1",
    ]
    command += ["--tts-openai-key", KEY, "--tts-models", "tts-1", "--tts-streaming-models", "tts-1"]
    with log.open("w") as written:
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, env=environment())
    try:
        until = time.monotonic() + 60
        while "Starting server" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def wyoming(bridge: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return drive("wyoming", "wyoming", bridge, tmp_path_factory.mktemp("wyoming"))


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"])
def test_livekit_hears_all_of_it(url: str, livekit: dict[str, Any], model: str, format: str):
    """tts-1 as sound, the other as events; both without a second try."""
    # Of any FLAC, ffmpeg's own too, its decoder throws the first frame away: 2,304 samples.
    the_same_is_heard(url, livekit[f"{model}-{format}"], without_s=2304 / RATE if format == "flac" else 0)


def test_livekit_counts_what_was_used(livekit: dict[str, Any]):
    assert livekit["gpt-4o-mini-tts-mp3"]["tokens"] > 0


def test_livekit_tells_what_is_wrong(livekit: dict[str, Any]):
    assert "voice" in livekit["refused"]["message"]


@pytest.mark.parametrize("voice", ["alloy", "cedar"])
def test_pipecat_hears_all_of_it(url: str, pipecat: dict[str, Any], voice: str):
    the_same_is_heard(url, pipecat[voice])


def test_pipecat_tells_what_is_wrong(pipecat: dict[str, Any]):
    assert "speed" in pipecat["refused"]["message"]


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac", "wav"])
@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts", "hibari"])
def test_litellm_passes_all_of_it_on(url: str, litellm: dict[str, Any], model: str, format: str):
    the_same_is_heard(url, litellm[f"litellm-{model}.{format}"])


def test_litellm_passes_on_what_is_asked_for_asynchronously(url: str, litellm: dict[str, Any]):
    the_same_is_heard(url, litellm["async"])


def test_litellm_tells_what_is_wrong(litellm: dict[str, Any]):
    assert "voice" in litellm["refused"]["message"]


def test_home_assistant_finds_the_voices(wyoming: dict[str, Any]):
    assert "heart" in wyoming["describe"]["voices"]
    assert "alloy" not in wyoming["describe"]["voices"], "it took the server for OpenAI and guessed"


@pytest.mark.parametrize("voice", [None, "heart"])
@pytest.mark.parametrize("way", ["whole", "chunks"])
def test_home_assistant_hears_all_of_it(url: str, wyoming: dict[str, Any], way: str, voice: str | None):
    """A whole text is one request; chunks of an answer in the making become a request for each sentence."""
    take = wyoming[f"{way}-{voice}"]
    assert take.get("problem") is None
    if way == "whole":
        the_same_is_heard(url, take)
    else:
        sentences = [f"{part.strip('. ')}." for part in take["text"].split(". ")]
        wanted = b"".join(spoken(url, sentence) for sentence in sentences)
        heard = sound.samples(Path(take["path"]).read_bytes())
        assert len(heard) == pytest.approx(len(wanted), abs=RATE // 10 * 2)
        assert alike(heard, wanted) > 0.95


def test_the_benchmark_of_wyoming_servers_gets_through(bridge: str):
    command: list[str | Path] = [
        python("wyoming").with_name("wyoming-bench"),
        "tts",
        bridge.removeprefix("tcp://"),
        "--rounds",
        "2",
    ]
    command += ["--warmup", "1", "--mode", "both", "--verbose", "--texts", "Hello there.", "A second text to speak."]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120)
    assert done.returncode == 0, done.stderr
    counted = re.findall(r"^\[(\w+)\] ok=(\d+) fail=(\d+)$", done.stdout, flags=re.MULTILINE)
    assert counted == [("non_streaming", "4", "0"), ("streaming", "4", "0")], done.stdout


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

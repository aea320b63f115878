"""Other people's programs speak through the server: their real code, each with the versions it asks for.

`make test-clients` brings their environments and runs this; the drivers beside this file run in them.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.play import KEY, RATE, alike, drive, environment, free_port, python, spoken, the_same_is_heard
from tests.contract import sound
from tests.contract.running import running

pytestmark = pytest.mark.clients


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
    address = f"tcp://127.0.0.1:{free_port()}"
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
    assert "emma" not in wyoming["describe"]["voices"], "it is not downloaded, and would be silent"


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

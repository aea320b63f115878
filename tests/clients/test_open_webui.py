"""Open WebUI itself, with the settings that compose.yaml gives it.

It runs as its slim image does, which is without PyTorch and passes sound on as it comes.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.clients.play import KEY, environment, free_port, python, the_same_is_heard
from tests.contract.compose import open_webui
from tests.contract.running import running

pytestmark = pytest.mark.clients
TEXT = "Hello there. This is what a chat says, in two sentences."


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("volume"), OSCINE_API_KEYS=KEY) as address:
        yield address


@pytest.fixture(scope="module")
def page(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Open WebUI, and a person who has signed up there."""
    folder = tmp_path_factory.mktemp("open-webui")
    port = free_port()
    own = {"DATA_DIR": str(folder / "data"), "STATIC_DIR": str(folder / "static"), "WEBUI_SECRET_KEY": "secret"}
    own |= {"USE_SLIM_DOCKER": "true", "OFFLINE_MODE": "true", "ENABLE_OLLAMA_API": "false"}
    own |= {"ENABLE_OPENAI_API": "false"}
    command: list[str | Path] = [
        python("openwebui").with_name("open-webui"),
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    log = folder / "log"
    with log.open("w") as written:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment() | own | open_webui(url, KEY),
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            until = time.monotonic() + 120
            while not answers(client):
                assert process.poll() is None, log.read_text()[-4000:]
                assert time.monotonic() < until, log.read_text()[-4000:]
                time.sleep(0.2)
            person = {"name": "Ada", "email": "ada@example.com", "password": "a-long-password-1"}
            token = client.post("/api/v1/auths/signup", json=person).raise_for_status().json()["token"]
            client.headers["Authorization"] = f"Bearer {token}"
            yield client
    finally:
        process.terminate()
        process.wait(60)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


def test_its_settings_list_the_voices_and_the_models(page: httpx.Client):
    voices = page.get("/api/v1/audio/voices").json()["voices"]
    assert "heart" in [voice["id"] for voice in voices]
    assert "alloy" not in [voice["id"] for voice in voices], "it fell back to OpenAI's names"
    assert "hibari" in [model["id"] for model in page.get("/api/v1/audio/models").json()["models"]]


def test_it_reads_a_chat_aloud(url: str, page: httpx.Client, tmp_path: Path):
    answer = page.post("/api/v1/audio/speech", json={"input": TEXT, "voice": "heart"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/mpeg"
    (tmp_path / "chat.mp3").write_bytes(answer.content)
    the_same_is_heard(url, {"text": TEXT, "path": tmp_path / "chat.mp3"})


def test_it_reads_with_the_voice_of_its_settings_where_none_is_chosen(page: httpx.Client):
    assert page.post("/api/v1/audio/speech", json={"input": "Hello."}).headers["content-type"] == "audio/mpeg"


def test_it_reads_a_page_of_sentences_that_it_asks_for_at_once(page: httpx.Client):
    def ask(number: int) -> int:
        text = f"This is sentence number {number} of a long answer."
        return page.post("/api/v1/audio/speech", json={"input": text, "voice": "heart"}).status_code

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(48))) == [200] * 48


def test_it_passes_on_that_something_was_wrong(page: httpx.Client):
    """Only the status: 0.12.4 lets go of the answer before it reads the words in it."""
    answer = page.post("/api/v1/audio/speech", json={"input": "Hello.", "voice": "nobody-of-this-name"})
    assert answer.status_code == 400

"""compose.yaml: what its containers run and say to each other, as far as it goes without containers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from oscine.config import Settings
from tests.contract import sound
from tests.contract.compose import OPEN_WEBUI, OSCINE, ROOT, open_webui, steps
from tests.contract.running import running
from tests.contract.wire import send
from tests.waiting import until


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The container's command, on a free port of this machine alone."""
    (told,) = steps("CMD")
    program, *arguments = json.loads(told)
    assert program == "oscine"
    arguments[arguments.index("--host") + 1] = "127.0.0.1"
    arguments[arguments.index("--port") + 1] = "0"
    with running(
        tmp_path_factory.mktemp("data"), command=[sys.executable, "-m", program, *arguments], OSCINE_API_KEYS=""
    ) as address:
        yield address


def test_open_webui_reads_aloud_with_the_settings_of_the_file(url: str):
    """As its `_tts_openai` puts a request together; `make test-clients` does it with the program itself."""
    told = open_webui(url)
    assert told["AUDIO_TTS_ENGINE"] == "openai"
    body = {"input": "Hello there.", "model": told["AUDIO_TTS_MODEL"], "voice": told["AUDIO_TTS_VOICE"]}
    body |= json.loads(told["AUDIO_TTS_OPENAI_PARAMS"])
    path = told["AUDIO_TTS_OPENAI_API_BASE_URL"].removeprefix(url) + "/audio/speech"
    head = f"POST {path} HTTP/1.1\nContent-Type: application/json"
    head += f"\nAuthorization: Bearer {told['AUDIO_TTS_OPENAI_API_KEY']}"
    answer = send(url, head, json.dumps(body).encode())
    assert answer.status == 200, answer.body
    assert "x-oscine-warnings" not in answer.headers
    assert answer.headers["content-type"] == "audio/mpeg"
    assert sound.seconds(answer.body) > 0.5


def test_the_health_check_sees_a_server_that_is_ready(url: str):
    asked, python, option, code = OSCINE["healthcheck"]["test"]
    assert (asked, python, option) == ("CMD", "python", "-c")
    assert "http://127.0.0.1:8000/ping" in code

    def healthy(address: str) -> bool:
        asks = code.replace("http://127.0.0.1:8000", address)
        return subprocess.run([sys.executable, "-c", asks], capture_output=True).returncode == 0

    until(lambda: healthy(url))  # it may still be loading
    assert not healthy("http://127.0.0.1:9")


def test_what_the_image_copies_is_there():
    for line in steps("COPY"):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line


def test_the_names_of_settings_are_read_by_the_server():
    names = {str(field.validation_alias) for field in Settings.model_fields.values()}
    told = {*OSCINE["environment"], *(line.partition("=")[0] for line in steps("ENV"))}
    assert told <= names


def test_no_page_whose_name_is_made_to_mean_this_machine_is_answered():
    assert OSCINE["environment"]["OSCINE_ALLOWED_HOSTS"] == "localhost"


def test_nobody_but_this_machine_reaches_it_unasked():
    for service in (OSCINE, OPEN_WEBUI):
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])

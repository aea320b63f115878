"""What docs/api.md says of the server is what a running server does."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import httpx
import pytest
from prometheus_client import CollectorRegistry

from oscine.audio import apart
from oscine.audio.formats import Format
from oscine.config import Settings
from oscine.http import protocol, serve, sse
from oscine.http.app import _EXPOSED
from oscine.http.errors import _LONGEST_WAIT_S
from oscine.http.metrics import Metrics
from oscine.http.schema import ERRORS, VOICE_UPLOAD, _speech_body
from oscine.http.speech import media_type
from oscine.http.voices import SAMPLE
from oscine.synthesis.result import Report
from tests.docs.pages import ROOT, prose, rows_of
from tests.http.apart import Apart
from tests.http.apart import apart as served

API: Final = ROOT / "docs" / "api.md"
PACKAGE: Final = ROOT / "src" / "oscine"
OF_THE_WORKER: Final = {*(PACKAGE / "runpod").glob("*.py"), *(PACKAGE / "delivery").glob("*store*.py")}
"""What answers RunPod's jobs; see test_runpod_facts.py."""
SOURCES: Final = [path.read_text() for path in PACKAGE.rglob("*.py") if path not in OF_THE_WORKER]
OF_FILES: Final = {"disk_full", "download_failed", "spool_failed"}
"""Codes of errors that no client of the server meets."""
KEY: Final = "sk-of-the-page"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    with served(tmp_path_factory.mktemp("served"), OSCINE_API_KEYS=KEY, OSCINE_LOG_TEXT="true") as found:
        yield found


def ask(running: Apart, method: str, path: str, *, key: str | None = KEY, **more: Any) -> httpx.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.request(method, running.url + path, headers=headers, timeout=60, trust_env=False, **more)


def test_every_route_is_told_and_whether_it_needs_a_key(running: Apart):
    told = {row[0]: row[2] for row in rows_of(API, "route", "what it is")}
    described = ask(running, "GET", "/openapi.json", key=None).json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in described.items() for method in methods}
    assert set(told) == routes | {"GET /", "GET /openapi.json"}
    for route, needs in told.items():
        method, path = route.split(" ")
        status = ask(running, method, re.sub("{.*?}", "heart", path), key=None).status_code
        assert (status == 401) is (needs == "yes"), route


def test_openais_fields_and_the_sizes_of_a_form_are_told():
    told = {row[0] for row in rows_of(API, "field", "what it does here")}
    assert told == {"input", "voice", "model", "response_format", "speed", "instructions", "stream_format"}
    assert told <= set(_speech_body()["properties"])
    form = VOICE_UPLOAD["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {row[0] for row in rows_of(API, "field of the form", "what it takes")} == set(form)


def test_every_format_has_its_content_type():
    told = {row[0]: row[1] for row in rows_of(API, "response_format", "Content-Type")}
    assert told == {format.value: media_type(format, 24_000) for format in Format}


def test_every_header_of_an_answer_is_told():
    assert {row[0] for row in rows_of(API, "header of the answer", "what it says")} == set(_EXPOSED)


REPORT: Final = Report(
    duration=2.01,
    sample_rate=24_000,
    engine="hibari",
    voices=("heart",),
    seed=7,
    pieces=1,
    pieces_reused=0,
    characters=21,
    loudness_lufs=None,
    true_peak_dbtp=None,
    synthesis_seconds=0.1,
    first_audio_seconds=0.1,
    segments=(),
    warnings=(),
)


def test_the_last_event_and_its_usage_are_told():
    event = json.loads(sse.done(REPORT).removeprefix(b"data: "))
    assert {row[0] for row in rows_of(API, "field of speech.audio.done", "what it is")} == set(event)
    assert sse.CHARS_PER_TOKEN == 4
    assert f"{sse.TOKENS_PER_S} for each second of sound, both rounded up" in prose(API)
    assert sse.usage(replace(REPORT, characters=21, duration=2.01)) == {
        "input_tokens": 6,
        "output_tokens": 41,
        "total_tokens": 47,
    }


def test_the_events_that_are_shown_have_the_fields_that_are_sent(running: Apart):
    shown = [json.loads(found) for found in re.findall(r'(?m)^data: (\{"type":"speech\..*\})$', API.read_text())]
    asked = {"input": "Hello world.", "stream_format": "sse", "response_format": "mp3"}
    answer = ask(running, "POST", "/v1/audio/speech", json=asked).text
    sent = [json.loads(line.removeprefix("data: ")) for line in answer.splitlines() if line]
    for event in shown:
        alike = next(other for other in sent if other["type"] == event["type"])
        assert fields_of(event) == fields_of(alike)
    (start, *_) = [event["audio"].rstrip(".") for event in shown if event["type"] == "speech.audio.delta"]
    assert base64.b64decode(start)[:3] == base64.b64decode(sent[0]["audio"])[:3]


def fields_of(value: Any) -> Any:
    """The shape of an object, and the types in it; of a list that of its first entry."""
    if isinstance(value, dict):
        return {key: fields_of(part) for key, part in value.items()}
    if isinstance(value, list):
        return [fields_of(part) for part in value[:1]]
    return "number" if type(value) in (int, float) else type(value).__name__


def test_every_status_and_every_code_of_an_error_is_told():
    rows = [row[:3] for row in rows_of(API, "status", "type", "code")]
    assert {int(status) for status, *_ in rows} == {status for status in ERRORS if status != 200} | {403, 405, 431}
    codes = {code for source in SOURCES for code in re.findall(r'code="(\w+)"', source)}
    assert {code for *_, code in rows} - {"—"} == codes - OF_FILES
    assert f"1 to {_LONGEST_WAIT_S}" in prose(API)


SPEECH: Final = "/v1/audio/speech"
WRONG: Final = "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "kind", "code"),
    [
        ("POST", SPEECH, {"json": {"input": ""}}, 400, WRONG, None),
        ("POST", SPEECH, {"json": {"input": "a", "voice": "x"}}, 400, WRONG, "voice_not_found"),
        ("POST", SPEECH, {"json": {"input": "a", "engine": "x"}}, 400, WRONG, "engine_not_found"),
        ("GET", "/v1/audio/voices/nobody", {}, 404, WRONG, None),
        ("GET", "/v1/models/nothing", {}, 404, WRONG, "model_not_found"),
        ("GET", SPEECH, {}, 405, WRONG, None),
        ("POST", SPEECH, {"content": b" " * 16_000_001}, 413, WRONG, None),
        ("GET", f"/health?{'x' * 40_000}", {}, 431, WRONG, None),
        ("GET", "/metrics", {"key": "sk-wrong"}, 401, "authentication_error", "invalid_api_key"),
    ],
)
def test_an_error_has_the_status_type_and_code_of_its_row(
    running: Apart, method: str, path: str, sent: dict[str, Any], status: int, kind: str, code: str | None
):
    answer = ask(running, method, path, **sent)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (status, kind, code)
    assert [str(status), kind, code or "—"] in [row[:3] for row in rows_of(API, "status", "type", "code")]


def test_every_field_of_a_voice_is_told(running: Apart):
    told = {name for row in rows_of(API, "field of a voice", "what it is") for name in row[0].split(", ")}
    listed = ask(running, "GET", "/v1/audio/voices").json()["voices"]
    sample = ask(running, "POST", "/v1/audio/speech", json={"input": "One. " * 8, "response_format": "flac"}).content
    kept = ask(running, "POST", "/v1/audio/voices", data={"name": "Ada"}, files={"audio_sample": sample})
    assert kept.status_code == 200, kept.text
    shown = ask(running, "GET", "/v1/audio/voices/Ada").json()
    assert told == {*listed[0], *kept.json(), *shown}


def test_every_fact_of_health_is_told(running: Apart):
    rows = {row[0]: row[1] for row in rows_of(API, "fact", "what it is")}
    health = ask(running, "GET", "/health").json()
    assert set(health) == set(rows)
    for name, value in health.items():
        if isinstance(value, dict):
            assert [inner for inner in value if inner not in rows[name]] == []


def test_every_figure_and_its_labels_are_told():
    told = {
        name: set(filter(None, row[1].split(", ")))
        for row in rows_of(API, "figure", "labels")
        for name in row[0].split(", ")
    }
    found: dict[str, set[str]] = {}
    for figure in vars(Metrics()).values():
        if not isinstance(figure, CollectorRegistry):
            found[figure._name] = set(figure._labelnames)
    assert told == found


def test_every_field_of_the_log_is_told(running: Apart):
    told = {name for row in rows_of(API, "field of a line", "what it is") for name in row[0].split(", ")}
    done = ask(running, "POST", "/v1/audio/speech", json={"input": "Hello."})
    failed = ask(running, "POST", "/v1/audio/speech", json={"input": "Hello.", "voice": "nobody"})
    lines = [running.line_of(answer.headers["x-request-id"]) for answer in (done, failed)]
    assert told == {name for line in lines for name in line}


def test_the_limits_are_told_with_their_settings():
    told = {row[0]: row[1:3] for row in rows_of(API, "what", "limit", "setting")}
    usual = Settings()
    assert told == {
        "text": [f"{usual.max_text_length:,} characters", "MAX_TEXT_LENGTH"],
        "body": [f"{usual.max_body_mb:g} MB", "OSCINE_MAX_BODY_MB"],
        "time for the body": [f"{usual.body_seconds:g} s", "OSCINE_BODY_SECONDS"],
        "recording in an upload": [
            f"{SAMPLE.max_bytes // 1024**2} MiB, {SAMPLE.min_seconds:g} to {SAMPLE.max_seconds:g} s",
            "—",
        ],
        "memory (on Linux) and processor time to read one": [
            f"{apart._MEMORY / 1e9:g} GB, {apart._CPU_S} s",
            "—",
        ],
        "path and headers": [f"{protocol.HEADER_BYTES // 1024} KiB", "—"],
        "time for the headers": [f"{protocol.HEADER_S:g} s", "—"],
        "speech requests at once": [str(usual.max_requests), "OSCINE_MAX_REQUESTS"],
        "time to the first sound": [f"{usual.wait_seconds:g} s", "OSCINE_WAIT_SECONDS"],
        "time in which a client takes nothing": [f"{usual.stall_seconds:g} s", "OSCINE_STALL_SECONDS"],
        "connections": [
            f"open files less {protocol._FILES_OF_A_PLACE} for each request and {protocol._FILES_OF_OTHERS}",
            "OSCINE_MAX_REQUESTS",
        ],
        "idle connection": [f"{serve._KEEP_ALIVE_S} s", "—"],
    }


def test_the_versions_of_other_programs_are_those_that_are_tested():
    told = " ".join(row[0] for row in rows_of(API, "program", "what was tested"))
    for lock, package in (
        ("dev", "openai"),
        ("openai1", "openai"),
        ("openwebui", "open-webui"),
        ("agents", "livekit-plugins-openai"),
        ("agents", "pipecat-ai"),
        ("litellm", "litellm"),
        ("wyoming", "wyoming-openai"),
    ):
        found = re.search(rf"(?m)^{package}==([\d.]+)", (ROOT / "requirements" / f"{lock}.lock").read_text())
        assert found is not None, package
        assert re.search(rf"\b{re.escape(found[1].removesuffix('.0') if lock == 'dev' else found[1])}\b", told), package

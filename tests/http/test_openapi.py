"""`/openapi.json` says what the server does: every route, field, method and error, with examples that work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from schemathesis.specs.openapi import definitions

from oscine.request import SpeechRequest, field_names
from tests.echo import EchoEngine
from tests.http.asking import ECHO, SPEECH, call, docs_fields, get, refused, speak
from tests.http.conftest import Running, Serve

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@pytest.fixture(scope="module")
def schema(server: Running) -> dict[str, Any]:
    answer = get(server, "/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def speech_body(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["paths"][SPEECH]["post"]["requestBody"]["content"]["application/json"]
    return found


def test_it_is_valid_openapi(schema: dict[str, Any]):
    assert schema["openapi"].startswith("3.1.")
    problems = [error.message for error in definitions.OPENAPI_31_VALIDATOR.iter_errors(schema)]
    assert problems == []


def test_every_reference_leads_somewhere(schema: dict[str, Any]):
    found: list[str] = []

    def collect(part: Any) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                found.append(part["$ref"])
            part = list(part.values())
        if isinstance(part, list):
            for inner in part:
                collect(inner)

    collect(schema)
    assert found
    for reference in set(found):
        place: Any = schema
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_operation_has_a_name_of_its_own_a_summary_and_a_place(schema: dict[str, Any]):
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(names) == len(set(names)) > 10
    for path, _, operation in operations(schema):
        assert operation["summary"], path
        assert operation["tags"], path
        assert "200" in operation["responses"], path


def test_every_field_of_a_request_is_there_under_openais_name_with_what_it_takes(schema: dict[str, Any]):
    shapes = speech_body(schema)["schema"]["properties"]
    names = field_names()
    assert {names.get(name, name) for name in shapes} == (set(SpeechRequest.model_fields) - {"stream"}) | {
        "stream_format"
    }
    assert {"input", "model", "voice", "response_format", "speed", "instructions", "stream_format"} <= set(shapes)
    documented = dict(docs_fields())
    for name, shape in shapes.items():
        if name != "stream_format":
            assert documented[names[name]].split("`")[0] in shape["description"], name
    for field in documented:
        for alias, meant in names.items():
            if meant == field and field != "stream" and alias not in shapes:
                assert any(alias in shape["description"] for shape in shapes.values()), alias


def test_every_example_is_valid_by_the_schema_and_spoken(server: Running, schema: dict[str, Any]):
    body = speech_body(schema)
    validator = jsonschema_rs.Draft202012Validator({**body["schema"], "components": schema["components"]})
    assert len(body["examples"]) >= 3
    for name, example in body["examples"].items():
        assert validator.is_valid(example["value"]), name
        answer = call(server, "POST", SPEECH, json=example["value"])
        assert answer.status_code == 200, (name, answer.text)
        assert answer.content


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": "tts-1", "voice": {"id": "heart"}, "speed": 4, "response_format": "opus", "stream_format": "sse"},
        {"speed": 0.25, "seed": 2**63 - 1, "loudness": -40, "crossfade_ms": 2000, "max_chars_per_chunk": 1000},
        {"loudness": None, "voice": None, "seed": None, "language": "en-US", "session_id": "a" * 128},
        {"voices": {"Alice": "heart"}, "pronunciations": {}, "emo_vector": [0, 1] * 4, "use_random": True},
        {"something": "else"},
    ],
)
def test_what_the_server_speaks_is_valid_by_the_schema(server: Running, schema: dict[str, Any], fields: dict[str, Any]):
    asked = {"input": "Alice: Hi.", **fields}
    assert speak(server, "Alice: Hi.", **fields).status_code == 200
    jsonschema_rs.Draft202012Validator(speech_body(schema)["schema"]).validate(asked)


@pytest.mark.parametrize(
    "fields",
    [
        {"speed": 4.1},
        {"speed": "fast"},
        {"seed": -1},
        {"seed": 2**64},
        {"voice": ""},
        {"voice": {"name": "heart"}},
        {"voice": 5},
        {"response_format": "ogg"},
        {"loudness": -41},
        {"pronunciations": {"a": 1}},
        {"pronunciations": {str(n): "a" for n in range(1001)}},
        {"emo_vector": [0] * 7},
        {"cfg_scale": 0},
        {"voices": {}},
        {"stream_format": "json"},
        {"input": ""},
        {"input": None},
    ],
)
def test_what_the_schema_forbids_is_refused(server: Running, schema: dict[str, Any], fields: dict[str, Any]):
    asked = {"input": "Hi.", **fields}
    assert not jsonschema_rs.Draft202012Validator(speech_body(schema)["schema"]).is_valid(asked)
    answer = call(server, "POST", SPEECH, json=asked)
    assert answer.status_code == 400
    refused(answer)


def test_every_error_is_described_by_its_body(schema: dict[str, Any]):
    error = {**schema["components"]["schemas"]["Error"]}
    for path, method, operation in operations(schema):
        for status, answer in operation["responses"].items():
            if not status.startswith(("4", "5")) or path == "/ping":
                continue
            content = answer["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Error"}, (path, method, status)
            if "example" in content:
                jsonschema_rs.Draft202012Validator(error).validate(content["example"])
    assert {"400", "401", "404", "413", "429", "500", "503"} <= set(schema["paths"][SPEECH]["post"]["responses"])


def test_every_route_takes_its_methods_and_says_which_they_are(serve: Serve, schema: dict[str, Any]):
    running = serve(factories={"echo": lambda _: EchoEngine()}, **ECHO)
    for path, item in schema["paths"].items():
        takes = {method.upper() for method in item} | ({"HEAD"} if "get" in item else set())
        for method in METHODS:
            answer = call(running, method, path.format(model="tts-1", voice_id="low"))
            assert (answer.status_code == 405) == (method not in takes), (method, path)
            if answer.status_code == 405:
                assert set(answer.headers["allow"].split(", ")) == takes, (method, path)
                if method != "HEAD":
                    assert refused(answer)["type"] == "invalid_request_error"


def test_an_address_with_a_slash_too_many_or_that_is_not_there_is_not_found(server: Running, schema: dict[str, Any]):
    paths = [f"{path.format(model='tts-1', voice_id='heart')}/" for path in schema["paths"]]
    paths += ["/v1/readyz", "/docs", "/redoc", "/v1", "/v1/", "//", "/v2/audio/speech", "/page/none.js", "/page/"]
    for path in paths:
        answer = get(server, path)
        assert answer.status_code == 404, path
        assert refused(answer)["type"] == "invalid_request_error"
    assert call(server, "POST", f"{SPEECH}/", json={"input": "Hi."}).status_code == 404

"""What the description of the server says, and what nobody would send: requests made from `/openapi.json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    missing_required_header,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from oscine.engines.registry import Factory
from tests.echo import echo
from tests.http.conftest import Running, is_ready, running
from tests.http.raw import ask, checked_error, request

KEY = "a-key-of-the-tests"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    missing_required_header,
]
OPERATIONS = {
    "createSpeech",
    "listVoices",
    "createVoice",
    "getVoice",
    "deleteVoice",
    "getVoiceSample",
    "listModels",
    "getModel",
    "listSpeechModels",
    "health",
    "ping",
    "test",
    "metrics",
}
REFUSES = {"createSpeech", "createVoice", "listVoices"}
"""Those that take something that can be of a wrong kind."""
HERE = {"voice_id": ["low", "anna"], "model": ["tts-1", "echo"]}
"""Names that are something here; others are made up."""


@pytest.fixture(scope="module", params=[False, True], ids=["open", "keyed"])
def described(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with and without keys, with an engine that is quick and clones."""
    keys = {"OSCINE_API_KEYS": KEY} if request.param else {}
    factories: dict[str, Factory] = {"echo": echo(cloning=True)}
    with running(tmp_path_factory.mktemp("described"), factories, OSCINE_ENGINE="echo", **keys) as found:
        yield is_ready(found)


def operation(server: Running, name: str) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json").find_operation_by_id(name)


def attack(server: Running, route: Any, mode: GenerationMode, examples: int) -> None:
    """Send requests of one kind for one operation; each answer must be one that the description knows."""
    keyed = bool(server.settings.api_keys)
    headers = {"Authorization": f"Bearer {KEY}"} if keyed else {}

    @seed(20260101)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def sent(data: st.DataObject) -> None:
        case = data.draw(route.as_strategy(generation_mode=mode))
        for name, here in HERE.items():
            if name in (case.path_parameters or {}) and data.draw(st.integers(0, 3)) == 0:
                case.path_parameters[name] = data.draw(st.sampled_from(here))
        answer = case.call(base_url=server.url, headers=headers)
        checks = [*CHECKS, *([ignored_auth] if keyed and mode is GenerationMode.POSITIVE else [])]
        if not answer.headers.get("content-type", [""])[0].startswith("text/event-stream"):
            checks.append(response_schema_conformance)  # it reads events as JSON, whatever the schema says
        case.validate_response(answer, checks=checks, headers=headers)
        assert answer.headers["x-request-id"]
        if answer.status_code >= 400:
            checked_error(answer.headers["content-type"][0], answer.json())

    sent()


def test_every_route_is_described(described: Running) -> None:
    paths = ask(described.port, request("GET", "/openapi.json")).json["paths"]
    assert {route["operationId"] for path in paths.values() for route in path.values()} == OPERATIONS


@pytest.mark.parametrize(
    "name",
    sorted(OPERATIONS),
)
def test_requests_made_from_the_description_get_answers_that_it_knows(described: Running, name: str) -> None:
    examples = 30 if name in REFUSES else 10
    attack(described, operation(described, name), GenerationMode.POSITIVE, examples)


@pytest.mark.parametrize("name", sorted(REFUSES))
def test_requests_that_break_the_description_get_answers_that_it_knows(described: Running, name: str) -> None:
    attack(described, operation(described, name), GenerationMode.NEGATIVE, 30)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", sorted(REFUSES))
def test_many_more_requests_get_answers_that_the_description_knows(
    described: Running, name: str, mode: GenerationMode
) -> None:
    attack(described, operation(described, name), mode, 150)

"""Every field of docs/request.md is checked, and whatever is wrong with it is the client's error, by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oscine.request import ENGINE_OPTIONS, field_names
from tests.echo import EchoEngine
from tests.http.asking import ECHO, SPEECH, call, docs_fields, refused, speak
from tests.http.conftest import Running, is_ready, running

FIELDS = dict(docs_fields())
NO_STRING: list[Any] = [5, 1.5, True, [], ["a"], {}, {"a": 1}]
NO_NUMBER: list[Any] = ["abc", "", [], [1], {}, {"a": 1}, True, False]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose engine uses every field there is."""
    factories = {"echo": lambda _: EchoEngine(options=sorted(ENGINE_OPTIONS), cloning=True)}
    with running(tmp_path_factory.mktemp("volume"), factories, **ECHO) as found:
        yield is_ready(found)


def wrong_for(field: str) -> list[Any]:
    """What the field surely does not take, by the words of docs/request.md."""
    takes = FIELDS[field]
    if takes == "true or false":
        return ["maybe", "", 2, 0.5, [], {}, [True]]
    if takes.startswith("an object"):
        return [5, "a", True, [], ["a"], {"a": 5}, {"a": ["b"]}]
    if takes.startswith("8 numbers"):
        return [5, "a", {}, [0] * 7, [0] * 9, [2] + [0] * 7, ["a"] * 8]
    if takes.startswith("one of mp3"):
        return [*NO_STRING, "", "ogg", "mp3 "[:2]]
    if takes.startswith("at most 128 letters"):
        return [*NO_STRING, "", "..", "a/b", "a\\b", "ä", "a b", "x" * 129]
    if takes == "the name of a voice":
        return [*NO_STRING, "", "x" * 201, {"id": 5}, {"id": ""}, {"name": "low"}]
    if "number" in takes or "LUFS" in takes:
        bounds = [
            float(word) for word in takes.replace(",", " ").split() if word.lstrip("-").replace(".", "").isdigit()
        ]
        outside = [-1.0] if field == "seed" else [min(bounds) - 1, max(bounds) + 1]
        return [*NO_NUMBER, *outside, 1e300]
    return NO_STRING


def test_every_field_of_the_documentation_is_one_of_the_requests():
    assert set(FIELDS) <= set(field_names())
    assert len(FIELDS) > 30


@pytest.mark.parametrize("field", FIELDS)
def test_a_wrong_type_or_range_is_refused_with_the_fields_name(tones: Running, field: str):
    for value in wrong_for(field):
        body = {"input": "Hello.", field: value} if field != "text" else {"text": value}
        answer = call(tones, "POST", SPEECH, json=body)
        assert answer.status_code == 400, (value, answer.text)
        error = refused(answer)
        assert error["type"] == "invalid_request_error"
        assert error["param"] == field, value
        assert error["message"].startswith(field), value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


FIELD_OF = {"speaker_voice": "voice", "speaker": "speaker_name", "response_format": "format", "output_format": "format"}
"""The fields by their other names: what is wrong with a value in itself is told by the name that was sent."""


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@example({"speaker_voice": "nobody"})
@given(st.dictionaries(st.sampled_from([*field_names(), "stream_format"]) | st.text(max_size=12), JSON, max_size=3))
def test_no_value_of_any_field_is_more_than_the_clients_error(tones: Running, fields: dict[str, Any]):
    answer = speak(tones, **{"text": "Hi.", "seed": 1, **{k: v for k, v in fields.items() if k not in ("input",)}})
    if answer.status_code != 200:
        assert answer.status_code in (400, 404)
        error = refused(answer)
        assert error["type"] == "invalid_request_error"
        assert error["param"] in {*fields, "text", "input"} | {FIELD_OF[name] for name in fields if name in FIELD_OF}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"Hello."', b"{", b"5", b'{"input": "a"} x', b"\xff\xfe{}"])
def test_a_body_that_is_no_json_object_is_refused(tones: Running, body: bytes):
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        answer = call(tones, "POST", SPEECH, content=body, headers={"content-type": kind})
        assert answer.status_code == 400
        assert "JSON object" in refused(answer)["message"]


def test_a_body_is_json_whatever_its_content_type_says(tones: Running):
    for kind in ("application/json; charset=utf-8", "text/plain", ""):
        answer = call(tones, "POST", SPEECH, content=b'{"input": "Hello."}', headers={"content-type": kind})
        assert answer.status_code == 200

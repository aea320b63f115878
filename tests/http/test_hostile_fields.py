"""JSON that is none, values that nobody expects, and texts of every kind: spoken, or refused in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from oscine.request import field_names
from tests.echo import echo
from tests.http.apart import apart
from tests.http.conftest import Running, is_ready, running
from tests.http.raw import Answer, ask, request
from tests.waiting import eventually


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that speaks tones, for texts that are long."""
    with running(tmp_path_factory.mktemp("tones"), {"echo": echo()}, OSCINE_ENGINE="echo") as found:
        yield is_ready(found)


def deep(text: str, end: str = "") -> bytes:
    return b'{"input": "Hello.", "x": ' + (text * 100_000).encode() + b"1" + (end * 100_000).encode() + b"}"


NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "a blank": b" ",
    "a number": b"12",
    "a list": b'[{"input": "Hello."}]',
    "null": b"null",
    "a string": b'"Hello."',
    "half": b'{"input": "Hel',
    "two objects": b'{"input": "a"}{"input": "b"}',
    "deep lists": deep("[", "]"),
    "deep objects": deep('{"a":', "}"),
    "deep and open": deep("["),
    "a number of a million digits": b'{"input": "Hello.", "seed": ' + b"9" * 1_000_000 + b"}",
    "no UTF-8": b'{"input": "\xff\xfe\xfa"}',
    "half a character": b'{"input": "\xe2\x82"}',
    "UTF-7": b"+AHs-",
    "single quotes": b"{'input': 'Hello.'}",
    "a comment": b'{"input": "Hello." /* now */}',
    "a raw line feed": b'{"input": "Hello\nworld"}',
    "a form": b"input=Hello.&voice=heart",
    "XML": b"<speak>Hello.</speak>",
}


@pytest.mark.parametrize("what", NO_JSON)
def test_a_body_that_is_no_json_object_is_refused_in_words(server: Running, what: str) -> None:
    answer = ask(server.port, request("POST", "/v1/audio/speech", NO_JSON[what]))
    assert answer.status == 400
    assert answer.error["message"].startswith("The body must be a JSON object")


ODD: dict[str, tuple[bytes, str | None]] = {
    "a speed that is no number": (b'{"input": "Hello.", "speed": NaN}', "speed"),
    "an endless speed": (b'{"input": "Hello.", "speed": Infinity}', "speed"),
    "a huge speed": (b'{"input": "Hello.", "speed": 1e999}', "speed"),
    "a speed that is true": (b'{"input": "Hello.", "speed": true}', "speed"),
    "a seed of 4000 digits": (b'{"input": "Hello.", "seed": ' + b"9" * 4000 + b"}", "seed"),
    "a seed that is a fraction": (b'{"input": "Hello.", "seed": 1.5}', "seed"),
    "a loudness that is no number": (b'{"input": "Hello.", "loudness": -NaN}', None),
    "a loudness below all": (b'{"input": "Hello.", "loudness": -Infinity}', "loudness"),
    "the same field twice": (b'{"input": "Hello.", "speed": 1, "speed": "fast"}', "speed"),
    "an object for a text": (b'{"input": {"text": "Hello."}}', "input"),
    "a list of texts": (b'{"input": ["Hello."]}', "input"),
    "a voice that is a list": (b'{"input": "Hello.", "voice": ["heart"]}', "voice"),
    "a voice without id": (b'{"input": "Hello.", "voice": {}}', "voice"),
    "a voice in a voice": (b'{"input": "Hello.", "voice": {"id": {"id": "heart"}}}', "voice"),
    "a stream format that is a list": (b'{"input": "Hello.", "stream_format": ["sse"]}', "stream_format"),
    "a format that is none": (b'{"input": "Hello.", "response_format": "../../wav"}', "response_format"),
    "too many pronunciations": (
        json.dumps({"input": "Hello.", "pronunciations": {f"w{n}": "x" for n in range(1001)}}).encode(),
        "pronunciations",
    ),
    "a voice of 7 MB": (json.dumps({"input": "Hello.", "voice": "a" * 7_000_000}).encode(), "voice"),
    "a name of a field of 7 MB": (json.dumps({"input": "", "a" * 7_000_000: 1}).encode(), None),
    "a text of nothing": (b'{"input": ""}', "text"),
    "a text of blanks": (b'{"input": "  \\n\\t\\u00a0\\u3000"}', "text"),
    "a text too long": (json.dumps({"input": "a " * 50_001}).encode(), "text"),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_values_are_refused_by_the_name_of_their_field(server: Running, what: str) -> None:
    body, param = ODD[what]
    answer = ask(server.port, request("POST", "/v1/audio/speech", body))
    assert answer.status == 400
    if param is not None:
        assert answer.error["param"] in {param, {"text": "input", "input": "text"}.get(param, param)}


TEXTS: dict[str, str] = {
    "emoji": "\U0001f600\U0001f426\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "zero width": "\u200b\u200c\u200d\u2060\ufeff" * 10,
    "controls": "".join(map(chr, [*range(1, 32), 127, *range(128, 160)])),
    "NUL": "\0\0\0",
    "a lone surrogate": "\ud800",
    "half a pair in a text": "Hello \udc00 world.",
    "right to left": "\u202e\u202dHello.\u2066\u2069",
    "combining": "e" + "\u0301" * 5000,
    "private use": "\ue000\uf8ff\U000f0000",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "punctuation": "?!...,;:--()[]{}<>" * 100,
    "digits": "9" * 20_000,
    "brackets": "[" * 20_000,
    "one word": "a" * 20_000,
    "tags": "[pause:1s" * 500,
    "pauses": "[pause:99999999s] Hello.",
    "speakers": "\n".join(f"Speaker {n}: Hello." for n in range(30)),
    "every language": "Hello. Привет. 你好。 مرحبا. שלום. नमस्ते. สวัสดี. 안녕하세요. こんにちは。",
    "a BOM": "\ufeffHello.",
    "markup": "<speak><break time='1h'/></speak><!-- -->",
}


@pytest.mark.parametrize("what", TEXTS)
def test_any_text_is_spoken_or_refused_in_words(server: Running, what: str) -> None:
    body = json.dumps({"input": TEXTS[what], "response_format": "opus", "stream_format": "sse"}).encode()
    spoken_or_refused(ask(server.port, request("POST", "/v1/audio/speech", body)))


def spoken_or_refused(answer: Answer) -> None:
    if answer.status == 200:
        assert answer.whole
        assert b"speech.audio.done" in answer.body
    else:
        assert answer.status in (400, 500)
        assert answer.error["type"] in ("invalid_request_error", "server_error")
        assert "unexpected" not in answer.error["message"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_other_encodings_of_json_are_read(server: Running, encoding: str) -> None:
    """RFC 4627 had them, and Windows still writes them."""
    body = json.dumps({"input": "Hello.", "response_format": "pcm"}).encode(encoding)
    assert ask(server.port, request("POST", "/v1/audio/speech", body)).whole


def test_a_text_of_whatever_characters_never_breaks_the_server(tones: Running) -> None:
    @hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.text(max_size=200))
    def spoken(text: str) -> None:
        body = json.dumps({"input": text, "response_format": "pcm", "stream_format": "sse"}).encode()
        spoken_or_refused(ask(tones.port, request("POST", "/v1/audio/speech", body)))

    spoken()


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


def test_fields_of_whatever_values_never_break_the_server(tones: Running) -> None:
    names = st.sampled_from([*field_names(), "stream_format"]) | st.text(max_size=30)

    @hypothesis_settings(max_examples=150, deadline=None, derandomize=True)
    @given(st.dictionaries(names, VALUES, max_size=6))
    def answered(fields: dict[str, object]) -> None:
        body = json.dumps({"input": "Hello there.", "response_format": "pcm", **fields}).encode()
        answer = ask(tones.port, request("POST", "/v1/audio/speech", body))
        assert answer.status in (200, 400, 404), answer.body[:500]
        assert answer.whole
        assert answer.status == 200 or answer.error["message"]

    answered()


def test_a_log_with_texts_takes_any_text(tmp_path: Path) -> None:
    with apart(tmp_path, OSCINE_LOG_TEXT="true") as server:
        for text in ("Hello \ud800 there.", "Hello\nthere \x1b[31m.", "Hello \u2028 there."):
            assert ask(server.port, request("POST", "/v1/audio/speech", json.dumps({"input": text}).encode())).status
        assert ask(server.port, request("GET", "/v1/models")).status == 200
        assert eventually(lambda: sum(line["event"] == "request" for line in server.log) >= 4)
        assert server.strange == []
        assert [line["status"] for line in server.log if line["event"] == "request"][-1] == 200

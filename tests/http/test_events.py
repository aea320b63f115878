"""Server-sent events: the same sound in base64, then what it used; an error event where it breaks."""

from __future__ import annotations

import math
from typing import Any

import pytest

from oscine.http import sse
from tests.echo import EchoEngine, Failure
from tests.http.asking import (
    ECHO,
    FORMATS,
    HELLO,
    audio_of,
    by_the_library,
    events_of,
    refused,
    samples_of,
    speak,
    spoken,
)
from tests.http.conftest import Running, Serve

LONG = "The first sentence goes well for everybody. " * 4


def asked(running: Running, text: str = HELLO, **fields: Any) -> list[tuple[str | None, dict[str, Any]]]:
    answer = speak(running, text, stream_format="sse", **fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].split(";")[0] == "text/event-stream"
    return events_of(answer.content)


@pytest.mark.parametrize("format", FORMATS)
def test_the_events_hold_the_bytes_of_the_audio_stream(server: Running, format: str):
    events = asked(server, response_format=format, seed=1)
    together, alone = audio_of(events), spoken(server, response_format=format, seed=1)
    if format == "opus":  # a logical stream of Ogg has a random number of its own (RFC 3533, 4)
        assert len(together) == len(alone)
    else:
        assert together == alone
    assert samples_of(together, format)[0].tolist() == samples_of(alone, format)[0].tolist()


def test_the_events_are_deltas_and_then_one_done_and_have_no_names(server: Running):
    events = asked(server)
    assert [name for name, _ in events] == [None] * len(events)
    kinds = [data["type"] for _, data in events]
    assert kinds == ["speech.audio.delta"] * (len(kinds) - 1) + ["speech.audio.done"]
    assert len(kinds) > 1
    for _, data in events[:-1]:
        assert set(data) == {"type", "audio"}
        assert data["audio"]


def test_the_end_says_what_it_used_and_grows_with_text_and_sound(server: Running):
    usages = []
    for text in ("Hello.", HELLO, HELLO * 2):
        done = asked(server, text, seed=1)[-1][1]
        usage = done["usage"]
        assert set(usage) == {"input_tokens", "output_tokens", "total_tokens"}
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert usage["input_tokens"] == pytest.approx(len(text) / sse.CHARS_PER_TOKEN, abs=1)
        assert usage["output_tokens"] == math.ceil(done["duration"] * sse.TOKENS_PER_S)
        usages.append((usage["input_tokens"], usage["output_tokens"]))
    assert usages == sorted(set(usages))


def test_the_end_says_where_each_sentence_is_which_seed_it_was_and_what_was_ignored(server: Running):
    done = asked(server, seed=5, cfg_scale=2, flavour="sweet", response_format="pcm")[-1][1]
    _, report = by_the_library(server, seed=5, format="pcm")
    assert done["seed"] == 5
    assert done["duration"] == pytest.approx(report.duration, abs=0.001)
    assert [segment["text"] for segment in done["segments"]] == [segment.text for segment in report.segments]
    ends = [time for segment in done["segments"] for time in (segment["start"], segment["end"])]
    assert ends == sorted(ends)
    assert 0 <= ends[0] < ends[-1] <= done["duration"]
    assert len(done["warnings"]) == 2
    assert "flavour" in done["warnings"][0] + done["warnings"][1]
    assert "cfg_scale" in done["warnings"][0] + done["warnings"][1]


def test_instructions_are_no_warning_at_the_end_either(server: Running):
    assert asked(server, instructions="Speak like a pirate.")[-1][1]["warnings"] == []


def test_events_have_the_headers_of_the_audio(server: Running):
    headers = speak(server, stream_format="sse", seed=3, flavour="sweet").headers
    assert headers["x-oscine-seed"] == "3"
    assert "flavour" in headers["x-oscine-warnings"]
    assert "first-audio" in headers["server-timing"]
    assert headers["cache-control"] == "no-store"


def test_what_breaks_midway_is_the_last_event(serve: Serve):
    engine = EchoEngine(failures=[Failure("unspeakable", times=99, retryable=False)])
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    events = asked(running, LONG + "The last one is unspeakable.", response_format="pcm")
    assert [name for name, _ in events] == [None] * (len(events) - 1) + ["error"]
    assert len(audio_of(events[:-1])) > 48_000
    data = events[-1][1]
    assert set(data["error"]) == {"message", "type", "param", "code"}
    assert data["error"]["type"] == "server_error"
    assert "unspeakable" not in data["error"]["message"]
    assert asked(running, "All is well again.")[-1][1]["type"] == "speech.audio.done"


def test_an_engine_that_breaks_for_good_midway_is_an_error_event_too(serve: Serve):
    engine = EchoEngine(failures=[Failure("terrible", times=99, kind="error")])
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    name, data = asked(running, LONG + "The last one is terrible.")[-1]
    assert name == "error"
    assert "RuntimeError" not in data["error"]["message"]


def test_what_is_wrong_with_a_request_is_no_event_but_an_error_with_its_status(server: Running):
    for fields in ({"speed": 9}, {"voice": "nobody"}, {"input": ""}):
        answer = speak(server, **{"text": HELLO, "stream_format": "sse", **fields} | {"stream_format": "sse"})
        assert answer.status_code == 400
        assert refused(answer)["type"] == "invalid_request_error"


@pytest.mark.parametrize("wrong", ["json", "SSE", "", 5, True, ["sse"], {"sse": 1}])
def test_a_stream_format_that_is_none_is_refused(server: Running, wrong: object):
    answer = speak(server, stream_format=wrong)
    assert answer.status_code == 400
    assert refused(answer)["param"] == "stream_format"


def test_a_stream_format_of_null_or_audio_means_audio(server: Running):
    for format in (None, "audio"):
        assert speak(server, "Hello.", stream_format=format).headers["content-type"] == "audio/mpeg"

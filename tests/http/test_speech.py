"""What a client hears is what the library says, in every format, while it is made."""

from __future__ import annotations

import re
import socket
import threading
import time
from itertools import product
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from oscine.voices.aliases import OPENAI_NAMES
from tests.echo import EchoEngine, Failure
from tests.http.asking import (
    ECHO,
    FORMATS,
    SPEECH,
    Asking,
    Gated,
    by_the_library,
    call,
    get,
    listen,
    pieces,
    refused,
    samples_of,
    seconds_of,
    speak,
    spoken,
    warnings_of,
)
from tests.http.conftest import Running, Serve
from tests.waiting import PATIENCE_S, until

MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm;rate=24000",
}
FRAME_S = {"mp3": 1152 / 24_000, "opus": 0.02, "aac": 1024 / 24_000, "flac": 0.0, "wav": 0.0, "pcm": 0.0}
"""What a codec may add at the end: a frame."""


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_what_the_library_makes_and_lasts_as_long_as_the_speech(server: Running, format: str):
    answer = speak(server, response_format=format, seed=7)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == MEDIA_TYPES[format]
    assert answer.headers["transfer-encoding"] == "chunked"
    expected, report = by_the_library(server, format=format, seed=7)
    heard, rate = samples_of(answer.content, format)
    np.testing.assert_array_equal(heard, samples_of(expected, format)[0])
    assert rate == (48_000 if format == "opus" else 24_000)
    assert report.duration > 2
    assert 0 <= round(len(heard) / rate - report.duration, 6) <= FRAME_S[format]


def test_mp3_is_what_comes_when_no_format_is_asked_for(server: Running):
    for fields in ({}, {"response_format": None}):
        answer = speak(server, **fields)
        assert answer.headers["content-type"] == "audio/mpeg"
        assert seconds_of(answer.content, "mp3") > 2


def test_a_format_goes_by_its_other_names_and_pcm_16_is_raw(server: Running):
    raw = spoken(server, response_format="pcm", seed=1)
    for fields in ({"format": "PCM"}, {"output_format": "pcm_16"}, {"response_format": " pcm "}):
        answer = speak(server, seed=1, **fields)
        assert answer.headers["content-type"] == "audio/pcm;rate=24000"
        assert answer.content == raw


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_sample_rate_is_the_settings_and_the_answer_says_so(serve: Serve, rate: int):
    running = serve(factories={"echo": lambda _: EchoEngine()}, DEFAULT_SAMPLE_RATE=str(rate), **ECHO)
    answer = speak(running, response_format="pcm", seed=1)
    assert answer.headers["content-type"] == f"audio/pcm;rate={rate}"
    length = len(answer.content) / 2 / rate
    for format in ("mp3", "flac", "wav"):
        heard, told = samples_of(spoken(running, response_format=format, seed=1), format)
        assert told == rate
        assert len(heard) / told == pytest.approx(length, abs=0.05)


def test_a_voice_is_a_name_or_an_id_or_one_of_openais_or_left_out(server: Running):
    expected = spoken(server, "Hello.", response_format="pcm", seed=1, voice="heart")
    voices: list[Any] = [{"id": "heart"}, "HEART", None, *OPENAI_NAMES, {"id": "nova"}]
    for voice in voices:
        answer = speak(server, "Hello.", response_format="pcm", seed=1, voice=voice)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-oscine-voice"] == "heart"
        assert answer.content == expected


def test_any_model_speaks_and_an_engines_name_selects_it(serve: Serve):
    running = serve(factories={"echo": lambda _: EchoEngine(), "other": lambda _: EchoEngine(name="other")}, **ECHO)
    for model, engine in (("tts-1", "echo"), ("gpt-4o-mini-tts", "echo"), ("nonsense", "echo"), ("other", "other")):
        assert speak(running, model=model).headers["x-oscine-engine"] == engine
    assert speak(running, engine="other").headers["x-oscine-engine"] == "other"
    assert refused(speak(running, engine="nothing"))["param"] == "engine"


def test_a_field_that_is_unknown_or_of_no_use_is_a_warning_and_no_error(server: Running):
    answer = speak(server, cfg_scale=2, flavour="sweet", emo_vector=[0.1] * 8)
    assert answer.status_code == 200
    for name in ("cfg_scale", "flavour", "emo_vector"):
        assert name in warnings_of(answer)


def test_instructions_are_ignored_in_silence(server: Running):
    with_them = speak(server, response_format="pcm", seed=1, instructions="Speak like a pirate.")
    assert "x-oscine-warnings" not in with_them.headers
    assert with_them.content == spoken(server, response_format="pcm", seed=1)


def test_a_warning_in_any_script_survives_its_header(server: Running):
    answer = speak(server, größe=1, 字=2)
    assert answer.status_code == 200
    assert "größe" in warnings_of(answer)
    assert "字" in warnings_of(answer)


def test_the_seed_that_was_told_makes_the_same_speech_again(server: Running):
    first = speak(server, response_format="flac")
    again = speak(server, response_format="flac", seed=int(first.headers["x-oscine-seed"]))
    assert again.headers["x-oscine-seed"] == first.headers["x-oscine-seed"]
    assert again.content == first.content
    other = speak(server, response_format="flac")
    assert other.headers["x-oscine-seed"] != first.headers["x-oscine-seed"]
    assert other.content != first.content


def test_speed_pronunciations_loudness_and_pauses_are_heard(server: Running):
    plain = len(spoken(server, response_format="pcm", seed=1)) / 48_000
    fast = len(spoken(server, response_format="pcm", seed=1, speed=2)) / 48_000
    slow = len(spoken(server, response_format="pcm", seed=1, speed=0.5)) / 48_000
    assert fast < 0.7 * plain < 0.7 * 0.7 * slow
    longer = spoken(server, response_format="pcm", seed=1, pronunciations={"nine": "a quarter to ten"})
    assert len(longer) / 48_000 > plain + 0.2
    assert len(spoken(server, response_format="pcm", seed=1, chunk_pause_ms=1500)) / 48_000 > plain + 0.8

    def level(**fields: Any) -> float:
        heard, _ = samples_of(spoken(server, response_format="pcm", seed=1, **fields), "pcm")
        return float(20 * np.log10(np.sqrt(np.mean(heard**2))))

    assert level(loudness=-14) - level(loudness=-26) == pytest.approx(12, abs=1.5)


def test_a_script_is_spoken_by_the_voices_it_was_given(serve: Serve):
    running = serve(factories={"echo": lambda _: EchoEngine()}, **ECHO)
    script = "Alice: Good morning to you.\nBob: Good morning to you."
    both = spoken(running, script, response_format="pcm", seed=1, voices={"Alice": "low", "Bob": "high"})
    same = spoken(running, script, response_format="pcm", seed=1, voices={"Alice": "low", "Bob": {"id": "low"}})
    half = len(both) // 2
    assert len(both) == len(same)
    assert both[: half - 24_000] == same[: half - 24_000]
    assert both != same
    assert refused(speak(running, script, voices={"Alice": "nobody"}))["param"] == "voices"


@pytest.mark.parametrize("name", ["input", "text"])
def test_texts_that_cannot_be_spoken_are_refused_under_the_name_that_was_sent(server: Running, name: str):
    for text in ("", "   ", "\x00\x01", "😀", "...", 5, None, ["Hello."], {"a": 1}, True, "a" * 100_001, "a" * 50_000):
        answer = call(server, "POST", SPEECH, json={name: text})
        assert answer.status_code == 400
        error = refused(answer)
        assert error["type"] == "invalid_request_error"
        assert error["param"] == name, str(text)[:20]
        assert error["message"].startswith(f"{name} "), error["message"]


def test_a_request_without_any_text_is_told_by_openais_name(server: Running):
    error = refused(call(server, "POST", SPEECH, json={"voice": "heart"}))
    assert (error["param"], error["message"].split()[0]) == ("input", "input")


def test_what_is_wrong_with_a_request_is_told_before_anything_is_spoken(serve: Serve):
    engine = EchoEngine()
    running = serve(factories={"echo": lambda _: engine}, OSCINE_PRELOAD="never", **ECHO)
    for fields in (
        {"voice": "nobody"},
        {"speed": 5},
        {"response_format": "ogg"},
        {"stream_format": "json"},
        {"language": "xx"},
        {"seed": -1},
        {"pronunciations": {"a": 1}},
    ):
        answer = speak(running, **fields)
        assert answer.status_code == 400, fields
        assert refused(answer)["param"] == next(iter(fields))
    assert engine.counts.opened == 0


def test_an_error_before_the_first_sound_keeps_its_status(serve: Serve):
    engine = EchoEngine(failures=[Failure("unspeakable", times=9, retryable=False)])
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    for stream_format in ("audio", "sse"):
        answer = speak(running, "This is unspeakable.", stream_format=stream_format)
        assert answer.status_code == 500
        assert refused(answer)["type"] == "server_error"


def test_sound_that_breaks_midway_is_cut_and_never_looks_whole(serve: Serve):
    engine = EchoEngine(failures=[Failure("unspeakable", times=99, retryable=False)])
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    text = "The first sentence goes well for everybody. " * 4 + "The last one is unspeakable."
    for format in FORMATS:
        got, whole = listen(running, text, response_format=format)
        assert not whole, format
        assert len(got) > 1000, format
    assert spoken(running, "All is well again.")


def test_nothing_is_answered_before_there_is_sound(serve: Serve):
    engine = Gated("Wait")
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    body = b'{"input": "Wait for it.", "response_format": "pcm"}'
    head = f"POST {SPEECH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S) as client:
        client.sendall(head.encode() + body)
        until(lambda: get(running, "/health").json()["lanes"]["busy"] == 1)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.settimeout(PATIENCE_S)
        engine.open_gate()
        assert client.recv(12) == b"HTTP/1.1 200"


def test_the_first_sentence_is_heard_while_the_next_is_still_made(serve: Serve):
    engine = Gated("Afterwards", lanes=1)
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    first = "The first sentence is long enough for every codec to put it into pieces."
    for format, stream_format in product(FORMATS, ("audio", "sse")):
        engine.close_gate()
        fields = {"response_format": format, "stream_format": stream_format, "seed": 1}
        alone = len(spoken(running, first, **fields))
        got = 0
        for part in pieces(running, f"{first} Afterwards there is another.", **fields):  # as long as the server waits
            got += len(part)
            if got > 0.5 * alone:
                engine.open_gate()
        assert got > alone, (format, stream_format)


def test_server_timing_says_how_long_the_first_sound_took(serve: Serve):
    engine = Gated("Wait")
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    with Asking() as asking:
        begun = time.perf_counter()
        asking.ask(running, "Wait for it.")
        until(lambda: engine.open_lanes)
        held = threading.Event()
        held.wait(0.3)
        engine.open_gate()
    took_ms = (time.perf_counter() - begun) * 1000
    (answer,) = asking.join()
    timing = answer.headers["server-timing"]
    durations = {name: float(value) for name, value in re.findall(r"([a-z-]+);dur=([0-9.]+)", timing)}
    assert timing == ", ".join(f"{name};dur={value}" for name, value in durations.items())
    assert 290 < durations["first-audio"] < took_ms
    assert durations["read"] + durations["speak"] == pytest.approx(durations["first-audio"], abs=0.2)


def test_every_answer_has_an_id_the_clients_own_if_it_sent_one(server: Running):
    assert speak(server, headers={"x-request-id": "my-id_1.2"}).headers["x-request-id"] == "my-id_1.2"
    made = {speak(server, "").headers["x-request-id"] for _ in range(3)}
    made |= {get(server, path).headers["x-request-id"] for path in ("/health", "/none", "/v1/models")}
    assert len(made) == 6
    for strange in ("a b", "x" * 129, "ä", '"><script>'):
        answer = get(server, "/health", headers={b"x-request-id": strange.encode()})
        assert re.fullmatch(r"req_[0-9a-f]{24}", answer.headers["x-request-id"])


def test_an_answer_says_who_spoke_and_must_not_be_kept(server: Running):
    headers = speak(server, seed=3).headers
    assert (headers["x-oscine-engine"], headers["x-oscine-voice"], headers["x-oscine-seed"]) == ("hibari", "heart", "3")
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


@pytest.mark.parametrize("name", ["field{}", "feld_ä_{}", "名前{}"])
def test_warnings_of_any_number_leave_an_answer_and_room_for_other_headers(server: Running, name: str) -> None:
    for count in (1, 3, 12, 20, 23, 24, 25, 26, 27, 60, 300):
        answer = speak(server, "Hi.", response_format="pcm", **{name.format("x" * each): each for each in range(count)})
        told = answer.headers["x-oscine-warnings"]
        assert answer.status_code == 200
        assert len(told) < 1600
        assert told == told.strip()
        said = unquote(told)
        rest = re.search(r" And (\d+) more\.$", said)
        assert said.count("was ignored.") + (int(rest[1]) if rest else 0) == count

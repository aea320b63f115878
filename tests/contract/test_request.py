"""The fields of a request, as existing clients send them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oscine.errors import InvalidRequest
from oscine.request import SpeechRequest, field_names

TEXT = {"text": "Hello there."}

DEFAULTS: dict[str, Any] = {
    "voice": None,
    "speaker_name": None,
    "voices": None,
    "voice_audio": None,
    "engine": None,
    "model": None,
    "format": None,
    "speed": 1.0,
    "seed": None,
    "language": None,
    "pronunciations": None,
    "loudness": -18.0,
    "true_peak": -1.0,
    "cfg_scale": None,
    "steps": None,
    "fast": None,
    "disable_prefill": None,
    "emo_audio_prompt": None,
    "emo_vector": None,
    "emo_alpha": None,
    "use_emo_text": None,
    "emo_text": None,
    "use_random": None,
    "enable_chunking": True,
    "max_chars_per_chunk": None,
    "enable_crossfade": True,
    "crossfade_ms": 100,
    "chunk_pause_ms": None,
    "session_id": None,
    "stream": False,
    "stream_max_chars_per_chunk": None,
    "stream_crossfade_ms": None,
    "stream_tail_ms": None,
}

TAKEN: dict[str, list[tuple[Any, Any]]] = {
    "text": [("Hello", "Hello"), ("  x  ", "  x  ")],
    "voice": [("heart", "heart"), ({"id": "heart"}, "heart")],
    "speaker_name": [("Alice", "Alice")],
    "voices": [({"Alice": "heart", "1": {"id": "emma"}}, {"Alice": "heart", "1": "emma"})],
    "voice_audio": [("UklGRg==", "UklGRg==")],
    "engine": [("hibari", "hibari")],
    "model": [("tts-1", "tts-1")],
    "format": [
        ("mp3", "mp3"),
        (" MP3 ", "mp3"),
        ("pcm_16", "pcm_16"),
        *((f, f) for f in ("opus", "aac", "flac", "wav")),
    ],
    "speed": [(0.25, 0.25), (4, 4.0), ("1.5", 1.5)],
    "seed": [(0, 0), (2**63 - 1, 2**63 - 1), ("7", 7), (7.0, 7)],
    "language": [("en", "en"), ("auto", "auto")],
    "pronunciations": [({"GIF": "jiff"}, {"GIF": "jiff"}), ({}, {})],
    "loudness": [(-40, -40.0), (-8, -8.0), (None, None)],
    "true_peak": [(-9, -9.0), (-1, -1.0)],
    "cfg_scale": [(0.1, 0.1), (10, 10.0)],
    "steps": [(1, 1), (100, 100)],
    "fast": [(True, True), ("false", False)],
    "disable_prefill": [(True, True)],
    "emo_audio_prompt": [("angry", "angry")],
    "emo_vector": [([0, 1, 0.5, 0, 0, 0, 0, 0], [0, 1, 0.5, 0, 0, 0, 0, 0]), ([0] * 8, [0] * 8)],
    "emo_alpha": [(0, 0.0), (1, 1.0)],
    "use_emo_text": [(True, True)],
    "emo_text": [("so glad", "so glad"), ("é" * 500, "é" * 500), ("", None), (" \n", None)],
    "use_random": [(False, False)],
    "enable_chunking": [(False, False)],
    "max_chars_per_chunk": [(50, 50), (1000, 1000)],
    "enable_crossfade": [(False, False)],
    "crossfade_ms": [(0, 0), (2000, 2000)],
    "chunk_pause_ms": [(0, 0), (2000, 2000)],
    "session_id": [("a" * 128, "a" * 128), ("A-b_c.1", "A-b_c.1"), ("..a", "..a")],
    "stream": [("true", True), ("false", False), ("True", True), (True, True)],
    "stream_max_chars_per_chunk": [(50, 50), (1000, 1000)],
    "stream_crossfade_ms": [(0, 0), (2000, 2000)],
    "stream_tail_ms": [(0, 0), (2000, 2000)],
}

REFUSED: dict[str, tuple[list[Any], str]] = {
    "text": ([5, ["a"], {"a": 1}], "string"),
    "voice": ([5, "", "x" * 201, {"name": "heart"}, {"id": 5}], "name of a voice"),
    "speaker_name": ([5, ""], "name of a voice"),
    "voices": (["heart", {}, {"": "heart"}, {"a" * 41: "heart"}, {"a": 5}, {"a": None}], "speaker label"),
    "voice_audio": ([5, ["a"]], "base64"),
    "engine": ([5], "name of an installed engine"),
    "model": ([5], "string"),
    "format": (["ogg", "", 5, "mp4"], "mp3, opus, aac, flac, wav, pcm"),
    "speed": ([0, 0.24, 4.01, -1, math.nan, math.inf, "fast", True, [1]], "0.25 to 4"),
    "seed": ([-1, 2**63, 1.5, "x", True, math.nan], "whole number"),
    "language": ([5, "x" * 36], "language tag"),
    "pronunciations": (["x", {"a": 1}, {str(n): "x" for n in range(1001)}], "1000 entries"),
    "loudness": ([-41, -7, "loud", math.nan, False], "-40 to -8"),
    "true_peak": ([-9.1, -0.9, "loud", math.nan, True], "-9 to -1"),
    "cfg_scale": ([0, 10.1, -1, "x", True], "above 0, at most 10"),
    "steps": ([0, 101, 1.5, True], "1 to 100"),
    "fast": (["x", 7], "true or false"),
    "disable_prefill": (["x", 7], "true or false"),
    "emo_audio_prompt": ([5, ""], "name of a voice"),
    "emo_vector": (
        [[0] * 7, [0] * 9, [0] * 7 + [1.1], [0] * 7 + [-0.1], [0] * 7 + [True], "x"],
        "8 numbers from 0 to 1",
    ),
    "emo_alpha": ([-0.1, 1.1, "x"], "0 to 1"),
    "use_emo_text": (["x"], "true or false"),
    "emo_text": ([5, "x" * 501, "half a \ud83d"], "string of at most 500 characters"),
    "use_random": (["x"], "true or false"),
    "enable_chunking": (["x"], "true or false"),
    "max_chars_per_chunk": ([49, 1001, "x", True], "50 to 1000"),
    "enable_crossfade": (["x"], "true or false"),
    "crossfade_ms": ([-1, 2001, "x", 0.5], "0 to 2000"),
    "chunk_pause_ms": ([-1, 2001], "0 to 2000"),
    "session_id": (["", "a" * 129, "a/b", "../a", "a b", "ü", "a\n", ".", "..", 5], "128 letters"),
    "stream": (["x", 7], "true or false"),
    "stream_max_chars_per_chunk": ([49, 1001], "50 to 1000"),
    "stream_crossfade_ms": ([-1, 2001], "0 to 2000"),
    "stream_tail_ms": ([-1, 2001], "0 to 2000"),
}

ALIASES = {
    "text": ["input"],
    "voice": ["speaker_voice"],
    "speaker_name": ["speaker"],
    "format": ["response_format", "output_format"],
}


def test_what_is_not_given_has_its_default():
    request, warnings = SpeechRequest.parse(TEXT)
    assert warnings == []
    assert {name: getattr(request, name) for name in DEFAULTS} == DEFAULTS
    assert set(SpeechRequest.model_fields) == {"text", "instructions", *DEFAULTS}


@pytest.mark.parametrize("field", TAKEN)
def test_a_field_takes_what_clients_send(field: str):
    for given_value, meant in TAKEN[field]:
        for name in (field, *ALIASES.get(field, ())):
            request, warnings = SpeechRequest.parse({**({} if field == "text" else TEXT), name: given_value})
            assert getattr(request, field) == meant
            assert type(getattr(request, field)) is type(meant)
            assert warnings == []


@pytest.mark.parametrize("field", REFUSED)
def test_a_wrong_value_is_refused_by_the_name_the_client_used(field: str):
    wrong, takes = REFUSED[field]
    for value in wrong:
        for name in (field, *ALIASES.get(field, ())):
            with pytest.raises(InvalidRequest) as caught:
                SpeechRequest.parse({**({} if field == "text" else TEXT), name: value})
            assert caught.value.param == name
            assert caught.value.message.startswith(f"{name} must be ")
            assert takes in caught.value.message
            assert caught.value.message.endswith(".")
            assert caught.value.http_status == 400


def test_the_tables_above_cover_every_field():
    assert set(TAKEN) == set(REFUSED) == set(SpeechRequest.model_fields) - {"instructions"}
    assert {alias for names in ALIASES.values() for alias in names} == set(field_names()) - set(
        SpeechRequest.model_fields
    )


def test_a_request_without_text_says_so():
    for fields in ({}, {"text": None}, {"voice": "heart"}):
        with pytest.raises(InvalidRequest, match=r"^text is missing") as caught:
            SpeechRequest.parse(fields)
        assert caught.value.param == "text"


@pytest.mark.parametrize("field", sorted(set(DEFAULTS) - {"loudness"}))
def test_null_counts_as_not_given(field: str):
    request, warnings = SpeechRequest.parse({**TEXT, field: None})
    assert getattr(request, field) == DEFAULTS[field]
    assert field not in request.model_fields_set
    assert warnings == []


def test_an_unknown_field_is_a_warning_that_names_it():
    request, warnings = SpeechRequest.parse({**TEXT, "max_length": 5, "batch": {"a": 1}, "nothing": None})
    assert request.text == TEXT["text"]
    assert len(warnings) == 2
    assert "max_length" in warnings[0]
    assert "batch" in warnings[1]


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(sorted(field_names())), st.text(max_size=60)),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
            lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=10,
        ),
        max_size=6,
    )
)
def test_whatever_comes_is_a_request_or_one_sentence(fields: dict[str, Any]):
    try:
        _, warnings = SpeechRequest.parse(fields)
    except InvalidRequest as error:
        warnings = [error.message]
    for said in warnings:
        assert len(said) < 200
        assert said.isprintable()
        assert said.endswith(".")

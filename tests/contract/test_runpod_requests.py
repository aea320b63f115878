"""Requests as clients of the two public RunPod workers send them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.old_workers import Deployment, deployment
from tests.voices.recordings import recording

HELLO = "Good morning to all of you."
SOUND = base64.b64encode(recording()).decode()
BOTH = ("vibevoice", "indextts2")


@pytest.fixture(scope="module")
def deployments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Deployment]]:
    folder = tmp_path_factory.mktemp("volumes")
    with deployment("vibevoice", folder / "v") as vibevoice, deployment("indextts2", folder / "i") as indextts:
        yield {"vibevoice": vibevoice, "indextts2": indextts}


BY_BOTH: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"output_format": "wav"}, {"format": "wav"}, []),
    ({"response_format": "flac"}, {"format": "flac"}, []),
    ({"format": "OPUS"}, {"format": "opus"}, []),
    ({"output_format": "pcm_16"}, {"format": "wav"}, []),
    ({"stream": "false"}, {}, []),
    ({"stream": False, "stream_tail_ms": 50, "stream_crossfade_ms": 20}, {}, []),
    ({"model": "tts-1"}, {}, []),
    ({"model": "gpt-4o-mini-tts"}, {}, []),
    ({"seed": 42}, {"seed": 42}, []),
    ({"speed": 1.25, "loudness": -16}, {"loudness_lufs": pytest.approx(-16, abs=0.6)}, []),
    ({"loudness": None}, {}, []),
    ({"voice_audio": SOUND}, {}, []),
    ({"pronunciations": {"Good": "Gude"}}, {}, []),
    ({"old_field": 1, "another": [2]}, {}, ["old_field", "another"]),
    ({"voice": None, "seed": None, "speaker_name": None}, {}, []),
    ({"speaker_name": "", "speaker_voice": "", "emo_audio_prompt": "", "output_format": "", "stream": ""}, {}, []),
]
TAKEN: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    # engine, fields beside the text, what the result says (metadata by its own names), parts of its warnings
    ("vibevoice", {}, {"voice": "Alice", "format": "mp3", "sample_rate": 48_000}, []),
    ("vibevoice", {"speaker_name": "Frank"}, {"voice": "Frank"}, []),
    ("vibevoice", {"speaker": "Frank"}, {"voice": "Frank"}, []),
    ("vibevoice", {"speaker_name": "frank.mp3"}, {"voice": "Frank"}, []),
    ("vibevoice", {"speaker_name": "Carter"}, {"voice": "en-Carter_man"}, []),
    ("vibevoice", {"speaker_name": "en-Alice_woman"}, {"voice": "Alice"}, []),
    ("vibevoice", {"speaker_name": "Nobody"}, {"voice": "Alice"}, ["Alice was taken instead"]),
    ("vibevoice", {"voice": {"id": "frank"}}, {"voice": "Frank"}, []),
    ("vibevoice", {"voices": {"Speaker 1": "Alice", "Speaker 2": "Frank"}}, {}, []),
    ("vibevoice", {"cfg_scale": 1.3, "disable_prefill": False, "steps": 10}, {}, []),
    ("vibevoice", {"emo_alpha": 0.5, "emo_vector": [0] * 8, "use_random": True}, {}, ["emo_alpha", "emo_vector"]),
    ("vibevoice", {"session_id": "abc.DEF_1-2"}, {"filename": "abc.DEF_1-2.mp3"}, []),
    ("indextts2", {}, {"voice": "ada", "format": "opus", "codec": "opus", "bitrate": 128_000}, []),
    ("indextts2", {"speaker_voice": "ben"}, {"voice": "ben"}, []),
    ("indextts2", {"speaker_voice": "ben.flac"}, {"voice": "ben"}, []),
    ("indextts2", {"speaker_voice": "BEN"}, {"voice": "ben"}, []),
    ("indextts2", {"speaker_voice": "be"}, {"voice": "ben"}, []),
    ("indextts2", {"voice": "ada", "emo_audio_prompt": "sad", "emo_alpha": 0.6}, {"voice": "ada"}, []),
    ("indextts2", {"emo_vector": [0.5, 0, 0, 0, 0, 0, 0, 0.2]}, {}, []),
    ("indextts2", {"use_emo_text": True, "emo_text": "sadly", "use_random": False}, {}, []),
    ("indextts2", {"cfg_scale": 1.3, "disable_prefill": True}, {}, ["cfg_scale", "disable_prefill"]),
    ("indextts2", {"enable_chunking": True, "max_chars_per_chunk": 300}, {}, []),
    ("indextts2", {"enable_crossfade": True, "crossfade_ms": 100, "chunk_pause_ms": 200}, {}, []),
    *((engine, *row) for engine in BOTH for row in BY_BOTH),
]


@pytest.mark.parametrize(("engine", "fields", "result", "warnings"), TAKEN)
def test_a_request_of_an_old_client_is_understood(
    deployments: dict[str, Deployment],
    engine: str,
    fields: dict[str, Any],
    result: dict[str, Any],
    warnings: list[str],
):
    text = "Speaker 1: Good morning.\nSpeaker 2: Good day." if "voices" in fields else HELLO
    (document,) = deployments[engine].output({"text": text, **fields})
    assert document.get("error") is None
    told = {**document["metadata"], **{name: document[name] for name in ("filename", "format", "sample_rate")}}
    if document["format"] == "opus":  # Ogg-Opus is always labelled so
        told["sample_rate"] = 24_000 if told["sample_rate"] == 48_000 else told["sample_rate"]
    assert {name: told[name] for name in result} == result
    assert told["engine"] == engine
    for part in warnings:
        assert any(part in warning for warning in document["warnings"]), document["warnings"]
    unstored = "No object store is configured, so the audio is in audio_base64."
    if not warnings:
        assert document["warnings"] == [unstored]


@pytest.mark.parametrize("engine", BOTH)
def test_text_goes_by_its_other_name_too(deployments: dict[str, Deployment], engine: str):
    assert deployments[engine].document({"input": HELLO})["segments"][0]["text"] == HELLO


@pytest.mark.parametrize("said", [True, "true", "True"])
@pytest.mark.parametrize("engine", BOTH)
def test_a_stream_is_asked_for_by_a_word_too(deployments: dict[str, Deployment], engine: str, said: object):
    first, *_, last = deployments[engine].output({"text": HELLO, "stream": said})
    assert (first["status"], last["status"]) == ("streaming", "complete")


WRONG = [
    ({"text": HELLO, "speed": 5}, "speed"),
    ({"text": HELLO, "speed": "quick"}, "speed"),
    ({"text": HELLO, "seed": -1}, "seed"),
    ({"text": HELLO, "cfg_scale": 0}, "cfg_scale"),
    ({"text": HELLO, "steps": 101}, "steps"),
    ({"text": HELLO, "loudness": 3}, "loudness"),
    ({"text": HELLO, "max_chars_per_chunk": 20}, "max_chars_per_chunk"),
    ({"text": HELLO, "crossfade_ms": 2001}, "crossfade_ms"),
    ({"text": HELLO, "chunk_pause_ms": -1}, "chunk_pause_ms"),
    ({"text": HELLO, "emo_vector": [1, 2]}, "emo_vector"),
    ({"text": HELLO, "emo_alpha": 2}, "emo_alpha"),
    ({"text": HELLO, "response_format": "midi"}, "response_format"),
    ({"text": HELLO, "output_format": "midi"}, "output_format"),
    ({"text": HELLO, "stream": "perhaps"}, "stream"),
    ({"text": HELLO, "session_id": "a/b"}, "session_id"),
    ({"text": HELLO, "session_id": ""}, "session_id"),
    ({"text": HELLO, "session_id": "x" * 129}, "session_id"),
    ({"text": HELLO, "voice": "nobody at all"}, "voice"),
    ({"text": HELLO, "speaker_voice": 7}, "speaker_voice"),
    ({"text": HELLO, "voice_audio": "%%%"}, "voice_audio"),
    ({"text": HELLO, "engine": "none"}, "engine"),
    ({"text": ""}, "text"),
    ({"text": "   "}, "text"),
    ({"text": 5}, "text"),
    ({}, "text"),
]


@pytest.mark.parametrize(("fields", "named"), WRONG)
@pytest.mark.parametrize("engine", BOTH)
def test_a_wrong_request_is_one_sentence_that_names_the_field(
    deployments: dict[str, Deployment], engine: str, fields: dict[str, Any], named: str
):
    (document,) = deployments[engine].output(fields)
    assert set(document) == {"error", "error_type"}
    assert named in document["error"]
    assert "\n" not in document["error"]


def test_a_text_may_be_as_long_as_the_deployment_says(tmp_path_factory: pytest.TempPathFactory):
    with deployment("vibevoice", tmp_path_factory.mktemp("short"), MAX_TEXT_LENGTH="20") as short:
        assert "text" in short.document({"text": HELLO})["error"]
        assert short.document({"text": "Good morning."})["status"] == "success"

"""Voices: listed for every client, kept from a recording, shown, heard and deleted."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest

from tests.echo import EchoEngine
from tests.http.asking import ECHO, call, get, refused, speak, spoken
from tests.http.conftest import Running, Serve
from tests.voices.recordings import CONTAINERS, recording

VOICES = "/v1/audio/voices"
CLONING = {"factories": {"echo": lambda _: EchoEngine(cloning=True)}}


def keep(running: Running, name: str, data: bytes | None = None, *, file: str = "me.wav", **more: str):
    return call(
        running,
        "POST",
        VOICES,
        files={"audio_sample": (file, recording() if data is None else data, "audio/wav")},
        data={"name": name, "consent": "cons_1234", **more},
    )


def listed(running: Running, **asked: str) -> list[dict[str, Any]]:
    body = get(running, VOICES, params=asked).json()
    assert body["object"] == "list"
    found: list[dict[str, Any]] = body["voices"]
    return found


@pytest.fixture
def cloning(serve: Serve) -> Running:
    return serve(**CLONING, **ECHO)


def test_the_list_has_the_engines_own_voices_and_says_which_is_the_default(server: Running):
    voice, *others = listed(server, all="true")
    assert {other["default"] for other in others} == {False}
    assert (voice["id"], voice["name"], voice["object"], voice["type"]) == ("heart", "heart", "audio.voice", "preset")
    assert voice["default"] is True
    assert voice["available"] is True
    assert voice["language"].startswith("en")
    assert isinstance(voice["created_at"], int)


def test_the_default_comes_first_and_then_the_engines_and_then_the_recordings(cloning: Running):
    for name in ("zoe", "anna"):
        assert keep(cloning, name).status_code == 200
    found = listed(cloning, all="true")
    assert [voice["id"] for voice in found] == ["low", "high", "away", "anna", "zoe"]
    assert [voice["default"] for voice in found] == [True, False, False, False, False]
    assert [voice["available"] for voice in found] == [True, True, False, True, True]
    assert [voice["type"] for voice in found] == ["preset"] * 3 + ["audio_sample"] * 2
    assert {frozenset(voice) for voice in found} == {frozenset(found[0])}


def test_what_cannot_speak_is_listed_only_for_whoever_asks_for_all(serve: Serve):
    """Open WebUI and Home Assistant offer whatever is in the list, and are silent with what cannot speak."""
    running = serve(factories={"echo": lambda _: EchoEngine(cloning=False)}, **ECHO)
    keep(running, "Marie")
    assert [voice["id"] for voice in listed(running)] == ["low", "high"]
    assert [voice["id"] for voice in listed(running, all="false")] == ["low", "high"]
    every = {voice["id"]: voice["available"] for voice in listed(running, all="true")}
    assert every == {"low": True, "high": True, "away": False, "Marie": False}
    assert refused(get(running, VOICES, params={"all": "perhaps"}))["param"] == "all"


def test_voices_of_another_engine_are_listed_on_request(serve: Serve):
    running = serve(factories={"echo": lambda _: EchoEngine(), "other": lambda _: EchoEngine(name="other")}, **ECHO)
    assert {voice["engine"] for voice in get(running, VOICES, params={"engine": "other"}).json()["voices"]} == {"other"}
    answer = get(running, VOICES, params={"engine": "nothing"})
    assert answer.status_code == 400
    assert refused(answer)["param"] == "engine"


def test_a_recording_becomes_a_voice_that_speaks_and_can_be_heard_and_deleted(cloning: Running):
    begun = int(time.time())
    answer = keep(cloning, "Marie")
    assert answer.status_code == 200
    voice = answer.json()
    assert (voice["id"], voice["name"], voice["object"], voice["type"]) == (
        "Marie",
        "Marie",
        "audio.voice",
        "audio_sample",
    )
    assert begun - 1 <= voice["created_at"] <= time.time() + 1  # a file system's clock ticks a little behind
    assert voice in listed(cloning)

    said = speak(cloning, voice="Marie", response_format="pcm", seed=1)
    assert said.headers["x-oscine-voice"] == "Marie"
    assert said.content == spoken(cloning, voice={"id": "Marie"}, response_format="pcm", seed=1)
    assert said.content != spoken(cloning, voice="low", response_format="pcm", seed=1)

    shown = get(cloning, f"{VOICES}/Marie").json()
    assert voice.items() <= shown.items()
    assert shown["duration"] == pytest.approx(4.0, abs=0.01)
    assert (shown["sample_rate"], shown["channels"], shown["format"]) == (24_000, 1, "wav")
    assert -60 < shown["loudness_lufs"] < 0

    sample = get(cloning, f"{VOICES}/Marie/sample")
    assert sample.headers["content-type"] == "audio/wav"
    assert sample.headers["x-content-type-options"] == "nosniff"
    assert sample.content == recording()

    gone = call(cloning, "DELETE", f"{VOICES}/Marie")
    assert gone.json() == {"id": "Marie", "object": "audio.voice.deleted", "deleted": True}
    assert "Marie" not in {voice["id"] for voice in listed(cloning)}
    assert speak(cloning, voice="Marie").status_code == 400
    for method, path in (("GET", "Marie"), ("GET", "Marie/sample"), ("DELETE", "Marie")):
        answer = call(cloning, method, f"{VOICES}/{path}")
        assert answer.status_code == 404
        assert refused(answer)["param"] == "voice_id"


@pytest.mark.parametrize("extension", CONTAINERS)
def test_a_recording_may_come_in_any_usual_format_and_under_any_file_name(cloning: Running, extension: str):
    data = recording(extension)
    assert keep(cloning, "Marie", data, file="blob").status_code == 200
    sample = get(cloning, f"{VOICES}/Marie/sample")
    assert sample.content == data
    assert sample.headers["content-type"].startswith("audio/")
    assert get(cloning, f"{VOICES}/Marie").json()["duration"] == pytest.approx(4.0, abs=0.1)


def test_names_of_any_script_work_in_the_path(cloning: Running):
    for name in ("Мария", "小百合", "Zoë Müller", "प्रिया", "n.2_b-c"):
        assert keep(cloning, name).status_code == 200, name
        path = f"{VOICES}/{quote(name)}"
        shown = get(cloning, path)
        assert shown.status_code == 200, (name, path)
        assert shown.json()["name"] == name
        assert speak(cloning, "Hello.", voice=name).status_code == 200
        assert call(cloning, "DELETE", path).json()["deleted"] is True


def test_a_voice_is_replaced_only_when_that_is_asked_for(cloning: Running):
    first, second = recording(), recording("flac", 5.0)
    assert keep(cloning, "Marie", first).status_code == 200
    for more in ({}, {"replace": "false"}):
        answer = keep(cloning, "Marie", second, **more)
        assert answer.status_code == 400
        error = refused(answer)
        assert (error["param"], error["code"]) == ("name", "voice_exists")
        assert error["message"].startswith("name ")
        assert get(cloning, f"{VOICES}/Marie/sample").content == first
    assert keep(cloning, "Marie", second, replace="true").status_code == 200
    assert get(cloning, f"{VOICES}/Marie/sample").content == second
    assert [voice["id"] for voice in listed(cloning)].count("Marie") == 1


def test_a_name_of_the_engines_own_is_refused_for_nobody_would_ever_hear_it(cloning: Running):
    for name in ("low", "HIGH", " low ", "low.wav", "away"):
        for replace in ("false", "true"):
            answer = keep(cloning, name, replace=replace)
            assert answer.status_code == 400, name
            error = refused(answer)
            assert (error["param"], error["code"]) == ("name", "voice_exists")
    assert [voice["id"] for voice in listed(cloning, all="true")] == ["low", "high", "away"]


def test_a_recording_that_has_such_a_name_all_the_same_can_be_heard_and_deleted(cloning: Running):
    cloning.studio.library.add("low", recording())
    assert get(cloning, f"{VOICES}/low").json()["type"] == "preset"
    assert get(cloning, f"{VOICES}/low/sample").content == recording()
    assert call(cloning, "DELETE", f"{VOICES}/low").json()["deleted"] is True
    assert [voice["id"] for voice in listed(cloning, all="true")] == ["low", "high", "away"]


def test_what_is_wrong_with_an_upload_is_named(cloning: Running):
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({}, {"name": "Marie"}, "audio_sample"),
        ({"audio_sample": ("a.wav", b"")}, {"name": "Marie"}, "audio_sample"),
        ({"audio_sample": ("a.wav", b"no sound at all")}, {"name": "Marie"}, "audio_sample"),
        ({"audio_sample": ("a.wav", recording(seconds=1.0))}, {"name": "Marie"}, "audio_sample"),
        ({"audio_sample": ("a.wav", recording())}, {}, "name"),
        *(
            ({"audio_sample": ("a.wav", recording())}, {"name": name}, "name")
            for name in ("  ", "a/b", "x" * 101, "50%")
        ),
        ({"audio_sample": ("a.wav", recording())}, {"name": "Marie", "consent": "no"}, "consent"),
        ({"audio_sample": ("a.wav", recording())}, {"name": "Marie", "type": "prompt"}, "type"),
    ]
    for files, data, param in cases:
        answer = call(cloning, "POST", VOICES, files=files or {"other": b"x"}, data=data)
        assert answer.status_code == 400, (param, answer.text)
        assert refused(answer)["param"] == param
    prompt = call(cloning, "POST", VOICES, json={"name": "Marie", "type": "prompt", "prompt": "A calm voice."})
    assert prompt.status_code == 400
    assert refused(prompt)["type"] == "invalid_request_error"
    assert "Marie" not in {voice["id"] for voice in listed(cloning)}


def test_an_engines_own_voice_can_be_shown_but_neither_deleted_nor_heard_as_a_file(server: Running):
    assert get(server, f"{VOICES}/heart").json()["type"] == "preset"
    for method, path in (("DELETE", "heart"), ("GET", "heart/sample")):
        answer = call(server, method, f"{VOICES}/{path}")
        assert answer.status_code == 400
        assert refused(answer)["param"] == "voice_id"


def test_a_recording_can_be_kept_where_the_engine_cannot_clone_and_is_listed_as_such(serve: Serve):
    running = serve(factories={"echo": lambda _: EchoEngine(cloning=False)}, **ECHO)
    assert keep(running, "Marie").json()["available"] is False
    answer = speak(running, voice="Marie")
    assert answer.status_code == 400
    assert refused(answer)["param"] == "voice"


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-99", slice(0, 100)),
        ("bytes=44-", slice(44, None)),
        ("bytes=-10", slice(-10, None)),
        ("bytes=100-99999999", slice(100, None)),
    ],
)
def test_a_player_may_ask_for_a_part_of_a_recording(serve: Serve, asked: str, part: slice) -> None:
    cloning = serve(**CLONING, **ECHO)
    keep(cloning, "Marie")
    answer = get(cloning, f"{VOICES}/Marie/sample", headers={"range": asked})
    assert answer.status_code == 206
    assert answer.content == recording()[part]
    start = recording().index(answer.content)
    whole = len(recording())
    assert answer.headers["content-range"] == f"bytes {start}-{start + len(answer.content) - 1}/{whole}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,3-4", "bytes=-", "bytes=-0", "lines=1-2", "bytes=99999999-"])
def test_a_range_that_cannot_be_is_answered_with_all_of_it(serve: Serve, asked: str) -> None:
    cloning = serve(**CLONING, **ECHO)
    keep(cloning, "Marie")
    answer = get(cloning, f"{VOICES}/Marie/sample", headers={"range": asked})
    assert (answer.status_code, answer.content) == (200, recording())

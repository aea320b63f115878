"""Results as clients of the two public RunPod workers read them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.old_workers import Deployment, deployment

HELLO = "Good morning to all of you. The train leaves at nine."
FIELDS: dict[str, Any] = {
    "status": str,
    "filename": str,
    "format": str,
    "sample_rate": int,
    "duration_sec": float,
    "warnings": list,
    "segments": list,
    "metadata": dict,
}
METADATA: dict[str, Any] = {
    "sample_rate": int,
    "codec": str,
    "bitrate": int,
    "duration": float,
    "device": str,
    "engine": str,
    "model": str,
    "voice": str,
    "seed": int,
    "chunks": int,
    "characters": int,
    "loudness_lufs": float,
    "true_peak_dbtp": float,
    "synthesis_seconds": float,
    "real_time_factor": float,
    "queue_seconds": float,
}


@pytest.fixture(scope="module", params=["vibevoice", "indextts2"])
def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployment(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture
def folder(deployed: Deployment) -> Path:
    home = deployed.studio.settings.home
    return home / ("vibevoice/output" if deployed.engine == "vibevoice" else "indextts/output_audio")


def test_a_result_is_a_list_that_holds_one_document(deployed: Deployment, folder: Path):
    (document,) = deployed.output({"text": HELLO, "session_id": "mine"})
    assert {name: type(document[name]) for name in FIELDS} == FIELDS
    assert set(document) == {*FIELDS, "audio_base64"}
    assert {name: type(value) for name, value in document["metadata"].items()} == METADATA
    assert document["status"] == ("success" if deployed.engine == "vibevoice" else "completed")
    assert document["metadata"]["engine"] == deployed.engine
    assert document["metadata"]["device"] == "cuda"
    assert document["metadata"]["duration"] == document["duration_sec"]
    assert document["metadata"]["characters"] == len(HELLO) or document["metadata"]["characters"] == len(HELLO) - 1
    assert [set(segment) for segment in document["segments"]] == [{"text", "speaker", "start", "end"}] * 2
    ending = "mp3" if deployed.engine == "vibevoice" else "opus"
    assert document["filename"] == f"mine.{ending}"
    assert base64.b64decode(document["audio_base64"]) == (folder / document["filename"]).read_bytes()


def test_the_defaults_are_those_of_the_old_worker(deployed: Deployment):
    document = deployed.document({"text": HELLO})
    data = base64.b64decode(document["audio_base64"])
    if deployed.engine == "vibevoice":
        assert (document["format"], document["sample_rate"]) == ("mp3", 48_000)
        assert document["metadata"]["bitrate"] == 192_000
        assert data[:3] == b"ID3" or data[0] == 0xFF
    else:
        assert document["format"] == "opus"
        assert document["metadata"]["bitrate"] == 128_000
        assert data[:4] == b"OggS"
        assert b"OpusHead" in data[:64]


def test_a_stream_is_pieces_and_then_the_result(deployed: Deployment):
    *pieces, last = deployed.output({"text": HELLO, "stream": True, "session_id": "flow"})
    rate = last["sample_rate"]
    told = {"status", "chunk", "index", "format", "audio_chunk", "sample_rate"}
    for index, item in enumerate(pieces):
        assert told <= set(item)
        assert (item["status"], item["format"]) == ("streaming", "pcm_16")
        assert (item["chunk"], item["index"], item["sample_rate"]) == (index + 1, index, rate)
        assert len(item["audio_chunk"]) < 700_000
    assert last["status"] == "complete"
    assert last["total_chunks"] == len(pieces)
    assert {name: type(last[name]) for name in FIELDS} == FIELDS
    assert set(last) == {*FIELDS, "total_chunks"}
    samples = sum(len(base64.b64decode(item["audio_chunk"])) for item in pieces) // 2
    assert samples / rate == pytest.approx(last["duration_sec"], abs=0.001)


def test_health_has_four_checks(deployed: Deployment):
    document = deployed.document({"action": "health_check"})
    assert set(document) == {"status", "timestamp", "checks"}
    assert document["status"] in ("healthy", "unhealthy")
    assert set(document["checks"]) == {"configuration", "hardware", "s3", "checkpoints"}
    for check in document["checks"].values():
        assert set(check) == {"status", "details"}
        assert check["status"] in ("pass", "warn", "fail")


def test_voices_of_the_old_folders_are_listed(deployed: Deployment):
    names = deployed.document({"action": "list_voices"})["names"]
    expected = {"vibevoice": {"Alice", "Frank", "en-Carter_man"}, "indextts2": {"ada", "ben", "sad"}}
    assert set(names) == expected[deployed.engine]


def test_an_error_is_a_sentence_and_a_type(deployed: Deployment):
    (document,) = deployed.output({"text": ""})
    assert set(document) == {"error", "error_type"}
    assert document["error_type"] == "invalid_request_error"


def test_a_single_result_is_the_bare_document(tmp_path: Path):
    with deployment("vibevoice", tmp_path, OSCINE_SINGLE_RESULT="true") as single:
        document = single.output({"text": HELLO, "stream": True})
        assert {name: type(document[name]) for name in FIELDS} == FIELDS
        assert document["status"] == "success"
        assert set(single.output({"text": ""})) == {"error", "error_type"}

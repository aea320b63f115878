"""What the pages on RunPod, object stores and migration say is what the worker does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from oscine.api import Saved
from oscine.audio.formats import Format
from oscine.config import WEEK_SECONDS, Settings
from oscine.delivery.stream import Opening
from oscine.delivery.upload import PART_BYTES
from oscine.engines.registry import Registry
from oscine.request import SpeechRequest, field_names
from oscine.runpod import actions, checks, documents, pieces, progress, worker
from oscine.synthesis.assemble import Segment
from oscine.synthesis.result import Report
from oscine.synthesis.studio import Studio
from oscine.synthesis.track import Progress
from oscine.voices.library import RECORDING, UPLOAD
from tests.contract.old_workers import deployment
from tests.docs.pages import ROOT, Block, blocks, prose, rows_of
from tests.scripts.script import try_endpoint

DEPLOY: Final = ROOT / "docs" / "deploy-runpod.md"
STORAGE: Final = ROOT / "docs" / "storage.md"
MIGRATION: Final = ROOT / "docs" / "migration.md"
PAGES: Final = (DEPLOY, STORAGE, MIGRATION)
SETTINGS: Final = {str(field.validation_alias) for field in Settings.model_fields.values()}
OF_OTHERS: Final = {
    *("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "TORCH_HOME"),
    *("RUNPOD_API_KEY", "RUNPOD_INIT_TIMEOUT", "RUNPOD_LOG_LEVEL"),
    *("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", "RUNPOD_SKIP_GPU_CHECK", "ENDPOINT_ID", "OSCINE_DEBUG"),
}
"""Variables that RunPod's and the Hub's packages read, or the reader's own."""
GONE: Final = {"MODEL_SOURCE", "INSTALL_DIR", "SRC_DIR", "VENV_DIR", "INDEXTTS_REPO", "INDEXTTS_REF"}
"""Variables of the IndexTTS-2 worker that mean nothing here."""
POOLS: Final = {"AMPERE_24", "ADA_24", "ADA_48_PRO"}
STATES: Final = {"IN_QUEUE", "FAILED", "TIMED_OUT", "COMPLETED", "SIGTERM", "DEBUG", "INFO"}
REPORT: Final = Report(
    duration=1.0,
    sample_rate=24_000,
    engine="hibari",
    voices=("heart",),
    seed=7,
    pieces=1,
    pieces_reused=0,
    characters=5,
    loudness_lufs=None,
    true_peak_dbtp=None,
    synthesis_seconds=0.1,
    first_audio_seconds=0.1,
    segments=(Segment(text="Hello.", speaker=None, start=0.0, end=1.0),),
    warnings=(),
)


def document() -> dict[str, Any]:
    saved = Saved(Path("hello.mp3"), Format.MP3, 128_000, REPORT)
    return documents.spoken(saved, Registry(Settings()).get("hibari").info, seconds=0.2)


def named(page: Path, *head: str) -> set[str]:
    """What the first column of a table names."""
    return {name for row in rows_of(page, *head) for name in row[0].split(", ")}


DELIVERED: Final = {"url", "audio_url", "audio_base64", "s3_key"}


def test_every_field_of_a_result_is_told():
    assert named(DEPLOY, "field of the result", "what it is") == set(document()) | DELIVERED
    assert named(DEPLOY, "field of metadata", "what it is") == set(document()["metadata"])


def test_every_action_is_told():
    assert named(DEPLOY, "action", "its fields") == set(actions._ACTIONS)


def test_every_item_of_the_script_is_told():
    assert [row[0] for row in rows_of(DEPLOY, "item", "what passes")] == list(try_endpoint.ITEMS)


def jsons() -> Iterator[Block]:
    for page in PAGES:
        yield from (block for block in blocks(page) if block.language == "json")


@pytest.mark.parametrize("block", list(jsons()), ids=lambda block: block.place)
def test_what_is_shown_has_the_fields_that_are_sent(block: Block, tmp_path: Path):
    shown = json.loads(block.text)
    match block.note:
        case "request":
            assert set(shown) <= {"input", "policy", "s3Config", "webhook"}
            assert SpeechRequest.parse(shown["input"])[1] == []
        case "action":
            assert shown["input"]["action"] in actions._ACTIONS
        case "result":
            assert set(shown) == (set(document()) | DELIVERED) - {"audio_base64"}
            assert set(shown["metadata"]) == set(document()["metadata"])
            assert set(shown["segments"][0]) == set(document()["segments"][0])
        case "piece":
            assert set(shown) - {"warnings", "metadata"} == set(documents.piece(b"", 0, "pcm_16", 24_000))
            first = documents.known(Opening("hibari", "heart", 7, None, 24_000, ()))
            assert {name: set(shown[name]) for name in first} == {name: set(value) for name, value in first.items()}
        case "health":
            found = checks.health(
                worker.Worker(Studio(Settings(volume=tmp_path))),
                store=lambda: None,
            )
            assert set(shown) == set(found)
            assert shown["checks"].keys() == found["checks"].keys()
            assert all(set(check) == {"status", "details"} for check in shown["checks"].values())
        case "":
            with pytest.raises(Exception, match=re.escape(shown["error"])):
                SpeechRequest.parse({"text": "Hello.", "speed": 9})
        case other:
            pytest.fail(f"{block.place}: {other} is not known")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_that_is_named_is_one(page: Path):
    known = SETTINGS | OF_OTHERS | STATES | POOLS | bootstrap_variables() | {"AAD", "VOLUME_ID"}
    known |= GONE if page is MIGRATION else set()
    quoted = re.findall(r"`([^`\n]+)`", prose(page))
    found = {name for text in quoted for name in re.findall(r"(?<![\w/])[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9](?!\w)", text)}
    assert found - known - {"JOB_ID", "RUNPOD_SECRET"} == set()


def bootstrap_variables() -> set[str]:
    """Those that the head of bootstrap.sh tells."""
    head = (ROOT / "bootstrap.sh").read_text(encoding="utf-8").partition("set -euo")[0]
    return set(re.findall(r"(?m)^# (BOOTSTRAP_\w+)", head))


def test_every_variable_of_bootstrap_is_told():
    assert named(DEPLOY, "variable of bootstrap.sh", "what it is") == bootstrap_variables()


def test_every_image_is_told():
    stages = set(re.findall(r"(?m)^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8")))
    inner = {"cuda", "gpu"}
    assert named(DEPLOY, "target", "what is in it") == stages - inner
    last = re.findall(r"(?m)^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"))[-1]
    assert f"Without `--target` it is `{last}`." in prose(DEPLOY)


def test_the_sentences_among_the_symptoms_are_those_that_are_said():
    said = [path.read_text(encoding="utf-8") for path in (ROOT / "bootstrap.sh", *(ROOT / "src").rglob("*.py"))]
    quoted = [text for row in rows_of(DEPLOY, "symptom", "cause", "remedy") for text in re.findall('"([^"]+)"', row[0])]
    assert quoted
    for text in quoted:
        # What stands in a sentence depends on the engine and on what it lacks.
        words = text.removesuffix(" the model")
        assert any(words in source for source in said), text


def test_every_sentence_with_which_a_start_may_end_is_among_the_symptoms():
    told = [text for row in rows_of(DEPLOY, "symptom", "cause", "remedy") for text in re.findall('"([^"]+)"', row[0])]
    script = (ROOT / "bootstrap.sh").read_text(encoding="utf-8")
    said = [*re.findall(r"""(?:stop "|full=')([^$"'][^"']+)""", script), checks._IDLE_GPU[1]]
    assert len(said) >= 10
    for sentence in said:
        assert any(text in sentence for text in told), sentence


def test_an_hour_of_speech_costs_what_price_and_factor_make_of_it():
    prices = {name: row[2] for row in rows_of(DEPLOY, "GPU", "memory") for name in row[0].split(", ")}
    rows = rows_of(DEPLOY, "engine", "GPU", "dollars a second")
    assert rows
    for engine, gpu, price, factor, source, cost in rows:
        assert prices[gpu] == price, engine
        assert float(cost) == round(float(price) * 3600 * float(factor), 2), engine
        assert source
    assert "**Oscine was not measured on a GPU.**" in " ".join(prose(DEPLOY).split())


def test_the_limits_that_are_told_are_those_of_the_code():
    said, usual = " ".join(prose(DEPLOY).split()), Settings()
    assert f"`OSCINE_MAX_RESULT_MB` ({usual.max_result_mb:g})" in said
    assert f"less than {documents.ITEM_BYTES // 1000} KB" in said
    assert 4 * pieces.MOST_PIECE_BYTES / 3 < documents.ITEM_BYTES
    assert f"every {progress.EVERY_S:g} seconds" in said
    assert f"as its engine has lanes, {worker.MOST_JOBS} at most" in said
    assert f"{checks.LEAST_DISK_GB:g} GB of room" in said
    assert f"{checks.LEAST_GPU_GB:g} GB of free GPU memory" in said
    assert f"base64 of at most {UPLOAD.max_bytes // 1024**2} MiB" in said
    assert f"a file of at most {RECORDING.max_bytes // 1024**2} MiB in the object store" in said
    stored = " ".join(prose(STORAGE).split())
    assert f"parts of {PART_BYTES // 1024**2} MiB of which two are in memory" in stored
    assert (usual.s3_presign_seconds, WEEK_SECONDS) == (3_600, 604_800)
    assert "`S3_PRESIGN_SECONDS`, an hour, at most a week" in stored


def test_progress_that_is_told_is_what_is_sent():
    told = progress.Reporter({})._described(Progress(characters=1, audio_seconds=1.0, elapsed_seconds=1.0))
    said = " ".join(prose(DEPLOY).split())
    shown = re.search(r"every 5 seconds: (.*?)\.", said)
    assert shown is not None
    assert set(re.findall(r"`(\w+)`", shown[1])) == set(told) - {"status", "at"}


def test_every_code_of_a_store_is_told():
    sources = [path.read_text() for path in (ROOT / "src" / "oscine" / "delivery").glob("*store*.py")]
    codes = {code for source in sources for code in re.findall(r'code="(\w+)"', source)}
    assert named(STORAGE, "code", "what happened") == codes - {"too_large"}


FIELDS_OF_VIBEVOICE: Final = {
    *("text", "input", "speaker_name", "cfg_scale", "disable_prefill", "output_format", "stream", "session_id"),
}
FIELDS_OF_INDEXTTS: Final = {
    *("text", "speaker_voice", "emo_audio_prompt", "emo_vector", "emo_alpha", "use_emo_text", "emo_text", "use_random"),
    *("enable_chunking", "max_chars_per_chunk", "enable_crossfade", "crossfade_ms", "chunk_pause_ms", "stream"),
    *("output_format", "stream_max_chars_per_chunk", "stream_crossfade_ms", "stream_tail_ms", "session_id", "action"),
}
"""What the handlers of the two workers read from `input`."""
VARIABLES_OF_VIBEVOICE: Final = {
    *("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "TORCH_HOME", "S3_ENDPOINT_URL", "S3_ACCESS_KEY_ID"),
    *("S3_SECRET_ACCESS_KEY", "S3_BUCKET_NAME", "S3_REGION", "MAX_TEXT_LENGTH", "DEFAULT_SAMPLE_RATE"),
    *("MAX_CHUNK_CHARS", "MIN_LAST_CHUNK_CHARS", "CHUNK_SILENCE_MS", "DEFAULT_SPEAKER", "DEFAULT_CFG_SCALE"),
}
VARIABLES_OF_INDEXTTS: Final = {
    *("HF_TOKEN", "S3_ENDPOINT_URL", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_BUCKET_NAME", "S3_REGION"),
    *("AUDIO_VOICES_DIR", "OUTPUT_AUDIO_DIR", "CHECKPOINTS_DIR", "DEVICE", "USE_FP16", "USE_DEEPSPEED"),
    *("USE_CUDA_KERNEL", "MAX_TOKENS_PER_SEGMENT", "MODEL_REPO"),
}
"""What their config.py reads from the environment, but for what is gone."""


def test_every_field_and_variable_of_the_two_workers_is_told_and_taken():
    told = named(MIGRATION, "field", "what it means now")
    assert told - {"speaker"} == FIELDS_OF_VIBEVOICE | FIELDS_OF_INDEXTTS
    assert told - {"action"} <= set(field_names())
    told_variables = named(MIGRATION, "variable", "what it means now")
    assert told_variables == VARIABLES_OF_VIBEVOICE | VARIABLES_OF_INDEXTTS
    assert told_variables <= SETTINGS | OF_OTHERS


def test_what_they_answered_with_is_told():
    told = named(MIGRATION, "field of the result", "what it is now")
    assert told == {
        *("status", "format", "sample_rate", "duration_sec", "audio_url", "audio_base64"),
        *("filename", "s3_key", "url", "metadata"),
    }
    assert told <= set(document()) | DELIVERED


def test_the_defaults_that_changed_are_told():
    said = " ".join(prose(MIGRATION).split())
    usual = Settings()
    assert f"`MAX_TEXT_LENGTH` {usual.max_text_length:,}" in said
    assert f"{usual.max_tokens_per_segment} where it is not set" in said
    assert f"| `crossfade_ms` | {SpeechRequest.model_fields['crossfade_ms'].default} instead of 140" in said
    assert f"refused with the name of the right one, `{usual.model_path}`" in said
    assert f"{SpeechRequest.model_fields['loudness'].default:g} LUFS" in said
    infos = {name: Registry(usual).get(name).info for name in ("vibevoice", "indextts2")}
    assert (infos["vibevoice"].default_rate, infos["vibevoice"].default_bitrate) == (48_000, 192_000)
    assert (infos["indextts2"].default_rate, infos["indextts2"].default_bitrate) == (24_000, 128_000)


def test_what_a_deployment_of_vibevoice_notices_is_as_told(tmp_path: Path):
    with deployment("vibevoice", tmp_path, DEFAULT_SPEAKER="", DEFAULT_SAMPLE_RATE="") as moved:
        document = moved.document({"text": "Hello world. How are you?", "session_id": "a", "no_field": 1})
        told = {name: document[name] for name in ("status", "filename", "format", "sample_rate")}
        assert told == {"status": "success", "filename": "a.mp3", "format": "mp3", "sample_rate": 48_000}
        assert (document["metadata"]["bitrate"], document["metadata"]["voice"]) == (192_000, "Alice")
        assert any("no_field" in warning for warning in document["warnings"])
        document = moved.document({"text": "Hello.", "output_format": "pcm_16"})
        assert (document["format"], document["sample_rate"]) == ("wav", 48_000)
        assert moved.output({"text": "Hello world.", "stream": True})[0]["sample_rate"] == 48_000
        assert "session_id must be" in moved.document({"text": "Hello.", "session_id": "a/b"})["error"]
        assert moved.document({"text": "Hello.", "speaker_name": "nobody"})["warnings"] != []


def test_what_a_deployment_of_indextts_notices_is_as_told(tmp_path: Path):
    with deployment("indextts2", tmp_path, DEFAULT_SPEAKER="") as moved:
        document = moved.document({"text": "Hello world. How are you?", "session_id": "a"})
        told = {name: document[name] for name in ("status", "filename", "format")}
        assert told == {"status": "completed", "filename": "a.opus", "format": "opus"}
        facts = {name: document["metadata"][name] for name in ("sample_rate", "codec", "bitrate", "device", "voice")}
        assert facts == {"sample_rate": 24_000, "codec": "opus", "bitrate": 128_000, "device": "cuda", "voice": "ada"}
        assert Format.OPUS.media_type == "audio/ogg"
        assert moved.document({"text": "Hello.", "output_format": "pcm_16"})["format"] == "wav"
        silent = moved.document({"text": "Hello.", "stream": True, "session_id": "b"})
        assert silent["sample_rate"] == 24_000
        tail = moved.document({"text": "Hello.", "stream": True, "session_id": "b", "stream_tail_ms": 2000, "seed": 1})
        assert tail["duration_sec"] > silent["duration_sec"] + 1
    with deployment("indextts2", tmp_path, DEFAULT_SAMPLE_RATE="22050") as moved:
        assert moved.document({"text": "Hello.", "stream": True})["sample_rate"] == 22_050
        assert moved.document({"text": "Hello."})["metadata"]["sample_rate"] == 24_000
    with deployment("indextts2", tmp_path, S3_REQUIRED="true") as moved:
        assert "S3_REQUIRED is set" in moved.document({"text": "Hello."})["error"]


def test_what_is_dropped_cannot_be_imported():
    for gone in ("inference", "serverless_engine", "config"):
        assert not (ROOT / f"{gone}.py").exists()
    assert (ROOT / "handler.py").exists()

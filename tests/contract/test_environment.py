"""The environment variables that deployments set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from oscine import config
from oscine.config import Settings
from oscine.errors import InvalidRequest

NO_ADDRESSES = [
    "s3.example.com",
    "ftp://a",
    "https://",
    "https://user:key@a",
    "https://a?b",
    "https://a:port",
    "https://a b",
]
VARIABLES: dict[str, tuple[str, Any, str, Any, list[str]]] = {
    "OSCINE_ENGINE": ("engine", "hibari", "VibeVoice", "vibevoice", []),
    "OSCINE_VOLUME": ("volume", None, "/data", Path("/data"), []),
    "AUDIO_VOICES_DIR": ("audio_voices_dir", None, "/v", Path("/v"), []),
    "AUDIO_PROMPTS_DIR": ("audio_prompts_dir", None, "/p", Path("/p"), []),
    "OUTPUT_AUDIO_DIR": ("output_audio_dir", None, "/out", Path("/out"), ["~nobody-is-called-so/out"]),
    "OSCINE_SINGLE_RESULT": ("single_result", False, "true", True, ["perhaps"]),
    "OSCINE_MAX_RESULT_MB": ("max_result_mb", 9.5, "20", 20, ["0", "-1", "20.5", "x"]),
    "OSCINE_WORKER_JOBS": ("worker_jobs", None, "3", 3, ["0", "257", "1.5", "x"]),
    "CLEANUP_DAYS": ("cleanup_days", 2, "0.5", 0.5, ["-1", "two", "nan"]),
    "OSCINE_SPOOL_MAX_GB": ("spool_max_gb", 4, "10", 10, ["0", "-1", "x"]),
    "MAX_TEXT_LENGTH": ("max_text_length", 100_000, "0", 0, ["-1", "many", "1.5"]),
    "DEFAULT_SAMPLE_RATE": ("default_sample_rate", None, "24000", 24_000, ["0", "7999", "48001", "hi"]),
    "MAX_CHUNK_CHARS": ("max_chunk_chars", None, "50", 50, ["49", "1001", "x"]),
    "MIN_LAST_CHUNK_CHARS": ("min_last_chunk_chars", None, "150", 150, ["-1", "x"]),
    "CHUNK_SILENCE_MS": ("chunk_silence_ms", None, "200", 200, ["-1", "2001", "x"]),
    "DEFAULT_SPEAKER": ("default_speaker", None, "Alice", "Alice", []),
    "DEFAULT_CFG_SCALE": ("default_cfg_scale", None, "1.3", 1.3, ["0", "10.5", "x"]),
    "MODEL_PATH": ("model_path", "vibevoice/VibeVoice-7B-hf", "/models/small", "/models/small", []),
    "DEVICE": ("device", None, "cuda:1", "cuda:1", []),
    "OSCINE_QUANTIZE": ("quantize", None, "8", 8, ["16", "4.5", "int8"]),
    "OSCINE_VIBEVOICE_LANES": ("vibevoice_lanes", None, "16", 16, ["0", "513", "many"]),
    "OSCINE_VIBEVOICE_SDE": ("vibevoice_sde", False, "true", True, ["perhaps"]),
    "OSCINE_VIBEVOICE_COMPILE": ("vibevoice_compile", False, "true", True, ["perhaps"]),
    "OSCINE_VIBEVOICE_TOKEN_GUIDANCE": ("vibevoice_token_guidance", False, "true", True, ["perhaps"]),
    "CHECKPOINTS_DIR": ("checkpoints_dir", None, "/models", Path("/models"), ["~nobody-is-called-so"]),
    "MODEL_REPO": ("model_repo", "IndexTeam/IndexTTS-2", "example/IndexTTS-2", "example/IndexTTS-2", []),
    "OSCINE_INDEXTTS25_DIR": ("indextts25_dir", None, "/m", Path("/m"), ["~nobody-is-called-so"]),
    "OSCINE_INDEXTTS25_REPO": ("indextts25_repo", "IndexTeam/IndexTTS-2.5", "example/2.5", "example/2.5", []),
    "USE_FP16": ("use_fp16", False, "true", True, ["half"]),
    "USE_DEEPSPEED": ("use_deepspeed", False, "True", True, ["perhaps"]),
    "USE_CUDA_KERNEL": ("use_cuda_kernel", False, "1", True, ["perhaps"]),
    "MAX_TOKENS_PER_SEGMENT": ("max_tokens_per_segment", 120, "800", 800, ["9", "1.5", "many"]),
    "OSCINE_PRELOAD": ("preload", "auto", "NEVER", "never", ["sometimes"]),
    "OSCINE_MAX_REQUESTS": ("max_requests", 256, "64", 64, ["0", "-1", "x"]),
    "OSCINE_HOST": ("host", "127.0.0.1", "0.0.0.0", "0.0.0.0", []),
    "PORT": ("port", 8000, "0", 0, ["-1", "65536", "http"]),
    "PORT_HEALTH": ("port_health", None, "8001", 8001, ["-1", "65536", "http"]),
    "OSCINE_API_KEYS": ("api_keys", (), "sk-1, sk-2", (SecretStr("sk-1"), SecretStr("sk-2")), [",", " , ,"]),
    "OSCINE_CORS_ORIGINS": (
        "cors_origins",
        (),
        "https://a.example, https://b.example",
        ("https://a.example", "https://b.example"),
        [],
    ),
    "OSCINE_ALLOWED_HOSTS": ("allowed_hosts", (), "localhost, a.example", ("localhost", "a.example"), []),
    "OSCINE_RATE_LIMIT": ("rate_limit", None, "60/minute", "60/minute", []),
    "OSCINE_MAX_BODY_MB": ("max_body_mb", 16, "0.5", 0.5, ["0", "-1", "x"]),
    "OSCINE_BODY_SECONDS": ("body_seconds", 120, "30", 30, ["0", "-1", "x"]),
    "OSCINE_WAIT_SECONDS": ("wait_seconds", 120, "30", 30, ["0", "-1", "x"]),
    "OSCINE_STALL_SECONDS": ("stall_seconds", 300, "30", 30, ["0", "-1", "x"]),
    "OSCINE_DRAIN_SECONDS": ("drain_seconds", 30, "5", 5, ["0", "-1", "x"]),
    "OSCINE_LOG_TEXT": ("log_text", False, "true", True, ["perhaps"]),
    "S3_ENDPOINT_URL": ("s3_endpoint_url", None, "https://s3.example.com/", "https://s3.example.com", NO_ADDRESSES),
    "S3_ACCESS_KEY_ID": ("s3_access_key_id", None, "AKIA", "AKIA", []),
    "S3_SECRET_ACCESS_KEY": ("s3_secret_access_key", None, "secret", SecretStr("secret"), []),
    "S3_BUCKET_NAME": ("s3_bucket_name", None, "speech", "speech", []),
    "S3_REGION": ("s3_region", None, "eu-central-1", "eu-central-1", []),
    "BUCKET_ENDPOINT_URL": ("bucket_endpoint_url", None, "http://minio:9000/b", "http://minio:9000/b", NO_ADDRESSES),
    "BUCKET_ACCESS_KEY_ID": ("bucket_access_key_id", None, "AKIA", "AKIA", []),
    "BUCKET_SECRET_ACCESS_KEY": ("bucket_secret_access_key", None, "secret", SecretStr("secret"), []),
    "BUCKET_NAME": ("bucket_name", None, "speech", "speech", []),
    "OSCINE_STORE_URL": ("store_url", None, "gs://speech", "gs://speech", []),
    "S3_REQUIRED": ("s3_required", False, "true", True, ["perhaps"]),
    "S3_PRESIGN_SECONDS": ("s3_presign_seconds", 3600, "604800", 604_800, ["0", "604801", "1.5", "x"]),
    "S3_PREFIX": ("s3_prefix", "", "/speech/of today/", "speech/of today", ["..", "a/../b", "a//b", "./a", "a/\x07"]),
    "S3_TIMEOUT_SECONDS": ("s3_timeout_seconds", 60, "2.5", 2.5, ["0", "-1", "x"]),
}


def test_the_table_covers_every_setting():
    assert {field for field, *_ in VARIABLES.values()} == set(Settings.model_fields)


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_is_read_and_has_a_default_and_empty_is_unset(name: str):
    field, default, written, meant, _ = VARIABLES[name]
    assert getattr(Settings.from_env({}), field) == default
    assert getattr(Settings.from_env({name: written}), field) == meant
    assert getattr(Settings.from_env({name: f" {written} "}), field) == meant
    for empty in ("", "  "):
        assert getattr(Settings.from_env({name: empty}), field) == default
    assert getattr(Settings.model_validate({field: written}), field) == meant


@pytest.mark.parametrize("name", [name for name, row in VARIABLES.items() if row[4]])
def test_a_wrong_value_is_a_sentence_that_names_the_variable(name: str):
    for wrong in VARIABLES[name][4]:
        with pytest.raises(InvalidRequest) as caught:
            Settings.from_env({name: wrong})
        assert caught.value.message.startswith(f"The setting {name} must be ")
        assert caught.value.message.endswith(".")
        assert caught.value.param == name


def test_other_variables_are_left_alone_and_misspelled_settings_are_not():
    assert Settings.from_env({"PATH": "/bin", "OSCINE_NOTHING": "1"}) == Settings.from_env({})
    with pytest.raises(ValidationError):
        Settings(volumes=Path("/data"))  # type: ignore[call-arg]


def test_everything_lies_in_the_volume_unless_it_is_named():
    here = Settings.from_env({"OSCINE_VOLUME": "/data"})
    assert here.home == Path("/data")
    assert Path("/data/indextts/audio_voices") in here.voice_folders
    assert Path("/data/vibevoice/demo/voices") in here.voice_folders
    assert here.spool.is_relative_to("/data")
    assert here.voice_home.is_relative_to("/data")
    assert here.indextts_checkpoints == Path("/data/indextts/checkpoints")
    assert here.indextts25_checkpoints == Path("/data/indextts25/checkpoints")
    named = Settings.from_env({"OSCINE_VOLUME": "/data", "AUDIO_VOICES_DIR": "/v", "AUDIO_PROMPTS_DIR": "/p"})
    assert set(named.voice_folders) == {Path("/v"), Path("/p")}
    assert named.voice_home == Path("/v")
    models = Settings.from_env({"CHECKPOINTS_DIR": "/c", "OSCINE_INDEXTTS25_DIR": "/c25"})
    assert (models.indextts_checkpoints, models.indextts25_checkpoints) == (Path("/c"), Path("/c25"))


@pytest.mark.parametrize(
    ("engine", "folder"), [("vibevoice", "/data/vibevoice/demo/voices"), ("indextts2", "/data/indextts/audio_voices")]
)
def test_of_two_recordings_with_one_name_a_deployment_goes_on_with_its_own_engines(engine: str, folder: str):
    here = Settings.from_env({"OSCINE_VOLUME": "/data", "OSCINE_ENGINE": engine})
    assert here.voice_folders[:2] == (here.voice_home, Path(folder))


def test_the_volume_is_runpods_if_there_is_one_else_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(config, "RUNPOD_VOLUME", tmp_path / "runpod-volume")
    assert Settings.from_env({}).home.is_relative_to(tmp_path)
    assert Settings.from_env({}).home.name == "oscine"
    (tmp_path / "runpod-volume").mkdir()
    assert Settings.from_env({}).home == tmp_path / "runpod-volume"
    assert Settings.from_env({"OSCINE_VOLUME": "~/speech"}).home == tmp_path / "speech"
    with pytest.raises(InvalidRequest, match="OSCINE_VOLUME must be the path of a folder"):
        Settings.from_env({"OSCINE_VOLUME": "~nobody-is-called-so/speech"})


def test_settings_are_read_from_the_real_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAX_TEXT_LENGTH", "12")
    assert Settings.from_env().max_text_length == 12


def test_only_the_settings_read_the_environment():
    """Engines' own variables (HF_HOME and the like) are read by the libraries they belong to."""
    package = Path(config.__file__).parent
    readers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "os.environ" in path.read_text() or "getenv" in path.read_text()
    }
    assert readers == {"config.py"}


def test_the_settings_cost_no_engine():
    code = "import sys, oscine.config; print(sorted({'av', 'hibari', 'onnxruntime', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

"""bootstrap.sh in images that hold their packages: weights and grammars come to the volume, once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.container.container import STARTED, copy_app, start
from tests.engines.hub import TOKEN, Hub, safetensors

pytestmark = [pytest.mark.slow, pytest.mark.long]

MODEL = "org/Bird-hf"
FILES = {
    "config.json": json.dumps(
        {"model_type": "vibevoice", "text_config": {"hidden_size": 3584}, "audio_config": {"hidden_size": 64}}
    ).encode(),
    "generation_config.json": b"{}",
    "processor_config.json": b"{}",
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "chat_template.jinja": b"Speech:",
    "model.safetensors": safetensors(3000),
}


def baked(hub: Hub | None = None, **settings: str) -> dict[str, str]:
    """The settings of an image whose packages are those of the tests."""
    told = {
        "BOOTSTRAP_ENVIRONMENT": sys.prefix,
        "OSCINE_ENGINE": "vibevoice",
        "MODEL_PATH": MODEL,
        "HF_TOKEN": TOKEN,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.port}" if hub else "http://127.0.0.1:9",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    return told | settings


def test_weights_come_to_the_volume_at_the_first_start_and_are_not_asked_for_again(tmp_path: Path):
    app, volume = copy_app(tmp_path / "app"), tmp_path / "volume"
    with Hub({MODEL: FILES}) as hub:
        done = start(app, volume, **baked(hub))
        assert done.returncode == 0, done.stderr
        assert STARTED in done.stdout
        found = list((volume / "huggingface-cache" / "hub").glob("models--org--Bird-hf/snapshots/*/model.safetensors"))
        assert [path.read_bytes() for path in found] == [FILES["model.safetensors"]]
        hub.asked.clear()
        assert start(app, volume, **baked(hub)).returncode == 0
        assert hub.asked == []
        # What was deleted, to make room or with the platform's own copy, comes again.
        found[0].unlink()
        assert "bringing the weights" in start(app, volume, **baked(hub)).stderr
        assert found[0].read_bytes() == FILES["model.safetensors"]
        # Another model is another matter.
        hub.repositories["org/Other-hf"] = FILES
        assert "bringing the weights" in start(app, volume, **baked(hub, MODEL_PATH="org/Other-hf")).stderr
        assert TOKEN not in (volume / "indextts" / "bootstrap.log").read_text()


def test_weights_that_the_platform_put_on_the_volume_are_taken(tmp_path: Path):
    """RunPod's cached models; nothing is asked of the Hub, which could not be reached here."""
    app, volume = copy_app(tmp_path / "app"), tmp_path / "volume"
    storage = volume / "huggingface-cache" / "hub" / "models--org--Bird-hf"
    for name, data in FILES.items():
        path = storage / "snapshots" / "c0ffee" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text("c0ffee")
    done = start(app, volume, **baked(HF_HUB_OFFLINE="1"))
    assert done.returncode == 0, done.stderr
    assert "bringing" not in done.stderr


def test_a_worker_without_weights_takes_no_jobs_and_the_next_start_tries_again(tmp_path: Path):
    app, volume = copy_app(tmp_path / "app"), tmp_path / "volume"
    with Hub({MODEL: FILES}, refused={MODEL: 401}) as hub:
        done = start(app, volume, **baked(hub))
        assert done.returncode == 1
        assert STARTED not in done.stdout
        assert done.stderr.splitlines()[-1].startswith("bootstrap: The weights of vibevoice could not be brought;")
        assert "Traceback" not in done.stderr
        hub.refused.clear()
        assert STARTED in start(app, volume, **baked(hub)).stdout


def test_weights_in_a_place_that_goes_with_the_container_are_looked_for_at_every_start(tmp_path: Path):
    app, volume = copy_app(tmp_path / "app"), tmp_path / "volume"
    with Hub({MODEL: FILES}) as hub:
        for container in ("first", "second"):
            done = start(app, volume, **baked(hub, HF_HOME=str(tmp_path / container)))
            assert done.returncode == 0, done.stderr
            assert list((tmp_path / container / "hub").glob("models--org--Bird-hf/snapshots/*/model.safetensors"))


def test_grammars_are_copied_once(tmp_path: Path):
    app, volume, grammars = copy_app(tmp_path / "app"), tmp_path / "volume", tmp_path / "grammars"
    for language in ("en", "zh"):
        (grammars / f"{language}-nemo1").mkdir(parents=True)
        (grammars / f"{language}-nemo1" / "x.far").write_text(language)
    own = volume / "cache" / "grammars" / "zh-nemo1"
    own.mkdir(parents=True)
    (own / "x.far").write_text("the worker's own")
    settings = baked(BOOTSTRAP_GRAMMARS=str(grammars), BOOTSTRAP_WEIGHTS="never")
    for _ in range(2):
        assert start(app, volume, **settings).returncode == 0
    assert (own.parent / "en-nemo1" / "x.far").read_text() == "en"
    assert (own / "x.far").read_text() == "the worker's own"
    assert sorted(path.name for path in own.parent.iterdir()) == ["en-nemo1", "zh-nemo1"]


def test_without_a_volume_it_starts_all_the_same_and_says_what_that_means(tmp_path: Path):
    settings = baked(OSCINE_ENGINE="hibari", XDG_DATA_HOME=str(tmp_path / "data"))
    if Path("/runpod-volume").is_dir():
        pytest.skip("this machine has the platform's volume")
    done = start(copy_app(tmp_path / "app"), tmp_path, **settings, OSCINE_VOLUME="")
    assert STARTED in done.stdout, done.stderr
    assert "no volume is attached" in done.stderr
    assert (tmp_path / "data" / "oscine" / "indextts" / "bootstrap.log").is_file()

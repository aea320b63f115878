"""What the step `check` of scripts/container/install.sh finds in an environment: no image is made of a broken layer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.container.container import ROOT, environment

INDEXTTS = ROOT / ".tools" / "indextts" / "bin" / "python"


def scratch(folder: Path, **modules: str) -> Path:
    """An environment with the tests' own packages, but for modules with other code."""
    for name, code in modules.items():
        (folder / "modules" / name).mkdir(parents=True)
        (folder / "modules" / name / "__init__.py").write_text(code)
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}/modules" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return folder


def checked(lock: str, prefix: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "container" / "install.sh", "check", lock, prefix],
        env=environment(prefix),
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_an_environment_whose_pytorch_does_not_load_is_refused_in_one_sentence(tmp_path: Path):
    missing = "libcublas.so.12: cannot open shared object file"
    done = checked("gpu", scratch(tmp_path, torch=f'raise ImportError("{missing}\\nmore")'))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"engines: vibevoice does not load with what was installed of gpu.lock (ImportError: {missing})"
    ]


@pytest.mark.slow
def test_an_environment_without_pytorch_is_checked_without_it(tmp_path: Path):
    done = checked("worker", scratch(tmp_path, torch='raise ImportError("not looked for")'))
    assert done.returncode == 0, done.stderr
    done = checked("worker", scratch(tmp_path / "voice", hibari='raise ImportError("not looked for")'))
    assert "engines: hibari does not load" in done.stderr


@pytest.mark.slow
@pytest.mark.long
def test_every_engine_of_a_lock_is_looked_at(tmp_path: Path):
    """VibeVoice loads here; the package of IndexTTS-2 is not in this environment, but in the image's."""
    done = checked("gpu", scratch(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("engines: indextts2 does not load")
    assert "indextts2-inference is not installed" in done.stderr


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not INDEXTTS.exists(), reason="needs IndexTTS's environment: make test-indextts")
def test_every_engine_loads_in_an_environment_that_has_them_all(tmp_path: Path):
    script = tmp_path / "scripts" / "container" / "engines.py"
    requirements = tmp_path / "requirements"
    for folder in (script.parent, requirements):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "container" / "engines.py", script)
    shutil.copy(ROOT / "requirements" / "indextts.lock", requirements)
    pytorch = [(ROOT / "requirements" / f"{name}-cpu.txt").read_text() for name in ("torch", "torchaudio")]
    (requirements / "torch-indextts.txt").write_text("".join(pytorch))
    done = subprocess.run([INDEXTTS, script, "indextts"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

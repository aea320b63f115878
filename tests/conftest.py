"""What every test may ask for."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, and no limit on time: a run neither fails for what nobody has changed, nor for a
# machine that stands still. `--hypothesis-profile=explore` looks for others.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("explore"), derandomize=True)
settings.load_profile("steady")


def pytest_configure() -> None:
    """Point `FFPROBE` at an ffprobe: the system's, or else the static one from the tests' own packages."""
    found = os.environ.get("FFPROBE") or shutil.which("ffprobe") or _packaged_ffprobe()
    if found:
        os.environ["FFPROBE"] = found


@pytest.fixture(scope="session")
def ffprobe() -> str:
    """Path of an ffprobe that runs here."""
    found = os.environ.get("FFPROBE")
    if not found:
        pytest.fail(
            "no ffprobe: install the system's ffmpeg package, or run `make test`, which brings one for x86-64 Linux"
        )
    return found


def _packaged_ffprobe() -> str | None:
    package = importlib.util.find_spec("ffmpeg")
    if package is None or package.origin is None:
        return None
    binary = Path(package.origin).parent / "binaries" / "ffprobe"
    return str(binary) if binary.is_file() else None

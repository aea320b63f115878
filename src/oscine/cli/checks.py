"""The checks of `oscine doctor`, each with what was found and the remedy."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

import numpy as np

from oscine.cli.endings import why_not
from oscine.errors import OscineError
from oscine.synthesis.studio import Studio

PACKAGES = ("numpy", "onnxruntime", "hibari-tts", "av", "soxr", "sentencex", "pydantic", "torch", "transformers")
LOW_DISK = 1e9
"""Bytes of free disk below which the check warns."""


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    state: Literal["ok", "warn", "fail"]
    what: str
    found: str
    remedy: str = ""


def all_checks(studio: Studio) -> Iterator[Check]:
    """Every check, one after the other."""
    yield _versions()
    yield _gpu()
    yield from _folders(studio)
    yield _codecs()
    yield _player()
    yield from _engines(studio)


def _versions() -> Check:
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return Check("ok", "versions", ", ".join(found))


def _gpu() -> Check:
    command = shutil.which("nvidia-smi")
    if command is None:
        return Check("ok", "GPU", "none; the built-in voice needs none")
    try:
        asked = [command, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return Check("warn", "GPU", "nvidia-smi is there but does not answer", "check the driver")
    return Check("ok", "GPU", answer.replace("\n", "; ") or "none")


def _folders(studio: Studio) -> Iterator[Check]:
    yield _folder("data folder", studio.settings.home, "set OSCINE_VOLUME to a folder that can be written")
    yield _folder("voices", studio.settings.voice_home, "set AUDIO_VOICES_DIR to a folder that can be written")


def _folder(what: str, folder: Path, remedy: str) -> Check:
    existing = next((place for place in (folder, *folder.absolute().parents) if os.path.lexists(place)), folder)
    try:
        with TemporaryFile(dir=existing):  # permissions do not tell: a file system may be read-only, the user be root
            free = shutil.disk_usage(existing).free
    except OSError as error:
        return Check("fail", what, f"{folder} cannot be written ({error.strerror})", remedy)
    if free < LOW_DISK:
        return Check("warn", what, f"{folder}, {free / 1e9:.1f} GB free", "free some space")
    return Check("ok", what, f"{folder}{'' if folder.exists() else ' (made when needed)'}, {free / 1e9:.0f} GB free")


def _codecs() -> Check:
    from oscine.audio.encode import Encoder
    from oscine.audio.formats import Format, nearest_rate

    broken = []
    for format in Format:
        try:
            with Encoder(format, nearest_rate(format, 24_000)) as encoder:
                encoder.push(np.zeros(4800, np.float32))
                encoder.finish()
        except Exception:  # whatever keeps a codec from working is what this check is for
            broken.append(format.value)
    if broken:
        return Check(
            "fail",
            "codecs",
            f"{', '.join(broken)} cannot be encoded",
            "reinstall PyAV: pip install --force-reinstall av",
        )
    return Check("ok", "codecs", ", ".join(Format))


def _player() -> Check:
    from oscine.cli.player import Player, player_of_files

    return _try("player", lambda: player_of_files() or Player.find().name, "warn")


def _engines(studio: Studio) -> Iterator[Check]:
    for name in studio.registry.names:
        try:
            missing = studio.registry.get(name).missing()
        except Exception as error:  # an engine of another package may raise anything; the checks go on
            yield Check("warn", name, why_not(error))
            continue
        if missing is not None:
            yield Check("warn", name, f"is missing {missing.what}", f"run: {missing.remedy}")
        else:
            yield Check("ok", name, "ready")


def _try(what: str, find: Callable[[], str], otherwise: Literal["warn", "fail"]) -> Check:
    try:
        return Check("ok", what, find())
    except OscineError as error:
        return Check(otherwise, what, error.message)

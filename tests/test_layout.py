"""The house keeps its order: rooms, light imports, locked dependencies."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import oscine
from oscine.__about__ import __version__

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
HEAVY = {
    "av",
    "diffusers",
    "fastapi",
    "hibari",
    "indextts",
    "indextts25",
    "obstore",
    "onnxruntime",
    "ray",
    "runpod",
    "scipy",
    "sentencex",
    "soxr",
    "torch",
    "transformers",
    "uvicorn",
}
"""Packages that are imported inside the function that needs them."""
WITHOUT_THE_PACKAGE = ("node", "quality", "openai1", "agents", "litellm", "openwebui", "wyoming")
"""Locks of environments that hold other people's programs and not this one."""
ENGINES = ["vibevoice", "indextts2", "indextts25", "serve", "runpod", "s3"]
ASKED_FOR = [
    ("core", ["build"], []),
    ("serve", ["build"], ["serve"]),
    ("worker", ["build"], ["serve", "runpod", "s3"]),
    ("dev", ["dev", "test", "build"], ["serve", "vibevoice", "quantize", "s3", "runpod"]),
    ("indextts", ["test", "build"], ["indextts2", "indextts25", "vibevoice", "serve"]),
    ("cpu", ["build"], ENGINES),
    ("gpu", ["build"], ENGINES),
    *((lock, [lock], []) for lock in WITHOUT_THE_PACKAGE),
]
"""Each lock with the groups and the extras that it holds."""
BESIDE = {"dev": ["torch-cpu"], "indextts": ["torch-cpu", "torchaudio-cpu"], "cpu": ["torch-cpu"], "gpu": ["torch-gpu"]}
"""Locks without PyTorch, each with what is installed beside it."""
BEFORE_TORCH = {
    "oscine.engines.vibevoice.": {"engine", "checkpoint", "short"},
    "oscine.engines.indextts.": {"engine", "checkpoint", "download", "emotion", "layout", "packages", "references"},
}
"""Engines that run on PyTorch, each with its modules that are imported before the model is loaded."""
FRONTS_WITH_A_PACKAGE_OF_THEIR_OWN = ("oscine.http", "oscine.runpod")


def test_every_room_imports_only_from_the_rooms_above_it():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_package_brings_no_heavy_package():
    assert loaded_by("import oscine; oscine.__version__").isdisjoint(HEAVY)


def test_no_module_imports_a_heavy_package_before_it_needs_it():
    modules = [
        found.name
        for found in pkgutil.walk_packages(oscine.__path__, "oscine.")
        if not found.name.startswith(FRONTS_WITH_A_PACKAGE_OF_THEIR_OWN)
        and not found.name.endswith("__main__")
        and not any(
            found.name.startswith(engine) and found.name.removeprefix(engine) not in early
            for engine, early in BEFORE_TORCH.items()
        )
    ]
    assert modules
    assert loaded_by("\n".join(f"import {module}" for module in modules)).isdisjoint(HEAVY)


def test_the_installed_version_is_the_one_in_the_code():
    assert oscine.__version__ == __version__ == importlib.metadata.version("oscine")


def test_scipy_stays_out_because_the_built_in_voice_changes_its_fft_with_it():
    assert importlib.util.find_spec("scipy") is None


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_name_no_address_and_hash_everything(lock: Path):
    text = lock.read_text()
    assert "://" not in text
    entries = re.split(r"^(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    assert [entry for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize(("lock", "groups", "extras"), ASKED_FOR)
def test_locks_hold_what_the_project_asks_for(lock: str, groups: list[str], extras: list[str]):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [] if lock in WITHOUT_THE_PACKAGE else list(project["project"]["dependencies"])
    wanted += [line for extra in extras for line in project["project"]["optional-dependencies"][extra]]
    wanted += [line for group in groups for line in project["dependency-groups"][group] if isinstance(line, str)]
    files = [f"{lock}.lock", *(f"{name}.txt" for name in BESIDE.get(lock, ()))]
    pins = [pin for file in files for pin in locked(ROOT / "requirements" / file)]
    for line in wanted:
        asked = Requirement(line)
        versions = [str(pin.specifier).removeprefix("==") for pin in pins if same_name(pin.name, asked.name)]
        assert versions, f"{asked.name} is missing; run `make lock`"
        assert all(asked.specifier.contains(version) for version in versions), f"{line} has {versions}; run `make lock`"


@pytest.mark.parametrize("other", ["dev", "cpu"])
def test_indextts_is_tested_with_the_versions_that_the_others_have(other: str):
    tested, had = versions("indextts"), versions(other)
    assert {name: found - had[name] for name, found in tested.items() if not found <= had.get(name, found)} == {}


def test_every_lock_is_compared_with_what_the_project_asks_for():
    assert {lock.stem for lock in LOCKS} == {lock for lock, *_ in ASKED_FOR} | {"bootstrap"}


@pytest.mark.parametrize(
    "text", ["Hello world.", 'It\'s "5 $USD" `id` $(shell id) $(HOME) $$x \\n # 你好 100%', "two\nlines", "-v"]
)
def test_make_say_hands_any_text_over_untouched(tmp_path: Path, text: str):
    copy = tmp_path / "Makefile"
    copy.write_bytes((ROOT / "Makefile").read_bytes())
    command = tmp_path / ".venv" / "bin" / "oscine"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    command.chmod(0o755)
    done = subprocess.run(
        ["make", "--silent", "--assume-old=.venv/ready-core", "say", f"TEXT={text}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split("\0")[:-1] == ["say", "-o", "hello.mp3", "--", text], done.stderr


def test_make_extra_asks_for_what_there_is(tmp_path: Path):
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    set_up = tmp_path / "scripts" / "setup-env"
    set_up.parent.mkdir()
    set_up.write_text("import sys\nprint(*sys.argv[1:])\n")
    command = ["make", "--silent", "--assume-old=.venv/ready-core", "extra"]
    done = subprocess.run([*command, "EXTRA=vibevoice quantize"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "extra vibevoice quantize\n", done.stderr
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "make extra EXTRA=vibevoice" in done.stderr
    set_up.write_bytes((ROOT / "scripts" / "setup-env").read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    done = subprocess.run([*command, "EXTRA=birdsong"], cwd=tmp_path, capture_output=True, text=True)
    assert "there are the extras vibevoice, quantize" in done.stderr


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running `code`."""
    listing = f"import sys\n{code}\nprint('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def locked(lock: Path) -> list[Requirement]:
    lines = re.findall(r"^[A-Za-z0-9][^\\\n]*", lock.read_text(), flags=re.MULTILINE)
    return [Requirement(line) for line in lines]


def versions(lock: str) -> dict[str, set[str]]:
    """The version of each package in a lock; more than one where they differ by Python or platform."""
    found: dict[str, set[str]] = {}
    for pin in locked(ROOT / "requirements" / f"{lock}.lock"):
        found.setdefault(pin.name, set()).add(str(pin.specifier))
    return found


def same_name(one: str, other: str) -> bool:
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()

"""What the Dockerfile says, as far as it can be tried without an engine for containers: its steps run in a folder."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest

from oscine.config import Settings
from oscine.engines.registry import Registry
from tests.container.container import ROOT, copy_app, environment, find_uv, python
from tests.contract import compose

TEXT: Final = re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
STAGES: Final = {
    name: re.findall(r"^([A-Z]+) (.*)$", body, flags=re.MULTILINE)
    for name, body in re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
}
BOOTSTRAP: Final = re.findall(r"^# (BOOTSTRAP_\w+) ", (ROOT / "bootstrap.sh").read_text(), flags=re.MULTILINE)
INDEXTTS: Final = ROOT / ".tools" / "indextts" / "bin" / "python"


def steps(stage: str, instruction: str) -> list[str]:
    return [rest.strip() for name, rest in STAGES[stage] if name == instruction]


def commands(step: str) -> str:
    """What a RUN runs, without its mounts."""
    return re.sub(r"--mount=\S+\s+", "", step)


def variables(stage: str) -> dict[str, str]:
    words = [word for step in steps(stage, "ENV") for word in shlex.split(step)]
    return dict(word.split("=", 1) for word in words)


def test_the_linters_find_nothing():
    programs = Path(sys.executable).parent
    scripts = [ROOT / "bootstrap.sh", *(ROOT / "scripts" / "container").glob("*.sh")]
    for command in ([programs / "hadolint", ROOT / "Dockerfile"], [programs / "shellcheck", *scripts]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_targets_are_there_and_the_last_one_is_for_every_preset():
    assert {"cpu", "slim", "vibevoice", "indextts"} <= set(STAGES)
    assert list(STAGES)[-1] == "indextts"
    names = Registry(Settings()).names
    engines = {name: variables(name)["OSCINE_ENGINE"] for name in ("cpu", "slim", "vibevoice", "indextts")}
    assert engines == {"cpu": "hibari", "slim": "vibevoice", "vibevoice": "vibevoice", "indextts": "indextts2"}
    assert set(engines.values()) <= set(names)


@pytest.mark.parametrize(
    ("stage", "bases"), [("cpu", ("cpu",)), ("vibevoice", ("gpu", "cuda")), ("indextts", ("gpu", "cuda"))]
)
def test_a_bare_python_handler_py_is_what_it_says_in_every_image_with_packages(stage: str, bases: tuple[str, ...]):
    """As start commands of old templates and images that are built further have it."""
    path = next(variables(base)["PATH"] for base in bases if "PATH" in variables(base))
    assert path.split(":")[0] == "/opt/oscine/bin"
    assert next(steps(base, "WORKDIR") for base in reversed(bases)) == ["/app"]
    copied = [step.split() for base in bases for step in steps(base, "COPY")]
    assert any("handler.py" in sources and target == "/app/" for *sources, target in copied)


def test_variables_of_the_images_are_known():
    settings = {str(field.validation_alias) for field in Settings.model_fields.values()}
    for stage in STAGES:
        assert set(variables(stage)) <= settings | {*BOOTSTRAP, "PATH", "PYTHONUNBUFFERED", "RUNPOD_LOG_LEVEL"}, stage
    for stage in ("cpu", "cuda"):
        assert variables(stage)["RUNPOD_LOG_LEVEL"] == "INFO"  # else RunPod's package logs what jobs answer


def test_what_is_copied_and_mounted_reaches_the_builder():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    sources = [source for stage in STAGES for step in steps(stage, "COPY") for source in step.split()[:-1]]
    sources += re.findall(r"type=bind,source=([^,\s]+)", TEXT)
    # Docker reads the file for the image of compose.yaml, too.
    sources += [source for step in compose.steps("COPY") for source in step.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        inside = [each for each in kept if fnmatch(source, each) or source.startswith(f"{each}/")]
        assert source == "." or inside, f"{source} is kept from the builder"
    for needed in ("bootstrap.sh", "handler.py", "pyproject.toml", "README.md", "LICENSE", "src", "requirements"):
        assert needed in kept


def test_no_image_holds_a_secret_or_weights():
    assert not re.search(r"TOKEN|SECRET|PASSWORD|ACCESS_KEY|oscine download", TEXT)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_steps_of_the_image_for_cpus_make_a_worker(tmp_path: Path):
    """All of its layers but the user, in a folder in the place of `/`; and its command, which loads the voice."""
    app, prefix = copy_app(tmp_path / "app", handler=None), tmp_path / "opt" / "oscine"
    told = environment(tmp_path / "volume", PYTHON=python())
    for step in steps("cpu", "RUN"):
        script = re.sub(r"&& +useradd .*", "", commands(step))
        script = re.sub(r"(?<=[ =])/(?:app|build)/", f"{app}/", f" {script}")
        script = script.replace("/opt/oscine", str(prefix)).replace("/cache/uv", told["UV_CACHE_DIR"])
        done = subprocess.run(["sh", "-ec", script], env=told, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (command,) = steps("cpu", "CMD")
    program, *arguments = [word.replace("/app/", f"{app}/") for word in json.loads(command)]
    path = variables("cpu")["PATH"].replace("/opt/oscine", str(prefix)).replace("$PATH", told["PATH"])
    done = subprocess.run(
        [shutil.which(program, path=path) or "", *arguments, "--warmup"],
        env=told | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.long
def test_every_package_for_gpus_comes_as_a_wheel(tmp_path: Path):
    """For the Python and the system of the image, whatever this machine is: no layer needs a compiler."""
    lock = ROOT / "requirements" / "gpu.lock"
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    options += ["--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_28"]
    done = subprocess.run(
        [find_uv(), "pip", "install", "--dry-run", *options, "--target", tmp_path, "-r", lock],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.long
def test_what_is_locked_for_gpus_is_what_its_pytorch_asks_for(tmp_path: Path):
    """PyTorch is not in the lock, so only its own metadata tells what it takes beside it."""
    told = ["--override", "indextts-overrides.txt", "-r", "torch-gpu.txt", "-r", "gpu.lock", "--no-verify-hashes"]
    options = ["--only-binary", ":all:", "--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_28"]
    done = subprocess.run(
        [find_uv(), "pip", "install", "--dry-run", *options, "--target", tmp_path, *told],
        cwd=ROOT / "requirements",
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not INDEXTTS.exists(), reason="needs IndexTTS's environment: make test-indextts")
def test_grammars_of_numbers_are_compiled_where_the_image_keeps_them(tmp_path: Path):
    (step,) = steps("indextts", "RUN")
    program, script, folder = commands(step).split()
    assert program == "/opt/oscine/bin/python"
    assert folder == variables("indextts")["BOOTSTRAP_GRAMMARS"]
    done = subprocess.run(
        [INDEXTTS, ROOT / Path(script).relative_to("/build"), tmp_path], capture_output=True, text=True
    )
    if "not installed" in done.stderr:
        pytest.skip("NeMo's text processing has no wheels for this machine")
    assert done.returncode == 0, done.stderr
    made = sorted(path.name.partition("-")[0] for path in tmp_path.iterdir())
    assert made == ["en", "es", "zh"]
    assert all(list(path.glob("*.far")) for path in tmp_path.iterdir())

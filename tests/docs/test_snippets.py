"""Everything that the pages show is run as it stands there, page by page and in order, with the real engine."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from oscine.cli import app as command
from oscine.config import Settings
from tests.docs.pages import PAGES, blocks, name

REASONS = {
    "needs a sound device",
    "needs a download",
    "needs another engine",
    "sets up the project",
    "takes minutes",
    "needs another program",
}
RUN = ("python", "sh", "console")
VARIABLES = [str(field.validation_alias or field.alias) for field in Settings.model_fields.values()]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
OPERATORS = re.compile(r"[|<>;&$]")


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # commands leave open what ends with them
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.language in RUN for block in blocks(page))], ids=name
)
def test_every_snippet_of_a_page_runs_as_it_stands_there(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    fresh_machine(monkeypatch, tmp_path)
    install_engine(monkeypatch, tmp_path, page)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.reason is not None:
            continue
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, name(page), "exec", dont_inherit=True), names)
        elif block.language == "sh":
            for line, code in commands(block.text):
                done, output = run(line, capfd, monkeypatch)
                assert done == code, f"{block.place}: {line}\n{output}"
        elif block.language == "console":
            for line, code, shown in session(block.text):
                done, output = run(line, capfd, monkeypatch)
                assert done == code, f"{block.place}: {line}\n{output}"
                assert alike(output) == alike(shown), f"{block.place}: {line}\nprints:\n{output}"


def test_a_block_that_is_not_run_says_why():
    for page in PAGES:
        for block in blocks(page):
            assert block.reason is None or block.reason in REASONS, f"{block.place}: {block.note}"
            assert block.language, f"{block.place}: a block without a language"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_are_not_run_have_only_options_that_exist(page: Path):
    for block in blocks(page):
        if block.reason is None or block.language not in ("sh", "console"):
            continue
        for line, _ in commands(block.text.replace("$ oscine", "oscine")):
            for found in re.findall(r"\boscine [^|<>;&]+", line):
                words = shlex.split(found, comments=True)[1:]
                assert set(filter(is_option, words)) <= options_of(words), f"{block.place}: {line}"


def fresh_machine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A new user in an empty folder, without a network."""
    monkeypatch.chdir(folder)
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OSCINE_VOLUME", str(folder / "volume"))
    monkeypatch.setenv("HIBARI_HOME", str(folder / "hibari"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setattr(socket.socket, "connect", no_network)


def install_engine(monkeypatch: pytest.MonkeyPatch, folder: Path, page: Path) -> None:
    """What pip would do with an engine that the page shows: its modules and its entry point."""
    shown = list(blocks(page))
    points = [re.search(r'\[project\.entry-points\."([\w.]+)"\]\n(.+)', block.text) for block in shown]
    point = next(filter(None, points), None)
    if point is None:
        return
    for block in shown:
        if block.file is not None and block.file.endswith(".py"):
            (folder / block.file).write_text(block.text, encoding="utf-8")
    facts = folder / "oscine_example-0.1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: oscine-example\nVersion: 0.1.0\n")
    (facts / "entry_points.txt").write_text(f"[{point[1]}]\n{point[2].replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(str(folder))


def commands(text: str) -> list[tuple[str, int]]:
    """Commands, and the exit code that a comment at their end tells."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        line, _, code = line.partition("  # exit code ")
        line = re.sub(r"\s+# .*$", "", line).strip()
        if line and not line.startswith("#"):
            found.append((line, int(code or 0)))
    return found


def session(text: str) -> list[tuple[str, int, str]]:
    """Commands after `$ `, their exit codes and what they print."""
    parts = [part.partition("\n") for part in re.split(r"(?m)^\$ ", text.replace("\\\n", " ")) if part.strip()]
    return [(*commands(line)[0], output) for line, _, output in parts]


def run(line: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit code and output of one line; the command alone runs in this process, which spares its start."""
    words = shlex.split(line, comments=True)
    if words[0] != "oscine" or OPERATORS.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", line)):
        done = subprocess.run(["sh", "-ec", line], capture_output=True, timeout=60)
        return done.returncode, (done.stderr + done.stdout).decode(errors="replace")
    handlers = [signal.getsignal(number) for number in SIGNALS]
    capfd.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(os, "_exit", leave)
        patch.setattr(sys, "argv", words)
        with pytest.raises(Left) as left:
            command.run()
    for number, handler in zip(SIGNALS, handlers, strict=True):
        signal.signal(number, handler)
    printed = capfd.readouterr()
    return left.value.code, printed.err + printed.out


class Left(BaseException):
    """Instead of the end of the process."""

    def __init__(self, code: int) -> None:
        self.code = code


def leave(code: int) -> NoReturn:
    raise Left(code)


def alike(output: str) -> list[str]:
    """Lines in which only numbers and spaces may differ."""
    return [re.sub(r"[\d.,]+", "0", " ".join(line.split())) for line in output.strip().splitlines()]


def is_option(word: str) -> bool:
    return bool(re.fullmatch(r"--?[a-z][a-z-]*", word))


def options_of(words: list[str]) -> set[str]:
    from typer.main import get_command

    found: Any = get_command(command.app)
    while hasattr(found, "commands") and words and words[0] in found.commands:
        found, words = found.commands[words[0]], words[1:]
    return {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }


def no_network(*_: object) -> NoReturn:
    raise AssertionError("a snippet reached for the network")

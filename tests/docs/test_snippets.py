"""Everything that the pages show is run as it stands there, page by page and in order, with the real engine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest
from playwright.sync_api import sync_playwright

from oscine.cli import app as command
from oscine.config import Settings
from tests.docs.pages import PAGES, Block, blocks, name
from tests.http.conftest import is_ready, running
from tests.http.page.conftest import FLAGS, chromium
from tests.scripts.stand_in import ENDPOINT, stand_in

REASONS = {
    "needs a sound device",
    "needs a download",
    "needs another engine",
    "sets up the project",
    "takes minutes",
    "needs another program",
    "starts a server",
}
RUN = ("python", "sh", "console")
VARIABLES = [str(field.validation_alias or field.alias) for field in Settings.model_fields.values()]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
SERVER: Final = "http://127.0.0.1:8000"
"""Where the pages have the server; in the tests it is on another port."""
RUNPOD: Final = "https://api.runpod.ai/v2"
"""Where the pages have RunPod; in the tests it is a worker in this process."""
RUNPOD_KEY: Final = "rpa_of_the_pages"
PATIENCE_S: Final = 200.0
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
    shown = [block for block in blocks(page) if block.reason is None]
    names: dict[str, Any] = {"__name__": "__main__"}
    with ExitStack() as stack:
        address = SERVER
        if any(SERVER in block.text for block in shown if block.language in RUN):
            if shutil.which("curl") is None:
                pytest.skip("no curl here, which the page uses: install the system's curl package")
            server = is_ready(stack.enter_context(running(tmp_path / "served")))
            monkeypatch.setattr(socket.socket, "connect", only_to(server.port))
            address = server.url
        endpoint = RUNPOD
        if any(RUNPOD in block.text for block in shown if block.language in RUN):
            plane, endpoint = stack.enter_context(stand_in(tmp_path / "worker", key=RUNPOD_KEY))
            monkeypatch.setattr(socket.socket, "connect", only_to(plane.port))
            monkeypatch.setenv("RUNPOD_API_KEY", RUNPOD_KEY)
            monkeypatch.setenv("ENDPOINT_ID", ENDPOINT)
        for block in shown:
            text = block.text.replace(SERVER, address).replace(RUNPOD, endpoint)
            if block.file is not None:
                (tmp_path / block.file).write_text(text, encoding="utf-8")
            elif block.language == "python":
                source = "\n" * (block.line - 1) + text
                exec(compile(source, name(page), "exec", dont_inherit=True), names)
            elif block.language == "sh":
                for line, code in commands(text):
                    done, output = run(line, capfd, monkeypatch)
                    assert done == code, f"{block.place}: {line}\n{output}"
            elif block.language == "console":
                for line, code, printed in session(text):
                    done, output = run(line, capfd, monkeypatch)
                    assert done == code, f"{block.place}: {line}\n{output}"
                    assert alike(output) == alike(printed), f"{block.place}: {line}\nprints:\n{output}"


SCRIPTS: Final = [block for page in PAGES for block in blocks(page) if block.language == "js" and not block.reason]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that lets every page in."""
    with running(tmp_path_factory.mktemp("served"), OSCINE_CORS_ORIGINS="*") as found:
        yield is_ready(found).url


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here: install the system's nodejs package")
@pytest.mark.parametrize("block", [block for block in SCRIPTS if block.note != "page"], ids=lambda block: block.place)
def test_every_script_for_node_runs_as_it_stands_there(block: Block, server: str):
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", block.text.replace(SERVER, server)],
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{block.place}\n{done.stderr.decode(errors='replace')}"
    assert done.stdout


@pytest.mark.parametrize("block", [block for block in SCRIPTS if block.note == "page"], ids=lambda block: block.place)
def test_every_script_for_a_page_is_heard_in_a_browser(block: Block, server: str):
    """In a page of another origin."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS), timeout=1000 * PATIENCE_S)
        try:
            page = browser.new_page()
            page.set_default_timeout(1000 * PATIENCE_S)
            page.goto(f"{server.replace('127.0.0.1', 'localhost')}/v1/test")
            script = block.text.replace(SERVER, server)
            heard = page.evaluate(
                f"async () => {{ {script}; while (!player.ended) await new Promise((r) => setTimeout(r, 20));"
                " return player.currentTime; }"
            )
        finally:
            browser.close()
    assert heard > 0.5


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
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setattr(socket.socket, "connect", no_network)
    for variable in [known for known in os.environ if known.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    # A request that was refused is a command that failed.
    (folder / ".curlrc").write_text("silent\nshow-error\nfail-with-body\n")
    monkeypatch.setenv("CURL_HOME", str(folder))


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
        done = subprocess.run(["sh", "-ec", line], capture_output=True, timeout=PATIENCE_S)
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


CONNECT: Final = socket.socket.connect


def only_to(port: int) -> Any:
    """What a socket connects with where nothing but one server can be reached."""

    def connect(itself: socket.socket, address: Any) -> None:
        if address != ("127.0.0.1", port):
            no_network()
        CONNECT(itself, address)

    return connect


def no_network(*_: object) -> NoReturn:
    raise AssertionError("a snippet reached for the network")

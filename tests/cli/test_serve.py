"""`oscine serve`: it starts, says where it listens, and says in one sentence why it does not."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from oscine import __version__
from oscine.cli.options import quantized
from oscine.config import Settings
from oscine.errors import InvalidRequest
from tests.cli.machine import Ended, Machine
from tests.waiting import PATIENCE_S, until

BAD_SETTINGS = {
    "PORT": ("http", "0 to 65535"),
    "PORT_HEALTH": ("70000", "0 to 65535"),
    "OSCINE_RATE_LIMIT": ("often", "60/minute"),
    "OSCINE_MAX_REQUESTS": ("0", "1 or more"),
    "OSCINE_PRELOAD": ("sometimes", "auto, always or never"),
    "OSCINE_DRAIN_SECONDS": ("-1", "above 0"),
    "OSCINE_LOG_TEXT": ("perhaps", "true or false"),
    "OSCINE_MAX_BODY_MB": ("nan", "above 0"),
    "OSCINE_API_KEYS": (", ,", "separated by commas"),
    "OSCINE_WAIT_SECONDS": ("soon", "above 0"),
    "OSCINE_QUANTIZE": ("16", "8 or 4"),
}


class Served:
    """A server that was started on a machine."""

    def __init__(self, process: subprocess.Popen[bytes], written: Path) -> None:
        self.process = process
        self._written = written

    def log(self) -> list[dict[str, Any]]:
        lines = self._written.read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def url(self) -> str:
        until(lambda: self.process.poll() is not None or any(line["event"] == "listening" for line in self.log()))
        return next(str(line["url"]) for line in self.log() if line["event"] == "listening")

    def get(self, path: str, url: str | None = None) -> httpx.Response:
        return httpx.get((url or self.url) + path, verify=False, timeout=PATIENCE_S)


@contextmanager
def served(machine: Machine, *arguments: str, **settings: str) -> Iterator[Served]:
    written = machine.folder / "standard error"
    with written.open("wb") as out:
        process = machine.start("serve", *arguments, variables=settings, stdin=None, stdout=None, stderr=out.fileno())
    try:
        yield Served(process, written)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()


@contextmanager
def free_port() -> Iterator[int]:
    """A port that a server may listen on, and that nobody else is given meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        if sys.platform != "linux":  # only there may another listen where this one does not
            held.close()
        yield port


def one_sentence(ended: Ended, *parts: str, code: int) -> None:
    assert ended.code == code, ended.err
    assert ended.out == b""
    (line,) = ended.lines
    for part in parts:
        assert part in line
    assert "Traceback" not in line


def test_on_port_0_it_takes_a_free_one_says_which_and_speaks(machine: Machine):
    with served(machine, "--port", "0") as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", server.url)
        said = httpx.post(server.url + "/v1/audio/speech", json={"input": "Hello."}, verify=False, timeout=PATIENCE_S)
        assert said.status_code == 200
        assert len(said.content) > 1000
        until(lambda: server.get("/ping").status_code == 200)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
        assert [line["event"] for line in server.log()][0::2] == ["listening", "stopped"]


def test_an_option_comes_before_a_setting_and_ctrl_c_ends_it_well(machine: Machine):
    with (
        free_port() as other,
        free_port() as port,
        served(machine, "--port", str(port), PORT=str(other), OSCINE_HOST="0.0.0.0", OSCINE_PRELOAD="never") as server,
    ):
        assert server.url == f"http://127.0.0.1:{port}"
        assert server.get("/v1/test").status_code == 200
        with pytest.raises(httpx.ConnectError):
            server.get("/v1/test", f"http://127.0.0.1:{other}")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE_S) == 0


def test_the_settings_name_host_and_both_ports_and_each_port_answers_everything(machine: Machine):
    with free_port() as port, free_port() as health:
        ports = {"PORT": str(port), "PORT_HEALTH": str(health)}
        with served(machine, **ports, OSCINE_HOST="localhost", OSCINE_PRELOAD="never") as server:
            assert server.url.endswith(f":{port}")
            for each in (port, health):
                url = f"http://localhost:{each}"
                assert server.get("/ping", url).status_code in (200, 204)
                assert server.get("/health", url).json()["version"] == __version__
                assert server.get("/v1/models", url).status_code == 200


def test_one_port_may_be_both(machine: Machine):
    with (
        free_port() as free,
        served(machine, PORT=str(free), PORT_HEALTH=str(free), OSCINE_PRELOAD="never") as server,
    ):
        assert server.get("/v1/test").status_code == 200


def test_it_works_as_a_module_and_without_a_home_that_can_be_written(machine: Machine):
    written = machine.folder / "standard error"
    with written.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "oscine", "serve", "--port", "0"],
            env={**machine.environment, "OSCINE_PRELOAD": "never", "HOME": "/nonexistent"},
            stderr=out,
        )
    try:
        assert Served(process, written).get("/v1/test").status_code == 200
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_a_port_that_is_taken_or_a_host_that_is_not_here_is_told_in_one_sentence(machine: Machine):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        one_sentence(machine.oscine("serve", "--port", port), f"port {port}", "--port", code=3)
        one_sentence(machine.oscine("serve", "--port", "0", variables={"PORT_HEALTH": port}), f"port {port}", code=3)
    for host in ("192.0.2.1", "no such host"):
        one_sentence(machine.oscine("serve", "--host", host, "--port", "0"), "--host", code=3)


@pytest.mark.parametrize("name", ["PORT", "OSCINE_RATE_LIMIT"])
def test_a_setting_that_cannot_be_is_named_with_what_it_takes(machine: Machine, name: str):
    value, takes = BAD_SETTINGS[name]
    one_sentence(machine.oscine("serve", variables={"PORT": "0", name: value}), name, takes, code=2)


@pytest.mark.parametrize("name", sorted(set(BAD_SETTINGS) - {"OSCINE_RATE_LIMIT"}))
def test_every_setting_of_the_server_is_checked(name: str):
    value, takes = BAD_SETTINGS[name]
    with pytest.raises(InvalidRequest, match=takes) as caught:
        Settings.from_env({name: value})
    assert name in caught.value.message


def test_a_wrong_use_is_told_with_the_way_out(machine: Machine):
    cases = (
        ["--port", "x"],
        ["--port", "65536"],
        ["--port", "-1"],
        ["--port"],
        ["--quantize", "x"],
        ["--nothing"],
        ["more"],
    )
    for _, ended in machine.oscine_many({" ".join(each): ["serve", *each] for each in cases}).values():
        assert ended.code == 2
        assert ended.out == b""
        assert "--help" in ended.err
        assert "Traceback" not in ended.err


def test_weights_have_8_or_4_bits(machine: Machine):
    one_sentence(machine.oscine("serve", "--port", "0", "--quantize", "16"), "--quantize", "8 or 4", code=2)
    assert quantized(Settings(quantize=4), 8).quantize == 8
    assert quantized(Settings(quantize=4), None).quantize == 4


def test_an_engine_that_is_not_there_does_not_keep_the_server_from_telling_so(machine: Machine):
    with served(machine, "--port", "0", OSCINE_ENGINE="nothing") as server:
        until(lambda: server.get("/ping").status_code == 503)
        assert "hibari" in server.get("/health").json()["problem"]


@pytest.mark.parametrize("package", ["fastapi", "pythonjsonlogger"])
def test_without_its_packages_it_says_which_command_brings_them(machine: Machine, package: str):
    folder = machine.folder / "without" / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f"raise ModuleNotFoundError('not here', name={package!r})\n")
    ended = machine.oscine("serve", "--port", "0", variables={"PYTHONPATH": str(folder.parent)})
    one_sentence(ended, package, 'pip install "oscine[serve]"', code=3)


def test_the_help_names_the_options_and_the_command_is_listed(machine: Machine):
    shown = machine.oscine("serve", "--help")
    assert shown.code == 0
    for part in ("--host", "--port", "--quantize", "127.0.0.1", "8000", "0.0.0.0"):
        assert part in shown.said
    assert "serve" in machine.oscine("--help").said


def test_only_the_server_needs_the_servers_packages(machine: Machine):
    code = "import sys, oscine.cli.app; print(sorted({'fastapi', 'uvicorn', 'starlette', 'limits'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

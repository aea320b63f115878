"""A running server with the real voice, for tests that talk to it as a client does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from oscine.config import Settings
from oscine.engines.registry import Factory
from oscine.http.readiness import State
from oscine.http.serve import Server, listen, url_of
from oscine.synthesis.studio import Studio
from tests.waiting import PATIENCE_S, eventually


@dataclass
class Running:
    """A server in a thread of this process."""

    url: str
    studio: Studio
    server: Server

    @property
    def settings(self) -> Settings:
        return self.studio.settings

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


@contextmanager
def running(folder: Path, factories: Mapping[str, Factory] | None = None, **names: str) -> Iterator[Running]:
    """A server on a free port, with settings by the names of the environment, from when it listens until it stopped."""
    settings = Settings.from_env({"OSCINE_VOLUME": str(folder), **names})
    studio = Studio(settings, factories=factories)
    (socket,) = listen("127.0.0.1", 0)
    server = Server(studio)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        yield Running(url_of(socket), studio, server)
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        socket.close()


def is_ready(found: Running) -> Running:
    """Wait until the engine is loaded."""
    eventually(lambda: found.server.service.readiness.state is not State.LOADING)
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("volume")) as found:
        yield is_ready(found)


Serve = Callable[..., Running]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers with settings or engines of the test's own: `serve(factories={...}, OSCINE_API_KEYS="k")`."""
    with ExitStack() as stack:

        def start(*, factories: Mapping[str, Factory] | None = None, wait: bool = True, **names: str) -> Running:
            found = stack.enter_context(running(tmp_path, factories, **names))
            return is_ready(found) if wait else found

        yield start

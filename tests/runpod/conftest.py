"""A platform with a worker that speaks with the built-in voice, and engines of the tests' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.runpod.house import Client, Process, client, worker
from tests.runpod.plane import Plane


@contextmanager
def _platform() -> Iterator[Client]:
    with Plane().running() as plane, client(plane) as found:
        yield found


@pytest.fixture
def platform() -> Iterator[Client]:
    """A platform without workers, through the eyes of a client."""
    with _platform() as found:
        yield found


Start = Callable[..., Process]


@pytest.fixture
def start(platform: Client, tmp_path: Path) -> Iterator[Start]:
    """Starts workers of `platform` that share a volume: `start(OSCINE_ENGINE="tones")`."""
    with ExitStack() as stack:
        yield lambda *arguments, **settings: stack.enter_context(
            worker(platform.plane, tmp_path, *arguments, **settings)
        )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Process]]:
    """A platform with one worker for all tests of a file that leave it as it was."""
    with _platform() as found, worker(found.plane, tmp_path_factory.mktemp("house")) as process:
        yield found, process


@pytest.fixture
def shared(house: tuple[Client, Process]) -> Client:
    return house[0]


@pytest.fixture
def process(house: tuple[Client, Process]) -> Process:
    return house[1]

"""A platform with a worker that speaks with the built-in voice, and engines of the tests' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.runpod.engines import entry_points
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
    """Starts workers of `platform` that share a volume and know the engines of the tests."""
    engines = entry_points(tmp_path / "engines")
    with ExitStack() as stack:
        yield lambda *arguments, **settings: stack.enter_context(
            worker(platform.plane, tmp_path, *arguments, engines=engines, **settings)
        )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Process]]:
    """A platform with one worker for all tests of a file that leave it as it was."""
    folder = tmp_path_factory.mktemp("house")
    with (
        _platform() as found,
        worker(found.plane, folder, engines=entry_points(folder / "engines"), OSCINE_WORKER_JOBS="6") as process,
    ):
        yield found, process


@pytest.fixture
def shared(house: tuple[Client, Process]) -> Client:
    return house[0]


@pytest.fixture
def process(house: tuple[Client, Process]) -> Process:
    return house[1]

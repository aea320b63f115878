"""A platform with a worker that speaks with the built-in voice, and engines of the tests' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.runpod.engines import entry_points
from tests.runpod.house import Client, Process, client, worker
from tests.runpod.plane import Plane

TONES: Final[dict[str, Any]] = {"OSCINE_ENGINE": "tones", "OSCINE_PRELOAD": "always"}


@contextmanager
def platforms() -> Iterator[Client]:
    """A platform without workers, through the eyes of a client."""
    with Plane().running() as plane, client(plane) as found:
        yield found


@pytest.fixture
def platform() -> Iterator[Client]:
    """A platform without workers, through the eyes of a client."""
    with platforms() as found:
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


@contextmanager
def housed(folder: Path, **settings: Any) -> Iterator[tuple[Client, Process]]:
    """A platform with one worker."""
    with (
        platforms() as found,
        worker(found.plane, folder, engines=entry_points(folder / "engines"), **settings) as process,
    ):
        yield found, process


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Process]]:
    """A platform with a worker that speaks with the built-in voice, for all tests of a file."""
    with housed(tmp_path_factory.mktemp("house"), OSCINE_WORKER_JOBS="6") as found:
        yield found


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Process]]:
    """A platform with a worker that speaks tones, and may answer with a megabyte, for all tests of a file."""
    with housed(tmp_path_factory.mktemp("tones"), OSCINE_MAX_RESULT_MB="1", **TONES) as found:
        yield found

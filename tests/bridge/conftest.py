"""One bundle for all, and for each file a platform with a worker that speaks and a bridge before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.bridge.engines import entry_points
from tests.bridge.gate import Gate
from tests.bridge.house import Bridge, Bundle, bundled, endpoint_of, running
from tests.runpod.house import Client, Process, client, worker
from tests.runpod.plane import Plane
from tests.waiting import until


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundled(tmp_path_factory.mktemp("bundle"))


@dataclass
class House:
    """A platform, what passes before it, and a bridge in front of both."""

    plane: Plane
    gate: Gate
    bridge: Bridge
    direct: Client
    """Somebody who uses the endpoint without the bridge."""
    worker: Process | None = None

    @property
    def process(self) -> Process:
        """The worker's."""
        assert self.worker is not None
        return self.worker


@pytest.fixture(scope="module")
def house(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """With the built-in voice, for tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("house")
    with (
        Plane().running() as plane,
        client(plane) as direct,
        Gate(plane.url).running() as gate,
        worker(plane, folder, engines=entry_points(folder / "engines"), OSCINE_WORKER_JOBS="6") as process,
        running(bundle, endpoint_of(gate), MODELS="hibari") as bridge,
    ):
        yield House(plane, gate, bridge, direct, process)


@pytest.fixture
def gate(house: House) -> Iterator[Gate]:
    """The gate of `house`, with nothing passed yet; open again after the test."""
    house.gate.passed.clear()
    yield house.gate
    house.gate.rule = None


@pytest.fixture
def alone(bundle: Bundle) -> Iterator[House]:
    """A platform without workers and a bridge that waits a second for one; for one test."""
    with (
        Plane().running() as plane,
        client(plane) as direct,
        Gate(plane.url).running() as gate,
        running(bundle, endpoint_of(gate), COLD_START_SECONDS="1") as bridge,
    ):
        yield House(plane, gate, bridge, direct)


@pytest.fixture
def start(house: House, bundle: Bundle) -> Iterator[Callable[..., Bridge]]:
    """Starts further bridges before the endpoint of `house`: `start(CACHE_SECONDS="60")`."""
    with ExitStack() as stack:

        def started(url: str | None = None, /, **settings: object) -> Bridge:
            return stack.enter_context(running(bundle, url or endpoint_of(house.gate), **settings))  # type: ignore[arg-type]

        yield started


@pytest.fixture(scope="module")
def house_of_tones(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("tones")
    with (
        Plane().running() as plane,
        client(plane) as direct,
        Gate(plane.url).running() as gate,
        worker(plane, folder, engines=entry_points(folder / "engines"), OSCINE_ENGINE="tones") as process,
        running(bundle, endpoint_of(gate)) as bridge,
    ):
        yield House(plane, gate, bridge, direct, process)


@pytest.fixture
def tones(house_of_tones: House) -> Iterator[House]:
    """A worker that speaks tones, and holds back what has the word `held` until it is told; no job is here yet."""
    house = house_of_tones
    house.plane.jobs.clear()
    house.gate.passed.clear()
    yield house
    house.gate.rule = None
    for job in list(house.plane.jobs.values()):
        house.direct.call("POST", f"cancel/{job.id}")
    (house.process.volume / "go").touch()  # what was cancelled while it was held
    until(lambda: not house.process.lanes())
    (house.process.volume / "go").unlink()

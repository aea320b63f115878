"""A real object store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oscine.config import Settings
from oscine.delivery.store import ObjectStore
from tests.delivery.faults import Faults
from tests.delivery.seaweed import Seaweed, seaweed

DOMAIN = "s3.example.com"
"""What the server believes that it is called; buckets stand before it."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An S3 server that all tests share; nobody may stop it."""
    if not Path(sys.executable).with_name("weed").exists():
        pytest.skip("SeaweedFS's package has no build for this system")
    with seaweed(tmp_path_factory.mktemp("seaweed"), options=(f"-s3.domainName={DOMAIN}",)) as running:
        yield running


@pytest.fixture
def open_store(server: Seaweed) -> Callable[..., ObjectStore]:
    """Opens the server's bucket, with other settings where they are given."""

    def opened(**others: Any) -> ObjectStore:
        store = ObjectStore.from_settings(Settings(**server.settings(**others)))
        assert store is not None
        return store

    return opened


@pytest.fixture
def store(open_store: Callable[..., ObjectStore]) -> ObjectStore:
    """The server's bucket."""
    return open_store()


@pytest.fixture
def faults(server: Seaweed) -> Iterator[Faults]:
    """The way to the server, with what can go wrong on it."""
    with Faults(server.port) as running:
        yield running

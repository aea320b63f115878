"""These tests run where IndexTTS's packages are (`make test-indextts`): not in `.venv`, which must not hold scipy."""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from oscine.engines.indextts.engine import IndexTTS2Engine, IndexTTS25Engine, IndexTTSEngine

collect_ignore_glob = [] if importlib.util.find_spec("indextts") else ["*"]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both tiny checkpoints, as deployments have them; the first worker that asks makes them for all."""
    from oscine.engines.indextts.packages import quiet
    from tests.engines.indextts import tiny

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = shared / "indextts"
    with (shared / "indextts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            making = shared / "indextts-making"
            making.mkdir()
            with quiet():
                tiny.save_two(making)
                tiny.save_two_five(making)
            making.rename(made)
    return made


@pytest.fixture(scope="session")
def unwritten() -> Iterator[None]:
    """Numbers are not written out: NeMo's grammars take half a minute to compile. `test_grammars.py` has a real one."""
    from oscine.engines.indextts import grammars, packages

    two_five = packages.indextts25()
    own = importlib.import_module("indextts25.utils.nemo_tn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grammars.Grammars, "get", lambda _self, _language: grammars.Plain())
        patch.setattr(grammars.Grammars, "ready", lambda _self, _language: True)
        patch.setattr(own, "normalize_text", lambda text, _language: text)
        patch.setattr(two_five.TextNormalizer, "load", lambda _self: False)
        yield


@pytest.fixture(scope="module")
def two(home: Path, unwritten: None) -> Iterator[IndexTTS2Engine]:
    """IndexTTS-2, loaded."""
    from oscine.engines.indextts.engine import IndexTTS2Engine
    from tests.engines.indextts import tiny

    yield from _loaded(IndexTTS2Engine(tiny.settings(home)))


@pytest.fixture(scope="module")
def two_five(home: Path, unwritten: None) -> Iterator[IndexTTS25Engine]:
    """IndexTTS-2.5, loaded."""
    from oscine.engines.indextts.engine import IndexTTS25Engine
    from tests.engines.indextts import tiny

    yield from _loaded(IndexTTS25Engine(tiny.settings(home)))


@pytest.fixture(scope="module", params=["two", "two_five"])
def engine(request: pytest.FixtureRequest) -> IndexTTSEngine:
    """Each of the two, loaded."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def _loaded(engine: Any) -> Iterator[Any]:
    from tests.engines.contract import quiet

    assert engine.missing() is None
    engine.load(quiet)
    yield engine
    engine.close()

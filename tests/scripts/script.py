"""scripts/try_endpoint.py as a module."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, Final

SCRIPT: Final = Path(__file__).resolve().parents[2] / "scripts" / "try_endpoint.py"


def _load() -> Any:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


try_endpoint: Final = _load()

"""Waiting for what happens in another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 120.0
"""After which a test gives up on a busy machine; never what it measures."""


def eventually(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> bool:
    """Whether it comes true in that time."""
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.004)
    return True


def until(condition: Callable[[], object], what: str = "it did not happen", patience_s: float = PATIENCE_S) -> None:
    """Wait for it; the test fails where it takes longer."""
    assert eventually(condition, patience_s), what

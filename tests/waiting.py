"""Waiting for what happens in another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

PATIENCE_S: Final = 120.0
"""After which a test gives up on a busy machine; never what it measures."""


def eventually(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """What `condition` returns as soon as that counts as true, or at the end of that time."""
    end = time.monotonic() + patience_s
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.004)
    return found


def until(condition: Callable[[], Any], what: str = "it did not happen", patience_s: float = PATIENCE_S) -> Any:
    """The same, but the test fails where it takes longer."""
    found = eventually(condition, patience_s)
    assert found, what
    return found

"""Stopping a call from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oscine.errors import Cancelled


class Cancel:
    """Stops a call from another thread: give it to the call, and call `cancel`; the call then raises Cancelled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closings: list[Callable[[], None]] = []
        self._cancelled = False

    def cancel(self) -> None:
        """Stop; idempotent. A file that was not replaced when this returns stays as it is."""
        with self._lock:
            self._cancelled = True
            closings = list(self._closings)
        for close in closings:
            close()

    def check(self) -> None:
        """Raises Cancelled where it was cancelled."""
        if self._cancelled:
            raise Cancelled("The request was cancelled.")

    @contextmanager
    def closes(self, close: Callable[[], None]) -> Iterator[None]:
        """Have `cancel` call `close` meanwhile. Raises Cancelled where it was cancelled before."""
        with self._lock:
            self._closings.append(close)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._closings.remove(close)

    @contextmanager
    def too_late(self) -> Iterator[None]:
        """Around what cannot be taken back: `cancel` comes before it or after it. Raises Cancelled where before."""
        with self._lock:
            self.check()
            yield

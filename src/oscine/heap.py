"""The C library's heaps, where it is glibc; elsewhere nothing here does anything.

They grow with what was once needed at the same time, and keep it. A server at rest gives it back.
"""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress
from typing import Final

_HEAPS: Final = 2
_TRIM_THRESHOLD: Final = -1  # of mallopt
_ARENA_MAX: Final = -8
_KEPT_BYTES: Final = 64 << 20
_LARGE_BYTES: Final = 1 << 17
"""Freeing so much makes a heap look at how much is free at its end."""
_few = threading.Event()


def keep_heaps_few() -> None:
    """Two heaps for all threads of the process.

    Else each thread has one of its own, and hours of speech fill them all with holes (bench/memory.py).
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _HEAPS)
        _few.set()


def give_back() -> None:
    """Give the system what is free in the heaps, in some milliseconds; others may go on meanwhile.

    `malloc_trim` leaves the free end of every heap but the first. It goes when something is freed there while the
    threshold is low, and new threads are given the heaps in turn.
    """
    with suppress(AttributeError, OSError, TypeError, RuntimeError):
        library = ctypes.CDLL(None)
        if _few.is_set():
            library.mallopt(_TRIM_THRESHOLD, 0)
            for _ in range(2 * _HEAPS):
                visitor = threading.Thread(target=bytearray, args=(_LARGE_BYTES,), name="oscine-heap", daemon=True)
                visitor.start()
                visitor.join()
            library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        library.malloc_trim(0)

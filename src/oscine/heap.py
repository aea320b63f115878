"""The heaps ("arenas") of the C library's `malloc`. With another C library than glibc nothing here does anything.

An arena keeps what was freed, so a process stays as large as it was in its busiest moment. A process at rest gives that
back to the system.
"""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress
from typing import Final

_ARENAS: Final = 2
_M_TRIM_THRESHOLD: Final = -1
_M_ARENA_MAX: Final = -8
"""Numbers of parameters, from glibc's `malloc.h`; mallopt(3) says what they do."""
_KEPT_BYTES: Final = 64 << 20
"""Free bytes at the end of an arena that are kept while there is work."""
_LARGE_BYTES: Final = 1 << 17
"""Freeing a block of 64 KiB or more has an arena compare what is free at its end with the threshold (`malloc.c`,
`FASTBIN_CONSOLIDATION_THRESHOLD`)."""
_limited = threading.Event()
"""Set once the number of arenas is limited."""


def keep_heaps_few() -> None:
    """Let all threads of the process share two arenas.

    Otherwise each thread has one of its own, and hours of speech fill them all with holes (bench/memory.py).
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
        _limited.set()


def give_back() -> None:
    """Give free memory back to the system. Takes some milliseconds, in which other threads may go on.

    `malloc_trim` leaves the free end of every arena but the first. To have those given back too, a block is freed in
    each arena while the threshold is 0: new threads are assigned to the arenas in turn.
    """
    with suppress(AttributeError, OSError, TypeError, RuntimeError):
        library = ctypes.CDLL(None)
        if _limited.is_set():
            library.mallopt(_M_TRIM_THRESHOLD, 0)
            for _ in range(2 * _ARENAS):
                visitor = threading.Thread(target=bytearray, args=(_LARGE_BYTES,), name="oscine-heap", daemon=True)
                visitor.start()
                visitor.join()
            library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        library.malloc_trim(0)

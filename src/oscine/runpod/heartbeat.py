"""A heartbeat that ends with its worker.

The SDK sends it from a process of its own, which it ends where it ends by itself. Behind a worker that was killed, for
want of memory or by whatever, it would tell the platform for ever that the worker lives, and hold its jobs.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def watch() -> None:
    """Have the SDK start its heartbeat through this; a version that knows no such name stays as it is."""
    from runpod.serverless.modules import rp_ping

    if isinstance(getattr(rp_ping, "Process", None), type):
        setattr(rp_ping, "Process", Mortal)  # noqa: B010 - the module declares another type


class Mortal(multiprocessing.Process):
    """A process that ends when the one that started it has ended, in whatever way."""

    def run(self) -> None:
        """As Process's, beside a thread that waits for the other's end, and without what that one does when it ends."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        threading.Thread(target=_end_after_the_parent, name="oscine-parent", daemon=True).start()
        super().run()


def _end_after_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)

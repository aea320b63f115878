"""A short text as a whole process: `oscine say` writing an MP3 against hibari's own command writing a WAV."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from bench.processes import Run, pairs, report, run

TEXT = "Hello there."
LIMITS = {"wall_s": 1.5, "peak_mb": 1.5}


def main(count: int = 9) -> bool:
    """Print the ratios; true if they are within their limits."""
    commands = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "wb") as nothing:
        fresh = iter(range(10_000))

        def ours() -> Run:
            # A new volume each time: nothing was spoken before.
            environ = {**os.environ, "OSCINE_VOLUME": f"{folder}/{next(fresh)}"}
            return run(
                [str(commands / "oscine"), "say", TEXT, "-o", f"{folder}/x.mp3"], environ, stdout=nothing.fileno()
            )

        def bare() -> Run:
            return run([str(commands / "hibari"), TEXT, "-o", f"{folder}/x.wav"], stdout=nothing.fileno())

        return report("Start: a short text as a whole process", *pairs(ours, bare, count), LIMITS)


if __name__ == "__main__":
    sys.exit(not main())

"""Peak memory for five hours of speech against that for five minutes, as whole processes."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from bench.processes import Run, run
from bench.texts import of_length

SHORT_MINUTES, LONG_MINUTES = 5, 300
MOST = 1.3


def main() -> bool:
    """Print the ratio; true if it is within its limit."""
    short, long = speak(SHORT_MINUTES), speak(LONG_MINUTES)
    ratio = long.peak_mb / short.peak_mb
    kept = ratio <= MOST
    print(f"\nPeak memory, {LONG_MINUTES // 60} hours against {SHORT_MINUTES} minutes of speech")
    print(f"  {LONG_MINUTES:3} min  {long.peak_mb:.0f} MB in {long.wall_s:.0f} s")
    print(f"  {SHORT_MINUTES:3} min  {short.peak_mb:.0f} MB in {short.wall_s:.0f} s")
    print(f"  ratio {ratio:.2f}  (at most {MOST:g}: {'kept' if kept else 'MISSED'})")
    return kept


def speak(minutes: float) -> Run:
    """Speak that much into an MP3 on an empty volume."""
    command = Path(sys.executable).parent / "oscine"
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "wb") as nothing:
        Path(folder, "text.txt").write_text(of_length(minutes), encoding="utf-8")
        environ = {**os.environ, "OSCINE_VOLUME": f"{folder}/volume"}
        arguments = [str(command), "say", "-f", f"{folder}/text.txt", "-o", f"{folder}/x.mp3", "--max-text", "0"]
        return run(arguments, environ, stdout=nothing.fileno())


if __name__ == "__main__":
    sys.exit(not main())

"""About ten minutes of speech into an MP3, as whole processes, against the bare engine and a bare encoder."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from bench.processes import Run, pairs, report, run
from bench.texts import of_length, sentences

MINUTES = 10
BITRATE = 128_000
LIMITS = {"wall_s": 0.7, "cpu_s": 1.25}


def main(count: int = 5) -> bool:
    """Print the ratios; true if they are within their limits."""
    commands = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as name, open(os.devnull, "wb") as nothing:
        folder = Path(name)
        text = of_length(MINUTES)
        (folder / "text.txt").write_text(text, encoding="utf-8")
        (folder / "sentences.json").write_text(json.dumps(sentences(text)), encoding="utf-8")
        fresh = iter(range(10_000))

        def ours() -> Run:
            environ = {**os.environ, "OSCINE_VOLUME": f"{folder}/{next(fresh)}"}
            command = [str(commands / "oscine"), "say", "-f", f"{folder}/text.txt", "-o", f"{folder}/ours.mp3"]
            return run(
                [*command, "--max-text", "0", "--bitrate", str(BITRATE // 1000)], environ, stdout=nothing.fileno()
            )

        def bare() -> Run:
            script = str(Path(__file__).with_name("bare.py"))
            return run([sys.executable, script, f"{folder}/sentences.json", f"{folder}/bare.mp3", str(BITRATE)])

        return report(f"Long text: {MINUTES} minutes of speech", *pairs(ours, bare, count), LIMITS)


if __name__ == "__main__":
    sys.exit(not main())

"""`python -m bench [NAME ...]`: run the benchmarks and print their ratios."""

from __future__ import annotations

import subprocess
import sys

from bench.processes import machine

NAMES = (
    "startup",
    "first_audio",
    "long_text",
    "memory",
    "mp3_effort",
    "quality",
    "server",
    "server_memory",
    "runpod",
    "bridge",
)


def main(names: list[str]) -> int:
    """0 if every benchmark kept its limits."""
    print(machine())
    kept = True
    for name in names or NAMES:
        if name not in NAMES:
            print(f"no benchmark {name}; there are {', '.join(NAMES)}")
            return 2
        sys.stdout.flush()
        # A process of its own: what one benchmark has loaded must not weigh on the next one's figures.
        kept = subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode == 0 and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

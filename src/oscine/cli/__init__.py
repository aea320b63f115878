"""The command `oscine`."""

from __future__ import annotations


def main() -> None:
    """Entry point; ends the process with 0 done, 2 wrong use, 3 not available, 4 synthesis failed."""
    from oscine.cli.app import run

    run()

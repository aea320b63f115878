"""What every part of the benchmarks prints of a figure: whether it is within its limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Verdict:
    """Collects the lines of the report and whether all limits were kept."""

    kept: bool = True

    def line(self, what: str, figures: str, good: bool, limit: str) -> None:
        """Print a finding and its limit."""
        self.kept = self.kept and good
        print(f"  {what:34} {figures}  ({limit}: {'kept' if good else 'MISSED'})")

"""A progress bar for long work, on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from oscine.synthesis.track import OnProgress, Progress

LONG_CHARS: Final = 1500
"""Text shorter than this is spoken before a bar could be read."""


@contextmanager
def progress_bar(total: int | None, *, quiet: bool) -> Iterator[OnProgress | None]:
    """A callback that moves a bar on standard error; None where nobody would see it. `total` is in characters."""
    if quiet or total is None or total < LONG_CHARS or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("speaking"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("speaking", total=total, facts="")

        def on_progress(progress: Progress) -> None:
            factor = progress.elapsed_seconds / progress.audio_seconds if progress.audio_seconds else 0.0
            facts = f"{progress.audio_seconds / 60:.1f} min of speech, real-time factor {factor:.3f}"
            bar.update(task, completed=min(progress.characters, total), facts=facts)

        yield on_progress
        bar.update(task, completed=total)

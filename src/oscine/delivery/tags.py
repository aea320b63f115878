"""What a file says about itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oscine.audio.chapters import Chapter
from oscine.synthesis.plan import Plan
from oscine.synthesis.result import Report

AUDIOBOOK: Final = "2"
"""The kind of media that players of MP4 sort by (the atom `stik`)."""


def tags_for(source: Plan | Report, *, title: str | None = None, path: Path | None = None) -> dict[str, str]:
    """Tags that name the speech as synthetic and say who spoke it; FFmpeg's generic names.

    Of a plan whose text is still arriving, all voices that may speak. A `path` that ends in .m4b is an audiobook's.
    """
    if isinstance(source, Report):
        engine, voices = source.engine, source.voices
    else:
        engine, voices = source.info.name, source.voices or tuple(prompt.name for prompt in source.cast.prompts)
    tags = {
        "artist": ", ".join(dict.fromkeys(voices)),
        "comment": "synthetic speech",
        "encoded_by": f"Oscine ({engine})",
    }
    if title:
        tags["title"] = title
    if path is not None and path.suffix.lower() == ".m4b":
        tags["media_type"] = AUDIOBOOK
    return tags


def chapter_titles(plan: Plan, title: str) -> tuple[str, ...]:
    """The titles of the chapters that a file of the plan will have; what comes before the first is called `title`.

    None where the text has fewer than two parts, or is still arriving.
    """
    return tuple(each or title for each in plan.chapters) if len(plan.chapters) > 1 else ()


def chapters_of(chapters: Sequence[Chapter], title: str | None) -> Sequence[Chapter]:
    """The chapters of a file called `title`, from its first sample on; none without a title or a second chapter."""
    if title is None or not chapters:
        return ()
    whole = chapters if chapters[0].start == 0 else [Chapter(title, 0.0), *chapters]
    return whole if len(whole) > 1 else ()

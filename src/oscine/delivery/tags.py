"""What a file says about itself."""

from __future__ import annotations

from oscine.synthesis.plan import Plan
from oscine.synthesis.result import Report


def tags_for(source: Plan | Report, *, title: str | None = None) -> dict[str, str]:
    """Tags that name the speech as synthetic and say who spoke it; FFmpeg's generic names.

    Of a plan whose text is still arriving, all voices that may speak.
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
    return tags

"""Texts of a wanted length, made of the corpus."""

from __future__ import annotations

import itertools
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
CHARS_PER_MINUTE = 880
"""How much the built-in voice reads in a minute, pauses included."""
LONG = ("story.txt", "article.txt", "dialogue.txt")


def long_text(name: str) -> str:
    """One of the corpus's long texts."""
    return (CORPUS / name).read_text(encoding="utf-8")


def short_sentences() -> list[str]:
    """The corpus's varied sentences."""
    return [line for line in (CORPUS / "sentences.txt").read_text(encoding="utf-8").splitlines() if line.strip()]


def of_length(minutes: float) -> str:
    """Prose for about that many minutes; what comes again has another number in it, so that no two parts are alike."""
    wanted = round(minutes * CHARS_PER_MINUTE)
    paragraphs = [part for name in LONG[:2] for part in long_text(name).split("\n\n") if part.strip()]
    taken: list[str] = []
    total = 0
    for number in itertools.count():
        for paragraph in paragraphs:
            taken.append(paragraph if number == 0 else f"Part {number}. {paragraph}")
            total += len(taken[-1])
            if total >= wanted:
                return "\n\n".join(taken) + "\n"
    raise AssertionError("unreachable")


def sentences(text: str) -> list[str]:
    """The sentences that Oscine speaks for `text`, as they reach the engine."""
    from oscine.config import Settings
    from oscine.request import SpeechRequest
    from oscine.synthesis.studio import Studio

    request, _ = SpeechRequest.parse({"text": text})
    with Studio(Settings(max_text_length=0)) as studio:
        return [piece.utterance.text for piece in studio.plan(request).pieces()]

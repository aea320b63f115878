"""How long speech should last, and what is wrong with speech that lasts otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from oscine.engines.protocol import Utterance
from oscine.text.measure import letters

LETTERS_PER_S: Final = 15.0
"""About how fast people read aloud."""


@dataclass(frozen=True)
class Expected:
    """What is expected of an utterance's length."""

    seconds: float

    @classmethod
    def of(cls, utterance: Utterance) -> Self:
        """Guess from the text."""
        return cls.reading(letters(utterance.text))

    @classmethod
    def reading(cls, count: float) -> Self:
        """Of so many letters of English, or what takes as long to say."""
        return cls(count / LETTERS_PER_S)

    @property
    def comfortable(self) -> float:
        """Seconds for which there must be room."""
        return 1.25 * self.seconds + 2

    @property
    def longest(self) -> float:
        """Seconds after which it will not end any more."""
        return 2 * self.seconds + 8

    def fault(self, seconds: float, *, ended: bool) -> str | None:
        """What is wrong with speech of so many seconds; `ended`: the model said that this was all."""
        if not ended:
            return "did not come to an end"
        if seconds < 0.3 * self.seconds - 0.3:
            return "left out most of the text"
        return None

"""Voices of one request brought to one loudness, before the whole is mastered.

What an engine makes of a recording is as loud as the recording was, so the speakers of a podcast would be further apart
than any listener puts up with. Every voice keeps its own dynamics: its gain changes in pauses alone, and in a file it
is the same from the first piece to the last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from oscine.audio.learned import LearnedLoudness
from oscine.synthesis.plan import Piece, Plan
from oscine.synthesis.speak import Spoken

APART_LU: Final = 1.0
"""Voices that are no further apart are left as they are."""
MOST_DB: Final = 15.0


class VoiceLevels:
    """The gain of each voice, towards the loudness of the first one; 0 dB where a request has only one."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._heard: dict[str, LearnedLoudness] = {}
        self._piece: Piece | None = None
        self._gain_db = 0.0
        self._given: dict[str, set[float]] = {}
        self._settled: dict[str, float] | None = None

    def level(self, spoken: Spoken) -> Spoken:
        """`spoken`, as loud as it should be among the others."""
        voice = self._voice(spoken.piece)
        if voice is None:
            return spoken
        if self._settled is None:
            self._heard.setdefault(voice, LearnedLoudness(self._plan.info.sample_rate)).push(spoken.samples)
        if self._piece is not spoken.piece:
            self._piece = spoken.piece
            self._gain_db = self._wanted(voice) if self._settled is None else self._settled.get(voice, 0.0)
            self._given.setdefault(voice, set()).add(self._gain_db)
        if not self._gain_db:
            return spoken
        return replace(spoken, samples=spoken.samples * np.float32(10 ** (self._gain_db / 20)))

    def settle(self) -> bool:
        """Let what was learned hold from the first piece on; whether some piece was given another gain than that."""
        self._settled = {voice: self._wanted(voice) for voice in self._heard}
        return any(
            abs(given - self._settled[voice]) > APART_LU for voice, gains in self._given.items() for given in gains
        )

    def _voice(self, piece: Piece) -> str | None:
        """Who speaks; None: nobody else does, or several do in one take."""
        plan = self._plan
        names = plan.voices if plan.voices is not None else [prompt.name for prompt in plan.cast.prompts]
        if plan.request.loudness is None or len(names) < 2:
            return None
        keys = {prompt.key for prompt in piece.utterance.prompts.values()}
        return keys.pop() if len(keys) == 1 else None

    def _wanted(self, voice: str) -> float:
        first = next(iter(self._heard.values())).integrated()
        own = self._heard[voice].integrated()
        if first is None or own is None or abs(first - own) <= APART_LU:
            return 0.0
        return min(MOST_DB, max(-MOST_DB, first - own))

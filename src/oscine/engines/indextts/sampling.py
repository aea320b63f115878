"""How the next code is chosen from a model's scores, with or without beams.

It is what `generate()` of transformers does, from the same random numbers, in less time: penalties and filters look at
the best few tokens instead of sorting all of them, and what beams there are, which have ended and when to stop is
decided on the host, over six numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from oscine.engines.device import sent

_NEVER: Final = -1e9
"""A score that no beam reaches."""


class Overflow(Exception):
    """The scores are no numbers any more."""


@dataclass(frozen=True)
class Sampling:
    """How codes are chosen; the defaults are the models' own."""

    beams: int = 3
    top_k: int = 30
    top_p: float = 0.8
    temperature: float = 0.8
    repetition_penalty: float = 10.0


@dataclass(frozen=True)
class Codes:
    """What there is to choose from."""

    count: int
    stop: int
    counted: tuple[int, ...]
    """Tokens that the penalty for repetition counts as said before the first: the ones that stand for the prompt."""


def chooser(codes: Codes, sampling: Sampling, most: int, device: torch.device) -> One | Beams:
    """What chooses up to `most` codes."""
    return Beams(codes, sampling, most, device) if sampling.beams > 1 else One(codes, sampling, device)


class _Filter:
    """Scores `[beams, codes]` after the penalty for repetition, the temperature, top-k and top-p."""

    def __init__(self, codes: Codes, sampling: Sampling, device: torch.device) -> None:
        self._sampling = sampling
        self._least = 2 if sampling.beams > 1 else 1
        """With beams, one of two may be the end."""
        self.said = torch.zeros(sampling.beams, codes.count, dtype=torch.bool, device=device)
        self.said[:, list(codes.counted)] = True

    def follow(self, parents: list[int], tokens: Tensor) -> None:
        """Beams go on from their parents with these tokens."""
        if parents != list(range(len(parents))):
            self.said = self.said[sent(parents, self.said.device)]
        self.said.scatter_(1, tokens[:, None], True)

    def __call__(self, scores: Tensor) -> Tensor:
        penalty, rows = self._sampling.repetition_penalty, len(scores)
        punished = torch.where(scores < 0, scores * penalty, scores / penalty)
        scores = torch.where(self.said[:rows], punished, scores) / self._sampling.temperature
        best, places = scores.topk(min(max(self._sampling.top_k, self._least), scores.shape[-1]))
        shares = best.flip(-1).softmax(-1).cumsum(-1).flip(-1)
        out = shares <= 1 - self._sampling.top_p
        out[:, : self._least] = False
        return torch.full_like(scores, -math.inf).scatter_(1, places, best.masked_fill(out, -math.inf))


def _finite(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits whose rows can be drawn from, and whether they could before; a GPU does not recover from drawing others.

    The answer is read with what is drawn: asking for it earlier would make the host wait once more.
    """
    rows = logits.isfinite().all(-1, keepdim=True)
    return logits.where(rows, 0.0), rows.all()


class One:
    """Sampling without beams."""

    def __init__(self, codes: Codes, sampling: Sampling, device: torch.device) -> None:
        self._filter = _Filter(codes, sampling, device)
        self._stop = codes.stop
        self._codes: list[int] = []
        self.over = False

    def choose(self, logits: Tensor, generator: torch.Generator, _step: int) -> tuple[list[int], Tensor]:
        logits, sound = _finite(logits)
        shares = self._filter(logits).softmax(-1)
        token = torch.multinomial(shares, 1, generator=generator)[0]
        self._filter.follow([0], token)
        code, is_sound = torch.cat([token, sound[None]]).tolist()
        if not is_sound:
            raise Overflow
        self._codes.append(code)
        self.over = self._codes[-1] == self._stop
        return [0], token

    def agree(self, _parents: list[int], _length: int) -> int | None:
        return None

    def best(self) -> list[int]:
        return self._codes


@dataclass(frozen=True)
class _Ended:
    score: float
    codes: list[int]


@dataclass
class Beams:
    """Sampling with beams, as transformers does it with a length penalty of 0 and without early stopping."""

    codes: Codes
    sampling: Sampling
    most: int
    device: torch.device
    over: bool = False
    _scores: list[float] = field(default_factory=list)
    _codes: list[list[int]] = field(default_factory=list)
    _ended: list[_Ended] = field(default_factory=list)
    _agreed: list[list[int]] = field(default_factory=list)
    """Up to which slot two beams have the same past."""

    def __post_init__(self) -> None:
        beams = self.sampling.beams
        self._filter = _Filter(self.codes, self.sampling, self.device)
        self._scores = [0.0] + [_NEVER] * (beams - 1)
        self._codes = [[] for _ in range(beams)]

    def choose(self, logits: Tensor, generator: torch.Generator, step: int) -> tuple[list[int], Tensor]:
        beams, stop = self.sampling.beams, self.codes.stop
        logits, sound = _finite(logits.expand(beams, -1))
        scores = self._filter(logits.log_softmax(-1)) + sent(self._scores, logits.device)[:, None]
        flat = scores.flatten()
        drawn = torch.multinomial(flat.softmax(-1), 2 * beams, generator=generator)
        # Places are whole in 32 bits up to 16 million; Apple's GPUs have no more.
        found = torch.stack([flat[drawn], drawn.to(flat.dtype), sound.to(flat.dtype).expand(len(drawn))])
        kept, places, (is_sound, *_) = found.tolist()
        if not is_sound:
            raise Overflow
        size = scores.shape[-1]
        candidates = [(score, *divmod(int(place), size)) for score, place in zip(kept, places, strict=True)]
        last = step + 1 >= self.most
        for score, parent, token in candidates[:beams]:
            if token == stop or last:
                self._end(score, [*self._codes[parent], token])
        going = sorted((c for c in candidates if c[2] != stop), key=lambda c: -c[0])[:beams]
        parents = [parent for _, parent, _ in going]
        self._scores = [score for score, _, _ in going]
        self._codes = [[*self._codes[parent], token] for _, parent, token in going]
        tokens = sent([token for _, _, token in going], logits.device)
        self._filter.follow(parents, tokens)
        full = len(self._ended) == beams
        self.over = last or (full and self._scores[0] <= self._ended[-1].score)
        return parents, tokens

    def agree(self, parents: list[int], length: int) -> int | None:
        """The first slot where a beam differs from what lay in its place; None: nothing has to move."""
        beams = range(len(parents))
        before = self._agreed or [[length] * len(parents) for _ in beams]
        before = [[length if i == j else before[i][j] for j in beams] for i in beams]
        start = min(before[i][parents[i]] for i in beams)
        self._agreed = [[before[parents[i]][parents[j]] for j in beams] for i in beams]
        return None if start >= length else start

    def best(self) -> list[int]:
        return self._ended[0].codes

    def _end(self, score: float, codes: list[int]) -> None:
        """Keep the best sequences that have ended; of equals, the earlier."""
        self._ended.append(_Ended(score, codes))
        self._ended.sort(key=lambda ended: -ended.score)
        del self._ended[self.sampling.beams :]

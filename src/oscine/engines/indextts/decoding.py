"""The loop that turns a prompt into codes: the models' GPT-2, sampled with or without beams.

It draws what `generate()` of transformers draws from a generator with the same seed, token for token, in a fraction of
its time: a step is one pass over flat buffers and one look at a handful of candidates.

* The prompt is computed once and not once for each beam.
* Keys and values lie in one buffer. Beams have a long past in common, so where they change places only what differs
  moves (`Beams.agree`), for all layers in one copy; `generate()` copies everything, layer by layer, at each step.
* Penalties and filters look at the best few tokens instead of sorting all of them.
* What beams there are, which have ended and when to stop is decided on the host, over six numbers.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

_NEVER: Final = -1e9
"""A score that no beam reaches."""


@dataclass(frozen=True)
class Sampling:
    """How codes are chosen; the defaults are the models' own."""

    beams: int = 3
    top_k: int = 30
    top_p: float = 0.8
    temperature: float = 0.8
    repetition_penalty: float = 10.0


@dataclass(frozen=True, eq=False)
class Weights:
    """What the loop needs of a model's GPT-2."""

    blocks: Any
    """`GPT2Model.h`"""
    norm: Any
    """`GPT2Model.ln_f`"""
    last_norm: Any
    head: Any
    codes: Any
    """Embedding of the codes."""
    positions: Any
    """Embedding of their places."""
    heads: int
    start: int
    stop: int
    counted: tuple[int, ...]
    """Tokens that the penalty for repetition counts as said before the first: the ones that stand for the prompt."""
    second: int
    """The place of the first chosen code. (IndexTTS-2's own code says 2, 2.5's says 1.)"""

    @property
    def layers(self) -> int:
        return len(self.blocks)


class KeyValues:
    """Keys and values of all layers and beams: `[layers, 2, beams, heads, slots, width]`."""

    def __init__(self, weights: Weights, beams: int, slots: int, like: Tensor) -> None:
        width = like.shape[-1] // weights.heads
        self.all = like.new_empty(weights.layers, 2, beams, weights.heads, slots, width)

    def move(self, parents: list[int], start: int, end: int) -> None:
        """Let each beam have the slots from `start` to `end` of its parent."""
        if start < end:
            part = self.all[:, :, :, :, start:end]
            part.copy_(part[:, :, parents])


def decode(
    weights: Weights, prompt: Tensor, sampling: Sampling, most: int, generator: torch.Generator
) -> Generator[None, None, list[int]]:
    """Yields after each step; returns the codes, ended by `weights.stop` unless the model had not come to an end.

    Args:
        weights: The model.
        prompt: Embeddings `[prompt, width]`, with that of the start token at the end.
        sampling: How codes are chosen.
        most: So many codes are made at most.
        generator: On the prompt's device; nothing else in the process reaches the codes.
    """
    beams = sampling.beams
    length = len(prompt)
    memory = KeyValues(weights, beams, length + most, prompt)
    logits = _prefill(weights, prompt, memory)
    chooser = _Beams(weights, sampling, most, prompt.device) if beams > 1 else _One(weights, sampling, prompt.device)
    step = 0
    while True:
        parents, tokens = chooser.choose(logits, generator, step)
        yield
        step += 1
        if chooser.over or step >= most:
            return chooser.best()
        agree = chooser.agree(parents, length)
        if agree is not None:
            memory.move(parents, agree, length)
        place = weights.positions.weight[weights.second + step - 1]
        x = functional.embedding(tokens, weights.codes.weight) + place
        logits = _forward(weights, x, memory, length)
        length += 1


def _prefill(weights: Weights, prompt: Tensor, memory: KeyValues) -> Tensor:
    """Read the prompt; logits `[1, codes]` of the first code."""
    x = prompt
    count = len(prompt)
    for layer, block in enumerate(weights.blocks):
        query, key, value = _projected(block, x, weights.heads)  # each [heads, prompt, width]
        memory.all[layer, 0, :, :, :count] = key
        memory.all[layer, 1, :, :, :count] = value
        attended = functional.scaled_dot_product_attention(query[None], key[None], value[None], is_causal=True)[0]
        x = _rest(block, x, attended.transpose(0, 1).reshape(x.shape))
    return _logits(weights, x[-1:])


def _forward(weights: Weights, x: Tensor, memory: KeyValues, length: int) -> Tensor:
    """A token for each beam, `[beams, width]`, after `length` slots; logits `[beams, codes]`."""
    beams, end = len(x), length + 1
    for layer, block in enumerate(weights.blocks):
        qkv = torch.addmm(block.attn.c_attn.bias, _normed(block.ln_1, x), block.attn.c_attn.weight)
        query, key, value = qkv.view(beams, 3, weights.heads, -1).unbind(1)
        keys, values = memory.all[layer]
        keys[:, :, length] = key
        values[:, :, length] = value
        attended = functional.scaled_dot_product_attention(query[:, :, None], keys[:, :, :end], values[:, :, :end])
        x = _rest(block, x, attended.reshape(x.shape))
    return _logits(weights, x)


def _projected(block: Any, x: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    qkv = torch.addmm(block.attn.c_attn.bias, _normed(block.ln_1, x), block.attn.c_attn.weight)
    query, key, value = qkv.view(len(x), 3, heads, -1).permute(1, 2, 0, 3)
    return query, key, value


def _rest(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    """What a block does after attention."""
    x = x + torch.addmm(block.attn.c_proj.bias, attended, block.attn.c_proj.weight)
    inner = torch.addmm(block.mlp.c_fc.bias, _normed(block.ln_2, x), block.mlp.c_fc.weight)
    return x + torch.addmm(block.mlp.c_proj.bias, functional.gelu(inner, approximate="tanh"), block.mlp.c_proj.weight)


def _logits(weights: Weights, x: Tensor) -> Tensor:
    x = _normed(weights.last_norm, _normed(weights.norm, x))
    return functional.linear(x, weights.head.weight, weights.head.bias).float()


def _normed(norm: Any, x: Tensor) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)


class _Filter:
    """Scores `[beams, codes]` after the penalty for repetition, the temperature, top-k and top-p."""

    def __init__(self, weights: Weights, sampling: Sampling, device: torch.device) -> None:
        self._sampling = sampling
        self._least = 2 if sampling.beams > 1 else 1
        """With beams, one of two may be the end."""
        self.said = torch.zeros(sampling.beams, len(weights.head.weight), dtype=torch.bool, device=device)
        self.said[:, list(weights.counted)] = True

    def follow(self, parents: list[int], tokens: Tensor) -> None:
        """Beams go on from their parents with these tokens."""
        if parents != list(range(len(parents))):
            self.said = self.said[parents]
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


class _One:
    """Sampling without beams."""

    def __init__(self, weights: Weights, sampling: Sampling, device: torch.device) -> None:
        self._filter = _Filter(weights, sampling, device)
        self._stop = weights.stop
        self._codes: list[int] = []
        self.over = False

    def choose(self, logits: Tensor, generator: torch.Generator, _step: int) -> tuple[list[int], Tensor]:
        shares = self._filter(logits).softmax(-1)
        token = torch.multinomial(shares, 1, generator=generator)[0]
        self._filter.follow([0], token)
        self._codes.append(int(token))
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
class _Beams:
    """Sampling with beams, as transformers does it with a length penalty of 0 and without early stopping."""

    weights: Weights
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
        self._filter = _Filter(self.weights, self.sampling, self.device)
        self._scores = [0.0] + [_NEVER] * (beams - 1)
        self._codes = [[] for _ in range(beams)]

    def choose(self, logits: Tensor, generator: torch.Generator, step: int) -> tuple[list[int], Tensor]:
        beams, stop = self.sampling.beams, self.weights.stop
        logits = logits.expand(beams, -1)
        scores = self._filter(logits.log_softmax(-1)) + torch.tensor(self._scores, device=logits.device)[:, None]
        flat = scores.flatten()
        drawn = torch.multinomial(flat.softmax(-1), 2 * beams, generator=generator)
        found = torch.stack([flat[drawn].double(), drawn.double()]).tolist()
        size = scores.shape[-1]
        candidates = [(score, *divmod(int(place), size)) for score, place in zip(*found, strict=True)]
        last = step + 1 >= self.most
        for score, parent, token in candidates[:beams]:
            if token == stop or last:
                self._end(score, [*self._codes[parent], token])
        going = sorted((c for c in candidates if c[2] != stop), key=lambda c: -c[0])[:beams]
        parents = [parent for _, parent, _ in going]
        self._scores = [score for score, _, _ in going]
        self._codes = [[*self._codes[parent], token] for _, parent, token in going]
        tokens = torch.tensor([token for _, _, token in going], device=logits.device)
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

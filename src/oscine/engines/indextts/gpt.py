"""The models' GPT-2, one code for each beam at a time, over buffers that stay where they are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from oscine.engines.device import free_memory, is_for_memory, sent
from oscine.engines.graphs import Recorder
from oscine.engines.indextts.sampling import Codes
from oscine.engines.sizes import bucket

log = logging.getLogger(__name__)

LEAST_VIEW: Final = 256
"""Slots that attention reads at least where a step is a graph; more in powers of two, a graph for each."""
_SPARE: Final = 0.6
"""The share of the memory free after loading that buffers of keys and values may take."""


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
    choice: Codes
    second: int
    """The place of the first chosen code."""

    @property
    def layers(self) -> int:
        return len(self.blocks)


class Memory:
    """Keys and values of what beams have said: `[layers, 2, beams, heads, slots, width]`."""

    def __init__(self, weights: Weights, beams: int, slots: int) -> None:
        like = weights.head.weight
        self._weights = weights
        self.slots = slots
        self.length = 0
        """Slots that are filled."""
        width = like.shape[-1] // weights.heads
        self._all = self._buffer(like, weights.layers, 2, beams, weights.heads, slots, width)

    def read(self, prompt: Tensor) -> Tensor:
        """Begin with a prompt `[n, width]`, once for all beams; logits `[1, codes]` of the first code."""
        x, self.length = prompt, len(prompt)
        for layer, block in enumerate(self._weights.blocks):
            query, key, value = _projected(block, x, self._weights.heads).permute(1, 2, 0, 3)
            self._all[layer, 0, :, :, : self.length] = key
            self._all[layer, 1, :, :, : self.length] = value
            attended = functional.scaled_dot_product_attention(query[None], key[None], value[None], is_causal=True)[0]
            x = _rest(block, x, attended.transpose(0, 1).reshape(x.shape))
        return _logits(self._weights, x[-1:])

    def say(self, tokens: Tensor, place: int) -> Tensor:
        """A code for each beam, `[beams]`, at a place; logits `[beams, codes]` of the next."""
        weights, at, end = self._weights, self.length, self.length + 1
        x = functional.embedding(tokens, weights.codes.weight) + weights.positions.weight[place]
        for layer, block in enumerate(weights.blocks):
            query, key, value = _projected(block, x, weights.heads).unbind(1)
            keys, values = self._all[layer]
            keys[:, :, at] = key
            values[:, :, at] = value
            attended = functional.scaled_dot_product_attention(query[:, :, None], keys[:, :, :end], values[:, :, :end])
            x = _rest(block, x, attended.reshape(x.shape))
        self.length = end
        return _logits(weights, x)

    def move(self, parents: list[int], start: int) -> None:
        """Let each beam have what its parent has from the slot `start`."""
        part = self._all[:, :, :, :, start : self.length]
        part.copy_(part[:, :, sent(parents, part.device)])

    @staticmethod
    def _buffer(like: Tensor, *shape: int) -> Tensor:
        return like.new_empty(shape)


class Replayed(Memory):
    """The same on a GPU, where a step is one graph instead of hundreds of launches.

    What changes from step to step stands in buffers: the tokens, their place, and the slot they go to. Attention reads
    more slots than are filled, in powers of two, and looks away from the rest.
    """

    def __init__(self, weights: Weights, beams: int, slots: int) -> None:
        super().__init__(weights, beams, slots)
        device = weights.head.weight.device
        self._tokens = torch.zeros(beams, dtype=torch.long, device=device)
        self._at = torch.zeros(2, 1, dtype=torch.long, device=device)
        """The place of the tokens, and their slot."""
        self._slots = torch.arange(slots, device=device)
        self._logits = torch.zeros(beams, weights.choice.count, device=device)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._recorder = Recorder(device)
        self._captures = device.type == "cuda"

    def read(self, prompt: Tensor) -> Tensor:
        # What was said before may hold no numbers, and those spread from where attention looks away, too.
        self._all[:, :, :, :, len(prompt) :].zero_()
        return super().read(prompt)

    def say(self, tokens: Tensor, place: int) -> Tensor:
        view = bucket(self.length + 1, LEAST_VIEW, self.slots)
        self._tokens.copy_(tokens)
        self._at.copy_(torch.tensor([[place], [self.length]]), non_blocking=True)
        if self._captures and view not in self._graphs:
            try:
                self._capture(view)
            except RuntimeError as error:
                if not is_for_memory(error):
                    raise
                self._captures = False  # what is recorded is replayed, the rest is run
        if view in self._graphs:
            self._graphs[view].replay()
        else:
            self._step(view)
        self.length += 1
        return self._logits

    def warm_up(self) -> None:
        """Record the steps of all sizes."""
        view = LEAST_VIEW
        while self._captures and view not in self._graphs:
            self._at[1] = min(view, self.slots) - 1
            self._capture(min(view, self.slots))
            view = min(2 * view, self.slots)

    def _step(self, view: int) -> None:
        weights, (place, at) = self._weights, self._at
        x = functional.embedding(self._tokens, weights.codes.weight) + weights.positions.weight[place]
        filled = (self._slots[:view] <= at)[None, None, None]
        for layer, block in enumerate(weights.blocks):
            query, key, value = _projected(block, x, weights.heads).unbind(1)
            keys, values = self._all[layer]
            keys.index_copy_(2, at, key[:, :, None])
            values.index_copy_(2, at, value[:, :, None])
            attended = functional.scaled_dot_product_attention(
                query[:, :, None], keys[:, :, :view], values[:, :, :view], attn_mask=filled
            )
            x = _rest(block, x, attended.reshape(x.shape))
        self._logits.copy_(_logits(weights, x))

    def _capture(self, view: int) -> None:
        """Record a step. Its rehearsals write what the step itself will write."""
        try:
            graph = self._recorder.record(lambda: self._step(view), next(iter(self._graphs.values()), None))
        except RuntimeError as error:
            if is_for_memory(error):
                raise
            log.warning("A step cannot be recorded on this GPU (%s); speech is slower.", type(error).__name__)
            self._captures = False
            self._graphs.clear()
            return
        self._graphs[view] = graph

    @staticmethod
    def _buffer(like: Tensor, *shape: int) -> Tensor:
        return like.new_zeros(shape)  # what attention looks away from must still be numbers


class Memories:
    """Memories for the segments that are being decoded; on a GPU they are used again, with their graphs."""

    def __init__(self, weights: Weights, *, replay: bool | None = None) -> None:
        self._weights = weights
        self._replay = weights.head.weight.device.type == "cuda" if replay is None else replay
        self._free: dict[int, list[Replayed]] = {}

    def fit(self, beams: int, slots: int) -> int | None:
        """How many memories of that size the device has room for, beside what speech needs in passing; None: many."""
        like = self._weights.head.weight
        if like.device.type != "cuda":
            return None
        free_memory()  # what loading took in passing counts as taken until then
        free, _ = torch.cuda.mem_get_info(like.device)
        return int(free * _SPARE / (2 * self._weights.layers * beams * slots * like.shape[-1] * like.element_size()))

    def warm_up(self, beams: int, slots: int) -> None:
        """Make a memory ready, with all its graphs."""
        with self.memory(beams, slots) as memory:
            if isinstance(memory, Replayed):
                memory.warm_up()

    @contextmanager
    def memory(self, beams: int, slots: int) -> Iterator[Memory]:
        """A memory with room for so many slots, for as long as this is entered."""
        if not self._replay:
            yield Memory(self._weights, beams, slots)
            return
        free = self._free.setdefault(beams, [])
        memory = free.pop() if free else None
        if memory is None or memory.slots < slots:
            memory = None  # before a larger one is made: there may be no room for both
            memory = Replayed(self._weights, beams, -(-slots // LEAST_VIEW) * LEAST_VIEW)
        try:
            yield memory
        finally:
            free.append(memory)


def _projected(block: Any, x: Tensor, heads: int) -> Tensor:
    """Queries, keys and values `[n, 3, heads, width]`."""
    qkv = torch.addmm(block.attn.c_attn.bias, _normed(block.ln_1, x), block.attn.c_attn.weight)
    return qkv.view(len(x), 3, heads, -1)


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

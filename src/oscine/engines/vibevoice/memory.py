"""What the model remembers of each lane, in tensors that keep their place.

transformers' modules are called as they are: they see a cache of keys and values, and a cache of the context of their
convolutions, each with the one method that they call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class KeyValues:
    """Keys and values of all layers, `[rows, slots, heads, width]` each, allocated once."""

    def __init__(self, config: Any, rows: int, slots: int, dtype: torch.dtype, device: torch.device) -> None:
        """`config` is the language model's; the types stand for those of its activations."""
        shape = (rows, slots, config.num_key_value_heads, head_width(config))
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_hidden_layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_hidden_layers)]

    def clear(self, rows: slice) -> None:
        """Forget all: what is masked is multiplied with 0, which does not help against a NaN."""
        for each in (*self.keys, *self.values):
            each[rows] = 0


def head_width(config: Any) -> int:
    """Numbers in a key."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def bytes_per_slot(config: Any, dtype: torch.dtype) -> int:
    """Memory that one token of one row takes."""
    return 2 * int(config.num_hidden_layers * config.num_key_value_heads) * head_width(config) * dtype.itemsize


class OneToken:
    """The cache for a frame: row r adds its token at slot `at[r]`, and the first `view` slots are read."""

    def __init__(self, memory: KeyValues, rows: Tensor, at: Tensor, view: int) -> None:
        self._memory, self._rows, self._at, self._view = memory, rows, at, view

    def update(self, key: Tensor, value: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Add `[rows, heads, 1, width]`; returns all that may be read."""
        keys, values = self._memory.keys[layer], self._memory.values[layer]
        keys.index_put_((self._rows, self._at), key[:, :, 0])
        values.index_put_((self._rows, self._at), value[:, :, 0])
        count = len(self._rows)
        return keys[:count, : self._view].transpose(1, 2), values[:count, : self._view].transpose(1, 2)


class PartOfPrompt:
    """The cache for a part of one row's prompt, which begins at slot `start`."""

    def __init__(self, memory: KeyValues, row: int, start: int) -> None:
        self._memory, self._row, self._start = memory, row, start

    def update(self, key: Tensor, value: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Add `[1, heads, tokens, width]`; returns the prompt so far."""
        end = self._start + key.shape[2]
        found = []
        for memory, part in ((self._memory.keys[layer], key), (self._memory.values[layer], value)):
            memory[self._row, self._start : end] = part[0].transpose(0, 1)
            found.append(memory[self._row : self._row + 1, :end].transpose(1, 2))
        return found[0], found[1]


class Contexts:
    """The left context of every causal convolution of a network, `[lanes, channels, width]` each, in one tensor."""

    def __init__(self, network: nn.Module, lanes: int, dtype: torch.dtype, device: torch.device) -> None:
        shapes = {str(module.cache_key): (module.in_channels, _width(module)) for module in _convolutions(network)}
        total = sum(channels * width for channels, width in shapes.values())
        self.whole = torch.zeros(lanes, total, dtype=dtype, device=device)
        """All of them, `[lanes, numbers]`."""
        parts = self.whole.split([channels * width for channels, width in shapes.values()], dim=1)
        self._of = {key: part.view(lanes, *shape) for (key, shape), part in zip(shapes.items(), parts, strict=True)}

    @contextmanager
    def advance(self, speaks: Tensor) -> Iterator[Advance]:
        """The cache for a frame. `speaks`, bool `[lanes]`: the others' contexts are as they were when it ends."""
        lanes = len(speaks)
        before = self.whole[:lanes].clone()
        yield Advance(self._of)
        self.whole[:lanes].copy_(torch.where(speaks[:, None], self.whole[:lanes], before))

    def clear(self, lane: int) -> None:
        """Begin anew."""
        self.whole[lane] = 0

    def forget(self, which: Tensor) -> None:
        """Begin anew for those where `which`, bool `[lanes]`, is true."""
        self.whole[: len(which)].masked_fill_(which[:, None], 0)


class Advance:
    """See `Contexts.advance`."""

    def __init__(self, contexts: Mapping[str, Tensor]) -> None:
        self._contexts = contexts

    def update(self, samples: Tensor, key: str, _module: nn.Module) -> Tensor:
        """`samples`, `[lanes, channels, n]`, with what came before them."""
        context = self._contexts[key][: len(samples)]
        if not context.shape[-1]:
            return samples
        whole = torch.cat([context, samples], dim=-1)
        context.copy_(whole[..., -context.shape[-1] :])
        return whole


def _convolutions(network: nn.Module) -> Iterator[Any]:
    return (module for module in network.modules() if hasattr(module, "cache_key"))


def _width(module: Any) -> int:
    """How much context a convolution needs.

    A transposed one needs the inputs whose output overlaps that of the next: fewer than transformers keeps for it.
    """
    if hasattr(module, "convtr"):
        return int(-(-module.convtr.kernel_size[0] // module.stride) - 1)
    return int(module.left_pad)

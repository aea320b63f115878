"""The loop that turns a prompt into codes.

It says what `generate()` of transformers says with a generator of the same seed, token for token, in less time:

* The prompt is read once and not once for each beam.
* Keys and values lie in one buffer. Beams have a long past in common, so where they change places only what differs
  moves, for all layers in one copy; `generate()` copies everything, layer by layer, at each step.
* A step is one pass over flat buffers, on a GPU one graph (`gpt`), and a look at a few candidates (`sampling`).
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from oscine.engines.indextts.gpt import Memories, Weights
from oscine.engines.indextts.sampling import Sampling, chooser


def decode(
    weights: Weights,
    memories: Memories,
    prompt: Tensor,
    sampling: Sampling,
    most: int,
    generator: torch.Generator,
) -> Generator[None, None, list[int]]:
    """Yields after each step; returns the codes, with the end as the last unless there were `most` before it.

    Raises Overflow.

    Args:
        weights: The model.
        memories: Buffers for the keys and values of what was decoded.
        prompt: Embeddings `[prompt, width]`, with that of the start token at the end.
        sampling: How codes are chosen.
        most: Codes that are made at most.
        generator: On the prompt's device; the codes depend on no other random state.
    """
    with memories.memory(sampling.beams, len(prompt) + most) as memory:
        logits = memory.read(prompt)
        choice = chooser(weights.choice, sampling, most, prompt.device)
        for step in range(most):
            parents, tokens = choice.choose(logits, generator, step)
            yield
            if choice.over:
                break
            agree = choice.agree(parents, memory.length)
            if agree is not None:
                memory.move(parents, agree)
            logits = memory.say(tokens, weights.second + step)
        return choice.best()

"""What IndexTTS-2's own code needs to run with current transformers; Oscine's loop does not use that part of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def mask_kept() -> Iterator[None]:
    """Hand IndexTTS-2 the mask that `generate()` of transformers drops where it hides nothing."""
    from indextts.gpt.model_v2 import GPT2InferenceModel

    forward = GPT2InferenceModel.forward

    def with_mask(
        self: Any, input_ids: Any = None, past_key_values: Any = None, attention_mask: Any = None, **more: Any
    ) -> Any:
        if attention_mask is None:
            past = 0 if past_key_values is None else int(past_key_values.get_seq_length())
            shape = (input_ids.shape[0], past + input_ids.shape[1])
            attention_mask = torch.ones(shape, dtype=torch.long, device=input_ids.device)
        return forward(self, input_ids, past_key_values, attention_mask, **more)

    GPT2InferenceModel.forward = with_mask
    try:
        yield
    finally:
        GPT2InferenceModel.forward = forward

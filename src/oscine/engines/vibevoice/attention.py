"""Attention of one token per row over a cache with fewer heads than the queries have."""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor
from torch.nn import functional

NAME: Final = "oscine_lanes"


def use_in(language_model: Any) -> None:
    """Let the language model use it. Prompts, and transformers' own generation, go on with transformers' `sdpa`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    language_model.config._attn_implementation = NAME


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Queries that share a key head stand side by side, as if they were tokens: nothing is copied for each of them.

    transformers' own way repeats the keys and values for each query head where there is a mask: seven times the cache
    with the 7B model.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, tokens, width = query.shape
    if tokens > 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    grouped = query.reshape(rows, key.shape[1], -1, width)
    heard = functional.scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return heard.reshape(rows, 1, heads, width), None

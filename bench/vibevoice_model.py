"""VibeVoice at its real sizes with random weights, made where it will run: no hub and no file is asked."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor

STOP, BEGIN, END, SPEAK = 151643, 151652, 151653, 151654
VOICE_PLACES: Final = 225
"""30 s of a reference, a place for each 133 ms."""
TEXT_TOKENS: Final = 110
"""60 words, and what a script has around them."""
SCHEDULE: Final = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
MODELS: Final[dict[str, dict[str, Any]]] = {
    "1.5B": {
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "intermediate_size": 8960,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
        "max_position_embeddings": 65536,
    },
    "7B": {
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "intermediate_size": 18944,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
        "max_position_embeddings": 32768,
    },
    # For CPUs. With all the words of the others `generate()` would do little but score words.
    "middle": {
        "hidden_size": 256,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 1024,
        "vocab_size": 4096,
        "tie_word_embeddings": True,
        "max_position_embeddings": 8192,
    },
}


def create(name: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A model that says noise at the speed of the real one."""
    from transformers import VibeVoiceForConditionalGeneration
    from transformers.initialization import no_init_weights
    from transformers.utils import logging

    logging.set_verbosity_error()
    with torch.device(device), no_init_weights():
        model: Any = VibeVoiceForConditionalGeneration._from_config(_config(name), dtype=dtype)
    model.tie_weights()
    _fill(model, torch.Generator(device).manual_seed(0))
    made = model.generation_config
    made.update(noise_scheduler_class="DPMSolverMultistepScheduler", noise_scheduler_config=SCHEDULE, do_sample=False)
    made._from_model_config = False
    return model.eval().requires_grad_(False)


def prompt(model: Any, seed: int = 0) -> Tensor:
    """Token ids of a script after 30 s of a reference, `[1, tokens]`; the voice's places hold words as well."""
    words = min(model.config.eos_token_id, model.config.audio_bos_token_id)
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(words, (1, VOICE_PLACES + TEXT_TOKENS), generator=draw)
    ids[0, -1] = model.config.audio_bos_token_id
    return ids


def silent(model: Any) -> list[int]:
    """The tokens that are no speech: where they are banned, lengths are as they are asked for."""
    ids = model.config
    return [ids.eos_token_id, ids.audio_bos_token_id, ids.audio_eos_token_id]


def _config(name: str) -> Any:
    from transformers import VibeVoiceConfig

    sizes = MODELS[name]
    filters = 8 if name == "middle" else 32
    # The words of the middle model end where the others' are cut off.
    shift = min(0, sizes["vocab_size"] - SPEAK - 1)
    audio = {
        "hidden_size": 64,
        "num_filters": filters,
        "downsampling_ratios": [2, 2, 4, 5, 5, 8],
        "depths": [3, 3, 3, 3, 3, 3, 8],
    }
    return VibeVoiceConfig(
        text_config={
            "model_type": "qwen2",
            "bos_token_id": None,
            "eos_token_id": STOP + shift,
            "pad_token_id": STOP + shift,
            **sizes,
        },
        audio_config={"model_type": "vibevoice_acoustic_tokenizer", **audio},
        semantic_model_config={"model_type": "vibevoice_acoustic_tokenizer_encoder", **audio, "hidden_size": 128},
        diffusion_head_config={"num_hidden_layers": 4, "intermediate_size": 3 * sizes["hidden_size"]},
        pad_token_id=STOP + shift,
        eos_token_id=STOP + shift,
        audio_bos_token_id=BEGIN + shift,
        audio_eos_token_id=END + shift,
        audio_token_id=SPEAK + shift,
    )


@torch.no_grad()
def _fill(model: Any, draw: torch.Generator) -> None:
    """Numbers that neither grow nor vanish from layer to layer; zeros would be quicker to reckon with on some chips."""
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            weight.normal_(0, 1 / math.sqrt(weight[0].numel()), generator=draw)
        elif weight.ndim == 1:
            weight.fill_(0.0 if name.endswith("bias") else 0.1 if name.endswith("gamma") else 1.0)
    parts = model.model
    parts.latent_scaling_factor.fill_(1.0)
    parts.latent_bias_factor.fill_(0.0)

"""Checkpoints of VibeVoice's real architecture with few and random weights, made as they are needed.

What such a model says is noise, but it says it as the real one does: it speaks frame by frame, and ends by itself after
a while that depends on the voice, the text and the seed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, pre_tokenizers
from transformers import (
    Qwen2Tokenizer,
    VibeVoiceAcousticTokenizerFeatureExtractor,
    VibeVoiceConfig,
    VibeVoiceForConditionalGeneration,
    VibeVoiceProcessor,
)

from oscine.audio.waveform import Samples, Waveform

torch.set_num_threads(1)  # its operations are so small that two threads would only wait for each other
RATE = 24_000
_ECHO = 0.02
"""How much of what was said is heard: with more of it rounding errors grow from frame to frame."""
SPECIAL = ("<|endoftext|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
TEMPLATE = (
    "Read the script.\n"
    "{% for m in messages %}{% for c in m['content'] if c['type'] == 'audio' %}"
    " Speaker {{ m['role'] }}:<|vision_start|><|vision_pad|><|vision_end|>\n"
    "{% endfor %}{% endfor %}"
    "{% for m in messages %}{% for c in m['content'] if c['type'] == 'text' %}"
    " Speaker {{ m['role'] }}: {{ c['text'] }}\n"
    "{% endfor %}{% endfor %}"
    " Speech:\n<|vision_start|>"
)


def tokenizer() -> Qwen2Tokenizer:
    """A token for each byte, and the four that VibeVoice needs."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Qwen2Tokenizer(vocab={letter: index for index, letter in enumerate(letters)}, merges=[], padding_side="left")
    made.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL[1:]])
    return made


def config(
    *, hidden: int = 32, layers: int = 2, depths: tuple[int, ...] = (1,) * 7, filters: int = 2, latent: int = 8
) -> VibeVoiceConfig:
    words = tokenizer()
    stop, begin, end, pad = (len(words) - 4 + index for index in range(4))
    assert words.convert_tokens_to_ids(list(SPECIAL)) == [stop, begin, end, pad]
    audio = {
        "model_type": "vibevoice_acoustic_tokenizer",
        "hidden_size": latent,
        "kernel_size": 7,
        "num_filters": filters,
        "downsampling_ratios": [2, 2, 4, 5, 5, 8],
        "depths": list(depths),
        "ffn_expansion": 2,
    }
    return VibeVoiceConfig(
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(words),
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": stop,
            "pad_token_id": stop,
        },
        audio_config=audio,
        semantic_model_config={
            **audio,
            "model_type": "vibevoice_acoustic_tokenizer_encoder",
            "hidden_size": latent + 4,
        },
        diffusion_head_config={
            "num_hidden_layers": 2,
            "intermediate_size": 2 * hidden,
            "frequency_embedding_size": 32,
        },
        pad_token_id=stop,
        eos_token_id=stop,
        audio_bos_token_id=begin,
        audio_eos_token_id=end,
        audio_token_id=pad,
    )


def model(*, stop: float = 1.6, **sizes: Any) -> Any:
    """A model whose every part matters to its sound; the larger `stop`, the sooner it ends.

    A fresh model would end at once, and its layers would add next to nothing, which hides faults. So the first three
    numbers of what the language model reads are kept for its choice: 0 goes on, 1 follows the last latent and ends the
    audio, 2 ends all; and all else is drawn large.
    """
    made: Any = VibeVoiceForConditionalGeneration(config(**sizes)).eval()
    draw = torch.Generator().manual_seed(7)

    def fill(weight: torch.Tensor, scale: float) -> None:
        weight.copy_(torch.randn(weight.shape, generator=draw) * scale)

    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv1d | torch.nn.ConvTranspose1d):
                fan = module.weight[0].numel()
                fill(module.weight, 1 / math.sqrt(fan))
                if module.bias is not None:
                    module.bias.zero_()
        for name, weight in made.named_parameters():
            if name.endswith("gamma"):
                weight.fill_(0.5)
        _steer(made, fill, stop)
        decoder = made.model.audio_tower.decoder
        some = torch.randn(1, decoder.config.hidden_size, 20, generator=draw)
        decoder.head.conv.weight.mul_(0.1 / decoder(some).audio.std())
    made.generation_config.update(
        max_new_tokens=64,
        do_sample=False,
        guidance_scale=1.3,
        noise_scheduler_class="DPMSolverMultistepScheduler",
        noise_scheduler_config={"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
    )
    made.generation_config._from_model_config = False
    return made


def _steer(made: Any, fill: Any, stop: float) -> None:
    parts, ids = made.model, made.config
    words, choice = parts.language_model.embed_tokens.weight, made.lm_head.weight
    fill(words, 0.5)
    words[:, :3] = torch.tensor([1.0, 0.0, 0.0])
    words[ids.audio_eos_token_id, :3] = torch.tensor([0.0, 0.0, 6.0])
    choice.zero_()
    choice[ids.audio_token_id, 0] = choice[ids.audio_eos_token_id, 1] = choice[ids.eos_token_id, 2] = 1.0
    for layer in parts.language_model.layers:
        layer.mlp.down_proj.weight.mul_(0.5)
        layer.mlp.down_proj.weight[:3] = layer.self_attn.o_proj.weight[:3] = 0
    for projector in (parts.multi_modal_projector, parts.semantic_connector):
        projector.linear_2.weight.mul_(_ECHO)
        projector.linear_2.weight[:3] = 0
    parts.multi_modal_projector.linear_2.bias[0] = 1.0
    fill(parts.multi_modal_projector.linear_2.weight[1], stop / math.sqrt(ids.text_config.hidden_size))


def processor() -> VibeVoiceProcessor:
    return VibeVoiceProcessor(
        feature_extractor=VibeVoiceAcousticTokenizerFeatureExtractor(pad_to_multiple_of=3200),
        tokenizer=tokenizer(),
        chat_template=TEMPLATE,
    )


def save(folder: Path, **sizes: Any) -> Path:
    """A checkpoint as the Hub's native ones are."""
    model(**sizes).save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder


def voice(hertz: float, seconds: float = 2.0) -> Waveform:
    """A recording: a tone with a little of its octave."""
    t = np.arange(round(RATE * seconds)) * 2 * np.pi * hertz / RATE
    samples: Samples = (0.1 * np.sin(t) + 0.03 * np.sin(2 * t)).astype(np.float32)
    return Waveform(samples, RATE)

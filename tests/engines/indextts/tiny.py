"""Checkpoints of the real architectures of IndexTTS-2 and 2.5 with few and random weights, made as they are needed.

What such a model says is noise, but it says it as the real one does: its length depends on the voice, the emotion, the
text and the seed, and it ends by itself. Sizes that the packages fix (the width of w2v-BERT, its 17 layers, the speaker
vector, and for 2.0 the width of the GPT) are the real ones.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oscine.audio.waveform import Waveform
from oscine.config import Settings
from oscine.voices.prompt import Prompt

torch.set_num_threads(1)  # its operations are so small that two threads would only wait for each other
RATE = 22_050
EMOTIONS = [3, 17, 2, 8, 4, 5, 10, 24]
_COMMIT = "0" * 40
_MEL = {"n_fft": 1024, "win_length": 1024, "hop_length": 256, "n_mels": 80, "fmin": 0, "fmax": "None"}


@dataclass(frozen=True)
class Size:
    """How large the parts of a model are, where the packages leave it open."""

    codes: int = 256
    most: int = 700
    """Codes of a segment at most."""
    tokens: int = 400
    layers: int = 1
    heads: int = 4
    narrow: int = 64
    """Width of 2.5's GPT; 2.0's is fixed."""
    conditioning: tuple[int, int, int, int, int] = (64, 64, 2, 1, 1)
    """Of the conformers: width, width inside, heads, blocks, factor of the perceiver."""
    emotion: tuple[int, int, int, int, int] = (64, 64, 2, 1, 1)
    codec: tuple[int, int, int] = (16, 16, 1)
    flow: tuple[int, int, int] = (32, 2, 3)
    """Of the diffusion transformer: width, heads, layers."""
    wavenet: int = 2
    vocoder: int = 64
    kernels: tuple[int, ...] = (3,)
    hearing: tuple[int, int, int] = (17, 2, 16)
    """Of w2v-BERT: layers, heads, width inside."""

    @property
    def gpt(self) -> dict[str, Any]:
        """The entry of `config.yaml`, as far as both models agree."""
        return {
            "max_mel_tokens": self.most,
            "max_text_tokens": 600,
            "layers": self.layers,
            "number_mel_codes": self.codes + 2,
            "start_mel_token": self.codes,
            "stop_mel_token": self.codes + 1,
            "start_text_token": 0,
            "stop_text_token": 1,
            "condition_module": _conformer(*self.conditioning),
            "emo_condition_module": _conformer(*self.emotion),
        }

    @property
    def semantic_codec(self) -> dict[str, Any]:
        """The entry of `config.yaml`."""
        width, inside, layers = self.codec
        return {
            "codebook_size": self.codes,
            "hidden_size": 1024,
            "codebook_dim": 8,
            "vocos_dim": width,
            "vocos_intermediate_dim": inside,
            "vocos_num_layers": layers,
        }

    @property
    def s2mel(self) -> dict[str, Any]:
        """The entry of `config.yaml`."""
        width, heads, depth = self.flow
        return {
            "preprocess_params": {"sr": RATE, "spect_params": _MEL},
            "dit_type": "DiT",
            "reg_loss_type": "l1",
            "style_encoder": {"dim": 192},
            "length_regulator": {
                "channels": width,
                "is_discrete": False,
                "in_channels": 1024,
                "content_codebook_size": 8,
                "sampling_ratios": [1, 1, 1, 1],
                "vector_quantize": False,
                "n_codebooks": 1,
                "quantizer_dropout": 0.0,
                "f0_condition": False,
                "n_f0_bins": 8,
            },
            "DiT": {
                "hidden_dim": width,
                "num_heads": heads,
                "depth": depth,
                "class_dropout_prob": 0.1,
                "block_size": 8192,
                "in_channels": 80,
                "style_condition": True,
                "final_layer_type": "wavenet",
                "target": "mel",
                "content_dim": width,
                "content_codebook_size": 8,
                "content_type": "discrete",
                "f0_condition": False,
                "n_f0_bins": 8,
                "content_codebooks": 1,
                "is_causal": False,
                "long_skip_connection": True,
                "zero_prompt_speech_token": False,
                "time_as_token": False,
                "style_as_token": False,
                "uvit_skip_connection": True,
                "add_resblock_in_transformer": False,
            },
            "wavenet": {
                "hidden_dim": width,
                "num_layers": self.wavenet,
                "kernel_size": 5,
                "dilation_rate": 1,
                "p_dropout": 0.2,
                "style_condition": True,
            },
        }

    @property
    def bigvgan(self) -> dict[str, Any]:
        """The vocoder's own configuration."""
        return {
            "resblock": "1",
            "num_gpus": 0,
            "upsample_rates": [4, 4, 2, 2, 2, 2],
            "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
            "upsample_initial_channel": self.vocoder,
            "resblock_kernel_sizes": list(self.kernels),
            "resblock_dilation_sizes": [[1, 3, 5]] * len(self.kernels),
            "use_tanh_at_final": False,
            "use_bias_at_final": False,
            "activation": "snakebeta",
            "snake_logscale": True,
            "num_mels": 80,
            "n_fft": 1024,
            "hop_size": 256,
            "win_size": 1024,
            "sampling_rate": RATE,
            "fmin": 0,
            "fmax": None,
        }


def _conformer(width: int, inside: int, heads: int, blocks: int, factor: int) -> dict[str, Any]:
    return {
        "output_size": width,
        "linear_units": inside,
        "attention_heads": heads,
        "num_blocks": blocks,
        "input_layer": "conv2d2",
        "perceiver_mult": factor,
    }


TINY = Size()
REAL = Size(
    codes=8192,
    most=1815,
    tokens=12_000,
    layers=24,
    heads=20,
    narrow=1280,
    conditioning=(512, 2048, 8, 6, 2),
    emotion=(512, 1024, 4, 4, 2),
    codec=(384, 2048, 12),
    flow=(512, 8, 13),
    wavenet=8,
    vocoder=1536,
    kernels=(3, 7, 11),
    hearing=(24, 16, 4096),
)
"""The published models', with weights that make noise; for measuring."""
_NAMES = {
    "gpt_checkpoint": "gpt.pth",
    "w2v_stat": "wav2vec2bert_stats.pt",
    "s2mel_checkpoint": "s2mel.pth",
    "emo_matrix": "feat2.pt",
    "spk_matrix": "feat1.pt",
    "emo_num": EMOTIONS,
}
_SENTENCES = """HELLO WORLD , THIS IS A TINY TEST . THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG !
ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN ? WHY NOT - ' ... VOICE MARK
你 好 世 界 。 我 们 是 朋 友 银 行 XING2 HANG2"""


def settings(home: Path, **more: Any) -> Settings:
    """Settings under which both engines find what `save_two` and `save_two_five` left in `home`."""
    return Settings(volume=home, device="cpu", **more)


def voice(name: str = "bird", pitch: float = 180.0, seconds: float = 3.0, rate: int = 24_000) -> Prompt:
    """A recording of somebody who hums."""
    time = np.arange(int(seconds * rate)) / rate
    hum = 0.3 * np.sin(2 * np.pi * pitch * time) * (1 + 0.5 * np.sin(2 * np.pi * 3 * time)) / 1.5
    return Prompt(name, f"test:{name}:{pitch}:{seconds}", Waveform(hum.astype(np.float32), rate))


def save_two(home: Path, size: Size = TINY) -> Path:
    """IndexTTS-2's files, as a deployment has them: the folder of checkpoints and the auxiliary models."""
    import sentencepiece
    from omegaconf import OmegaConf
    from safetensors.torch import save_model

    from oscine.engines.indextts.packages import indextts

    indextts()
    from indextts.gpt.model_v2 import UnifiedVoice
    from indextts.s2mel.modules.commons import MyModel
    from indextts.utils.maskgct_utils import build_semantic_codec

    folder = home / "indextts" / "checkpoints"
    folder.mkdir(parents=True)
    gpt = {**size.gpt, "model_dim": 1280, "heads": size.heads, "number_text_tokens": size.tokens}
    gpt |= {"use_mel_codes_as_input": True, "mel_length_compression": 1024, "train_solo_embeddings": False}
    gpt |= {"condition_type": "conformer_perceiver"}
    config = OmegaConf.create(
        {
            **_NAMES,
            "dataset": {"bpe_model": "bpe.model", "sample_rate": 24_000, "squeeze": False},
            "gpt": gpt,
            "semantic_codec": size.semantic_codec,
            "s2mel": size.s2mel,
            "qwen_emo_path": "qwen0.6bemo4-merge/",
            "vocoder": {"type": "bigvgan", "name": "nvidia/bigvgan_v2_22khz_80band_256x"},
            "version": 2.0,
        }
    )
    OmegaConf.save(config, folder / "config.yaml")
    corpus = home / "corpus.txt"
    corpus.write_text("\n".join([_SENTENCES] * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "bpe"),
        vocab_size=160,
        model_type="bpe",
        bos_id=0,
        eos_id=1,
        unk_id=2,
        pad_id=-1,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    torch.manual_seed(0)
    _save(_ending(UnifiedVoice(**config.gpt).state_dict(), 50.0), folder / "gpt.pth")
    parts = MyModel(config.s2mel, use_gpt_latent=True).models
    _save({"net": {name: part.state_dict() for name, part in parts.items()}}, folder / "s2mel.pth")
    _save_shared(folder, 1280)
    _save_emotions(folder / "qwen0.6bemo4-merge")
    _save_auxiliary(home, size)
    codec = _hub(home, "amphion/MaskGCT") / "semantic_codec"
    codec.mkdir()
    save_model(build_semantic_codec(config.semantic_codec), str(codec / "model.safetensors"))
    return folder


def save_two_five(home: Path, size: Size = TINY) -> Path:
    """IndexTTS-2.5's files; needs `save_two` before it or `_save_auxiliary`, for both use the same auxiliary models."""
    from omegaconf import OmegaConf

    from oscine.engines.indextts.packages import indextts25

    indextts25()
    from indextts25.codec.models import EnhancedCodec
    from indextts25.gpt.model_v2 import UnifiedVoice
    from indextts25.s2mel.modules.commons import MyModel

    folder = home / "indextts25" / "checkpoints"
    folder.mkdir(parents=True)
    tokens = 256 + 2 + 99 + 11 + 4 + 6 + 30 + 20 + 1501  # bytes and the special tokens of the package's tokenizer
    gpt = {**size.gpt, "model_dim": size.narrow, "heads": size.heads, "number_text_tokens": tokens}
    config = OmegaConf.create(
        {**_NAMES, "gpt": gpt, "semantic_codec": size.semantic_codec, "s2mel": size.s2mel, "version": 2.5}
    )
    OmegaConf.save(config, folder / "config.yaml")
    ranks = (f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256))
    (folder / "multilingual_zh_ja_yue_char_del.tiktoken").write_text("\n".join(ranks))
    torch.manual_seed(0)
    _save(_ending(UnifiedVoice(**config.gpt).state_dict(), 25.0), folder / "gpt.pth")
    parts = MyModel(config.s2mel).models
    _save({"net": {name: part.state_dict() for name, part in parts.items()}}, folder / "s2mel.pth")
    _save({"model": EnhancedCodec(**config.semantic_codec).state_dict()}, folder / "codec.pth")
    _save_shared(folder, size.narrow)
    if not _place(home, "facebook/w2v-bert-2.0").is_dir():
        _save_auxiliary(home, size)
    return folder


def _ending(weights: dict[str, Any], codes_per_s: float) -> dict[str, Any]:
    """The GPT's weights, with the end as likely as makes a sentence of it, and all that it is given of weight."""
    head, bias = weights["mel_head.weight"], weights["mel_head.bias"]
    codes = len(bias) - 2
    wide = (1280 / head.shape[1]) ** 0.5
    for name, weight in weights.items():
        if name.startswith("gpt.h.") and weight.ndim == 2:
            weight *= wide  # what a layer adds would else be lost in a narrow model
        elif name in ("text_embedding.weight", "lang_embedding.weight", "mel_embedding.weight"):
            weight *= 0.02 * wide / weight.std()
    head *= 4  # what was said before is to matter
    bias[:] = 0.0
    head[codes:] = 0.0
    bias[codes] = -1e4  # the start is never said
    bias[codes + 1] = 2.0 if codes_per_s > 25 else 3.6
    return weights


def _save(content: object, path: Path) -> None:
    torch.save(content, path)


def _save_shared(folder: Path, width: int) -> None:
    """What both have in their folders: statistics and the emotions' speakers and vectors."""
    _save({"mean": torch.zeros(1024), "var": torch.ones(1024)}, folder / "wav2vec2bert_stats.pt")
    _save(torch.randn(sum(EMOTIONS), 192), folder / "feat1.pt")
    _save(torch.randn(sum(EMOTIONS), width) * 0.5, folder / "feat2.pt")


def _save_auxiliary(home: Path, size: Size) -> None:
    from safetensors.torch import save_model
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

    from oscine.engines.indextts.packages import indextts

    indextts()
    from indextts.s2mel.modules.bigvgan.bigvgan import BigVGAN
    from indextts.s2mel.modules.bigvgan.env import AttrDict
    from indextts.s2mel.modules.campplus.DTDNN import CAMPPlus

    torch.manual_seed(1)
    hearing = _hub(home, "facebook/w2v-bert-2.0")
    extractor = SeamlessM4TFeatureExtractor(feature_size=80, num_mel_bins=80, stride=2, padding_value=1.0)
    extractor.save_pretrained(hearing)
    config = Wav2Vec2BertConfig(
        hidden_size=1024,
        num_hidden_layers=size.hearing[0],
        num_attention_heads=size.hearing[1],
        intermediate_size=size.hearing[2],
        feature_projection_input_dim=160,
        conv_depthwise_kernel_size=3,
        left_max_position_embeddings=8,
        right_max_position_embeddings=8,
        add_adapter=False,
    )
    config.save_pretrained(hearing)
    save_model(Wav2Vec2BertModel(config).half(), str(hearing / "model.safetensors"))
    speaker = CAMPPlus(feat_dim=80, embedding_size=192)
    _save(speaker.state_dict(), _hub(home, "funasr/campplus") / "campplus_cn_common.bin")
    vocoder = _hub(home, "nvidia/bigvgan_v2_22khz_80band_256x")
    (vocoder / "config.json").write_text(json.dumps(size.bigvgan))
    _save({"generator": _audible(BigVGAN(AttrDict(size.bigvgan))).state_dict()}, vocoder / "bigvgan_generator.pt")


def _audible(vocoder: Any) -> Any:
    """The vocoder at a loudness that is not clipped, and without the large constant that chance gives it."""
    last = vocoder.conv_post
    heard: list[Any] = []
    with torch.no_grad():
        last.weight_v -= last.weight_v.mean(dim=2, keepdim=True)
        hook = last.register_forward_hook(lambda _module, _given, output: heard.append(output))
        vocoder(torch.randn(1, 80, 50))
        hook.remove()
        last.weight_g.mul_(0.1 / float(heard[0].std()))
    return vocoder


def _save_emotions(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    words = Tokenizer(models.WordLevel({"<unk>": 0, "<eos>": 1, "a": 2, "b": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", eos_token="<eos>", chat_template=template
    ).save_pretrained(folder)
    config = Qwen3Config(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        eos_token_id=1,
        max_position_embeddings=1024,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)


def _place(home: Path, repository: str) -> Path:
    return home / "huggingface-cache" / "hub" / ("models--" + repository.replace("/", "--"))


def _hub(home: Path, repository: str) -> Path:
    """A repository's folder in the cache of the Hub that a deployment brings."""
    storage = _place(home, repository)
    snapshot = storage / "snapshots" / _COMMIT
    snapshot.mkdir(parents=True, exist_ok=True)
    (storage / "refs").mkdir(exist_ok=True)
    (storage / "refs" / "main").write_text(_COMMIT)
    return snapshot

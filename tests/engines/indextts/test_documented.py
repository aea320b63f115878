"""The sizes that docs/engines.md tells are those of the networks."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import torch

from oscine.engines.indextts import packages
from oscine.engines.indextts.gpt import LEAST_VIEW
from oscine.engines.indextts.two import Two
from oscine.engines.indextts.two_five import TwoFive
from tests.docs.pages import ROOT, prose, rows_of
from tests.engines.indextts import tiny

ENGINES = ROOT / "docs" / "engines.md"
PROSE = " ".join(prose(ENGINES).split())
SPOKEN = 60_509
"""Tokens of 2.5's text, as its published configuration has them."""

MORE_IN_FILES = 1.0
"""GB, at most, of what training needed and `s2mel.pth` and `codec.pth` still hold."""


@dataclass(frozen=True)
class Weights:
    """Numbers of each part, in thousands of millions."""

    gpt: float
    head: float
    """What the GPT's file has beside, for text: 2.5's package does not construct it."""
    others: float
    hearing: float
    heard: float
    """Of w2v-BERT, as far as it is loaded."""


@pytest.fixture(scope="module")
def weights() -> dict[str, Weights]:
    """Of the published sizes, in networks that have no memory."""
    from omegaconf import OmegaConf

    packages.indextts()
    packages.indextts25()
    from indextts.gpt.model_v2 import UnifiedVoice
    from indextts.s2mel.modules.bigvgan.bigvgan import BigVGAN
    from indextts.s2mel.modules.bigvgan.env import AttrDict
    from indextts.s2mel.modules.campplus.DTDNN import CAMPPlus
    from indextts.s2mel.modules.commons import MyModel
    from indextts.utils.maskgct_utils import build_semantic_codec
    from indextts25.codec.models import EnhancedCodec
    from indextts25.gpt.model_v2 import UnifiedVoice as NewerVoice
    from indextts25.s2mel.modules.commons import MyModel as NewerModel
    from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

    size = tiny.REAL
    layers, heads, inside = size.hearing
    gpt = {**size.gpt, "model_dim": 1280, "heads": size.heads}
    two = {**gpt, "number_text_tokens": size.tokens, "condition_type": "conformer_perceiver"}
    two |= {"use_mel_codes_as_input": True, "mel_length_compression": 1024, "train_solo_embeddings": False}
    config = OmegaConf.create(
        {
            "two": two,
            "two_five": {**gpt, "number_text_tokens": SPOKEN},
            "s2mel": size.s2mel,
            "codec": size.semantic_codec,
        }
    )

    def hearing(layers: int) -> float:
        config = Wav2Vec2BertConfig(
            hidden_size=1024,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=inside,
            feature_projection_input_dim=160,
        )
        return count(Wav2Vec2BertModel(config))

    with packages.quiet(), torch.device("meta"):
        shared = count(BigVGAN(AttrDict(size.bigvgan))) + count(CAMPPlus(feat_dim=80, embedding_size=192))
        all_layers, read = hearing(layers), hearing(packages._LAYERS_READ)
        flow = sum(count(part) for part in MyModel(config.s2mel, use_gpt_latent=True).models.values())
        first = count(build_semantic_codec(config.codec)) + flow + shared
        newer = sum(count(part) for part in NewerModel(config.s2mel).models.values())
        second = count(EnhancedCodec(**config.codec)) + newer + shared
        old, new = UnifiedVoice(**config.two), NewerVoice(**config.two_five)
        return {
            "2.0": Weights(count(old), 0.0, first, all_layers, read),
            "2.5": Weights(count(new), 1280 * SPOKEN / 1e9, second, all_layers, read),
        }


def count(module: torch.nn.Module) -> float:
    return sum(weight.numel() for weight in module.parameters()) / 1e9


def figures(cell: str) -> list[float]:
    return [float(figure) for figure in re.findall(r"(\d+(?:\.\d+)?) GB", cell)]


def test_memory_and_downloads_are_as_they_are_told(weights: dict[str, Weights]) -> None:
    (memory,) = rows_of_fact("memory for weights")
    (download,) = rows_of_fact("download")
    for at, has in ((3, weights["2.0"]), (4, weights["2.5"])):
        rest = has.others + has.heard
        assert figures(memory[at]) == pytest.approx([4 * (has.gpt + rest), 2 * has.gpt + 4 * rest], abs=0.06)
        (downloaded,), loaded = figures(download[at]), 4 * (has.gpt + has.head + has.others + has.hearing)
        assert loaded < downloaded < loaded + MORE_IN_FILES
    saved = [2 * has.gpt for has in weights.values()]
    assert figures(sentence("less for weights")) == pytest.approx(saved, abs=0.06)


def test_what_a_text_takes_is_as_it_is_told() -> None:
    beams = []
    for most in (max(120, Two.longest_mark), max(120, TwoFive.longest_mark)):
        slots = -(-(40 + most + 1500) // LEAST_VIEW) * LEAST_VIEW
        beams.append(2 * tiny.REAL.layers * slots * 1280 * 4 / 1e9)
    told = [beam * count for count in (4, 3) for beam in beams]
    assert figures(sentence("for what was said before")) == pytest.approx(told, abs=0.06)


def sentence(words: str) -> str:
    (found,) = (part for part in re.split(r"(?<=\D)\. |\|", PROSE) if words in part)
    return found


def rows_of_fact(fact: str) -> list[list[str]]:
    return [row for row in rows_of(ENGINES, "", "[hibari](#hibari)") if row[0] == fact]

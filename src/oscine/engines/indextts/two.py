"""IndexTTS-2: English and Chinese, emotions also from text."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from oscine.config import Settings
from oscine.engines.device import device_of
from oscine.engines.expected import Expected
from oscine.engines.indextts import languages, packages
from oscine.engines.indextts.checkpoint import Files
from oscine.engines.indextts.grammars import Grammars
from oscine.engines.indextts.model import FRAMES_PER_CODE, SAMPLE_RATE, Model, Segment, Voice
from oscine.engines.indextts.pieces import Part, parted
from oscine.engines.indextts.references import Kept

log = logging.getLogger(__name__)

_FEWEST: Final = 20
"""Tokens; no shorter parts are made."""


def load(files: Files, settings: Settings, grammars: Grammars) -> Two:
    """Construct the package's `IndexTTS2` from these files. Raises NotAvailable."""
    assert files.semantic_codec is not None
    module = packages.indextts()
    device = device_of(settings)
    half = settings.use_fp16 and device.type == "cuda"
    if settings.use_fp16 and not half:
        log.warning("USE_FP16 has no effect on this device; IndexTTS-2 computes in 32 bits.")
    if settings.use_deepspeed:
        log.warning("USE_DEEPSPEED has no effect: Oscine's own loop takes the place of DeepSpeed.")
    with packages.with_files_of_two(module, files, files.semantic_codec):
        loaded = module.IndexTTS2(
            model_dir=str(files.folder),
            device=str(device),
            use_fp16=half,
            use_cuda_kernel=settings.use_cuda_kernel,
        )
    if settings.use_cuda_kernel and not loaded.use_cuda_kernel:
        log.warning("USE_CUDA_KERNEL has no effect: the kernel could not be built here, PyTorch's own is used.")
    _fold_weight_norms(loaded.s2mel)
    return Two(loaded, device, torch.float16 if half else None, grammars)


class Two(Model):
    """IndexTTS-2 with its weights."""

    codes_per_s = 50.0
    second_place = 2

    def __init__(self, loaded: Any, device: torch.device, dtype: torch.dtype | None, grammars: Grammars) -> None:
        super().__init__(loaded, device, dtype)
        self._grammars = grammars
        normaliser = loaded.normalizer
        for signs in (normaliser.char_rep_map, normaliser.zh_char_rep_map):
            signs.setdefault("–", signs["—"])  # Oscine's own rules make it of the longer dash
        self._latents: Kept[Tensor] = Kept()

    def segments(self, text: str, language: str | None, most_tokens: int) -> list[Segment]:
        normaliser, tokenizer = self.loaded.normalizer, self.loaded.tokenizer
        main = (language or languages.two(text) or "en").split("-")[0]
        normaliser.preferred_language = main
        normaliser._normalizers[main] = self._grammars.get(main)
        tokens = tokenizer.tokenize(text.replace('"', "'"))  # after a number, NeMo would read inches
        found = []
        for part in self._parted(tokens, min(most_tokens, self.most_tokens)):
            ids = [int(token) for token in tokenizer.convert_tokens_to_ids(list(part.tokens))]
            gpt = self.loaded.gpt
            said = tuple(token for token in ids if token not in (gpt.start_text_token, gpt.stop_text_token))
            if said:
                found.append(Segment(said, part.letters, part.pause_ms))
        return found

    def _parted(self, tokens: Sequence[str], most: int) -> list[Part]:
        """In parts that also end in time: a token of a number that is written out may be a whole word."""
        while True:
            parts = parted(tokens, most)
            longest = max((Expected.reading(part.letters).seconds for part in parts), default=0.0)
            if longest <= self.most_seconds or most <= _FEWEST:
                return parts
            most = max(_FEWEST, min(most, len(tokens)) * 3 // 4)

    def prompt(self, segment: Segment, voice: Voice, mood: Tensor) -> Tensor:
        gpt = self.loaded.gpt
        with self.autocast():
            none = torch.zeros(1, dtype=torch.long, device=self.device)
            known = self._latent(voice) + mood.unsqueeze(1)
            ends = gpt.speed_emb(none + 1).unsqueeze(1), gpt.speed_emb(none).unsqueeze(1)
            _, prompt, _ = gpt.prepare_gpt_inputs(torch.cat((known, *ends), 1), self._text(segment))
            start = gpt.mel_embedding.weight[gpt.start_mel_token] + gpt.mel_pos_embedding.emb.weight[0]
        return torch.cat([prompt[0], start[None]]).to(gpt.mel_head.weight.dtype)

    def content(self, codes: Sequence[int], segment: Segment, voice: Voice, mood: Tensor, duration: float) -> Tensor:
        loaded, text = self.loaded, self._text(segment)
        said = torch.tensor([list(codes)], device=self.device)
        width = torch.tensor([voice.features.shape[-1]], device=self.device)
        with self.autocast():
            latent = loaded.gpt(
                self._latent(voice),
                text.clone(),
                torch.tensor([text.shape[-1]], device=self.device),
                said.clone(),
                torch.tensor([said.shape[-1]], device=self.device),
                voice.features,
                cond_mel_lengths=width,
                emo_cond_mel_lengths=width,
                emo_vec=mood,
                use_speed=torch.zeros(1, dtype=torch.long, device=self.device),
            )
        latent = loaded.s2mel.models["gpt_layer"](latent.float())
        meaning = loaded.semantic_codec.quantizer.vq2emb(said.unsqueeze(1)).transpose(1, 2) + latent
        frames = torch.tensor([int(said.shape[-1] * FRAMES_PER_CODE * duration)], device=self.device)
        regulate = loaded.s2mel.models["length_regulator"]
        content = regulate(meaning, ylens=frames, n_quantizers=3, f0=None)[0]
        return torch.cat([voice.content, content], dim=1)

    def _hear(self, key: str, audio: Tensor) -> Voice:
        import torchaudio

        loaded = self.loaded
        audio_16k = torchaudio.transforms.Resample(SAMPLE_RATE, 16_000)(audio)
        features = self._features(audio_16k)
        _, meaning = loaded.semantic_codec.quantize(features)
        mel = loaded.mel_fn(audio.to(self.device))
        banks = torchaudio.compliance.kaldi.fbank(
            audio_16k.to(self.device), num_mel_bins=80, dither=0, sample_frequency=16_000
        )
        style = loaded.campplus_model((banks - banks.mean(dim=0, keepdim=True)).unsqueeze(0))
        frames = torch.tensor([mel.size(2)], device=self.device)
        regulate = loaded.s2mel.models["length_regulator"]
        return Voice(key, features, style, regulate(meaning, ylens=frames, n_quantizers=3, f0=None)[0], mel)

    def _latent(self, voice: Voice) -> Tensor:
        """What the GPT hears of a voice, `[1, 32, width]`."""
        width = torch.tensor([voice.features.shape[-1]], device=self.device)
        return self._latents.get(
            voice.key, lambda: self.loaded.gpt.get_conditioning(voice.features.transpose(1, 2), width)
        )

    def _text(self, segment: Segment) -> Tensor:
        return torch.tensor([segment.tokens], dtype=torch.int32, device=self.device)


def _fold_weight_norms(module: Any) -> None:
    """Compute once what training needs to be computed at each pass: the weights from their direction and length."""
    for part in module.modules():
        if any(type(hook).__name__ == "WeightNorm" for hook in part._forward_pre_hooks.values()):
            torch.nn.utils.remove_weight_norm(part)

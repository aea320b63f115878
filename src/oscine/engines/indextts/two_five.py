"""IndexTTS-2.5: English, Chinese, Spanish, Japanese and Arabic, at any pace."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from oscine.config import Settings
from oscine.engines.device import device_of
from oscine.engines.indextts import languages, packages
from oscine.engines.indextts.checkpoint import Files
from oscine.engines.indextts.grammars import Grammars
from oscine.engines.indextts.model import FRAMES_PER_CODE, SAMPLE_RATE, Model, Segment, Unspeakable, Voice
from oscine.engines.indextts.pieces import pause_after, spoken

log = logging.getLogger(__name__)


def load(files: Files, settings: Settings, grammars: Grammars) -> TwoFive:
    """Construct the package's model from these files. Raises NotAvailable."""
    module = packages.indextts25()
    device = device_of(settings)
    half = settings.use_fp16 and device.type == "cuda"
    if settings.use_fp16 and not half:
        log.warning("USE_FP16 has no effect on this device; IndexTTS-2.5 computes in 32 bits.")
    for name, asked in (("USE_DEEPSPEED", settings.use_deepspeed), ("USE_CUDA_KERNEL", settings.use_cuda_kernel)):
        if asked:
            log.warning("%s has no effect: IndexTTS-2.5 has no such part.", name)
    with packages.with_files_of_two_five(module, files):
        loaded = module.IndexTTS2(
            cfg_path=str(files.folder / "config.yaml"), model_dir=str(files.folder), device=str(device), use_bf16=half
        )
    packages.normalise_with(module, grammars)
    return TwoFive(loaded, device, torch.bfloat16 if half else None, grammars)


class TwoFive(Model):
    """IndexTTS-2.5 with its weights."""

    codes_per_s = 25.0
    second_place = 1
    longest_mark = 420

    def __init__(self, loaded: Any, device: torch.device, dtype: torch.dtype | None, grammars: Grammars) -> None:
        super().__init__(loaded, device, dtype)
        self._grammars = grammars

    def ready(self, text: str, language: str | None) -> bool:
        return self._grammars.ready(_main(text, language))

    def segments(self, text: str, language: str | None, most_tokens: int) -> list[Segment]:
        loaded = self.loaded
        main = _main(text, language)
        prefix = f"<|{main}|> "
        parts = loaded.split_text_by_tokens(self._read(text, main), min(most_tokens, self.most_tokens), prefix)
        stop, kind = loaded.gpt.stop_text_token, _number_of(main)
        encoded = [loaded.tokenizer.encode(prefix + part, allowed_special="all") for part in parts]
        if any(len(tokens) > self.most_tokens for tokens in encoded):
            raise Unspeakable("cannot read a pronunciation of that length; part it.")
        return [
            Segment(tuple(token for token in tokens if token != stop), spoken(part), pause_after(part), kind)
            for tokens, part in zip(encoded, parts, strict=True)
            if part.strip()
        ]

    def _read(self, text: str, language: str) -> str:
        """A text as the model is given it."""
        try:
            return str(self.loaded._prepare_text(text, language))
        except (ImportError, RuntimeError):  # no fugashi, or no dictionary for it
            if language != "ja":
                raise
            raise Unspeakable(
                'needs fugashi and unidic-lite for Japanese; run: pip install "indextts25-inference[ja]"'
            ) from None

    def prompt(self, segment: Segment, voice: Voice, mood: Tensor) -> Tensor:
        gpt = self.loaded.gpt
        text = torch.tensor([segment.tokens], dtype=torch.int32, device=self.device)
        with self.autocast():
            speaker = gpt.spk_emb_proj(voice.style).unsqueeze(0) + mood.unsqueeze(1)
            known = torch.cat((speaker, speaker.new_zeros(1, 2, speaker.shape[-1])), 1)
            _, prompt, _ = gpt.prepare_gpt_inputs(known, text, torch.tensor([segment.language], device=self.device))
            start = gpt.mel_embedding.weight[gpt.start_mel_token] + gpt.mel_pos_embedding.emb.weight[0]
        return torch.cat([prompt[0], start[None]]).to(gpt.mel_head.weight.dtype)

    def content(self, codes: Sequence[int], segment: Segment, voice: Voice, mood: Tensor, duration: float) -> Tensor:
        meaning = self.loaded.semantic_codec.decode(torch.tensor([list(codes)], device=self.device))
        frames = torch.tensor([int(meaning.shape[1] * FRAMES_PER_CODE * duration)], device=self.device)
        content = self.loaded.s2mel.models["length_regulator"](meaning, ylens=frames)
        return torch.cat([voice.content, content], dim=1)

    def _hear(self, key: str, audio: Tensor) -> Voice:
        from indextts25.utils.common import kaldi_fbank, resample

        loaded = self.loaded
        audio_16k = resample(audio, SAMPLE_RATE, 16_000)
        features = self._features(audio_16k)
        mel = loaded.mel_fn(audio.to(self.device))
        banks = kaldi_fbank(audio_16k.to(self.device), num_mel_bins=80, sample_frequency=16_000)
        style = loaded.campplus_model((banks - banks.mean(dim=0, keepdim=True)).unsqueeze(0))
        frames = torch.tensor([mel.size(2)], device=self.device)
        content = loaded.s2mel.models["length_regulator"](features, ylens=frames)
        return Voice(key, features, style, content, mel)


def _main(text: str, language: str | None) -> str:
    return (language or languages.two_five(text) or "en").split("-")[0]


def _number_of(language: str) -> int:
    from indextts25.utils.tokenizer import lang_to_token

    return int(lang_to_token(language))

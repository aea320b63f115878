"""What the two models have in common: how they hear a recording, feel, and turn a mel spectrogram into sound."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import soxr
import torch
from torch import Tensor

from oscine.audio.waveform import Samples, Waveform
from oscine.engines.indextts.gpt import Memories, Weights
from oscine.engines.indextts.references import LONGEST_S, Kept
from oscine.engines.indextts.sampling import Codes
from oscine.voices.prompt import Prompt

SAMPLE_RATE: Final = 22_050
FRAMES_PER_CODE: Final = 1.72
"""Frames of the mel spectrogram for each vector at 50 Hz."""

_MANY: Final = 1_000
_PROMPT_TOKEN: Final = 1
"""What stands for each place of the prompt in the list of tokens that `generate()` keeps."""


class Unspeakable(Exception):
    """The utterance cannot be spoken; the message is one sentence without the user's text."""


@dataclass(frozen=True, eq=False)
class Voice:
    """What a model hears of a recording."""

    key: str
    features: Tensor
    """w2v-BERT's, `[1, time, 1024]`."""
    style: Tensor
    """The speaker as CAMPPlus hears it, `[1, 192]`."""
    content: Tensor
    """What the flow is given of it, `[1, frames, width]`."""
    mel: Tensor
    """`[1, bands, frames]`"""


@dataclass(frozen=True)
class Segment:
    """A part of a text that is decoded in one go."""

    tokens: tuple[int, ...]
    letters: float
    """Of English that take as long to say as what the model reads, where numbers are written out."""
    pause_ms: int = 0
    """Silence after it, where another follows."""
    language: int = 0
    """As the model counts them; 0 for a model that does not."""


class Model(ABC):
    """One of the packages' models with its weights. All of it belongs to one thread."""

    codes_per_s: float
    second_place: int
    """Where the model counts the first chosen code; the start stands at 0."""
    longest_mark: int = 0
    """Tokens of a pronunciation in the text, which is not parted."""
    guidance: float = 0.7

    def __init__(self, loaded: Any, device: torch.device, dtype: torch.dtype | None) -> None:
        self.loaded = loaded
        """`IndexTTS2` of either package."""
        self.device = device
        self._dtype = dtype
        """What the GPT computes in where that is not float32."""
        self._voices: Kept[Voice] = Kept()
        self._feelings: Kept[Tensor] = Kept()
        self._moods: Kept[Tensor] = Kept(64)
        self.memories = Memories(self.weights)

    @cached_property
    def weights(self) -> Weights:
        """The GPT-2."""
        gpt = self.loaded.gpt
        return Weights(
            blocks=gpt.gpt.h,
            norm=gpt.gpt.ln_f,
            last_norm=gpt.final_norm,
            head=gpt.mel_head,
            codes=gpt.mel_embedding,
            positions=gpt.mel_pos_embedding.emb,
            heads=gpt.heads,
            start=gpt.start_mel_token,
            choice=Codes(gpt.number_mel_codes, gpt.stop_mel_token, (_PROMPT_TOKEN, gpt.start_mel_token)),
            second=self.second_place,
        )

    def ready(self, text: str, language: str | None) -> bool:
        """Whether a text can be read now; else what that takes is being made."""
        return True

    @abstractmethod
    def segments(self, text: str, language: str | None, most_tokens: int) -> list[Segment]:
        """The text's tokens, parted where there are more than `most_tokens`. Raises Unspeakable."""

    @abstractmethod
    def prompt(self, segment: Segment, voice: Voice, mood: Tensor) -> Tensor:
        """What the GPT is given before the first code, `[prompt, width]`."""

    @abstractmethod
    def content(self, codes: Sequence[int], segment: Segment, voice: Voice, mood: Tensor, duration: float) -> Tensor:
        """What the flow is given, `[1, reference + frames, width]`; `duration` is a factor."""

    @abstractmethod
    def _hear(self, key: str, audio: Tensor) -> Voice:
        """From samples at 22,050 Hz, `[1, n]`."""

    @property
    def most_codes(self) -> int:
        """Codes of a segment, at most: the GPT has places for so many."""
        return min(1500, int(self.loaded.gpt.max_mel_tokens) - 1)

    @property
    def most_tokens(self) -> int:
        """Tokens of a segment, at most."""
        return int(self.loaded.gpt.text_pos_embedding.emb.num_embeddings) - 2

    @property
    def most_seconds(self) -> float:
        """A segment should not be expected to last longer; the rest of its codes is for who speaks slowly."""
        return 0.85 * self.most_codes / self.codes_per_s

    def room(self, most_tokens: int) -> int:
        """How many segments there is memory for at once, with three beams; at least one."""
        fit = self.memories.fit(3, self._slots(most_tokens))
        return _MANY if fit is None else max(1, fit)

    def warm_up(self, most_tokens: int) -> None:
        """Do once what a GPU is slow to do for the first time; nothing on a CPU."""
        if self.device.type != "cuda":
            return
        for beams in (3, 1):
            self.memories.warm_up(beams, self._slots(most_tokens))

    def _slots(self, most_tokens: int) -> int:
        """Slots of a segment, with what stands before its text."""
        return 40 + min(max(most_tokens, self.longest_mark), self.most_tokens) + self.most_codes

    def voice(self, prompt: Prompt) -> Voice:
        """Hear a recording, unless it is known."""
        assert prompt.reference is not None
        reference = prompt.reference
        return self._voices.get(prompt.key, lambda: self._hear(prompt.key, samples_of(reference, SAMPLE_RATE)))

    def mood(self, voice: Voice, source: Prompt, alpha: float) -> Tensor:
        """The emotion vector `[1, width]` of a voice that feels as in the recording `source`, at a strength."""
        return self._moods.get((voice.key, source.key, alpha), lambda: self._mood(voice, source, alpha))

    def mood_of(self, shares: Sequence[float], voice: Voice, source: Prompt, chance: random.Random | None) -> Tensor:
        """The emotion vector `[1, width]` of eight shares; what is left to the whole is how `source` feels.

        Each emotion is taken from the model's speaker who is most like `voice`, or from one chosen by `chance`.
        """
        own = self.mood(voice, source, 1.0)
        weights = torch.tensor(list(shares), device=self.device)
        groups = zip(self.loaded.spk_matrix, self.loaded.emo_matrix, strict=True)
        rows = [
            vectors[chance.randrange(len(vectors)) if chance is not None else _nearest(voice.style, speakers)]
            for speakers, vectors in groups
        ]
        with self.autocast():
            given = torch.sum(weights.unsqueeze(1) * torch.stack(rows), 0).unsqueeze(0)
            return given + (1 - torch.sum(weights)) * own

    def vocode(self, mel: Tensor) -> Samples:
        """A mel spectrogram's sound, float32 `[n]`."""
        sound = self.loaded.bigvgan(mel.float()).flatten().clamp(-1.0, 1.0)
        return np.ascontiguousarray(sound.cpu().numpy(), dtype=np.float32)

    def autocast(self) -> AbstractContextManager[Any]:
        """In which the GPT's parts run."""
        return torch.amp.autocast(self.device.type, enabled=self._dtype is not None, dtype=self._dtype)

    def _features(self, audio_16k: Tensor) -> Tensor:
        inputs = self.loaded.extract_features(audio_16k, sampling_rate=16_000, return_tensors="pt")
        known = inputs["input_features"].to(self.device), inputs["attention_mask"].to(self.device)
        return self.loaded.get_emb(*known)  # type: ignore[no-any-return]

    def _mood(self, voice: Voice, source: Prompt, alpha: float) -> Tensor:
        assert source.reference is not None
        reference = source.reference
        felt = self._feelings.get(source.key, lambda: self._features(samples_of(reference, 16_000)))
        # The lengths are the width of the features, not their number: so do the models' makers, and all of a
        # recording is heard either way.
        width = torch.tensor([voice.features.shape[-1]], device=self.device)
        with self.autocast():
            return self.loaded.gpt.merge_emovec(  # type: ignore[no-any-return]
                voice.features, felt, width, width, alpha=alpha
            )


def samples_of(reference: Waveform, rate: int) -> Tensor:
    """The first 15 s of a recording at another rate, `[1, n]`, resampled as librosa does it for the models."""
    samples = reference.samples[: round((LONGEST_S + 0.5) * reference.sample_rate)]
    if reference.sample_rate != rate:
        samples = soxr.resample(samples, reference.sample_rate, rate, quality="HQ")
    return torch.from_numpy(np.array(samples[: int(LONGEST_S * rate)], np.float32))[None]


def _nearest(style: Tensor, speakers: Tensor) -> int:
    return int(torch.nn.functional.cosine_similarity(style.float(), speakers.float(), dim=1).argmax())

"""From an utterance to what the language model reads: a script with its speakers' voices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import torch
from torch import Tensor

from oscine.engines.protocol import Utterance
from oscine.engines.vibevoice.facts import SAMPLE_RATE
from oscine.voices.prompt import Prompt

_SPEAKER_LINE: Final = re.compile(r"(?i)\bspeaker(?=\s*\d+\s*:)")


class Scripts:
    """Writes scripts in the notation of a checkpoint: its processor's chat template."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._audio_token: str = processor.audio_token
        special = {*map(str, self._tokenizer.all_special_tokens), *self._tokenizer.get_added_vocab()}
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))

    def tokens(self, utterance: Utterance, voice_lengths: Mapping[str, int]) -> Tensor:
        """Token ids, int64 `[tokens]`; `voice_lengths`: how many places the voice of each speaker's label takes."""
        conversation, lengths = self._conversation(utterance, voice_lengths)
        text: str = self._processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        before, *between = text.split(self._audio_token)
        if len(between) != len(lengths):
            raise RuntimeError("the checkpoint's chat template has no place for the voices")
        text = before + "".join(
            self._audio_token * length + part for length, part in zip(lengths, between, strict=True)
        )
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return torch.tensor(ids)

    def _conversation(
        self, utterance: Utterance, voice_lengths: Mapping[str, int]
    ) -> tuple[list[dict[str, object]], list[int]]:
        """Turns as the template takes them, and the lengths of the voices in the order they come.

        Speakers are numbered in the order they speak, whatever they are called; a voice stands on its first turn.
        """
        numbers = {label: str(number) for number, label in enumerate(speakers(utterance))}
        conversation: list[dict[str, object]] = []
        lengths: list[int] = []
        for turn in utterance.turns:
            content: list[dict[str, object]] = [{"type": "text", "text": self._plain(turn.text)}]
            first = not any(said["role"] == numbers[turn.speaker] for said in conversation)
            if first and voice_lengths.get(turn.speaker):
                content.append({"type": "audio", "audio": self._audio_token})
                lengths.append(voice_lengths[turn.speaker])
            conversation.append({"role": numbers[turn.speaker], "content": content})
        return conversation, lengths

    def _plain(self, text: str) -> str:
        """Nothing in a text may be taken for a token of the script, or for its next line."""
        return _SPEAKER_LINE.sub("speaker,", " ".join(self._special.sub(" ", text).split()))


class Voices:
    """The voices of speakers as the language model hears them, kept by the content of their recordings."""

    def __init__(self, model: Any, processor: Any, *, kept: int = 64) -> None:
        self._model, self._processor, self._kept = model, processor, kept
        self._known: dict[str, Tensor] = {}

    def known(self, prompt: Prompt) -> Tensor | None:
        """`[places, width]`; None: it must be encoded first."""
        voice = self._known.pop(prompt.key, None)
        if voice is not None:
            self._known[prompt.key] = voice  # the latest used is the last
        return voice

    def length(self, prompt: Prompt) -> int:
        """Places that a voice takes in a script."""
        if prompt.reference is None:
            return 0
        # As many samples as `resample` makes of it.
        samples = round(len(prompt.reference.samples) * Fraction(SAMPLE_RATE, prompt.reference.sample_rate))
        return -(-min(samples, round(REFERENCE_S * SAMPLE_RATE)) // HOP)

    @torch.inference_mode()
    def encode(self, prompt: Prompt) -> Encoding:
        """Begin to encode a recording."""
        assert prompt.reference is not None
        return Encoding(self, prompt, self._model, self._processor)

    def keep(self, prompt: Prompt, voice: Tensor) -> None:
        """Remember an encoded voice."""
        self._known[prompt.key] = voice
        while len(self._known) > self._kept:
            del self._known[next(iter(self._known))]


HOP: Final = 3200
"""Samples of a frame."""
REFERENCE_S: Final = 30.0
"""So much of a recording is heard: more clones no better (research of the model's users), and takes places."""
_PART: Final = 40
"""Frames of a recording that are encoded between two frames of speech: five seconds."""


class Encoding:
    """A recording that is being encoded, part by part: the encoder is causal, so parts give what the whole gives."""

    def __init__(self, voices: Voices, prompt: Prompt, model: Any, processor: Any) -> None:
        from oscine.audio.resample import resample

        assert prompt.reference is not None
        samples = resample(prompt.reference, SAMPLE_RATE).samples[: round(REFERENCE_S * SAMPLE_RATE)]
        heard = processor.feature_extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        self._voices, self._prompt, self._model = voices, prompt, model.model
        weight = model.lm_head.weight
        self._samples = heard["input_values"].to(weight.device, weight.dtype)
        self._contexts: Any = None
        self._latents: list[Tensor] = []
        self._done = 0

    @torch.inference_mode()
    def go_on(self) -> bool:
        """Encode the next part; whether that was the last, and the voice is known."""
        model, end = self._model, self._done + _PART * HOP
        part = self._samples[..., self._done : end]
        heard = model.audio_tower.encoder(part, padding_cache=self._contexts, use_cache=True)
        self._contexts, self._done = heard.padding_cache, end
        self._latents.append(heard.latents)
        if end < self._samples.shape[-1]:
            return False
        latents = torch.cat(self._latents, dim=1)
        scaled = (latents + model.latent_bias_factor) * model.latent_scaling_factor
        self._voices.keep(self._prompt, model.multi_modal_projector(scaled)[0])
        return True


def speakers(utterance: Utterance) -> Sequence[str]:
    """The labels in the order they speak."""
    return tuple(dict.fromkeys(turn.speaker for turn in utterance.turns))


@torch.inference_mode()
def embedded(model: Any, tokens: Tensor, voices: Sequence[Tensor]) -> Tensor:
    """A script as the language model reads it, `[tokens, width]`: voices in the places that are kept for them."""
    table = model.model.language_model.embed_tokens
    found: Tensor = table(tokens.to(table.weight.device))
    if voices:
        places = torch.nonzero(tokens == model.config.audio_token_id)[:, 0].to(found.device)
        found[places] = torch.cat(list(voices)).to(found.dtype)
    return found

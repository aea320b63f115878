"""One utterance from its text to its sound, in steps so small that others can come between."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from oscine.audio.waveform import Samples
from oscine.engines.expected import Expected
from oscine.engines.indextts.decoding import decode
from oscine.engines.indextts.emotion import TextEmotion, balanced, scaled
from oscine.engines.indextts.flow import flow
from oscine.engines.indextts.model import SAMPLE_RATE, Model, Segment, Unspeakable, Voice
from oscine.engines.indextts.sampling import Overflow, Sampling
from oscine.engines.protocol import Utterance
from oscine.voices.prompt import Prompt

log = logging.getLogger(__name__)

STEPS: Final = 25
FAST_STEPS: Final = 15
ATTEMPTS: Final = 3
"""Of a segment whose sound cannot be right."""
_FADE_IN_MS: Final = 3
_FADE_OUT_MS: Final = 15
"""The vocoder ends a clip wherever it is; without a fade that is heard as a click."""

Steps = Generator[Samples | None, None, None]
"""Yields None after a step, and samples when some are ready."""


@dataclass(frozen=True)
class Wish:
    """How an utterance is to be spoken: `Utterance.options` with the defaults filled in."""

    sampling: Sampling
    steps: int
    emotion: Prompt | None
    alpha: float
    shares: tuple[float, ...] | None
    text: str | None
    """Read for its emotions; blank: what is spoken."""
    chance: bool

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Wish:
        """From `Utterance.options`, in the models' order: text, eight numbers, a recording, the voice itself."""
        fast = bool(options.get("fast"))
        steps, alpha, shares = options.get("steps"), options.get("emo_alpha"), options.get("emo_vector")
        emotion, text = options.get("emo_audio_prompt"), options.get("emo_text")
        reads = bool(options.get("use_emo_text"))
        return cls(
            sampling=Sampling(beams=1) if fast else Sampling(),
            steps=steps if isinstance(steps, int) else FAST_STEPS if fast else STEPS,
            emotion=emotion if isinstance(emotion, Prompt) else None,
            alpha=float(alpha) if isinstance(alpha, int | float) else 1.0,
            shares=tuple(shares) if isinstance(shares, list | tuple) and not reads else None,
            text=(str(text) if isinstance(text, str) else "") if reads else None,
            chance=bool(options.get("use_random")),
        )


def speak(
    model: Model, emotions: TextEmotion | None, utterance: Utterance, most_tokens: int, stop: threading.Event
) -> Steps:
    """Yields a segment's samples, float32 `[n]` at 22,050 Hz, when it is done. Raises Unspeakable, OscineError.

    A segment that is far too long or short for its text, or does not end, is decoded again with another seed; all of
    it is decided by the utterance alone.
    """
    (prompt,) = utterance.prompts.values()
    wish = Wish.of(utterance.options)
    voice = model.voice(prompt)
    yield None
    mood = _mood(model, emotions, utterance, wish, voice, prompt, stop)
    yield None
    segments = model.segments(utterance.text, utterance.language, most_tokens)
    if not segments:
        raise Unspeakable("has nothing to say for this text; write it in a language that it speaks.")
    generator = _generator(model, utterance.seed)
    for number, segment in enumerate(segments):
        within = Expected.reading(segment.letters)
        for attempt in range(ATTEMPTS):
            if attempt:
                generator = _generator(model, utterance.seed + 1_000_003 * (number * ATTEMPTS + attempt))
            codes, fault = yield from _codes(model, segment, voice, mood, wish, within, generator)
            if fault is None:
                break
            log.info("a segment %s; it is decoded again", fault)
        else:
            raise Unspeakable(f"{fault}, {ATTEMPTS} times with different seeds.")
        content = model.content(codes, segment, voice, mood, 1.0 / utterance.speed)
        yield None
        mel = yield from flow(
            model.loaded.s2mel.models["cfm"].estimator,
            content,
            voice.mel,
            voice.style,
            steps=wish.steps,
            guidance=model.guidance,
            generator=generator,
        )
        samples = faded(model.vocode(mel))
        follows = number + 1 < len(segments)
        yield np.concatenate([samples, _silence(segment.pause_ms)]) if follows else samples


def _codes(
    model: Model,
    segment: Segment,
    voice: Voice,
    mood: Tensor,
    wish: Wish,
    expected: Expected,
    generator: torch.Generator,
) -> Generator[None, None, tuple[list[int], str | None]]:
    """A segment's codes, and what is wrong with them."""
    weights = model.weights
    most = min(model.most_codes, int(expected.longest * model.codes_per_s))
    try:
        codes = yield from decode(
            weights, model.memories, model.prompt(segment, voice, mood), wish.sampling, most, generator
        )
    except Overflow:
        return [], "came to numbers that are too large to compute with"
    ended = bool(codes) and codes[-1] == weights.choice.stop
    codes = codes[:-1] if ended else codes
    if not codes:
        return codes, "said nothing"
    if weights.start in codes:  # it is no sound, and looking for its sound would break a GPU
        return codes, "began anew in the middle"
    return codes, expected.fault(len(codes) / model.codes_per_s, ended=ended)


def _mood(
    model: Model,
    emotions: TextEmotion | None,
    utterance: Utterance,
    wish: Wish,
    voice: Voice,
    prompt: Prompt,
    stop: threading.Event,
) -> Tensor:
    shares = None
    if wish.text is not None and emotions is not None:
        shares = balanced(emotions.shares(wish.text.strip() or utterance.text, stop), biased=False)
    elif wish.shares is not None:
        shares = balanced(wish.shares)
    if shares is None:
        source = wish.emotion or prompt
        return model.mood(voice, source, wish.alpha if wish.emotion is not None else 1.0)
    seed = utterance.seed if utterance.whole_seed is None else utterance.whole_seed
    chance = random.Random(seed) if wish.chance else None
    return model.mood_of(scaled(shares, wish.alpha), voice, prompt, chance)


def faded(samples: Samples) -> Samples:
    """The samples with a short rise and fall, so that nothing clicks."""
    rise, fall = (min(len(samples) // 2, SAMPLE_RATE * ms // 1000) for ms in (_FADE_IN_MS, _FADE_OUT_MS))
    samples = samples.copy()
    samples[:rise] *= np.linspace(0, 1, rise, endpoint=False, dtype=np.float32)
    samples[len(samples) - fall :] *= np.linspace(1, 0, fall, dtype=np.float32)
    return samples


def _silence(ms: int) -> Samples:
    return np.zeros(SAMPLE_RATE * ms // 1000, np.float32)


def _generator(model: Model, seed: int) -> torch.Generator:
    """Draws what nothing else in the process draws."""
    return torch.Generator(model.device).manual_seed(seed % 2**63)

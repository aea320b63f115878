"""transformers' own generation, and our loop on the same script, for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from oscine.audio.waveform import Samples, Waveform
from oscine.engines.protocol import Turn, Utterance
from oscine.engines.vibevoice.frame import Shape
from oscine.engines.vibevoice.lanes import Lanes, Wish
from oscine.engines.vibevoice.sampler import sampler_of
from oscine.engines.vibevoice.script import Scripts, Voices, embedded, speakers
from oscine.voices.prompt import Prompt

Line = tuple[str, str, Waveform | None]
"""Speaker, text, and the speaker's voice where it is the first of its lines."""


def utterance(lines: Sequence[Line], seed: int = 0, **options: object) -> Utterance:
    voices = {speaker: voice for speaker, _, voice in reversed(lines) if voice is not None}
    prompts = {
        speaker: Prompt(speaker, f"test:{speaker}:{hash(voice.samples.tobytes()) if voice else 0}", voice)
        for speaker in {line[0] for line in lines}
        for voice in [voices.get(speaker)]
    }
    return Utterance(
        turns=tuple(Turn(speaker, text) for speaker, text, _ in lines), prompts=prompts, seed=seed, options=options
    )


class Forced(LogitsProcessor):
    """Chooses the tokens of a list."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = iter(tokens)

    def __call__(self, _ids: Tensor, scores: Tensor) -> Tensor:
        chosen = torch.full_like(scores, -torch.inf)
        chosen[:, next(self._tokens)] = 0
        return chosen


def generated(
    model: Any,
    processor: Any,
    lines: Sequence[Line],
    *,
    seed: int,
    frames: int,
    guidance: float = 1.3,
    steps: int = 10,
    banned: Sequence[int] = (),
    token_guidance: bool = False,
    forced: Sequence[int] | None = None,
    scheduler: Any = None,
) -> tuple[Tensor | None, list[int]]:
    """What `generate()` makes: the samples and the tokens. Without `token_guidance` as Microsoft's code chooses."""
    numbers = {speaker: str(index) for index, speaker in enumerate(dict.fromkeys(line[0] for line in lines))}
    conversation = [
        {
            "role": numbers[speaker],
            "content": [{"type": "text", "text": text}]
            + ([{"type": "audio", "audio": voice.samples}] if voice is not None else []),
        }
        for speaker, text, voice in lines
    ]
    inputs = processor.apply_chat_template(
        conversation,
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
        processor_kwargs={"return_tensors": "pt", "sampling_rate": 24_000, "padding": True},
    )
    more: dict[str, Any] = {"sample": False} if "input_values" in inputs else {}
    if banned:
        more["suppress_tokens"] = list(banned)
    if forced is not None:
        more["logits_processor"] = LogitsProcessorList([Forced(forced)])
    if scheduler is not None:
        more["noise_scheduler"] = scheduler
    model.generation_config.noise_scheduler = None
    _choose_as(model, token_guidance=token_guidance)
    torch.manual_seed(seed)
    with torch.inference_mode():
        made = model.generate(
            **inputs,
            max_new_tokens=frames,
            guidance_scale=guidance,
            num_diffusion_steps=steps,
            return_dict_in_generate=True,
            **more,
        )
    sound = made.audio[0]
    return None if sound is None else sound[0], made.sequences[0, inputs["input_ids"].shape[1] :].tolist()


def _choose_as(model: Any, *, token_guidance: bool) -> None:
    """Let `generate()` guide its choice of tokens as it does in 5.23, or not, as in the original."""
    model.__dict__.pop("_get_logits_processor", None)
    if not token_guidance:
        every = model._get_logits_processor
        model._get_logits_processor = lambda *given, **named: LogitsProcessorList(
            [each for each in every(*given, **named) if "ClassifierFree" not in type(each).__name__]
        )


def wish(
    model: Any,
    processor: Any,
    lines: Sequence[Line],
    *,
    seed: int,
    frames: int,
    guidance: float = 1.3,
    steps: int = 10,
    banned: Sequence[int] = (),
    scheduler: Any = None,
) -> Wish:
    """The same for our loop."""
    said, voices = utterance(lines), Voices(model, processor)
    for prompt in said.prompts.values():
        if prompt.reference is not None:
            encoding = voices.encode(prompt)
            while not encoding.go_on():
                pass
    lengths = {label: voices.length(prompt) for label, prompt in said.prompts.items()}
    tokens = Scripts(processor).tokens(said, lengths)
    heard = [voice for label in speakers(said) if (voice := voices.known(said.prompts[label])) is not None]
    scheduler = scheduler or model._build_default_noise_scheduler(model.generation_config)
    return Wish(
        prompt=embedded(model, tokens, heard),
        seed=seed,
        guidance=guidance,
        sampler=sampler_of(scheduler, steps),
        most_frames=frames,
        banned=tuple(banned),
    )


def lanes(model: Any, count: int = 1, *, slots: int = 512, steps: int = 20, **more: Any) -> Lanes:
    prefill = {"prefill_tokens": more.pop("prefill_tokens")} if "prefill_tokens" in more else {}
    forget = {"forget_at_end": more.pop("forget_at_end")} if "forget_at_end" in more else {}
    return Lanes(model, Shape(count, slots, frames=300, steps=steps, **more), **prefill, **forget)


def spoken(among: Lanes, wished: Wish, forced: Sequence[int] | None = None) -> tuple[Tensor | None, list[int]]:
    """What one lane says, alone in what is left of `among`."""
    lane = among.take()
    begin(among, lane, wished)
    parts: list[Samples] = []
    tokens: list[int] = []
    while True:
        if forced is not None:
            if len(tokens) == len(forced):
                break
            among.state.banned[lane] = torch.tensor(
                [0.0 if token == forced[len(tokens)] else -torch.inf for token in among.frame.ids]
            )
        said = among.advance([lane])[0]
        tokens.append(among.frame.ids[said.token])
        if said.samples is not None:
            parts.append(said.samples)
        if said.over:
            break
    among.release(lane)
    return joined(parts), tokens


def begin(among: Lanes, lane: int, wished: Wish) -> None:
    among.begin(lane, wished)
    while not among.is_prefilled(lane):
        among.prefill(lane)


def joined(parts: Sequence[Samples]) -> Tensor | None:
    return torch.cat([torch.from_numpy(part) for part in parts]) if parts else None


def apart(one: Tensor | None, other: Tensor | None) -> float:
    """The largest difference of two sounds; infinite where they are not as long as each other."""
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return float((one - other).abs().max()) if one.shape == other.shape else float("inf")

"""Both sides of the comparison: transformers' `generate()`, and our loop in each way that it can be run."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any, Final

import torch
from torch import Tensor

from bench.vibevoice_model import silent
from oscine.engines.sizes import bucket
from oscine.engines.vibevoice import attention
from oscine.engines.vibevoice.facts import GUIDANCE, MOST_STEPS, SLOTS, STEPS
from oscine.engines.vibevoice.frame import Shape
from oscine.engines.vibevoice.fused import fuse
from oscine.engines.vibevoice.graphs import LEAST_VIEW
from oscine.engines.vibevoice.lanes import Lanes, Wish
from oscine.engines.vibevoice.sampler import sampler_of

FRAME_S: Final = 3200 / 24_000


@dataclass
class Spoken:
    """When the samples of each frame were on the host, and what they were."""

    started: float
    at: list[float] = field(default_factory=list)
    sound: list[Tensor] = field(default_factory=list)
    """Of the first lane."""

    @property
    def frame_s(self) -> float:
        """From one frame to the next: the median, which others on the machine disturb less than the mean."""
        return statistics.median(self._gaps)

    @property
    def slowest_s(self) -> float:
        """The longest that a player would wait for a frame."""
        return max(self._gaps)

    @property
    def first_s(self) -> float:
        """From the start to the first frame's samples."""
        return self.at[0] - self.started

    @property
    def _gaps(self) -> list[float]:
        return [after - before for before, after in pairwise(self.at)]

    def hear(self, samples: Tensor) -> None:
        """Samples that are on the host by now."""
        self.at.append(time.perf_counter())
        self.sound.append(samples)


class Generate:
    """transformers' `generate()`."""

    def __init__(self, model: Any, ids: Tensor) -> None:
        self._model, self._ids = model, ids.to(model.lm_head.weight.device)

    def run(self, frames: int, lanes: int = 1, *, token_guidance: bool = False) -> Spoken:
        """Speak a batch. Without `token_guidance` it makes the two passes that we make, and not a third."""
        model, ids = self._model, self._ids.repeat(lanes, 1)
        decode, processors = model._decode_audio_latent, model._get_logits_processor
        spoken = Spoken(0.0)

        def heard(*given: Any, **named: Any) -> Any:
            made = decode(*given, **named)
            spoken.hear(made.audio.float().cpu()[0, 0])
            return made

        def choose(*given: Any, **named: Any) -> Any:
            every = processors(*given, **named)
            kept = [each for each in every if token_guidance or "ClassifierFree" not in type(each).__name__]
            return type(every)(kept)

        torch.manual_seed(0)
        model.generation_config.noise_scheduler = None
        with (
            replaced(model, "_decode_audio_latent", heard),
            replaced(model, "_get_logits_processor", choose),
            replaced(model.model.language_model.config, "_attn_implementation", "sdpa"),
            torch.inference_mode(),
        ):
            synchronize(model)
            spoken.started = time.perf_counter()
            model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=frames,
                suppress_tokens=silent(model),
                guidance_scale=GUIDANCE,
                num_diffusion_steps=STEPS,
            )
        return spoken


def _twin(model: Any) -> Any:
    """The same weights in modules of their own, which the engine changes; `generate()` keeps those of transformers."""
    weights = chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(weight): weight for weight in weights})


class Loop:
    """Our loop, as the engine uses it."""

    def __init__(self, model: Any, ids: Tensor, lanes: int, *, compiled: bool = False) -> None:
        model = _twin(model)
        attention.use_in(model.model.language_model)
        fuse(model)
        slots = min(SLOTS, model.config.text_config.max_position_embeddings)
        self.lanes = Lanes(model, Shape(lanes, slots, frames=slots, steps=MOST_STEPS))
        if compiled:
            self.lanes._graphs.compile()
        self.model = model
        self.prompt = model.model.language_model.embed_tokens(ids[0].to(model.lm_head.weight.device))
        self._sampler = sampler_of(model._build_default_noise_scheduler(model.generation_config), STEPS)

    def wish(self, seed: int) -> Wish:
        """What a lane says: as long as there is room."""
        return Wish(
            prompt=self.prompt,
            seed=seed,
            guidance=GUIDANCE,
            sampler=self._sampler,
            most_frames=self.lanes.state.shape.slots - len(self.prompt),
            banned=tuple(silent(self.model)),
        )

    def begin(self, lanes: int) -> None:
        """Let the first lanes begin anew."""
        self.end()
        for lane in range(lanes):
            assert self.lanes.take() == lane
            self.read(lane)
        synchronize(self.model)

    def read(self, lane: int) -> None:
        """Read a lane's prompt."""
        self.lanes.begin(lane, self.wish(lane))
        while not self.lanes.is_prefilled(lane):
            self.lanes.prefill(lane)

    def end(self) -> None:
        """Free all lanes."""
        self.lanes.settle()
        for lane, holder in enumerate(self.lanes._holders):
            if holder is not None:
                self.lanes.release(lane)

    def run(self, frames: int, lanes: int = 1) -> Spoken:
        """Speak with the first lanes, which begin anew."""
        self.begin(lanes)
        wanted, spoken = range(lanes), Spoken(time.perf_counter())
        while len(spoken.at) < frames:
            self._hear(spoken, self.lanes.advance(wanted))
        return spoken

    def first(self) -> Spoken:
        """From a script, embedded, to its first samples, in a lane that is free."""
        self.end()
        synchronize(self.model)
        spoken = Spoken(time.perf_counter())
        lane = self.lanes.take()
        self.read(lane)
        while not spoken.at:
            self._hear(spoken, self.lanes.advance([lane]))
        return spoken

    def run_eagerly(self, frames: int, lanes: int = 1) -> Spoken:
        """The same without CUDA graphs."""
        self.begin(lanes)
        self.want(lanes)
        spoken, state = Spoken(time.perf_counter()), self.lanes.state
        for frame in range(frames):
            self.frame(lanes, len(self.prompt) + frame)
            spoken.hear(state.out[:lanes, :-3].clone().cpu()[0])
        return spoken

    @torch.inference_mode()
    def want(self, lanes: int) -> None:
        """Let frames that are called without `advance` advance the first lanes."""
        self.lanes.state.wanted.zero_()
        self.lanes.state.wanted[:lanes] = True
        self.lanes._wanted = None

    @torch.inference_mode()
    def frame(self, lanes: int, tokens: int) -> None:
        """One frame, operation by operation."""
        self.lanes.frame(lanes, bucket(tokens, LEAST_VIEW, self.lanes.state.shape.slots), STEPS)

    def _hear(self, spoken: Spoken, said: list[Any]) -> None:
        for each in said:
            assert each.samples is not None, "a frame said nothing"
            if each.lane == 0:
                spoken.hear(torch.from_numpy(each.samples))


def synchronize(model: Any) -> None:
    """Wait for the device."""
    if model.lm_head.weight.device.type == "cuda":
        torch.cuda.synchronize()


@contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """An attribute of an object for a while."""
    own = name in vars(owner) or isinstance(getattr(type(owner), name, None), property)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def in_turn(count: int, *sides: Callable[[], Spoken]) -> list[list[Spoken]]:
    """Run all sides in turn `count` times, after once that does not count; what each of them said."""
    for side in sides:
        side()
    rounds = [[side() for side in sides] for _ in range(count)]
    return [list(each) for each in zip(*rounds, strict=True)]

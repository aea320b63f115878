"""The host's side of the lanes: who has which, what is prefilled between frames, and what frames have said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from oscine.audio.waveform import Samples
from oscine.engines.vibevoice.frame import Frame, Shape, State
from oscine.engines.vibevoice.graphs import Graphs
from oscine.engines.vibevoice.memory import PartOfPrompt
from oscine.engines.vibevoice.sampler import Sampler

PREFILL_TOKENS: Final = 512
"""Tokens of a prompt between two frames."""


@dataclass(frozen=True)
class Wish:
    """What a lane is to say."""

    prompt: Tensor
    """The embedded prompt, `[tokens, width]`."""
    seed: int
    guidance: float
    sampler: Sampler
    most_frames: int
    """Tokens that it may say."""
    banned: tuple[int, ...] = ()
    """Tokens that it must not say."""


@dataclass(frozen=True)
class Said:
    """What a lane said in a frame."""

    lane: int
    token: int
    samples: Samples | None
    """float32 `[hop]`; None: it did not speak."""
    over: bool


@dataclass
class _Prompt:
    """A prompt that is being prefilled."""

    wish: Wish
    done: int = 0


@dataclass(frozen=True)
class _Pending:
    """A frame whose outcome was not read yet."""

    lanes: tuple[int, ...]
    holders: tuple[object, ...]
    read: Callable[[], Tensor]


class Lanes:
    """Lanes of a model. One thread may use it."""

    def __init__(
        self, model: Any, shape: Shape, *, forget_at_end: bool = False, prefill_tokens: int = PREFILL_TOKENS
    ) -> None:
        self.state = State(model, shape)
        self.frame = Frame(model, self.state, forget_at_end=forget_at_end)
        self._graphs = Graphs(self.frame, self.state)
        self._late = self._graphs.late
        self._model, self._shape, self._part = model, shape, prefill_tokens
        self._holders: list[object | None] = [None] * shape.lanes
        self._prompts: dict[int, _Prompt] = {}
        self._lengths = [0] * shape.lanes
        """Tokens that each lane can at most remember by now; the device knows exactly."""
        self._steps = [0] * shape.lanes
        self._pending: _Pending | None = None
        self._wanted: tuple[int, ...] | None = None

    def compile(self, **options: object) -> None:
        """Compile frames, each size when it is first needed; see `Graphs.compile`."""
        self._graphs.compile(**options)

    @torch.inference_mode()
    def warm_up(self, steps: int) -> None:
        """Make ready for a single lane of `steps` diffusion steps, so that the first to speak need not wait for it."""
        self._graphs.warm_up(steps)

    @property
    def free(self) -> int:
        """Lanes that nobody holds."""
        return self._holders.count(None)

    def take(self) -> int:
        """The lowest free lane: frames run over no more lanes than there must be."""
        lane = self._holders.index(None)
        self._holders[lane] = object()
        return lane

    @torch.inference_mode()
    def begin(self, lane: int, wish: Wish) -> None:
        """Give a lane that was taken something to say. Its prompt is prefilled by `prefill`."""
        room = min(self._shape.slots - len(wish.prompt), self._shape.frames)
        if wish.most_frames > room:
            raise ValueError(f"{len(wish.prompt)} + {wish.most_frames} tokens do not fit")
        self._prompts[lane] = _Prompt(wish)

    def is_prefilled(self, lane: int) -> bool:
        """Whether frames advance it."""
        return lane not in self._prompts

    @torch.inference_mode()
    def prefill(self, lane: int) -> None:
        """Read the next part of a lane's prompt. After the last one, frames advance the lane.

        The last token is left to the lane's first frame, which so is like all others.
        """
        prompt = self._prompts[lane]
        whole, start = prompt.wish.prompt, prompt.done
        end = min(start + self._part, len(whole) - 1)
        if end > start:
            self._read_prompt(lane, whole[start:end], start)
        prompt.done = end
        if end == len(whole) - 1:
            self._enter(lane, prompt.wish)
            del self._prompts[lane]

    def _read_prompt(self, lane: int, part: Tensor, start: int) -> None:
        at = torch.arange(start, start + len(part), device=self.state.device)
        seen = None
        if start:
            seen = (torch.arange(start + len(part), device=self.state.device) <= at[:, None])[None, None]
        self._model.model.language_model(
            inputs_embeds=part[None],
            attention_mask={"full_attention": seen},
            position_ids=at[None],
            past_key_values=PartOfPrompt(self.state.memory, lane * self._shape.rows, start),
            use_cache=True,
        )

    def _enter(self, lane: int, wish: Wish) -> None:
        state, group = self.state, self._shape.rows
        rows = slice(group * lane, group * (lane + 1))
        remembered = len(wish.prompt) - 1
        state.length[rows] = 0
        state.length[rows.start] = remembered
        state.inputs[rows] = wish.prompt[-1]
        state.inputs[rows.start + 1] = self.frame.beginning
        state.decoding.clear(lane)
        state.encoding.clear(lane)
        state.left[lane], state.spoken[lane], state.guidance[lane] = wish.most_frames, 0, wish.guidance
        state.banned[lane] = torch.tensor([-torch.inf if token in wish.banned else 0.0 for token in self.frame.ids])
        state.noise[lane, : wish.most_frames] = self._draw(wish)
        sampler = wish.sampler.padded(self._shape.steps)
        head = self._model.model.diffusion_head
        # The reference asks for the timestep in the type of its weights.
        asked = sampler.timesteps.to(state.device, state.dtype)
        state.times[lane] = head.timestep_proj(head.timestep_embedding(asked).to(state.dtype))
        state.weights[lane] = sampler.weights.to(state.device)
        state.alive[lane] = True
        self._lengths[lane], self._steps[lane] = remembered, wish.sampler.steps

    def _draw(self, wish: Wish) -> Tensor:
        """A lane's noise, drawn on the host as `generate()` draws it: for both rows, of which the first is used."""
        generator = torch.Generator().manual_seed(wish.seed)
        latent = self.state.noise.shape[-1]
        draws = 1 + wish.sampler.noises
        noise = torch.randn(wish.most_frames * draws, 2, latent, generator=generator)[:, 0]
        padded = torch.zeros(wish.most_frames, self.state.noise.shape[2], latent)
        padded[:, :draws] = noise.view(wish.most_frames, draws, latent)
        return padded

    @torch.inference_mode()
    def advance(self, wanted: Sequence[int]) -> list[Said]:
        """Run a frame of the `wanted` lanes and return what is known by now, in the order it was said.

        On a GPU that is the frame before: its outcome is read while this one runs, so that neither waits for the other.
        """
        ready = tuple(sorted(lane for lane in wanted if self.is_prefilled(lane)))
        before = self._pending
        self._pending = self._launch(ready) if ready else None
        said = _outcome(before, self._holders)
        if not self._late or not ready:
            said += self.settle()
        return said

    def settle(self) -> list[Said]:
        """Wait for the frame that was not read yet."""
        pending, self._pending = self._pending, None
        return _outcome(pending, self._holders)

    def _launch(self, lanes: tuple[int, ...]) -> _Pending:
        if lanes != self._wanted:
            wanted = torch.zeros(self._shape.lanes, dtype=torch.bool)
            wanted[list(lanes)] = True
            self.state.wanted.copy_(wanted, non_blocking=True)
            self._wanted = lanes
        for lane in lanes:
            self._lengths[lane] += 1
        read = self._graphs.run(
            lanes=lanes[-1] + 1,
            view=max(self._lengths[lane] for lane in lanes),
            steps=max(self._steps[lane] for lane in lanes),
        )
        return _Pending(lanes, tuple(self._holders[lane] for lane in lanes), read)

    @torch.inference_mode()
    def release(self, lane: int, *, clean: bool = False) -> None:
        """Free a lane, also midway. `clean`: it held what is no number; forget it all."""
        self._prompts.pop(lane, None)
        self._holders[lane] = None
        self.state.alive[lane] = False
        rows = slice(self._shape.rows * lane, self._shape.rows * (lane + 1))
        self.state.length[rows] = self._shape.slots - 1  # also while the next prompt is being read
        self._lengths[lane] = 0
        if clean:
            self.state.memory.clear(rows)
            self.state.inputs[rows] = 0
            self.state.decoding.clear(lane)
            self.state.encoding.clear(lane)


def _outcome(pending: _Pending | None, holders: Sequence[object | None]) -> list[Said]:
    """What a frame's lanes said, less those that were released since."""
    if pending is None:
        return []
    out: np.ndarray = pending.read().numpy()
    said = []
    for lane, holder in zip(pending.lanes, pending.holders, strict=True):
        token, spoke, alive = (int(flag) for flag in out[lane, -3:])
        if holders[lane] is holder and token >= 0:
            said.append(Said(lane, token, out[lane, :-3].copy() if spoke else None, not alive))
    return said

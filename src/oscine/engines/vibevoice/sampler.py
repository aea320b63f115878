"""The diffusion sampler as a table of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from oscine.errors import InvalidRequest


@dataclass(frozen=True)
class Sampler:
    """What a diffusers scheduler does in `steps` steps, as weighted sums.

    Every solver of the DPM, DDIM, Euler and UniPC families is linear in the first sample, in what the network answers
    at each step and in the noise that its stochastic variants add. So what it makes of unit vectors are the weights,
    and none of its code has to run while somebody listens.
    """

    timesteps: Tensor
    """float32 `[steps]`: what the network is asked at each step."""
    weights: Tensor
    """float32 `[steps, 1 + noises + steps]`: the sample after each step, as weights of the first sample, the noises and
    the answers so far."""
    noises: int
    """Draws of noise beside the first sample."""

    @property
    def steps(self) -> int:
        """Calls of the network."""
        return len(self.timesteps)

    def padded(self, steps: int) -> Sampler:
        """The same with `steps` steps, the last of which change nothing."""
        more = steps - self.steps
        noises = steps if self.noises else 0
        weights = torch.zeros(steps, 1 + noises + steps)
        weights[: self.steps, : 1 + self.noises] = self.weights[:, : 1 + self.noises]
        weights[: self.steps, 1 + noises : 1 + noises + self.steps] = self.weights[:, 1 + self.noises :]
        weights[self.steps :] = weights[self.steps - 1]
        return Sampler(torch.cat([self.timesteps, self.timesteps[-1:].expand(more)]), weights, noises)


def sampler_of(scheduler: Any, steps: int) -> Sampler:
    """The table of a diffusers scheduler for `steps` steps. Raises InvalidRequest for one that cannot be a table."""
    stochastic = str(scheduler.config.get("algorithm_type", "")).startswith("sde")
    noises = steps if stochastic else 0
    unit = torch.eye(1 + noises + steps)
    try:
        timesteps, made = _run(scheduler, steps, unit[:1], unit[1 : 1 + noises], unit[1 + noises :])
        if len(timesteps) == steps and _is_linear(scheduler, steps, noises, made[:, 0]):
            return Sampler(timesteps.float(), made[:, 0].contiguous(), noises)
    except (TypeError, ValueError, IndexError, RuntimeError):  # some take pictures only, or not so few steps
        pass
    raise InvalidRequest(
        f"steps cannot be {steps} with the scheduler {type(scheduler).__name__}; choose another number or scheduler.",
        param="steps",
    )


def _is_linear(scheduler: Any, steps: int, noises: int, weights: Tensor) -> bool:
    """Whether the table makes of any input what the scheduler makes of it."""
    some = torch.randn(1 + noises + steps, 5, generator=torch.Generator().manual_seed(0))
    _, made = _run(scheduler, steps, some[:1], some[1 : 1 + noises], some[1 + noises :])
    return torch.allclose(weights @ some, made[:, 0], atol=1e-3, rtol=1e-3)


def _run(scheduler: Any, steps: int, first: Tensor, noises: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """The timesteps, and the sample after each of them, `[steps, 1, width]`."""
    fresh = type(scheduler).from_config(scheduler.config)
    fresh.set_timesteps(num_inference_steps=steps)
    sample, made = first, []
    for index, timestep in enumerate(fresh.timesteps[: len(answers)]):
        noise = {"variance_noise": noises[index : index + 1]} if len(noises) else {}
        sample = fresh.step(answers[index : index + 1], timestep, sample, **noise).prev_sample
        made.append(sample)
    return fresh.timesteps, torch.stack(made)

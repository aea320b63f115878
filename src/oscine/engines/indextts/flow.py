"""From codes to a mel spectrogram: Euler steps of the models' conditional flow."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor


def flow(
    estimator: Any,
    content: Tensor,
    prompt: Tensor,
    style: Tensor,
    *,
    steps: int,
    guidance: float,
    generator: torch.Generator,
) -> Generator[None, None, Tensor]:
    """Yields after each step; returns the mel spectrogram `[1, bands, frames]` of what follows the prompt.

    It is what the models' own `CFM.inference` gives for the same noise; the parts of the input that stay the same
    are put together once and not at each step.

    Args:
        estimator: The diffusion transformer.
        content: What is said, `[1, prompt + frames, width]`, that of the reference first.
        prompt: Mel spectrogram of the reference, `[1, bands, prompt]`.
        style: The speaker, `[1, 192]`.
        steps: Euler steps; each is a pass with and one without all that is known, in one batch.
        guidance: How far the first pass leads away from the second.
        generator: For the noise it begins with, on the device of `content`.
    """
    frames, known = content.shape[1], prompt.shape[-1]
    x = torch.randn([1, prompt.shape[1], frames], generator=generator, device=content.device)
    x[..., :known] = 0
    seen = torch.zeros_like(x)
    seen[..., :known] = prompt
    guided = guidance > 0
    if guided:
        seen, style, content = (torch.cat([part, torch.zeros_like(part)]) for part in (seen, style, content))
    lengths = torch.tensor([frames], device=content.device)
    times = torch.linspace(0, 1, steps + 1, device=content.device)
    time = times[0]
    for step in range(steps):
        length = times[step + 1] - times[step]
        if guided:
            with_all, without = estimator(
                torch.cat([x, x]), seen, lengths, torch.stack([time, time]), style, content
            ).chunk(2)
            slope = (1.0 + guidance) * with_all - guidance * without
        else:
            slope = estimator(x, seen, lengths, time[None], style, content)
        x = x + length * slope
        time = time + length
        x[..., :known] = 0
        yield
    return x[..., known:]

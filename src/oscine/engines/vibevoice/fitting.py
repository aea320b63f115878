"""As many lanes as fit into a GPU's memory, which is only known once they have spoken."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from oscine.engines.device import free_memory
from oscine.engines.vibevoice.frame import Shape
from oscine.engines.vibevoice.lanes import Lanes
from oscine.engines.vibevoice.loading import no_room

log = logging.getLogger(__name__)


def lanes(model: Any, shape: Shape, *, steps: int, compiled: bool) -> Lanes:
    """Lanes that are ready to speak with `steps` diffusion steps: half of `shape`'s, as often as memory runs out.

    Raises NotAvailable where not one fits.
    """
    while (made := _made(model, shape, steps, compiled)) is None:
        free_memory()
        if shape.lanes == 1:
            raise no_room()
        shape = replace(shape, lanes=max(1, shape.lanes // 2))
        log.warning("there is less GPU memory for speech than there seemed: %d at once", shape.lanes)
    return made


def _made(model: Any, shape: Shape, steps: int, compiled: bool) -> Lanes | None:
    """None: they do not fit. What was made of them is forgotten when this returns, error and frames included."""
    with suppress(torch.OutOfMemoryError):
        made = Lanes(model, shape)
        if compiled:
            made.compile()
        made.warm_up(steps)
        return made
    return None

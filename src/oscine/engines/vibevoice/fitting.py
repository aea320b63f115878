"""As many lanes as fit into a GPU's memory, which is only known once they have spoken."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from oscine.engines.device import free_memory, is_for_memory
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
    try:
        made = Lanes(model, shape)
        if compiled:
            made.compile()
        made.warm_up(steps)
    except RuntimeError as error:
        if not is_for_memory(error):
            raise
        return None
    return made

"""Layers whose first weights are not drawn, because all of them are loaded afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from torch.overrides import TorchFunctionMode

_DRAWS: Final = frozenset({"normal_", "uniform_"})


def undrawn(make: Callable[..., Any]) -> Callable[..., Any]:
    """What `make` makes, with whatever happened to be in memory where first weights would have been drawn."""

    @wraps(make, updated=())
    def made(*given: Any, **named: Any) -> Any:
        with _Undrawn():
            return make(*given, **named)

    return made


class _Undrawn(TorchFunctionMode):
    def __torch_function__(self, function: Any, _types: Any, given: Any = (), named: Any = None) -> Any:
        named = named or {}
        if getattr(function, "__module__", "") == "torch.nn.init" or getattr(function, "__name__", "") in _DRAWS:
            return given[0] if given else named["tensor"]
        return function(*given, **named)

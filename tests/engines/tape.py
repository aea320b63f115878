"""What stands for a CUDA graph: operations, run again on the storages that they were recorded with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C import DisableTorchFunction
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import _disable_current_modes


class Tape:
    """A recording."""

    def __init__(self) -> None:
        self.broken = False
        """Whether something was tried that no graph can hold."""
        self._operations: list[tuple[Any, Any, Any, Sequence[Tensor], bool]] = []
        self._places: list[_Place] = []
        """Of what it uses and does not own."""
        self._own: dict[int, torch.UntypedStorage] = {}
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def before(self, changed: Sequence[Tensor]) -> None:
        """Remember what is there before an operation changes it, for recording changes nothing."""
        for each in changed:
            storage = each.untyped_storage()
            if storage._cdata not in self._own and storage._cdata not in self._before:
                self._before[storage._cdata] = storage, storage.clone()

    def add(self, operation: Any, args: Any, kwargs: Any, made: Any, *, changes: bool) -> None:
        """An operation that was run; `changes`: what it was given, instead of making something."""
        given = {each.untyped_storage()._cdata for each in tensors((*args, *kwargs.values()))}
        results = tensors((made,))
        args = mapped(self._place, args)
        kwargs = {name: mapped(self._place, each) for name, each in kwargs.items()}
        fresh = [each.untyped_storage() for each in results if each.untyped_storage()._cdata not in given]
        self._own |= {storage._cdata: storage for storage in fresh}
        if changes or fresh:  # else it is another view of the same
            self._operations.append((operation, args, kwargs, results, changes))

    def end(self) -> None:
        """All is as it was before it was recorded."""
        for storage, numbers in self._before.values():
            storage.copy_(numbers)
        self._before.clear()
        self._spoil()

    def replay(self, uses: Callable[[Tensor], None]) -> None:
        """Run all of it where it was; `uses` is told of everything that it finds elsewhere."""
        assert not self.broken
        assert not any(place.storage.expired() for place in self._places), "a graph uses memory that was freed since"
        with _disable_current_modes(), DisableTorchFunction():
            for place in self._places:
                uses(place.find())
            for operation, args, kwargs, results, changes in self._operations:
                made = operation(
                    *mapped(_filled, args), **{name: mapped(_filled, each) for name, each in kwargs.items()}
                )
                for into, numbers in zip(() if changes else results, () if changes else tensors((made,)), strict=True):
                    into.copy_(numbers)
            for place in self._places:
                place.found = None
            self._spoil()

    def _place(self, each: Any) -> Any:
        if not isinstance(each, Tensor) or each.untyped_storage()._cdata in self._own:
            return each
        self._places.append(_Place(each))
        return self._places[-1]

    def _spoil(self) -> None:
        """What a graph computes for itself is overwritten by the next one in its memory."""
        for storage in self._own.values():
            spoil(storage)


class _Place:
    """Where a tensor of somebody else lies; it does not keep it."""

    def __init__(self, tensor: Tensor) -> None:
        self.storage = StorageWeakRef(tensor.untyped_storage())
        self.found: Tensor | None = None
        self._dtype, self._how = tensor.dtype, (tensor.storage_offset(), tensor.size(), tensor.stride())

    def find(self) -> Tensor:
        storage: Any = torch.UntypedStorage._new_with_weak_ptr(self.storage.cdata)
        self.found = torch.empty(0, dtype=self._dtype).set_(storage, *self._how)
        return self.found


def _filled(each: Any) -> Any:
    return each.found if isinstance(each, _Place) else each


def spoil(storage: Any) -> None:
    """Let it hold no numbers."""
    storage.fill_(0xFF)


def tensors(given: Any) -> list[Tensor]:
    """The tensors among arguments, also in lists of them."""
    found: list[Tensor] = []
    for each in given:
        if isinstance(each, Tensor):
            found.append(each)
        elif isinstance(each, list | tuple):
            found += tensors(each)
    return found


def mapped(function: Callable[[Any], Any], each: Any) -> Any:
    """An argument, and all that is in it where it is a list."""
    if isinstance(each, list | tuple):
        return type(each)(mapped(function, one) for one in each)
    return function(each)

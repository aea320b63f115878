"""A GPU that is not there: tensors that say `cuda` and hold real numbers, under the rules of CUDA.

What PyTorch decides by the device it decides for CUDA. Beyond that:

* Tensors of the host and of the GPU do not mix, but for single numbers; nor do generators.
* What makes the host wait is noted in `waits`, and is an error while a graph is recorded.
* Recording computes nothing. A replay runs the recorded operations on the storages that they were recorded with: one
  that is gone is an error, and what a graph computes for itself holds no numbers when it ends.
* A copy to pinned memory arrives when an event behind it is waited for.
* What one stream uses another may use only after a wait for it.
* Memory that was only allocated holds no numbers.

Kernels are those of the CPU: how CUDA rounds, how fast it is and which kernels it lacks is not seen here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.engines.tape import Tape, mapped, spoil, tensors

GPU: Final = torch.device("cuda:0")
_CPU: Final = torch.device("cpu")
_KINDS: Final = {"cuda": 1, "meta": 14}
"""As `c10/core/DeviceType.h` counts them."""
_LIBRARY: Final = Path(torch.__file__).parent / "lib" / "libc10.so"
_WAITS: Final = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim"}
_INDEXES: Final = {"index", "index_put", "index_put_"}
_ALLOCATES: Final = {"empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided"}
_WIDENS: Final = {"_softmax", "_log_softmax"}
_DRAWS: Final = {torch.rand, torch.randn, torch.randint, torch.randperm}
_OWN: Final = {
    *(Tensor.to, Tensor.cuda, Tensor.tolist, Tensor.numpy, Tensor.__array__),
    *(Tensor.data_ptr, Tensor.__getitem__, Tensor.__setitem__),
}
_NOT_PERMITTED: Final = "CUDA error: operation not permitted when stream is capturing"
_MIXED: Final = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"


class OnGpu(Tensor):
    """A tensor on the GPU; `held` has its numbers."""

    held: Tensor

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        how: Any = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        with torch.inference_mode(held.is_inference()):
            made: OnGpu = torch.Tensor._make_wrapper_subclass(cls, held.shape, device=GPU, **how)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, *_: Any) -> Any:
        raise AssertionError(f"{operation} where there is no GPU")


class Gpu(TorchFunctionMode):
    """The GPU, while it is entered."""

    now: Gpu

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        """What made the host wait."""
        self.free = 80 * 10**9
        """Bytes of its memory that nobody has taken."""
        self.cached = 0
        """Bytes that PyTorch has taken and does not use."""
        self.replays = 0
        self.stream = Stream()
        self.tape: Tape | None = None
        """What is being recorded."""
        self._pinned: dict[int, StorageWeakRef] = {}
        self._arriving: list[tuple[dict[Stream, int], Callable[[], object]]] = []
        self._used: dict[int, tuple[StorageWeakRef, Stream, int]] = {}

    def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.pop("pin_memory", False):
            made = function(*args, **kwargs)
            self._pinned[made.untyped_storage()._cdata] = StorageWeakRef(made.untyped_storage())
            return made
        if "device" in kwargs:
            kwargs["device"] = _named(kwargs["device"])
            if kwargs["device"] == GPU and function is not Tensor.to and not any(map(_is_here, tensors(args))):
                return self._made(function, args, kwargs)
        return self._own_way(function, args, kwargs) if function in _OWN else function(*args, **kwargs)

    def _own_way(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Where PyTorch would ask CUDA before it asks this."""
        if function in (Tensor.cuda, Tensor.to):
            args = (args[0], GPU, *args[2:]) if function is Tensor.cuda else tuple(map(_named, args))
            if not _is_here(args[0]) and GPU in (kwargs.get("device"), *filter(_is_device, args)):
                return self._sent(args, kwargs)
            return Tensor.to(*args, **kwargs)
        if not _is_here(args[0]):
            return function(*args, **kwargs)
        if function is Tensor.tolist:
            self.wait("tolist")
            return args[0].held.tolist()
        if function is Tensor.data_ptr:
            return args[0].held.data_ptr()
        if function in (Tensor.__getitem__, Tensor.__setitem__):  # a list of numbers becomes a tensor of the host
            keys = args[1] if isinstance(args[1], tuple) else (args[1],)
            keys = tuple(torch.tensor(each) if isinstance(each, list) else each for each in keys)
            return function(args[0], keys if isinstance(args[1], tuple) else keys[0], *args[2:])
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    def _sent(self, args: Any, kwargs: Any) -> Tensor:
        """`Tensor.to` the GPU."""
        later = kwargs.pop("non_blocking", False) or (len(args) > 3 and args[3])
        self._comes(waits=not later)
        kwargs.pop("device", None)
        held = args[0].to(*(each for each in args[1:] if not isinstance(each, torch.device | bool)), **kwargs)
        return self._new(held.clone() if held is args[0] else held)

    def _made(self, function: Any, args: Any, kwargs: Any) -> Tensor:
        """What a function that makes tensors makes on the GPU."""
        _check(kwargs.get("generator"))
        if function in (torch.tensor, torch.as_tensor, torch.asarray):
            self._comes(waits=True)
        if function in _DRAWS and self.tape is not None:
            self._refuse("random numbers")
        kwargs = {**kwargs, "device": _CPU}
        held = function(*args, **kwargs)
        if self.tape is not None:
            self.tape.add(function, args, kwargs, held, changes=False)
        return self._new(held)

    def _comes(self, *, waits: bool) -> None:
        """Numbers of the host are copied to the GPU."""
        if self.tape is not None:
            self._refuse("copy from the host")
        if waits:
            self.wait("copy from the host")

    def wait(self, what: str) -> None:
        """The host waits until everything is done."""
        if self.tape is not None:
            self._refuse(what)
        self.waits.append(what)
        self.arrive(None)

    def _refuse(self, what: str) -> None:
        assert self.tape is not None
        self.tape.broken = True
        raise RuntimeError(f"{_NOT_PERMITTED} ({what})")

    def arrive(self, known: dict[Stream, int] | None) -> None:
        """Copies to the host arrive, as far as an event knows of them."""
        left = []
        for clock, copy in self._arriving:
            if known is None or all(known.get(stream, 0) >= time for stream, time in clock.items()):
                copy()
            else:
                left.append((clock, copy))
        self._arriving = left

    def empty_cache(self) -> None:
        self.free, self.cached = self.free + self.cached, 0

    def run(self, operation: Any, args: Any, kwargs: Any) -> Any:
        """An operation that no other stands for, with something of the GPU among what it is given."""
        name = operation._schema.name.split("::")[1]
        given = tensors((*args, *kwargs.values()))
        if name in _WAITS or (name in _INDEXES and any(_is_mask(each) for each in args[1])):
            self.wait(name)
        if name == "copy_" and given[0].device != given[1].device:
            return self._copy(*args, **kwargs)
        if name == "_to_copy" and kwargs.get("device") == _CPU:
            made = torch.empty_like(args[0].held, dtype=kwargs.get("dtype"), device=_CPU)
            return self._copy(made, args[0], kwargs.get("non_blocking", False))
        if name == "_to_copy" and not _is_here(args[0]):
            return self._sent(args, kwargs)
        for each in given:
            if not _is_here(each) and each.dim() > 0:
                if name not in _INDEXES:
                    raise RuntimeError(f"{_MIXED} ({operation})")
                self._comes(waits=True)
        _check(kwargs.get("generator"))
        if kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": _CPU}
        return self._run(operation, name, args, kwargs, given)

    def _run(self, operation: Any, name: str, args: Any, kwargs: Any, given: list[Tensor]) -> Any:
        arguments = operation._schema.arguments
        args, kwargs = mapped(_held, args), {key: mapped(_held, each) for key, each in kwargs.items()}
        written = {each.name for each in arguments if each.alias_info is not None and each.alias_info.is_write}
        named = dict(zip((each.name for each in arguments), args, strict=False)) | kwargs
        changed = tensors(named[each] for each in written if each in named)
        for each in filter(_is_here, given):
            self.uses(_held(each))
        if self.tape is not None:
            if torch.Tag.nondeterministic_seeded in operation.tags:
                self._refuse("random numbers")
            self.tape.before(changed)
        if name in _WIDENS and args[2]:  # a CPU does in two steps what CUDA does in one
            operation, args = partial(_widened, operation), args[:2]
        made = operation(*args, **kwargs)
        if name in _ALLOCATES:
            spoil(made.untyped_storage())
        if self.tape is not None:
            self.tape.add(operation, args, kwargs, made, changes=bool(changed))
        if changed:
            known = {id(_held(each)): each for each in given}
            return mapped(lambda each: known.get(id(each), each), made)
        return mapped(lambda each: self._new(each) if isinstance(each, Tensor) else each, made)

    def _copy(self, to: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        """Between the host and the GPU."""
        if isinstance(to, OnGpu):
            self._comes(waits=not non_blocking)
            self.uses(to.held)
            to.held.copy_(source)
            return to
        numbers = _held(source).clone()
        self.uses(_held(source))
        pinned = self._pinned.get(to.untyped_storage()._cdata)
        if not non_blocking or pinned is None or pinned.expired():
            self.wait("copy to the host")
            return to.copy_(numbers)
        if self.tape is not None:
            self._refuse("copy to the host")
        self._arriving.append((self.stream.clock(), partial(to.copy_, numbers)))
        return to.copy_(torch.full_like(numbers, torch.nan))

    def _new(self, held: Tensor) -> Tensor:
        self.uses(held)
        return OnGpu(held)

    def uses(self, held: Tensor) -> None:
        """The stream does something with a tensor."""
        if self.tape is not None:
            return
        storage = held.untyped_storage()
        weak, stream, time = self._used.get(storage._cdata, (None, self.stream, 0))
        if weak is None or weak.expired():
            weak = StorageWeakRef(storage)
        elif stream is not self.stream:
            assert self.stream.known.get(stream, 0) >= time, "a stream uses what another may still be using"
        self.stream.time += 1
        self._used[storage._cdata] = weak, self.stream, self.stream.time


class _Operations(TorchDispatchMode):
    """Gives the GPU what it is to do."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._gpu = gpu

    def __torch_dispatch__(self, operation: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("device") != GPU and not any(map(_is_here, tensors((*args, *kwargs.values())))):
            return operation(*args, **kwargs)
        if operation._can_decompose():
            with self:
                made = operation.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        return self._gpu.run(operation, args, kwargs)


class Stream:
    """What is done one after the other."""

    def __init__(self, _device: Any = None) -> None:
        self.time = 0
        self.known: dict[Stream, int] = {}
        """How far the others were when it last waited for them."""

    def clock(self) -> dict[Stream, int]:
        return {**self.known, self: self.time}

    def wait_stream(self, other: Stream) -> None:
        for stream, time in other.clock().items():
            self.known[stream] = max(time, self.known.get(stream, 0))


class Event:
    """A place in a stream."""

    def record(self, stream: Stream | None = None) -> None:
        self._clock = (stream or Gpu.now.stream).clock()

    def synchronize(self) -> None:
        Gpu.now.arrive(self._clock)


class Graph:
    """Stands for `torch.cuda.CUDAGraph`."""

    tape: Tape

    def pool(self) -> tuple[int, int]:
        return 0, id(self)

    def replay(self) -> None:
        Gpu.now.replays += 1
        self.tape.replay(Gpu.now.uses)


_GENERATOR: Any = torch.Generator
_HERE: Final[dict[int, torch.Generator]] = {}
"""Generators of the GPU, each kept, lest another takes its number."""


class _Kind(type(_GENERATOR)):  # type: ignore[misc]
    def __instancecheck__(cls, each: object) -> bool:
        return isinstance(each, _GENERATOR)


class Generator(_GENERATOR, metaclass=_Kind):  # type: ignore[misc]
    """Stands for `torch.Generator`."""

    def __new__(cls, device: Any = "cpu") -> Any:
        made = _GENERATOR("cpu")
        if torch.device(device).type == "cuda":
            _HERE[made._cdata] = made
        return made


@contextmanager
def _recorded(graph: Graph, pool: Any = None, stream: Any = None, capture_error_mode: str = "global") -> Iterator[None]:
    """Stands for `torch.cuda.graph`, which stays on its stream where it fails."""
    gpu = Gpu.now
    gpu.wait("synchronize")
    before, gpu.stream = gpu.stream, stream
    graph.tape = gpu.tape = Tape()
    try:
        yield
    finally:
        gpu.tape = None
        graph.tape.end()
    if graph.tape.broken:
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
    gpu.stream = before


@contextmanager
def emulated() -> Iterator[Gpu]:
    """A GPU, for as long as this is entered. This thread alone sees it. Skips the test where that cannot be."""
    if torch.version.cuda or torch.version.hip or not _LIBRARY.is_file():
        pytest.skip("a GPU is emulated in PyTorch's build for CPUs, on Linux")
    gpu = Gpu()

    def set_stream(stream: Stream) -> None:
        gpu.stream = stream

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        before, gpu.stream = gpu.stream, stream
        yield
        gpu.stream = before

    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name, fake in {
            "_lazy_init": lambda: None,
            "is_available": lambda: True,
            "is_bf16_supported": lambda *_, **__: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "get_device_name": lambda *_: "an emulated GPU",
            "get_rng_state": lambda _device: torch.zeros(0),
            "set_rng_state": lambda *_: None,
            "mem_get_info": lambda *_: (gpu.free, gpu.free + gpu.cached),
            "empty_cache": gpu.empty_cache,
            "synchronize": lambda *_: gpu.wait("synchronize"),
            "device": lambda _device: nullcontext(),
            "Stream": Stream,
            "Event": Event,
            "CUDAGraph": Graph,
            "current_stream": lambda _device=None: gpu.stream,
            "set_stream": set_stream,
            "stream": on,
            "graph": _recorded,
        }.items():
            patch.setattr(torch.cuda, name, fake)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(Gpu, "now", gpu, raising=False)
        stack.callback(_HERE.clear)
        guards = _guards()
        stack.callback(guards.__setitem__, _KINDS["cuda"], guards[_KINDS["cuda"]])
        guards[_KINDS["cuda"]] = guards[_KINDS["meta"]]
        overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrites)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.enter_context(_Operations(gpu))
        stack.enter_context(gpu)
        yield gpu


def _guards() -> Any:
    """What PyTorch asks for the current device, by kind; a build for CPUs has nothing to ask of CUDA."""
    return (ctypes.c_void_p * 20).in_dll(ctypes.CDLL(str(_LIBRARY)), "_ZN3c104impl26device_guard_impl_registryE")


def _check(generator: Any) -> None:
    if generator is not None and generator._cdata not in _HERE:
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")


def _named(device: Any) -> Any:
    """The GPU by its whole name."""
    if isinstance(device, str | torch.device):
        found = torch.device(device)
        return GPU if found.type == "cuda" else found
    return device


def _widened(operation: Any, given: Tensor, dim: int) -> Any:
    return operation(given.float(), dim, False)


def _held(each: Any) -> Any:
    return each.held if isinstance(each, OnGpu) else each


def _is_here(each: Any) -> bool:
    return isinstance(each, OnGpu)


def _is_device(each: Any) -> bool:
    return isinstance(each, torch.device)


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)

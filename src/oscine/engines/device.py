"""Where models run."""

from __future__ import annotations

import contextlib
import gc
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from oscine.config import Settings
from oscine.errors import NotAvailable

if TYPE_CHECKING:
    import torch


def device_of(settings: Settings) -> torch.device:
    """The device that was asked for, else the best there is. Raises NotAvailable for one that cannot be used.

    A GPU that an earlier error has left unusable raises that error: it is not missing, and works again in a new
    process.
    """
    import torch

    if not settings.device and not torch.cuda.is_available():
        return torch.device("cpu")
    try:
        device = torch.device(settings.device or "cuda")
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        for said, told, code in _UNUSABLE:
            if said in str(error):
                raise NotAvailable(told, param="device", code=code) from None
        if isinstance(error, torch.AcceleratorError) or not settings.device:
            raise
        raise NotAvailable(_NOT_HERE, param="device") from None
    return device


def current(device: torch.device) -> AbstractContextManager[object]:
    """A context in which this GPU is PyTorch's current device, for streams, events and kernels that name none."""
    import torch

    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def described(device: torch.device) -> str:
    """For people, such as `NVIDIA H200`."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def sent(numbers: Sequence[float] | Sequence[int], device: torch.device) -> torch.Tensor:
    """Numbers of the host as a vector on the device; does not wait until the device has done what it was given."""
    import torch

    return torch.tensor(numbers).to(device, non_blocking=True)


def is_of_device(error: Exception) -> bool:
    """Whether an accelerator failed, on which nothing may work any more; else what it was to compute was wrong."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and _DEVICES.search(str(error)) is not None


def is_for_memory(error: Exception) -> bool:
    """Whether an accelerator's memory was too little; CUDA's own parts say so in other classes than PyTorch."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def free_memory() -> None:
    """Give back what a model that is no longer used took of the device."""
    if "torch" not in sys.modules:
        return
    import torch

    gc.collect()
    if torch.cuda.is_available():
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()


_DEVICES: Final = re.compile(r"(?i)\b(cuda|cu(blas|dnn|fft|rand|solver|sparse)|nvrtc|triton|device-side|hip|mps)")
"""What PyTorch's messages name where one of an accelerator's libraries failed; most have no class of their own."""

_OUT_OF_MEMORY: Final = "out of memory"
_NO_MEMORY: Final = re.compile(rf"(?i)\b(cuda|hip|mps)\b.*{_OUT_OF_MEMORY}|_STATUS_ALLOC_FAILED")
_NOT_HERE: Final = "DEVICE names no device that PyTorch can use here; take cuda, mps or cpu, or leave it out."
_UNUSABLE: Final = (
    ("invalid device ordinal", _NOT_HERE, None),
    (
        "no kernel image",
        "This build of PyTorch has no code for this GPU; install one that has, or set DEVICE=cpu.",
        None,
    ),
    (
        _OUT_OF_MEMORY,
        "Other programs have taken the memory of the GPU; end one of them, or set DEVICE=cpu.",
        "out_of_memory",
    ),
    ("busy or unavailable", "Another program has the GPU to itself; end it, or set DEVICE=cpu.", None),
)
"""What CUDA says of a GPU on which not even a number can be made, and what that means."""

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
    """The device that was asked for, else the best there is. Raises NotAvailable for one that is not here."""
    import torch

    if settings.device:
        try:
            device = torch.device(settings.device)
            torch.ones(1, device=device).item()
        except (RuntimeError, AssertionError):
            raise NotAvailable(
                "DEVICE names no device that PyTorch can use here; take cuda, mps or cpu, or leave it out.",
                param="device",
            ) from None
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def current(device: torch.device) -> AbstractContextManager[object]:
    """In which what names no GPU is made on this one: streams, events, and kernels that packages build."""
    import torch

    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def described(device: torch.device) -> str:
    """For people, such as `NVIDIA H200`."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def sent(numbers: Sequence[float] | Sequence[int], device: torch.device) -> torch.Tensor:
    """A vector of numbers of the host, on a device that does not have to finish first what it is doing."""
    import torch

    return torch.tensor(numbers).to(device, non_blocking=True)


def is_of_device(error: Exception) -> bool:
    """Whether an accelerator failed, on which nothing may work any more; else what it was to compute was wrong."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and _DEVICES.search(str(error)) is not None


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

"""Which device models run on, and what is told of a GPU that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from oscine.config import Settings  # noqa: E402
from oscine.engines.device import device_of, is_for_memory  # noqa: E402
from oscine.errors import NotAvailable  # noqa: E402


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes the GPU one whose first use ends in the error that it is given."""

    def with_error(error: Exception) -> None:
        def ones(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch, "ones", ones)

    return with_error


@pytest.mark.parametrize("asked", ["", "cuda"])
@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "CUDA error: no kernel image is available for execution on the device\nCompile with",
            "no code for this",
        ),
        ("CUDA error: out of memory", "have taken the memory"),
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", "has the GPU to itself"),
        ("CUDA error: invalid device ordinal", "DEVICE names no device"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_one_sentence_before_gigabytes_are_read(
    broken: Any, asked: str, said: str, told: str
) -> None:
    broken(torch.AcceleratorError(said))
    with pytest.raises(NotAvailable, match=told) as refused:
        device_of(Settings(device=asked or None))
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("asked", ["", "cuda"])
def test_a_gpu_that_broke_is_not_called_missing(broken: Any, asked: str) -> None:
    """A worker that is told so starts anew, which helps; of what is missing it would wait for somebody to bring it."""
    broken(torch.AcceleratorError("CUDA error: device-side assert triggered"))
    with pytest.raises(torch.AcceleratorError):
        device_of(Settings(device=asked or None))


def test_where_there_is_no_gpu_models_run_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(Settings()) == torch.device("cpu")


def test_every_part_of_cuda_is_understood_where_memory_is_too_little() -> None:
    for error in (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported at another call"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB)."),
    ):
        assert is_for_memory(error)
    for other in (
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        RuntimeError("The size of tensor a (2) must match the size of tensor b (3)"),
        ValueError("CUDA out of memory"),
    ):
        assert not is_for_memory(other)

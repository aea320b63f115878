"""Whether a worker can do its work: for the action `health_check`, and before it takes its first job."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from oscine.errors import NotAvailable, OscineError
from oscine.runpod.documents import Document

if TYPE_CHECKING:
    from oscine.delivery.store import ObjectStore
    from oscine.runpod.worker import Worker

LEAST_DISK_GB: Final = 0.5
LEAST_GPU_GB: Final = 2.0
"""Below it, no engine with weights could even begin."""
_Check = tuple[str, str]
"""`pass`, `warn` or `fail`, and one sentence."""
_NO_USE: Final = (
    "PyTorch cannot use the GPU that is here, probably because its driver is too old; allow only hosts with CUDA 12.8"
    " or newer, or set DEVICE to cpu."
)
_IDLE_GPU: Final[_Check] = ("fail", _NO_USE)
_DEVICES: Final = Path("/dev")


def health(worker: Worker, *, store: Callable[[], ObjectStore | None]) -> Document:
    """The document of `health_check`. Blocks."""
    checks = {
        "configuration": _guarded(lambda: _configuration(worker)),
        "hardware": _guarded(lambda: _hardware(worker)),
        "s3": _guarded(lambda: _store(worker, store)),
        "checkpoints": _guarded(lambda: _checkpoints(worker)),
    }
    failed = any(status == "fail" for status, _ in checks.values())
    return {
        "status": "unhealthy" if failed else "healthy",
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "checks": {name: {"status": status, "details": details} for name, (status, details) in checks.items()},
    }


def fitness_checks(worker: Worker) -> list[Callable[[], None]]:
    """What must hold before a job is taken; each raises NotAvailable, and the platform starts another worker.

    Their names are what the platform shows.
    """

    def oscine_volume() -> None:
        _demand(lambda: _configuration(worker))

    def oscine_engine() -> None:
        _demand(lambda: _engine(worker))

    def oscine_gpu_memory() -> None:
        _demand(lambda: _gpu_memory(worker))

    return [oscine_volume, oscine_engine, oscine_gpu_memory]


def _demand(check: Callable[[], _Check]) -> None:
    status, details = _guarded(check)
    if status == "fail":
        raise NotAvailable(details)


def _guarded(check: Callable[[], _Check]) -> _Check:
    try:
        return check()
    except OscineError as error:
        return "fail", error.message
    except Exception as error:  # whatever keeps a part from working is what its check is for
        return "fail", f"The check failed ({type(error).__name__})."


def _configuration(worker: Worker) -> _Check:
    settings = worker.settings
    try:
        folder = worker.output.folder(settings.engine)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, OscineError) as error:
        why = error.message if isinstance(error, OscineError) else type(error).__name__
        return "fail", (
            f"The folder for results cannot be written ({why.rstrip('.')}); attach the volume with write access, or set"
            " OSCINE_VOLUME or OUTPUT_AUDIO_DIR to a folder that can be."
        )
    free = shutil.disk_usage(folder).free / 1e9
    if free < LEAST_DISK_GB:
        return "fail", f"The volume has {free:.2f} GB left, less than {LEAST_DISK_GB} GB; make room."
    return "pass", f"Results can be written; {free:.0f} GB are free."


def _engine(worker: Worker) -> _Check:
    """What is not downloaded yet may come while the worker runs; what is not installed, or broke, will not."""
    engine = worker.studio.registry.get(worker.studio.registry.select(None, None))
    missing = engine.missing()
    if missing is not None and missing.remedy.startswith("pip "):
        return "fail", f"The engine {engine.info.name} is missing {missing.what}; run: {missing.remedy}"
    problem = worker.readiness.problem
    if problem is not None and missing is None:
        return "fail", problem.message
    return "pass", f"The engine is {engine.info.name}."


def _gpu_memory(worker: Worker) -> _Check:
    """An engine that is loaded has what it needs; one that is not finds out whether others have taken it."""
    if _has_idle_gpu(worker):
        return _IDLE_GPU
    scheduler = worker.readiness.scheduler
    if "torch" not in sys.modules or (scheduler is not None and scheduler.ready):
        return "pass", "No GPU memory is waited for."
    import torch

    if not torch.cuda.is_available():
        return "pass", "PyTorch sees no GPU."
    free = torch.cuda.mem_get_info()[0] / 1e9
    if free < LEAST_GPU_GB:
        return "fail", f"The GPU has {free:.1f} GB of its memory left, less than {LEAST_GPU_GB} GB; free some."
    return "pass", f"{free:.1f} GB of the GPU's memory are free."


def _hardware(worker: Worker) -> _Check:
    if _has_idle_gpu(worker):
        return _IDLE_GPU
    if "torch" not in sys.modules:
        return "pass", f"{os.cpu_count()} processors; no engine that needs a GPU is loaded."
    import torch

    if not torch.cuda.is_available():
        return "warn", f"{os.cpu_count()} processors; PyTorch sees no GPU."
    free, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    return "pass", f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB of its memory are free."


def _has_idle_gpu(worker: Worker) -> bool:
    """Whether a model speaks on the processor beside a GPU that somebody pays for, and nobody asked for that."""
    if "torch" not in sys.modules or worker.settings.device is not None or not any(_DEVICES.glob("nvidia[0-9]*")):
        return False
    import torch

    return not torch.cuda.is_available()


def _store(worker: Worker, store: Callable[[], ObjectStore | None]) -> _Check:
    found = store()
    if found is None:
        required = worker.settings.s3_required
        return ("fail" if required else "warn"), "No object store is configured; results come as base64."
    found.check()
    return "pass", "The object store can be written and gives links."


def _checkpoints(worker: Worker) -> _Check:
    engine = worker.studio.registry.get(worker.studio.registry.select(None, None))
    missing = engine.missing()
    if missing is not None:
        return "fail", f"The engine {engine.info.name} is missing {missing.what}; run: {missing.remedy}"
    problem = worker.readiness.problem
    if problem is not None:
        return "fail", problem.message
    voices = len(worker.studio.library.names())
    if engine.info.capabilities.cloning and not engine.info.capabilities.unprompted and not voices:
        return "warn", f"The engine {engine.info.name} is complete, and there is no voice yet; add one with add_voice."
    details: dict[str, Any] = {"engine": engine.info.name, "model": engine.info.version, "voices": voices}
    return "pass", ", ".join(f"{name} {value}" for name, value in details.items())

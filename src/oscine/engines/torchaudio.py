"""PyTorch's audio package beside a PyTorch that it was not built for.

The wheel that package indexes carry was built for CUDA, and its compiled part does not load beside a PyTorch for CPUs.
transformers imports the package wherever it is installed, so that no speech model of transformers could be imported
either. What is needed of it here is written in Python.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.util import find_spec
from types import ModuleType


def make_importable() -> bool:
    """Let `import torchaudio` work without its compiled part where that does not load; whether it is whole."""
    if find_spec("torchaudio") is None:
        return False
    with suppress(OSError, RuntimeError):
        import torchaudio

        return bool(torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]
    sys.modules["torchaudio._extension"] = _without_compiled_part()
    import torchaudio

    return False


def _without_compiled_part() -> ModuleType:
    """What `torchaudio._extension` is in a build without a compiled part."""
    module = ModuleType("torchaudio._extension")

    def refuse(function: object) -> object:
        return function

    for name, value in {
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "_check_cuda_version": lambda: None,
        "fail_if_no_align": refuse,
    }.items():
        setattr(module, name, value)
    return module

#!/usr/bin/env python3
"""Import what the engines of a lock load: `engines.py LOCK`, with the Python of the environment that was made of it.

A layer of packages that do not fit together ends here, where it is made, and not in the first job of a worker. It needs
neither a GPU nor weights.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = Path(__file__).resolve().parents[2] / "requirements"


def hibari() -> None:
    import hibari  # noqa: F401

    import oscine.engines.hibari  # noqa: F401


def vibevoice() -> None:
    from oscine.engines.torchaudio import make_importable

    make_importable()
    import accelerate  # noqa: F401
    from diffusers import DPMSolverMultistepScheduler  # noqa: F401
    from transformers import AutoProcessor, VibeVoiceForConditionalGeneration  # noqa: F401

    from oscine.engines.vibevoice import attention, fitting, fused, loading  # noqa: F401


def quantized() -> None:
    import bitsandbytes  # noqa: F401
    from transformers import BitsAndBytesConfig

    BitsAndBytesConfig(load_in_4bit=True)


def indextts2() -> None:
    from oscine.engines.indextts import packages

    packages.indextts()
    from oscine.engines.indextts import two  # noqa: F401


def indextts25() -> None:
    from oscine.engines.indextts import packages

    packages.indextts25()
    from oscine.engines.indextts import two_five  # noqa: F401


ENGINES: Final[dict[str, tuple[Callable[[], None], set[str]]]] = {
    "hibari": (hibari, {"hibari-tts"}),
    "vibevoice": (vibevoice, {"torch", "transformers", "diffusers"}),
    "vibevoice in 8 or 4 bits": (quantized, {"torch", "transformers", "bitsandbytes"}),
    "indextts2": (indextts2, {"torch", "torchaudio", "indextts2-inference"}),
    "indextts25": (indextts25, {"torch", "indextts25-inference"}),
}
"""What loads an engine, and the packages that a lock has where it promises that engine."""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: engines.py LOCK", file=sys.stderr)
        return 2
    (lock,) = arguments
    here = locked(lock)
    for name, (load, needed) in ENGINES.items():
        if needed <= here:
            try:
                load()
            except Exception as error:
                said = (str(error).splitlines() or [""])[0]
                print(
                    f"engines: {name} does not load with what was installed of {lock}.lock "
                    f"({type(error).__name__}: {said})",
                    file=sys.stderr,
                )
                return 1
    return 0


def locked(lock: str) -> set[str]:
    """The packages of a lock, with those of its PyTorch."""
    files = [REQUIREMENTS / f"{lock}.lock", REQUIREMENTS / f"torch-{lock}.txt"]
    told = "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())
    return set(re.findall(r"^([a-z0-9._-]+)==", told, flags=re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

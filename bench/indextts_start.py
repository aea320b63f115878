"""What a start of IndexTTS-2 takes to construct its GPT, in the published size, before its weights are read.

`python -m bench.indextts_start [--rounds N]`: as its package does it, and as Oscine lets it.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from bench.processes import machine
from oscine.engines.indextts import packages
from oscine.engines.indextts.undrawn import undrawn
from tests.engines.indextts import tiny

_TOKENS = 12_000
"""Of the published model."""


def main() -> None:
    """Compare the two, in turn."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    rounds = options.parse_args().rounds
    make = packages.indextts().UnifiedVoice
    config = {
        **tiny.REAL.gpt,
        "model_dim": 1280,
        "heads": tiny.REAL.heads,
        "number_text_tokens": _TOKENS,
        "use_mel_codes_as_input": True,
        "mel_length_compression": 1024,
        "train_solo_embeddings": False,
        "condition_type": "conformer_perceiver",
    }
    taken = {"package": [_seconds(make, config)], "Oscine": [_seconds(undrawn(make), config)]}
    for _ in range(rounds - 1):
        taken["package"].append(_seconds(make, config))
        taken["Oscine"].append(_seconds(undrawn(make), config))
    theirs, ours = (statistics.median(seconds) for seconds in taken.values())
    print(machine())
    print(f"constructing the GPT: package {theirs:.2f} s, Oscine {ours:.2f} s: ratio {ours / theirs:.3f}")


def _seconds(make: Callable[..., Any], config: dict[str, Any]) -> float:
    begin = time.perf_counter()
    made = make(**config)
    taken = time.perf_counter() - begin
    del made
    gc.collect()
    return taken


if __name__ == "__main__":
    main()

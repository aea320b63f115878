"""First audio of a stream: Oscine, its engine loaded, against bare hibari's time for the first sentence."""

from __future__ import annotations

import statistics
import sys
import time

TEXT = (
    "The harbour was quiet when the last boat came in. Nobody had expected it before the morning. "
    "Its lamps were out, and its sails hung loose. On the deck stood a single figure in a long coat. "
    "It raised one hand, and the bell began to ring."
)
EXTRA_MS = 30.0


def main(count: int = 31) -> bool:
    """Print both times; true if Oscine's is at most `EXTRA_MS` longer."""
    from hibari import Hibari

    from oscine import Oscine

    bare = Hibari()
    first = bare.split_sentences(TEXT)[0]
    ours_ms, bare_ms = [], []
    with Oscine() as oscine:
        for _ in range(3):
            next(bare.stream(first))
            list(oscine.stream(TEXT))
        for _ in range(count):
            started = time.perf_counter()
            next(bare.stream(TEXT))
            bare_ms.append((time.perf_counter() - started) * 1e3)
            started = time.perf_counter()
            with oscine.stream(TEXT) as stream:
                next(stream)
                ours_ms.append((time.perf_counter() - started) * 1e3)
            time.sleep(0.05)  # the workers finish the sentence they have begun
    extra = statistics.median(a - b for a, b in zip(ours_ms, bare_ms, strict=True))
    mine, other = statistics.median(ours_ms), statistics.median(bare_ms)
    kept = extra <= EXTRA_MS
    print(f"\nFirst audio of a stream ({count} pairs)")
    print(f"  oscine {mine:.1f} ms  bare hibari's first sentence {other:.1f} ms  ratio {mine / other:.2f}")
    print(f"  {extra:+.1f} ms  (at most +{EXTRA_MS:g} ms: {'kept' if kept else 'MISSED'})")
    return kept


if __name__ == "__main__":
    sys.exit(not main())

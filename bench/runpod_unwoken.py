"""The worker with the SDK's own loop, which looks for work by the clock. `bench.runpod` starts it."""

from __future__ import annotations

import sys

from oscine.runpod.start import main
from oscine.runpod.waking import Waking

if __name__ == "__main__":
    setattr(Waking, "watch", lambda _: None)  # noqa: B010
    sys.exit(main(sys.argv[1:]))

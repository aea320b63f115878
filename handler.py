"""RunPod's entry point; everything is in `oscine.runpod`. `python handler.py --warmup` loads the model and exits."""

from __future__ import annotations

import sys

from oscine.runpod.start import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""RunPod's entry point; everything is in `oscine.runpod`. `python handler.py --help` lists what it takes."""

from __future__ import annotations

import sys

from oscine.runpod.start import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

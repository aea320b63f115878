#!/usr/bin/env python3
"""Compile the grammars that IndexTTS reads numbers with into a folder: `grammars.py FOLDER`.

The container's target `indextts` does this once, so that no worker spends the minutes. bootstrap.sh copies them
to where the engine looks for them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from oscine.engines.indextts.grammars import LANGUAGES, Plain, grammar


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: grammars.py FOLDER", file=sys.stderr)
        return 2
    for language in LANGUAGES:
        if isinstance(grammar(language, Path(arguments[0])), Plain):
            print("grammars: NeMo's text processing is not installed.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

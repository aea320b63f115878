"""Runs many command lines, each in a process of its own that is forked from one which has imported everything.

Standard input: a JSON list of `[folder, environment, arguments]`; standard output: a JSON list of `[code, out, err]`.
What differs from a shell that starts each command anew is only the time that it takes.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import sys
import traceback
from pathlib import Path

import oscine


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for found in pkgutil.walk_packages(oscine.__path__, "oscine."):
        importlib.import_module(found.name)
    for name in ("av", "hibari.g2p", "sentencex", "soxr"):
        importlib.import_module(name)
    json.dump([ended(*case) for case in json.load(sys.stdin)], sys.stdout)


def ended(folder: str, environment: dict[str, str], arguments: list[str]) -> tuple[int, str, str]:
    out, err = Path(folder) / "out", Path(folder) / "err"
    child = os.fork()
    if child == 0:
        try:
            os.chdir(Path(folder) / "work")
            os.environ.clear()
            os.environ.update(environment)
            for number, path in ((0, Path(os.devnull)), (1, out), (2, err)):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), number)
            sys.argv = ["oscine", *arguments]
            importlib.import_module("oscine.cli").main()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(111)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), out.read_text(errors="replace"), err.read_text(errors="replace")


if __name__ == "__main__":
    main()

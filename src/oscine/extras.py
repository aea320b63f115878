"""Which command brings what a plain installation leaves out."""

from __future__ import annotations

import sys
from pathlib import Path


def install_command(extra: str) -> str:
    """What installs an extra of this package where the program runs.

    The environment that `make say` and `make serve` use has no pip, and make has a target for it. That of the tests
    has what its lock says; what is told there is what every other installation tells.
    """
    environment = Path(sys.prefix)
    if (environment / "ready-core").exists() and not (environment / "ready-dev").exists():
        return f"make extra EXTRA={extra}"
    return f'pip install "oscine[{extra}]"'

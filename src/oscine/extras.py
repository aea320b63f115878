"""Which command brings what a plain installation leaves out."""

from __future__ import annotations

import sys
from pathlib import Path


def install_command(extra: str) -> str:
    """The command that installs an extra of this package into the environment that runs.

    The environment of `make say` and `make serve` has no pip, so there it is a target of make. In the environment of
    the tests it is pip's command, as in every installation of a user.
    """
    environment = Path(sys.prefix)
    if (environment / "ready-core").exists() and not (environment / "ready-dev").exists():
        return f"make extra EXTRA={extra}"
    return f'pip install "oscine[{extra}]"'

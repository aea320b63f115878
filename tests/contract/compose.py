"""What compose.yaml says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
_SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OSCINE: Final[dict[str, Any]] = _SERVICES["oscine"]
OPEN_WEBUI: Final[dict[str, Any]] = _SERVICES["open-webui"]
_STEPS: Final = re.sub(r"\\\n\s*", "", OSCINE["build"]["dockerfile_inline"]).splitlines()


def steps(name: str) -> list[str]:
    """What follows each `name` of the image's recipe."""
    return [line.removeprefix(f"{name} ") for line in _STEPS if line.startswith(f"{name} ")]


def open_webui(url: str, key: str = "") -> dict[str, str]:
    """The environment of Open WebUI, where Oscine is at `url` and OSCINE_KEY is `key`."""
    told = {name: str(value) for name, value in OPEN_WEBUI["environment"].items()}
    return {
        name: re.sub(r"\$\{OSCINE_KEY:-(.*?)\}", lambda found: key or found[1], value).replace(
            "http://oscine:8000", url
        )
        for name, value in told.items()
    }

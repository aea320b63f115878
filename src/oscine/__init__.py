"""Oscine turns text into speech, in a cloned voice, on the best open models.

from oscine import Oscine

speech = Oscine().say("Hello world.")
speech.save("hello.mp3")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oscine.__about__ import __version__

if TYPE_CHECKING:
    from oscine.aio import AsyncOscine
    from oscine.api import Oscine
    from oscine.audio.waveform import Waveform
    from oscine.delivery.cancel import Cancel
    from oscine.delivery.speech import Speech
    from oscine.errors import OscineError
    from oscine.synthesis.result import Report

__all__ = ["AsyncOscine", "Cancel", "Oscine", "OscineError", "Report", "Speech", "Waveform", "__version__"]

_HOMES = {
    "AsyncOscine": "oscine.aio",
    "Cancel": "oscine.delivery.cancel",
    "Oscine": "oscine.api",
    "OscineError": "oscine.errors",
    "Report": "oscine.synthesis.result",
    "Speech": "oscine.delivery.speech",
    "Waveform": "oscine.audio.waveform",
}


def __getattr__(name: str) -> Any:
    """Load what was asked for: `import oscine` itself costs next to nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'oscine' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

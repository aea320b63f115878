"""Oscine turns text into speech, in a cloned voice, on the best open models.

from oscine import Oscine

speech = Oscine().say("Hello world.")
speech.save("hello.mp3")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oscine.__about__ import __version__

if TYPE_CHECKING:
    from oscine.aio import AsyncOscine, AsyncStream
    from oscine.api import Oscine
    from oscine.audio.waveform import Waveform
    from oscine.config import Settings
    from oscine.delivery.cancel import Cancel
    from oscine.delivery.speech import Speech
    from oscine.delivery.stream import Stream
    from oscine.errors import (
        Busy,
        Cancelled,
        DeliveryFailed,
        EngineFailed,
        InvalidRequest,
        NotAvailable,
        OscineError,
        SynthesisFailed,
    )
    from oscine.request import SpeechRequest
    from oscine.synthesis.result import Report
    from oscine.text.normalise import Rules
    from oscine.text.pronounce import Lexicon

__all__ = [
    "AsyncOscine",
    "AsyncStream",
    "Busy",
    "Cancel",
    "Cancelled",
    "DeliveryFailed",
    "EngineFailed",
    "InvalidRequest",
    "Lexicon",
    "NotAvailable",
    "Oscine",
    "OscineError",
    "Report",
    "Rules",
    "Settings",
    "Speech",
    "SpeechRequest",
    "Stream",
    "SynthesisFailed",
    "Waveform",
    "__version__",
]

_HOMES = {
    "aio": ("AsyncOscine", "AsyncStream"),
    "api": ("Oscine",),
    "audio.waveform": ("Waveform",),
    "config": ("Settings",),
    "delivery.cancel": ("Cancel",),
    "delivery.speech": ("Speech",),
    "delivery.stream": ("Stream",),
    "errors": (
        "Busy",
        "Cancelled",
        "DeliveryFailed",
        "EngineFailed",
        "InvalidRequest",
        "NotAvailable",
        "OscineError",
        "SynthesisFailed",
    ),
    "request": ("SpeechRequest",),
    "synthesis.result": ("Report",),
    "text.normalise": ("Rules",),
    "text.pronounce": ("Lexicon",),
}
"""The modules that the public names come from."""


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: `import oscine` itself costs next to nothing."""
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"oscine.{module}"), name)
    raise AttributeError(f"module 'oscine' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, also those that nobody has asked for yet; `help` and editors show what is here."""
    return sorted({*globals(), *__all__})

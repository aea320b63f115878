"""The server's log: one line of JSON for each thing that happened, on standard error."""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

from pythonjsonlogger.json import JsonFormatter

from oscine.config import debugging

_UNINTERESTING: Final = frozenset({"ASGI callable returned without completing response."})
"""What uvicorn says when an answer was broken off; the request's own line says why."""

_SELDOM_S: Final = 60.0


def to_standard_error() -> None:
    """Send what Oscine and uvicorn log there. Tracebacks, which may quote a request, only with OSCINE_DEBUG."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    handler.addFilter(lambda record: record.getMessage() not in _UNINTERESTING)
    handler.addFilter(_SeldomFull())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what is wrong with a form is the client's to hear
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("oscine").setLevel(logging.DEBUG if debugging() else logging.INFO)


class _SeldomFull(logging.Filter):
    """Lets asyncio say once a minute that no connection can be accepted; it says so thousands of times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.name != "asyncio" or not record.getMessage().startswith("socket.accept() out of system resource"):
            return True
        if record.created < self._next:
            return False
        self._next = record.created + _SELDOM_S
        record.msg, record.args = "no connection can be accepted: too many files are open", ()
        return True


class _Lines(JsonFormatter):
    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "message": "event"},
            json_ensure_ascii=False,
        )
        self.default_msec_format = "%s.%03dZ"
        self.default_time_format = "%Y-%m-%dT%H:%M:%S"

    @staticmethod
    def converter(seconds: float | None) -> time.struct_time:
        """UTC, whatever the machine is set to."""
        return time.gmtime(seconds)

    def format(self, record: logging.LogRecord) -> str:
        """One line, without a traceback unless it was asked for."""
        if not debugging():
            record.exc_info = record.exc_text = record.stack_info = None
        record.msg = record.msg.strip() if isinstance(record.msg, str) else record.msg
        return super().format(record)

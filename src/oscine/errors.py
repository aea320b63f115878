"""What can go wrong, in the words a user reads.

Each error carries one sentence that names the field and the way out, and knows how every front reports it: HTTP status
and OpenAI error type, process exit code. No message holds a path outside the user's own command line, a host, a secret
or user text.
"""

from __future__ import annotations


class OscineError(Exception):
    """Base of every error that Oscine raises on purpose.

    Attributes:
        message: One sentence that names the field and the way out.
        param: The request's field or the setting that it is about; None where it is about none.
        code: A word for programs, such as `voice_not_found`; None where there is none.
    """

    http_status: int = 500
    """HTTP status code of the answer."""
    type: str = "server_error"
    """`error.type` in an OpenAI error body."""
    exit_code: int = 4
    """Exit code of the command."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class InvalidRequest(OscineError):
    """The request itself is wrong: a field's type, range or combination, or input that cannot be read."""

    http_status = 400
    type = "invalid_request_error"
    exit_code = 2


class NotAvailable(OscineError):
    """The request is fine, but something it needs is not installed, not downloaded or not found here."""

    http_status = 404
    type = "invalid_request_error"
    exit_code = 3


class EngineFailed(NotAvailable):
    """The engine broke down, and loading it again did not help."""

    http_status = 503
    type = "server_error"


class Busy(OscineError):
    """The queue is full; try again after `retry_after` seconds."""

    http_status = 429
    type = "rate_limit_error"
    exit_code = 3

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message, code="rate_limit_exceeded")
        self.retry_after = retry_after


class SynthesisFailed(OscineError):
    """The engine could not speak a piece, also after the retries."""


class DeliveryFailed(OscineError):
    """The speech was made but could not be written or stored."""


class Cancelled(OscineError):
    """The request was stopped by whoever asked for it."""

    http_status = 499
    type = "cancelled"
    exit_code = 130

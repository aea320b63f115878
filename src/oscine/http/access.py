"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import Request

from oscine.errors import Busy, InvalidRequest
from oscine.http.errors import Refused

if TYPE_CHECKING:
    from limits import RateLimitItem


class Keys:
    """The bearer keys that open the server; none: it is open to all who reach it."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = tuple(_digest(form) for key in keys for form in _forms(key))

    def check(self, authorization: str) -> str | None:
        """Who it is, as a short name of the key that says nothing about it; None where no key is needed.

        Takes equally long whichever key is or is not the right one. Raises Refused.
        """
        if not self._digests:
            return None
        scheme, _, given = authorization.partition(" ")
        digest = _digest(given.strip().encode("latin-1", "replace"))
        known = [hmac.compare_digest(digest, other) for other in self._digests]
        if scheme.lower() == "bearer" and any(known):
            return digest.hex()[:12]
        said = "The key is not valid" if given else "A key is needed"
        raise Refused(
            HTTPStatus.UNAUTHORIZED,
            f"{said}; send one of this server's keys as Authorization: Bearer KEY.",
            code="invalid_api_key",
            headers={"www-authenticate": "Bearer"},
        )


class RateLimit:
    """At most so many requests in a time, for each key, or for each address where there are no keys."""

    def __init__(self, rule: str | None) -> None:
        """Raises InvalidRequest for what is no rate."""
        self._items: list[RateLimitItem] = []
        if rule is None:
            return
        from limits import parse_many
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        try:
            self._items = parse_many(rule)
        except ValueError:
            raise InvalidRequest(
                "The setting OSCINE_RATE_LIMIT must be a rate such as 60/minute or 5/second.", param="OSCINE_RATE_LIMIT"
            ) from None
        self._windows = MovingWindowRateLimiter(MemoryStorage())

    def check(self, who: str) -> None:
        """Count a request. Raises Busy that says when the next one is welcome."""
        for item in self._items:
            if not self._windows.hit(item, who):
                again = self._windows.get_window_stats(item, who).reset_time - time.time()
                raise Busy(
                    f"The rate of {item.amount} in {_span(item)} is used up; wait and send the rest.",
                    retry_after=max(1, math.ceil(again)),
                )


async def needs_key(request: Request) -> None:
    """A dependency of routes that need a key where there are keys."""
    request.state.key = request.app.state.service.keys.check(request.headers.get("authorization", ""))


async def counts(request: Request) -> None:
    """A dependency of routes whose use is limited; stands after `needs_key`."""
    address = request.client.host if request.client else "?"
    request.app.state.service.rate_limit.check(request.state.key or f"from {address}")


def _forms(key: str) -> set[bytes]:
    """The bytes that clients send for a key: programs send UTF-8, browsers Latin-1."""
    forms = {key.encode("utf-8", "surrogateescape")}
    with suppress(UnicodeEncodeError):
        forms.add(key.encode("latin-1"))
    return forms


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _span(item: RateLimitItem) -> str:
    seconds = item.get_expiry()
    return {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}.get(seconds, f"{seconds} seconds")

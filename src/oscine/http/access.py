"""Who may ask, how often, and from which pages."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oscine.errors import Busy, InvalidRequest
from oscine.http.errors import Refused, error_response

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
        """Count a request, unless it is refused. Raises Busy that says when the next one is welcome."""
        for item in self._items:
            if not self._windows.test(item, who):
                again = self._windows.get_window_stats(item, who).reset_time - time.time()
                raise Busy(
                    f"The rate of {item.amount} in {_span(item)} is used up; wait and send the rest.",
                    retry_after=max(1, math.ceil(again)),
                )
        for item in self._items:
            self._windows.hit(item, who)


class AbsoluteTargets:
    """Lets a request line hold a whole address, as clients send it to a proxy (RFC 9112, section 3.2.2).

    Its path and host are used as if they had come in the usual places.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        found = _ABSOLUTE.match(scope.get("raw_path") or b"")
        if scope["type"] == "http" and found is not None:
            path = found["path"] or b"/"
            headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [(b"host", found["authority"]), *headers]
            scope.update(raw_path=path, path=unquote(path.decode("ascii")))
        await self._app(scope, receive, send)


_ABSOLUTE: Final = re.compile(rb"https?://(?P<authority>[^/]*)(?P<path>/.*)?", re.IGNORECASE | re.DOTALL)


class OwnPages:
    """Keeps web pages of other origins from using a server that asks for no key.

    CORS alone does not: a page may send a form, or JSON as text/plain, to any server without asking first, and a page
    whose name is made to mean this machine after it was opened (DNS rebinding) counts as the server's own. A container
    cannot see that only this machine reaches it, and has to be told by which names it is known.
    """

    def __init__(self, app: ASGIApp, *, host: str, allowed: Sequence[str], names: Sequence[str] = ()) -> None:
        self._app = app
        self._allowed = frozenset(allowed)
        self._everywhere = host in _EVERYWHERE
        self._named = bool(names)
        known = (*names, *(origin.partition("://")[2] for origin in allowed))
        self._names = {host.lower(), *map(_name_in, known)} - {_NO_NAME}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            error = None
            checked = self._named or (not self._everywhere and _is_loopback(scope))
            if checked and not self._is_own(headers.get("host", "")):
                error = _OTHER_NAME
            elif scope["method"] not in _SAFE and not self._is_welcome(headers):
                error = _OTHER_PAGE
            if not self._allowed:
                send = _not_embedded(send)
            if error is not None:
                scope["state"]["error"] = error
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        """Whether no page of the internet can have this name: public names have a dot, and are no addresses."""
        name = _name_in(host)
        if "." not in name or name.endswith(_PRIVATE) or name in self._names:
            return True
        with suppress(ValueError):
            return bool(ip_address(name))
        return False

    def _is_welcome(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is not None and origin in self._allowed:
            return True
        site = headers.get("sec-fetch-site")
        if site is not None:  # which no page can set; behind a proxy it knows better than Host
            return site.lower() in ("same-origin", "none")
        return origin is None or _authority(origin) == _without_port(headers.get("host", ""), origin)


_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::", "0", ""})  # noqa: S104 - what it is bound to is chosen elsewhere
_PRIVATE: Final = (".localhost", ".internal")
"""Ends of names that the public DNS never has: RFC 6761, section 6.3, and ICANN's resolution 2024.07.29.06.

Containers reach the machine they run on as host.docker.internal and host.containers.internal.
"""
_NO_NAME: Final = "."
_OTHER_PAGE: Final = Refused(
    HTTPStatus.FORBIDDEN,
    "The page of another origin may not do this; list its origin in OSCINE_CORS_ORIGINS.",
    code="origin_not_allowed",
)
_OTHER_NAME: Final = Refused(
    HTTPStatus.FORBIDDEN,
    "The server is not known by this name; list it in OSCINE_ALLOWED_HOSTS, or set OSCINE_API_KEYS.",
    code="host_not_allowed",
)


def _not_embedded(send: Send) -> Send:
    """Keeps answers out of foreign pages: a player there would tell whether a recording exists, and how long it is.

    See the Fetch standard, "Cross-Origin-Resource-Policy header".
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), (b"cross-origin-resource-policy", b"same-origin")]
        await send(message)

    return sending


async def needs_key(request: Request) -> None:
    """A dependency of routes that need a key where there are keys."""
    request.state.key = request.app.state.service.keys.check(request.headers.get("authorization", ""))


async def rate_limited(request: Request) -> None:
    """A dependency of routes whose use is limited; stands after `needs_key`."""
    address = request.client.host if request.client else "?"
    request.app.state.service.rate_limit.check(request.state.key or f"from {address}")


def _forms(key: str) -> set[bytes]:
    """The bytes that clients send for a key: programs send UTF-8, browsers Latin-1."""
    forms = {key.encode("utf-8", "surrogateescape")}
    with suppress(UnicodeEncodeError):
        forms.add(key.encode("latin-1"))
    return forms


def _is_loopback(scope: Scope) -> bool:
    """Whether the request came from this machine, to an address that only this machine reaches."""
    with suppress(ValueError):
        return ip_address((scope.get("server") or ("",))[0]).is_loopback
    return False


def _name_in(authority: str) -> str:
    """The name or address of a Host header, without its port."""
    with suppress(ValueError):
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    return _NO_NAME


def _authority(origin: str) -> str:
    return _without_port(origin.partition("://")[2], origin)


def _without_port(authority: str, origin: str) -> str:
    """Name and port, the latter where it is not the usual one of the origin's scheme."""
    return authority.lower().removesuffix(":443" if origin.lower().startswith("https:") else ":80")


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _span(item: RateLimitItem) -> str:
    seconds = item.get_expiry()
    return {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}.get(seconds, f"{seconds} seconds")

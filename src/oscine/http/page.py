"""The page at `/`: type, choose or record a voice, and listen."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self' blob:; "
        "img-src 'self' data:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


@router.get("/")
async def index() -> Response:
    """The page itself."""
    return await part("index.html")


@router.get("/page/{name}")
async def part(name: str) -> Response:
    """One of its files."""
    found = _parts().get(name)
    if found is None:
        raise HTTPException(404)
    data, kind = found
    return Response(data, headers={**_HEADERS, "content-type": kind})


@cache
def _parts() -> dict[str, tuple[bytes, str]]:
    """Every file of the page, read once: a name from outside is looked up and never becomes a path."""
    folder = files("oscine.http") / "page"
    return {
        entry.name: (entry.read_bytes(), kind)
        for entry in folder.iterdir()
        if (kind := _KINDS.get(entry.name[entry.name.rfind(".") :])) is not None
    }

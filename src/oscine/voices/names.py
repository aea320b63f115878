"""Names of voices: what a new one may be called, and which one a client means. Pure; touches no file."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from oscine.errors import InvalidRequest

EXTENSIONS: Final = ("wav", "flac", "mp3", "m4a", "mp4", "ogg", "opus", "webm", "aac")
"""Endings of the files that count as reference voices."""
MAX_CHARACTERS: Final = 100
MAX_BYTES: Final = 240
"""UTF-8 bytes: file systems end at 255, and the ending needs room."""
LISTED: Final = 20
"""Names that an error repeats at most."""

_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul"}
    | {f"{port}{n}" for port in ("com", "lpt") for n in (*"0123456789", "\xb9", "\xb2", "\xb3")}
)
"""Windows keeps these for devices, with any ending (Microsoft, "Naming Files, Paths, and Namespaces")."""


@dataclass(frozen=True)
class Match:
    """The voice that a name in a request means."""

    name: str
    warning: str | None = None
    """Set where the voice is not the one that was asked for."""


def fold(name: str) -> str:
    """The form in which names are compared: NFC, without case."""
    return unicodedata.normalize("NFC", name).casefold()


def without_extension(name: str) -> str:
    """`name` without the ending of an audio file, if it has one."""
    stem, dot, extension = name.rpartition(".")
    return stem if dot and stem and extension.lower() in EXTENSIONS else name


def clean_name(name: str, *, field: str = "voice") -> str:
    """The form in which a new voice of this name is kept: NFC, without outer blanks and without an audio file's ending.

    It has 1 to 100 letters, digits, `.`, `_`, `-` and single spaces and begins with a letter, a digit or `_`.
    Raises InvalidRequest.
    """
    if len(name) > 4 * MAX_CHARACTERS:
        raise _refused(field, f"is longer than {MAX_CHARACTERS} characters")
    cleaned = unicodedata.normalize("NFC", name).strip(" ")
    while (shorter := without_extension(cleaned)) != cleaned:
        cleaned = shorter.strip(" ")
    if not cleaned:
        raise _refused(field, "is empty")
    if len(cleaned) > MAX_CHARACTERS:
        raise _refused(field, f"is longer than {MAX_CHARACTERS} characters")
    if not all(_allowed(c) for c in cleaned) or "  " in cleaned:
        raise _refused(field, "holds a character that names of voices do not have")
    if not (cleaned[0] == "_" or unicodedata.category(cleaned[0])[0] in "LN"):
        raise _refused(field, "begins with something else than a letter, a digit or an underscore")
    if cleaned.endswith("."):
        raise _refused(field, "ends with a dot")
    if cleaned.partition(".")[0].strip(" ").casefold() in _RESERVED:
        raise _refused(field, "is a name that Windows keeps for devices")
    if len(cleaned.encode()) > MAX_BYTES:
        raise _refused(field, f"is longer than {MAX_BYTES} bytes")
    return cleaned


def match(wanted: str, names: Sequence[str], *, loose: bool = False, field: str = "voice") -> Match:
    """The one of `names` that `wanted` means, with or without an audio file's ending, whatever its case.

    The same name comes before the only one that begins with it, that before the only one that holds it. With `loose`
    the first name that holds `wanted` or is held by it is taken, and where there is none the first, with a warning.
    Raises InvalidRequest that lists names; with `loose` only if there are none at all.
    """
    same = exact(wanted, names)
    if len(same) == 1 or (loose and same):
        return Match(same[0])
    forms = _forms(wanted)
    if loose and names:
        for name in names:
            if any(form in fold(name) or fold(name) in form for form in forms):
                return Match(name)
        return Match(names[0], f"{field} is not the name of a voice here; {names[0]} was taken instead.")
    found = same or _partial(forms, names)
    if len(found) == 1:
        return Match(found[0])
    if found:
        raise InvalidRequest(f"{field} fits several voices: {listed(found)}; give one name in full.", param=field)
    raise unknown(field, names)


def exact(wanted: str, names: Iterable[str]) -> list[str]:
    """The names that equal `wanted`; several only where they differ from it and from each other in nothing but case."""
    nfc = unicodedata.normalize("NFC", wanted.strip())
    names = list(names)
    for literal in (nfc, without_extension(nfc)):
        if literal in names:
            return [literal]
    for form in _forms(wanted):
        if found := [name for name in names if fold(name) == form]:
            return found
    return []


def unknown(field: str, names: Sequence[str], *, addable: bool = True, kind: str = "voice") -> InvalidRequest:
    """The error for a name that fits no voice, or no `kind` of voice; with `addable` it says how one is added."""
    there = f"there are {listed(names)}" if names else "there is none yet"
    how = " (`oscine voices add NAME FILE` adds one)" if addable else ""
    return InvalidRequest(
        f"{field} is not the name of a {kind} here; {there}{how}.",
        param=field,
        code="voice_not_found",
    )


def listed(names: Sequence[str]) -> str:
    """At most 20 of the names, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _forms(wanted: str) -> list[str]:
    """What `wanted` may stand for, most literal first; nothing for what is too long to be a name."""
    stripped = wanted.strip()
    if not stripped or len(stripped) > 2 * MAX_BYTES:
        return []
    return list(dict.fromkeys((fold(stripped), fold(without_extension(stripped)))))


def _partial(forms: Sequence[str], names: Sequence[str]) -> list[str]:
    tests: tuple[Callable[[str, str], bool], ...] = (str.startswith, str.__contains__)
    for fits in tests:
        for form in forms:
            if found := [name for name in names if fits(fold(name), form)]:
                return found
    return []


def _allowed(character: str) -> bool:
    return character in "._- " or unicodedata.category(character)[0] in "LMN"


def _refused(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"{field} {why}; the name of a voice is 1 to {MAX_CHARACTERS} letters, digits, dots, underscores, hyphens and "
        "single spaces.",
        param=field,
    )

"""Other names for voices: OpenAI's, and those in `voices.json`, which the user may edit."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from oscine.errors import NotAvailable
from oscine.voices.folder import inside, open_regular, real
from oscine.voices.names import fold

OPENAI_NAMES: Final = (
    "alloy",
    "ash",
    "ballad",
    "coral",
    "echo",
    "fable",
    "onyx",
    "nova",
    "sage",
    "shimmer",
    "verse",
    "marin",
    "cedar",
)
"""The voices of OpenAI's speech API, which clients send without asking what there is."""
FILENAME: Final = "voices.json"
MAX_BYTES: Final = 1024 * 1024
"""Of `voices.json`; a hundred thousand names fit."""


class Aliases:
    """Names that stand for others: `voices.json` in `home`, a flat object of name -> voice, and OpenAI's names.

    The file is read when it is first needed and again when it has changed; if it is broken, `knows` and `resolve` raise
    NotAvailable that says what to repair. A name that it maps to itself counts as not mapped.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._read_at: tuple[int, ...] | None = None
        self._targets: Mapping[str, str] = {}

    def knows(self, name: str) -> bool:
        """Whether `name` stands for another voice or for the default."""
        return fold(name.strip()) in OPENAI_NAMES or self.resolve(name) is not None

    def resolve(self, name: str) -> str | None:
        """The voice or alias that `name` stands for; None: the default voice."""
        return self._current().get(fold(name.strip()))

    def _current(self) -> Mapping[str, str]:
        home = real(self._home)
        if home is None or not os.path.lexists(home / FILENAME):
            return {}
        path = inside(home, FILENAME)
        if path is None:
            raise _broken("is not a file in the folder of voices; put the file itself there")
        try:
            with open_regular(path) as file:
                status = os.fstat(file.fileno())
                stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                if stamp != self._read_at:
                    self._targets, self._read_at = parse(file.read(MAX_BYTES + 1)), stamp
        except OSError as error:
            raise _broken(f"cannot be read ({error.strerror or 'no regular file'}); let Oscine read it") from None
        return self._targets


def parse(data: bytes) -> dict[str, str]:
    """Folded name -> voice from the content of `voices.json`. Raises NotAvailable that says what to repair."""
    if len(data) > MAX_BYTES:
        raise _broken("is larger than 1 MB; keep only the names that are used")
    try:
        pairs = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_Pairs)
    except UnicodeDecodeError:
        raise _broken("is not UTF-8 text; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise _broken(f"is not valid JSON (line {error.lineno}, column {error.colno}); mend it there") from None
    except (ValueError, RecursionError):
        raise _broken('is not valid JSON; it takes one flat object such as {"nova": "Alice"}') from None
    if not isinstance(pairs, _Pairs):
        raise _broken('must hold one flat object such as {"nova": "Alice"}')
    targets: dict[str, str] = {}
    for name, target in pairs:
        if not isinstance(target, str) or not name.strip() or not target.strip():
            raise _broken(
                f'must map names to names, and entry {len(targets) + 1} does not; write it as "nova": "Alice"'
            )
        if fold(name.strip()) in targets:
            raise _broken(f"has the same name twice, in entry {len(targets) + 1}; keep one of them")
        targets[fold(name.strip())] = target.strip()
    targets = {name: target for name, target in targets.items() if fold(target) != name}
    _refuse_loops(targets)
    return targets


class _Pairs(list[tuple[str, object]]):
    """The members of a JSON object in their order, also those whose name comes twice."""


def _refuse_loops(targets: Mapping[str, str]) -> None:
    """Raises NotAvailable where a name stands for itself by way of others."""
    ends: set[str] = set()
    for start in targets:
        way: dict[str, None] = {}
        name = start
        while name in targets and name not in ends:
            if name in way:
                raise _broken("has names that stand for each other in a circle; let one of them stand for a voice")
            way[name] = None
            name = fold(targets[name])
        ends.update(way)


def _broken(what: str) -> NotAvailable:
    return NotAvailable(f"The file {FILENAME} beside the voices {what}.", param="voice", code="voices_json_broken")

"""What the models hear of a recording, kept by its content."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

MOST: Final = 16
"""Recordings that are kept; each takes about 6 MB of the device's memory."""
LONGEST_S: Final = 15.0
"""So much of a recording is heard, from its beginning."""

T = TypeVar("T")


class Kept(Generic[T]):
    """The latest results by key, `most` of them."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held: OrderedDict[object, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: object, make: Callable[[], T]) -> T:
        """The result for `key`, made if it is not kept."""
        if key in self._held:
            self._held.move_to_end(key)
        else:
            self._held[key] = make()
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return self._held[key]

    def clear(self) -> None:
        """Keep nothing."""
        self._held.clear()

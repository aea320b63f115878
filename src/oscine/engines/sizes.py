"""Sizes of what is run again and again: few, so that each can be made ready once."""

from __future__ import annotations


def bucket(count: int, least: int, most: int) -> int:
    """The next power of two, within bounds."""
    return min(most, max(least, 1 << (count - 1).bit_length()))

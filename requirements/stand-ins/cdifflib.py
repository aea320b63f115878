"""Stands for cdifflib, which has no wheels for Linux: the class of Python's own that it makes faster."""

from difflib import SequenceMatcher as CSequenceMatcher

__all__ = ["CSequenceMatcher"]

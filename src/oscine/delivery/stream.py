"""Sound that is read while it is made."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from oscine.audio.formats import Format
from oscine.synthesis.plan import Plan
from oscine.synthesis.result import Report

T = TypeVar("T")


@dataclass(frozen=True)
class Opening:
    """What is known of speech before its first sound."""

    engine: str
    voice: str
    """Of what no speaker's label stands before."""
    seed: int
    format: Format | None
    """None: plain samples."""
    sample_rate: int
    """Hz."""
    warnings: tuple[str, ...]
    """Those so far; the report has all."""

    @classmethod
    def of(cls, plan: Plan, format: Format | None, sample_rate: int) -> Opening:
        """The opening of a plan's speech."""
        return cls(plan.info.name, plan.cast.prompts[0].name, plan.seed, format, sample_rate, tuple(plan.warnings))


class Stream(Generic[T]):
    """An iterator over sound that is being made.

    Close it, use it with `with`, or read it to the end: then its lanes are free. It may be closed from another thread
    than the one that reads.
    """

    def __init__(
        self, source: Iterator[T], close: Callable[[], None], report: Callable[[], Report], opening: Opening
    ) -> None:
        self.opening = opening
        self._source = source
        self._close = close
        self._tell = report
        self._report: Report | None = None
        self._closed = False

    @property
    def report(self) -> Report | None:
        """How it was made, with its warnings and where each sentence is; None until it was read to the end."""
        return self._report

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return next(self._source)
        except StopIteration:
            if self._report is None and not self._closed:
                self._report = self._tell()
            self.close()
            raise
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Stop speaking; idempotent."""
        self._closed = True
        self._close()
        if isinstance(self._source, Generator):
            with suppress(ValueError):  # another thread is reading, and is about to be told that it is over
                self._source.close()

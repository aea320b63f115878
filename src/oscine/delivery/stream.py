"""Sound that is read while it is made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from oscine.audio.formats import Format
from oscine.errors import Cancelled
from oscine.synthesis.plan import Plan
from oscine.synthesis.result import Report
from oscine.synthesis.track import Progress

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
        self,
        source: Iterator[T],
        close: Callable[[], None],
        report: Callable[[], Report],
        opening: Opening,
        progress: Callable[[], Progress],
    ) -> None:
        self.opening = opening
        self._source = source
        self._close = close
        self._tell = report
        self._progress = progress
        self._report: Report | None = None
        self._closed = False
        self._closed_by: int | None = None
        """The thread that ended it early; another one that reads must not take that for the end."""
        self._reading = threading.Lock()

    @property
    def report(self) -> Report | None:
        """How it was made, with its warnings and where each sentence is; None until it was read to the end."""
        return self._report

    @property
    def progress(self) -> Progress:
        """How much was made so far."""
        return self._progress()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            with self._reading:
                try:
                    return next(self._source)
                except StopIteration:
                    if self._closed_by not in (None, threading.get_ident()) and self._report is None:
                        raise Cancelled("The request was cancelled.") from None
                    if self._report is None and not self._closed:
                        self._report = self._tell()
                    self._stop()
                    raise
                except BaseException:
                    self._stop()
                    raise
        finally:
            if self._closed:
                self._free()

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Stop speaking and free everything; idempotent."""
        self.stop()
        self._free()

    def stop(self) -> None:
        """Stop speaking; the thread that reads is told, and frees the rest. Takes no time."""
        if self._closed_by is None:
            self._closed_by = threading.get_ident()
        self._stop()

    def _stop(self) -> None:
        self._closed = True
        self._close()

    def _free(self) -> None:
        """Close the source, unless a thread is reading: that one does it, for closing a generator that runs crashes."""
        if self._reading.acquire(blocking=False):
            try:
                if isinstance(self._source, Generator):
                    self._source.close()
            finally:
                self._reading.release()

"""Where a muxer writes to."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import BinaryIO


class Out:
    """Where the muxer writes to: memory, a file of ours or one of the caller's. Takes no byte once it is closed."""

    def __init__(self, sink: BinaryIO | Path | None) -> None:
        self.closed = False
        self._path = sink if isinstance(sink, Path) else None
        self._owned = isinstance(sink, Path)
        self._file: BinaryIO | None = sink.open("wb") if isinstance(sink, Path) else sink
        self._seekable = self._file is not None and self._file.seekable()
        self._chunks: list[bytes] = []

    def seekable(self) -> bool:
        """Whether a header can be completed at the end."""
        return self._seekable

    def write(self, data: bytes) -> int:
        """Take the next bytes; returns how many."""
        if self._file is None:
            self._chunks.append(data)
        else:
            self._file.write(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file."""
        assert self._file is not None
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        assert self._file is not None
        return self._file.tell()

    def read_again(self, _url: str, _flags: int, _options: object) -> BinaryIO:
        """What was written so far, for a muxer that moves it."""
        assert self._file is not None
        assert self._path is not None
        self._file.flush()
        return self._path.open("rb")

    def written(self) -> bytes:
        """All of it, where it is kept in memory that can seek."""
        assert isinstance(self._file, io.BytesIO)
        return self._file.getvalue()

    def take(self) -> bytes:
        """The bytes that no file took, since the last call."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data

    def complete(self) -> None:
        """Close after success: what cannot be written any more is raised."""
        self.closed = True
        if self._file is not None:
            self._file.close() if self._owned else self._file.flush()

    def abandon(self) -> None:
        """Close after a failure, whose error is the one to be told."""
        self.closed = True
        self._chunks.clear()
        if self._file is not None and self._owned:
            with contextlib.suppress(OSError):
                self._file.close()

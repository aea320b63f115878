"""A file on its way to an object store, written while it is made."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, Self, cast

from oscine.audio.formats import Format
from oscine.delivery.files import failed
from oscine.errors import DeliveryFailed

if TYPE_CHECKING:
    from typing_extensions import Buffer

PART_BYTES: Final = 8 * 1024 * 1024
"""What goes to the store at a time. S3 takes 5 MiB to 5 GiB, 10,000 of them in a file ("Multipart upload limits")."""
COMPLETED_AT_THE_END: Final = frozenset({Format.MP3, Format.FLAC, Format.WAV})
"""Formats whose first bytes say how long the whole is: written once that is known, they need a file that can seek."""
_BLOCK_BYTES: Final = 1024 * 1024
_ABORT_SECONDS: Final = 5.0
"""Seconds that one who gives up waits for the store to forget what it has; it goes on in the background."""


@dataclass(frozen=True)
class Stored:
    """A file in an object store."""

    key: str
    """Its whole name in the bucket, prefix included."""
    size: int
    """Bytes."""
    e_tag: str | None
    """What the store tells versions apart by, with its quotation marks."""
    last_modified: datetime


class Digest:
    """What a store should say of bytes that it received in parts of `PART_BYTES`, or at once where they are fewer."""

    def __init__(self) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._part = _md5()
        self._parts = b""

    def update(self, data: memoryview) -> None:
        """Add bytes."""
        self.sha256.update(data)
        while len(data):
            piece = data[: PART_BYTES - self.size % PART_BYTES]
            self._part.update(piece)
            self.size += len(piece)
            if self.size % PART_BYTES == 0:
                self._parts += self._part.digest()
                self._part = _md5()
            data = data[len(piece) :]

    def e_tag(self, *, parts: bool) -> str:
        """The ETag of S3: the MD5, or that of the parts' MD5s and their number (the S3 guide, "Checking integrity").

        Buckets that encrypt with keys of their own say something else, and so may stores of other kinds.
        """
        if not parts:
            return f'"{(self._parts or self._part.digest()).hex()}"'
        digests = self._parts if self.size % PART_BYTES == 0 else self._parts + self._part.digest()
        return f'"{_md5(digests).hexdigest()}-{len(digests) // 16}"'


class Upload(ABC):
    """A binary file that becomes an object when it is closed, and nothing when it is not.

    What was there under its key stays until then. Belongs to one thread at a time; `abort` may be called from another
    one. Raises DeliveryFailed from whatever talks to the store; after that only `abort` is of use, which `with` calls.
    """

    def __init__(self) -> None:
        self.closed = False
        self.stored: Stored | None = None
        """The object, once it is closed."""

    @abstractmethod
    def write(self, data: Buffer) -> int:
        """Take all of `data`; where a part is full, wait until at most one other is on its way."""

    @abstractmethod
    def close(self) -> None:
        """Send the rest and let the object appear; idempotent."""

    @abstractmethod
    def abort(self) -> None:
        """Leave nothing in the store; idempotent, and of no effect once it is closed. Takes some seconds at most."""

    @abstractmethod
    def seekable(self) -> bool:
        """Whether what was written can be changed."""

    def readable(self) -> bool:
        """No."""
        return False

    def writable(self) -> bool:
        """Yes."""
        return True

    def flush(self) -> None:
        """Nothing happens: parts go when they are full."""
        self._check_open()

    @property
    def file(self) -> BinaryIO:
        """Itself, for what takes a file."""
        return cast(BinaryIO, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("The upload is closed.")


class StreamedUpload(Upload):
    """Goes to the store in parts while it is written; holds two of them at most, of `PART_BYTES` each."""

    def __init__(
        self,
        put: Callable[[bytearray, Digest], Stored],
        open_parts: Callable[[], Any],
        settle: Callable[[Any, Digest], Stored],
    ) -> None:
        """`put` stores a small file at once; `open_parts` begins an upload in parts, `settle` ends it."""
        super().__init__()
        self._put = put
        self._open_parts = open_parts
        self._settle = settle
        self._held = bytearray()
        self._parts: Any = None
        self._ending = threading.Lock()
        self._digest = Digest()

    def write(self, data: Buffer) -> int:
        """See Upload."""
        self._check_open()
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _BLOCK_BYTES):
            self._held += view[start : start + _BLOCK_BYTES]
            if len(self._held) >= (PART_BYTES if self._parts is None else _BLOCK_BYTES):
                self._push()
        self._digest.update(view)
        return len(view)

    def tell(self) -> int:
        """Bytes so far."""
        return self._digest.size

    def seekable(self) -> bool:
        """No."""
        return False

    def close(self) -> None:
        """See Upload."""
        if self.closed:
            return
        try:
            if self._parts is None:
                self.stored = self._put(self._held, self._digest)
            else:
                self._push()
                self.stored = self._settle(self._parts, self._digest)
        except BaseException:
            self.abort()
            raise
        self.closed = True
        self._parts = None
        self._held = bytearray()

    def abort(self) -> None:
        """See Upload."""
        with self._ending:
            if self.closed:
                return
            self.closed = True
            parts, self._parts = self._parts, None
        self._held = bytearray()
        if parts is not None:
            # A store that does not answer would hold up whoever gave up just because of that.
            thread = threading.Thread(target=_forget, args=(parts,), name="oscine-abort", daemon=True)
            thread.start()
            thread.join(_ABORT_SECONDS)

    def _push(self) -> None:
        held, self._held = self._held, bytearray()
        with self._ending:
            self._check_open()
            if self._parts is None:
                self._parts = self._open_parts()
            parts = self._parts
        try:
            if held:
                parts.write(held)
        except DeliveryFailed:
            self._check_open()  # another thread has aborted it meanwhile
            raise


class SpooledUpload(Upload):
    """Is written into a temporary file, in which it can seek, and goes to the store when it is closed."""

    def __init__(self, upload: Upload) -> None:
        """Raises DeliveryFailed where there is no room for a temporary file."""
        super().__init__()
        self._upload = upload
        try:
            self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close` and `abort`
        except OSError as error:
            raise failed(error, "temporary file") from None

    def write(self, data: Buffer) -> int:
        """See Upload."""
        self._check_open()
        try:
            return self._spool.write(data)
        except OSError as error:
            raise failed(error, "temporary file") from None

    def seek(self, offset: int, whence: int = 0) -> int:
        """Where to write next, in bytes."""
        return self._spool.seek(offset, whence)

    def tell(self) -> int:
        """Where it is, in bytes."""
        return self._spool.tell()

    def truncate(self, size: int | None = None) -> int:
        """Cut it; with 0 after `seek(0)` begin again."""
        return self._spool.truncate(size)

    def seekable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """See Upload."""
        if self.closed:
            return
        try:
            self._spool.seek(0)
            copy(self._spool, self._upload)
            self._upload.close()
        except BaseException:
            self.abort()
            raise
        self.stored = self._upload.stored
        self.closed = True
        self._spool.close()

    def abort(self) -> None:
        """See Upload."""
        if self.closed:
            return
        self.closed = True
        self._upload.abort()
        with suppress(OSError):
            self._spool.close()


def copy(file: IO[bytes], upload: Upload) -> None:
    """Write what `file` still holds. Raises DeliveryFailed also where it cannot be read."""
    while True:
        try:
            block = file.read(_BLOCK_BYTES)
        except OSError:
            raise DeliveryFailed("The finished file cannot be read; send the request again.") from None
        if not block:
            return
        upload.write(block)


def _md5(data: bytes = b"") -> Any:
    return hashlib.md5(data, usedforsecurity=False)


def _forget(parts: Any) -> None:
    """Have the store forget the parts that it has."""
    with suppress(Exception):
        parts.abort()

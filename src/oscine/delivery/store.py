"""Object stores: files that are written while they are made, found again, and linked to."""

from __future__ import annotations

import hashlib
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from oscine.config import WEEK_SECONDS, Settings
from oscine.delivery.place import Place, place_of_request, place_of_settings
from oscine.delivery.store_errors import is_panic, store_failed
from oscine.delivery.upload import PART_BYTES, Digest, SpooledUpload, Stored, StreamedUpload, Upload, copy
from oscine.errors import DeliveryFailed, InvalidRequest, NotAvailable

_KEY_BYTES: Final = 1024
"""Longest name of an object, in UTF-8 (the S3 guide, "Object key naming guidelines")."""
_PARTS_AT_ONCE: Final = 2
"""With one, nothing would be written while a part is on its way."""


class ObjectStore:
    """One place in one store. Threads may share it.

    A key is a name inside the prefix, with `/` between its parts, or such a name with the prefix before it, as
    `Stored.key` holds it. Whatever it is, nothing outside the prefix is touched; a key that would lead there, or that
    no store takes, is an InvalidRequest.

    A request that fails in a way that may pass (the connection, an answer of 500 and more) is tried again after 0.2 s,
    and then ever more, with jitter; not one that was refused. A request that is not answered is given up after half of
    `S3_TIMEOUT_SECONDS`, and after all of them no other is begun: then it is DeliveryFailed. Its `code` is one of
    `credentials_refused`, `access_denied`, `bucket_not_found`, `store_misconfigured`, `store_refused`, `store_failed`,
    `store_unreachable`, `disk_full`, `clock_skewed`, `damaged` or `links_refused`.
    """

    def __init__(self, place: Place, *, prefix: str = "", timeout: float = 60) -> None:
        """`prefix` as `Settings.s3_prefix`, `timeout` in seconds."""
        self._store = place.store
        self._names = place.names
        self._folder = place.folder
        self._prefix = prefix
        self._timeout = timeout
        self._tags_are_digests = place.folder is None

    @classmethod
    def from_settings(cls, settings: Settings) -> ObjectStore | None:
        """The deployment's store; None: none is configured.

        Raises InvalidRequest that names the variable where only part of it is set, NotAvailable without the extra.
        """
        place = place_of_settings(settings)
        return None if place is None else cls(place, prefix=settings.s3_prefix, timeout=settings.s3_timeout_seconds)

    @classmethod
    def from_s3_config(cls, config: Mapping[str, Any], settings: Settings) -> ObjectStore:
        """The store of a request to RunPod: `s3Config` with `endpointUrl`, `accessId`, `accessSecret`, `bucketName`.

        It has the deployment's prefix and times. Without encryption only the deployment's own address is taken. Raises
        InvalidRequest that names the field.
        """
        place = place_of_request(config, settings)
        return cls(place, prefix=settings.s3_prefix, timeout=settings.s3_timeout_seconds)

    def check(self) -> None:
        """Write a file of some bytes, follow a link to it, and delete it. Raises DeliveryFailed."""
        key = f".oscine-check-{secrets.token_hex(8)}"
        with self.writer(key, content_type="text/plain", filename="check.txt") as upload:
            upload.write(b"oscine")
        try:
            link = self.link(key, 60)
            if not link.startswith("http"):
                return
            try:
                with _unmoved.open(link, timeout=min(self._timeout, 10)) as answer:
                    right = answer.read(64) == b"oscine"
            except urllib.error.HTTPError as error:
                error.close()
                if error.code in _MOVED:
                    return
                right = False
            except OSError:
                # The store was reached a moment ago: Python may know other certificates, or another way out.
                return
            if not right:
                raise DeliveryFailed(
                    "The object store keeps files but refuses presigned links to them; choose one that has such links.",
                    code="links_refused",
                )
        finally:
            with suppress(DeliveryFailed):
                self.delete(key)

    def writer(self, key: str, *, content_type: str, filename: str, seekable: bool = False) -> Upload:
        """A binary file that is the object when it is closed, and leaves nothing when it is not; see Upload.

        It goes to the store while it is written, in parts of 8 MiB of which two are in memory. With `seekable` it is a
        temporary file first; `COMPLETED_AT_THE_END` names the formats that want that. `content_type` and `filename` are
        what the link's answer says of itself.
        """
        full = self._full(key)
        upload = StreamedUpload(
            lambda data, digest: self._put(full, data, digest, content_type, filename),
            lambda: _Parts(self, full, self._attributes(content_type, filename)),
            lambda parts, digest: self._settle(full, parts, digest),
        )
        return SpooledUpload(upload) if seekable else upload

    def upload(self, path: Path, key: str, *, content_type: str, filename: str) -> Stored:
        """Store a finished file. Raises DeliveryFailed, also where the file cannot be read."""
        try:
            file = path.open("rb")
        except OSError:
            raise DeliveryFailed("The finished file cannot be read; send the request again.") from None
        with file, self.writer(key, content_type=content_type, filename=filename) as upload:
            copy(file, upload)
        assert upload.stored is not None
        return upload.stored

    def link(self, key: str, seconds: int) -> str:
        """An address from which anybody can get the object for so long; for a folder the file's own, for good.

        Asks nobody, so it is also given for an object that does not exist. Raises DeliveryFailed where the store's
        credentials cannot sign.
        """
        if not 1 <= seconds <= WEEK_SECONDS:
            raise InvalidRequest(f"A link lives for 1 to {WEEK_SECONDS} seconds.", param="S3_PRESIGN_SECONDS")
        full = self._full(key)
        if self._folder is not None:
            return (self._folder / full).absolute().as_uri()
        from obstore import sign

        with self._naming():
            return str(sign(self._store, "GET", full, timedelta(seconds=seconds)))

    def find(self, key: str) -> Stored | None:
        """What is stored under `key`; None: nothing. Raises DeliveryFailed."""
        from obstore import head

        full = self._full(key)
        with self._naming():
            try:
                found = head(self._store, full)
            except FileNotFoundError:
                return None
        return Stored(full, found["size"], found["e_tag"], found["last_modified"])

    def read(self, key: str, most_bytes: int, *, field: str = "s3_key") -> bytes:
        """The object's bytes. Raises InvalidRequest where they are more than `most_bytes`, NotAvailable without it."""
        from obstore import get

        full = self._full(key, field=field)
        too_large = InvalidRequest(
            f"{field}: the file in the object store is larger than {most_bytes / 1e6:.3g} MB; choose a smaller one.",
            param=field,
            code="too_large",
        )
        with self._naming():
            try:
                found = get(self._store, full)
                if found.meta["size"] > most_bytes:
                    raise too_large
                data = bytearray()
                for block in found.stream():
                    data += block
                    if len(data) > most_bytes:
                        raise too_large
            except FileNotFoundError as error:
                explained = store_failed(error, self._names)
                if explained.code == "bucket_not_found":
                    raise explained from None
                raise NotAvailable(
                    f"{field}: there is no such file in the object store; check its name.", param=field
                ) from None
        return bytes(data)

    def delete(self, key: str) -> None:
        """Remove the object, if there is one. Raises DeliveryFailed."""
        from obstore import delete

        full = self._full(key)
        with self._naming(), suppress(FileNotFoundError):
            delete(self._store, full)

    def _put(self, key: str, data: bytearray, digest: Digest, content_type: str, filename: str) -> Stored:
        from obstore import put

        with self._naming(key):
            done = put(self._store, key, data, attributes=self._attributes(content_type, filename), use_multipart=False)
        self._compare(key, done["e_tag"], digest, parts=False)
        return Stored(key, digest.size, done["e_tag"], datetime.now(UTC))

    def _settle(self, key: str, parts: _Parts, digest: Digest) -> Stored:
        parts.complete()
        stored = self.find(key)
        if stored is None or stored.size != digest.size:
            raise _damaged()
        self._compare(key, stored.e_tag, digest, parts=True)
        return stored

    def _compare(self, key: str, e_tag: str | None, digest: Digest, *, parts: bool) -> None:
        """Find out whether the store has the bytes that were sent, by what it calls them; else by reading them once."""
        from obstore import get

        if not self._tags_are_digests or e_tag == digest.e_tag(parts=parts):
            return
        seen = hashlib.sha256()
        with self._naming():
            for block in get(self._store, key).stream():
                seen.update(block)
        if seen.digest() != digest.sha256.digest():
            raise _damaged()
        self._tags_are_digests = False

    def _attributes(self, content_type: str, filename: str) -> dict[str, str] | None:
        if self._folder is not None:
            return None
        return {"Content-Type": content_type, "Content-Disposition": disposition(filename)}

    def _full(self, key: str, *, field: str = "key") -> str:
        inside = key if not self._prefix or key.startswith(f"{self._prefix}/") else f"{self._prefix}/{key}"
        parts = inside.split("/")
        if (
            not key
            or "\\" in key
            or not key.isprintable()
            or any(part in ("", ".", "..") for part in parts)
            or len(inside.encode()) > _KEY_BYTES
        ):
            raise InvalidRequest(
                f"{field} must be the name of a file in the object store, without empty parts, dots alone and control"
                f" characters, and of at most {_KEY_BYTES} bytes.",
                param=field,
            )
        return inside

    @contextmanager
    def _naming(self, written: str | None = None) -> Iterator[None]:
        """Say what obstore's errors mean to a user; `written` is the key that could not be."""
        from obstore.exceptions import BaseError

        try:
            yield
        except BaseException as error:
            if not isinstance(error, BaseError | OSError | NotImplementedError | ValueError) and not is_panic(error):
                raise
            explained = store_failed(error, self._names)
        else:
            return
        if explained.code == "access_denied" and written is not None and self._bucket_is_missing(written):
            explained = DeliveryFailed(
                f"The object store has no such bucket; check {self._names.bucket}.", code="bucket_not_found"
            )
        raise explained from None

    def _bucket_is_missing(self, key: str) -> bool:
        """Whether reading says so: to those who may not make buckets, some stores deny to write into a missing one."""
        from obstore import get
        from obstore.exceptions import BaseError

        try:
            get(self._store, key)
        except (BaseError, OSError) as error:
            return store_failed(error, self._names).code == "bucket_not_found"
        return False


class _Unmoved(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a store that came with a job could send the worker to any address it reaches."""

    def redirect_request(self, *_: object) -> None:
        """Nowhere."""


_unmoved: Final = urllib.request.build_opener(_Unmoved)
_MOVED: Final = range(300, 400)


class _Parts:
    """An upload in parts."""

    def __init__(self, store: ObjectStore, key: str, attributes: dict[str, str] | None) -> None:
        from obstore import open_writer

        self._owner = store
        self._key = key
        self._writer = open_writer(
            store._store, key, attributes=attributes, buffer_size=PART_BYTES, max_concurrency=_PARTS_AT_ONCE
        )

    def write(self, data: bytearray) -> None:
        """Hand over `data`, which nobody changes any more."""
        with self._owner._naming(self._key):
            self._writer.write(data)

    def complete(self) -> None:
        """Let the object appear."""
        with self._owner._naming(self._key):
            # Of parts that fail from here on obstore leaves the others where they are, so as few as can be are left.
            self._writer.flush()
            self._writer.close()

    def abort(self) -> None:
        """Have the store forget the parts."""
        self._writer.__exit__(DeliveryFailed, None, None)


def _damaged() -> DeliveryFailed:
    return DeliveryFailed(
        "The object store has other bytes under this name than were sent; send the request again.", code="damaged"
    )


def disposition(filename: str) -> str:
    """The header that has browsers play a file, and save it under this name (RFC 6266, section 4)."""
    plain = "".join(sign if sign.isascii() and sign.isprintable() and sign not in '"\\' else "_" for sign in filename)
    named = f'inline; filename="{plain}"'
    return named if plain == filename else f"{named}; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"

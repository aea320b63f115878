"""How a model's files come from the Hugging Face Hub into the user's cache."""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from logging import CRITICAL
from pathlib import Path
from typing import Any, Final

from oscine.engines.protocol import Progress
from oscine.errors import NotAvailable

COMMIT: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def storage_of(hub: str) -> str:
    """The folder of a model in a cache; documented at https://huggingface.co/docs/huggingface_hub/guides/manage-cache."""
    return "models--" + hub.replace("/", "--")


def user_cache() -> Path:
    """Where models of the Hub lie unless somebody says otherwise; HF_HOME and HF_HUB_CACHE do."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


@dataclass(frozen=True)
class File:
    """A file of a model on the Hub."""

    name: str
    size: int
    """Bytes; 0: the server does not say."""
    sha256: str | None
    """None: a small file, which the Hub keeps in git."""


@dataclass(frozen=True)
class Listing:
    """What the Hub has of a model."""

    commit: str
    files: Mapping[str, File]
    """By their paths."""


def listed(hub: str) -> Listing:
    """Ask the Hub. Raises NotAvailable, and what `in_one_sentence` tells."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise _failed(f"HF_HUB_OFFLINE forbids to download {hub}; unset it and run the command again.")
    info = HfApi().model_info(hub, files_metadata=True, timeout=30)
    commit = str(info.sha)
    if not COMMIT.fullmatch(commit):
        raise _failed(f"The Hub told no version of {hub}; run the command again later.")
    siblings = ((str(sibling.rfilename), sibling) for sibling in info.siblings or ())
    return Listing(commit, {name: File(name, int(one.size or 0), _sha256(one.lfs)) for name, one in siblings})


@contextmanager
def in_one_sentence(hub: str) -> Iterator[None]:
    """Whatever goes wrong with a model's files in here is told in one sentence: it becomes NotAvailable."""
    try:
        with _quiet():
            yield
    except NotAvailable:
        raise
    except Exception as error:  # of the network, of the disk and of several packages
        raise _told(error, hub) from None


class Meter:
    """Reports bytes as a share, once for each per cent."""

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self._progress, self._what, self._total = progress, what, max(1, total)
        self._done, self._said = 0, -1

    def add(self, count: float) -> None:
        self._done += int(count)
        percent = max(0, min(100, 100 * self._done // self._total))
        if percent != self._said:
            self._said = percent
            self._progress(self._what, percent / 100)


def _ignore(_: float) -> None:
    pass


class Store:
    """One version of a model in the user's cache.

    Large files are fetched here instead of in `hf_hub_download`, which begins them anew in each process and does not
    look at their content.
    """

    def __init__(self, hub: str, commit: str) -> None:
        self._hub, self._commit = hub, commit
        self._cache = user_cache()
        self._storage = self._cache / storage_of(hub)
        self.folder = self._storage / "snapshots" / commit

    def bring(self, file: File, count: Callable[[float], None] = _ignore) -> None:
        """Bring a file unless it is here and right; `count` is told of its bytes."""
        from huggingface_hub import hf_hub_download

        pointer = self.folder / file.name
        if pointer.is_file() and not _is_right(pointer, file):
            self._remove(pointer)
        if pointer.is_file():
            count(file.size)
            return
        if file.sha256 is not None:
            self._fetch(file, file.sha256, count)
        if not pointer.is_file():
            silent = _bar(_ignore)
            hf_hub_download(self._hub, file.name, revision=self._commit, cache_dir=self._cache, tqdm_class=silent)
        if file.sha256 is None:
            count(file.size)

    def check_room(self, files: Sequence[File]) -> None:
        """Raises NotAvailable where the disk does not hold what is still to come."""
        wanted = 0
        for file in files:
            if not (self.folder / file.name).is_file() and not self._blob(file).is_file():
                partial = self._partial(file)
                wanted += file.size - (partial.stat().st_size if partial.is_file() else 0)
        free = shutil.disk_usage(self._storage).free
        if wanted > free:
            raise _failed(
                f"{self._hub} needs {wanted / 1e9:.1f} GB more, and the disk of the Hugging Face cache has "
                f"{free / 1e9:.1f} GB; make room, or set HF_HOME to a folder on another disk."
            )

    def finish(self) -> None:
        """Make this version the one that is found."""
        ref = self._storage / "refs" / "main"
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(self._commit, "utf-8")

    def _remove(self, pointer: Path) -> None:
        """Remove a file, and what it links to where that lies in this store."""
        content = pointer.resolve()
        pointer.unlink()
        if content.parent == (self._storage / "blobs").resolve():
            content.unlink(missing_ok=True)

    def _fetch(self, file: File, sha256: str, count: Callable[[float], None]) -> None:
        """Bring a large file's content, beginning where the last call was interrupted."""
        from huggingface_hub.file_download import are_symlinks_supported
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

        blob, partial = self._blob(file), self._partial(file)
        lock = self._cache / ".locks" / self._storage.name / f"{sha256}.lock"
        for folder in (blob.parent, lock.parent, self.folder):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if blob.is_file() and _is_right(blob, file):
                count(file.size)
                return
            blob.unlink(missing_ok=True)
            self._receive(file, partial, count)
            if not _is_right(partial, file):
                partial.unlink()
                raise _failed(f"A file of {self._hub} arrived damaged and was removed; run the command again.")
            # Without links, a file of this size must not be there twice.
            partial.replace(blob if are_symlinks_supported(self._cache) else self.folder / file.name)

    def _receive(self, file: File, partial: Path, count: Callable[[float], None]) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        with partial.open("ab") as opened:
            if opened.tell() > (file.size or 0):
                opened.truncate(0)
                opened.seek(0)
            start = opened.tell()
            count(start)
            http_get(
                # Not where this redirects to, which holds for an hour only.
                hf_hub_url(self._hub, file.name, revision=self._commit),
                opened,
                resume_size=start,
                headers=build_hf_headers() | {"Accept-Encoding": "identity"},
                expected_size=file.size or None,
                tqdm_class=_bar(count),
            )

    def _blob(self, file: File) -> Path:
        return self._storage / "blobs" / str(file.sha256)

    def _partial(self, file: File) -> Path:
        return self._storage / "blobs" / f"{file.sha256}.incomplete"


def _sha256(lfs: Any) -> str | None:
    found = getattr(lfs, "sha256", None)
    return found if isinstance(found, str) and _SHA256.fullmatch(found) else None


def _is_right(path: Path, file: File) -> bool:
    if file.size and path.stat().st_size != file.size:
        return False
    if file.sha256 is None:
        return True
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256


def _bar(count: Callable[[float], None]) -> type[Any]:
    """What `huggingface_hub` takes for a progress bar; it shows nothing and counts."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        monitor_interval = 0  # no thread

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **(options | {"disable": True}))  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            count(n or 0)

    return Bar


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing from `huggingface_hub` on the terminal: its lines hold addresses."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _failed(message: str) -> NotAvailable:
    return NotAvailable(message, code="download_failed")


def _told(error: BaseException, hub: str) -> NotAvailable:
    """What went wrong, without addresses and paths."""
    from huggingface_hub import errors

    again = "what has come stays; run the command again"
    if isinstance(error, errors.GatedRepoError):
        terms = "accept its terms on its page, set HF_TOKEN and run the command again"
        return _failed(f"The Hub gives {hub} only to those who accepted its terms; {terms}.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return _failed(f"The Hub has no model {hub} for all; correct MODEL_PATH, or set HF_TOKEN if it is private.")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return _failed(f"The Hub refuses {hub} to this HF_TOKEN; set another, or unset it.")
        return _failed(f"The Hub does not give {hub} at the moment (status {status}); {again} later.")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return _failed(f"HF_HUB_OFFLINE forbids to download {hub}; unset it and run the command again.")
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return _told(error.__cause__, hub)
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return _failed(f"The disk is full; make room, or set HF_HOME to a folder on another disk. Of {hub}, {again}.")
    if number is not None and not isinstance(error, ConnectionError | TimeoutError):
        return _failed(
            f"The Hugging Face cache cannot be written ({type(error).__name__}); set HF_HOME to another folder."
        )
    if isinstance(error, OSError) or type(error).__module__.split(".")[0].startswith("httpx"):
        return _failed(f"The connection to the Hub broke while {hub} was downloaded; {again}.")
    return _failed(f"{hub} could not be downloaded ({type(error).__name__}); {again}.")

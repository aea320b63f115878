"""How a model's files come from the Hugging Face Hub: into the user's cache, or into a folder."""

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
from oscine.engines.stored import COMMIT, storage_of, user_cache
from oscine.errors import NotAvailable

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHA1: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Place:
    """Where files go, in the words of a message."""

    name: str
    setting: str
    """What names another place."""


CACHE: Final = Place("the Hugging Face cache", "HF_HOME")


@dataclass(frozen=True)
class File:
    """A file of a model on the Hub."""

    name: str
    size: int
    """Bytes; 0: the server does not say."""
    sha256: str | None
    """None: a small file, which the Hub keeps in git."""
    git: str | None = None
    """The SHA-1 that git has of a small file; None: the server does not say."""

    def is_at(self, path: Path) -> bool:
        """Whether this very file lies there; reads all of it."""
        if not path.is_file() or (self.size and path.stat().st_size != self.size):
            return False
        if self.sha256 is None and self.git is None:
            return True
        with path.open("rb") as opened:
            if self.sha256 is not None:
                return hashlib.file_digest(opened, "sha256").hexdigest() == self.sha256
            # How git names content; documented at https://git-scm.com/book/en/v2/Git-Internals-Git-Objects.
            content = b"blob %d\0" % path.stat().st_size + opened.read()
            return hashlib.sha1(content, usedforsecurity=False).hexdigest() == self.git


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
    return Listing(commit, {name: _file(name, sibling) for name, sibling in siblings})


@contextmanager
def in_one_sentence(hub: str, correct: str, place: Place = CACHE) -> Iterator[None]:
    """Whatever goes wrong with a model's files in here is told in one sentence: it becomes NotAvailable.

    `correct` is what to correct where the Hub has no such model, a setting most of the time.
    """
    try:
        with _quiet():
            yield
    except NotAvailable:
        raise
    except Exception as error:  # of the network, of the disk and of several packages
        raise _told(error, hub, correct, place) from None


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
        self._locks = self._cache / ".locks" / self._storage.name
        self.place = CACHE
        self.folder = self._storage / "snapshots" / commit

    def bring(self, file: File, count: Callable[[float], None] = _ignore) -> None:
        """Bring a file unless it is here and right; `count` is told of its bytes."""
        from huggingface_hub import hf_hub_download

        pointer = self.folder / file.name
        with _locked(self._locks / f"{_mark(file.name)}.lock"):
            if pointer.is_file() and not file.is_at(pointer):
                self._remove(pointer)
            if pointer.is_file():
                count(file.size)
                return
            if file.sha256 is not None:
                self._fetch(file, count)
            if not pointer.is_file():
                silent = _bar(_ignore)
                hf_hub_download(self._hub, file.name, revision=self._commit, cache_dir=self._cache, tqdm_class=silent)
            if file.sha256 is None:
                if not file.is_at(pointer):
                    self._remove(pointer)
                    raise _damaged(self._hub)
                count(file.size)

    def wanted(self, file: File) -> int:
        """Bytes that have to come."""
        if (self.folder / file.name).is_file() or self._blob(file).is_file():
            return 0
        return _rest(file, self._partial(file))

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

    def _fetch(self, file: File, count: Callable[[float], None]) -> None:
        from huggingface_hub.file_download import are_symlinks_supported

        blob = self._blob(file)
        self._cache.mkdir(parents=True, exist_ok=True)
        # The lock of `hf_hub_download`, which may bring the same file at the same time.
        with _locked(self._locks / f"{file.sha256}.lock"):
            # Without links, a file of this size must not be there twice.
            linked = blob.is_file() or are_symlinks_supported(self._cache)
            _fetch(
                self._hub, self._commit, file, self._partial(file), blob if linked else self.folder / file.name, count
            )

    def _blob(self, file: File) -> Path:
        return self._storage / "blobs" / str(file.sha256)

    def _partial(self, file: File) -> Path:
        return self._storage / "blobs" / f"{file.sha256}.incomplete"


class Folder:
    """One version of a model in a folder of its own, as `hf download --local-dir` leaves it."""

    def __init__(self, hub: str, commit: str, folder: Path, place: Place) -> None:
        self._hub, self._commit = hub, commit
        self._partials = folder / ".cache" / "oscine"
        self.place = place
        self.folder = folder

    def bring(self, file: File, count: Callable[[float], None] = _ignore) -> None:
        """Bring a file unless it is here and right; `count` is told of its bytes. Another one of its name goes."""
        with _locked(self._partials / f"{_mark(file.name)}.lock"):
            _fetch(self._hub, self._commit, file, self._partial(file), self.folder / file.name, count)

    def wanted(self, file: File) -> int:
        """Bytes that have to come."""
        here = self.folder / file.name
        # What is here is either right or makes room.
        return max(0, _rest(file, self._partial(file)) - (here.stat().st_size if here.is_file() else 0))

    def _partial(self, file: File) -> Path:
        return self._partials / f"{file.sha256 or file.git or _mark(file.name)}.incomplete"


def check_room(what: str, coming: Sequence[tuple[Store | Folder, File]]) -> None:
    """Raises NotAvailable where a disk does not hold what is still to come to it."""
    disks: dict[int, list[tuple[int, Store | Folder]]] = {}
    for target, file in coming:
        disks.setdefault(_there(target.folder).stat().st_dev, []).append((target.wanted(file), target))
    for shares in disks.values():
        wanted = sum(size for size, _ in shares)
        largest = max(shares, key=lambda share: share[0])[1]
        free = shutil.disk_usage(_there(largest.folder)).free
        if wanted > free:
            raise _failed(
                f"{what} needs {wanted / 1e9:.1f} GB more, and the disk of {largest.place.name} has {free / 1e9:.1f} "
                f"GB; make room, or set {largest.place.setting} to a folder on another disk."
            )


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())


def _rest(file: File, partial: Path) -> int:
    return max(0, file.size - (partial.stat().st_size if partial.is_file() else 0))


def _mark(name: str) -> str:
    """A file's name, as one that is short and has no folders."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


@contextmanager
def _locked(lock: Path) -> Iterator[None]:
    """Nobody else who asks for this lock is in here, in no process."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        yield


def _fetch(hub: str, commit: str, file: File, partial: Path, whole: Path, count: Callable[[float], None]) -> None:
    """Bring a file's content, beginning where the last call was interrupted; `whole` is so, or not there."""
    if file.is_at(whole):
        count(file.size)
        return
    for folder in (partial.parent, whole.parent):
        folder.mkdir(parents=True, exist_ok=True)
    whole.unlink(missing_ok=True)
    if file.sha256 is None and file.git is None:
        partial.unlink(missing_ok=True)  # it could be of another version
    _receive(hub, commit, file, partial, count)
    if not file.is_at(partial):
        partial.unlink()
        raise _damaged(hub)
    partial.replace(whole)


def _receive(hub: str, commit: str, file: File, partial: Path, count: Callable[[float], None]) -> None:
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
            hf_hub_url(hub, file.name, revision=commit),
            opened,
            resume_size=start,
            headers=build_hf_headers() | {"Accept-Encoding": "identity"},
            expected_size=file.size or None,
            tqdm_class=_bar(count),
        )


def _file(name: str, sibling: Any) -> File:
    """A file as the Hub lists it; what is no checksum counts as none."""
    sha256, git = getattr(sibling.lfs, "sha256", None), sibling.blob_id
    told = sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else None
    named = git if sibling.lfs is None and isinstance(git, str) and _SHA1.fullmatch(git) else None
    return File(name, int(sibling.size or 0), told, named)


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


def _damaged(hub: str) -> NotAvailable:
    return _failed(f"A file of {hub} arrived damaged and was removed; run the command again.")


def _told(error: BaseException, hub: str, correct: str, place: Place) -> NotAvailable:
    """What went wrong, without addresses and paths."""
    from huggingface_hub import errors

    again = "what has come stays; run the command again"
    if isinstance(error, errors.GatedRepoError):
        terms = "accept its terms on its page, set HF_TOKEN and run the command again"
        return _failed(f"The Hub gives {hub} only to those who accepted its terms; {terms}.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return _failed(f"The Hub has no model {hub} for all; correct {correct}, or set HF_TOKEN if it is private.")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return _failed(f"The Hub refuses {hub} to this HF_TOKEN; set another, or unset it.")
        return _failed(f"The Hub does not give {hub} at the moment (status {status}); {again} later.")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return _failed(f"HF_HUB_OFFLINE forbids to download {hub}; unset it and run the command again.")
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return _told(error.__cause__, hub, correct, place)
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        elsewhere = f"set {place.setting} to a folder on another disk"
        return _failed(f"The disk is full; make room, or {elsewhere}. Of {hub}, {again}.")
    if number is not None and not isinstance(error, ConnectionError | TimeoutError):
        written = f"{place.name[0].upper()}{place.name[1:]} cannot be written"
        return _failed(f"{written} ({type(error).__name__}); set {place.setting} to another folder.")
    if isinstance(error, OSError) or type(error).__module__.split(".")[0].startswith("httpx"):
        return _failed(f"The connection to the Hub broke while {hub} was downloaded; {again}.")
    return _failed(f"{hub} could not be downloaded ({type(error).__name__}); {again}.")

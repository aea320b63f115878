"""Where the model's files are, whether they are right, and how they come here."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from logging import CRITICAL
from pathlib import Path
from typing import Any, Final

from oscine.config import Settings
from oscine.engines.protocol import Missing, Progress
from oscine.errors import NotAvailable

SMALL: Final = "vibevoice/VibeVoice-1.5B-hf"
LARGE: Final = "vibevoice/VibeVoice-7B-hf"
COMMAND: Final = "oscine download vibevoice"

_PACKAGES: Final = ("torch", "transformers", "diffusers", "accelerate")
_OLD_NAMES: Final = {
    "microsoft/vibevoice-1.5b": SMALL,
    "vibevoice/vibevoice-1.5b": SMALL,
    "microsoft/vibevoice-large": LARGE,
    "vibevoice/vibevoice-7b": LARGE,
    "aoi-ot/vibevoice-large": LARGE,
    "westzhang/vibevoice-large-pt": LARGE,
}
_OLD_SIZES: Final = {1536: SMALL, 3584: LARGE}
"""By the width of the language model."""
_HUB_NAME: Final = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_COMMIT: Final = re.compile(r"[0-9A-Za-z]{1,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FILE: Final = re.compile(r"\w[\w.-]*\.(?:json|safetensors|txt|jinja|model)", re.ASCII)
_WEIGHTS: Final = "model.safetensors"
_INDEX: Final = "model.safetensors.index.json"
_PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt")
_LONGEST_HEADER: Final = 100_000_000
"""Bytes that the format safetensors allows its header."""


def missing_packages() -> Missing | None:
    """What `pip` has to bring first; imports nothing."""
    absent = [name for name in _PACKAGES if find_spec(name) is None]
    if not absent:
        return None
    what = f"the package{'s' if len(absent) > 1 else ''} {', '.join(absent)}"
    return Missing(what, 'pip install "oscine[vibevoice]"')


def free_memory() -> None:
    """Give back what a model that is no longer used took of the device."""
    if "torch" in sys.modules:
        from oscine.engines.vibevoice import loading

        loading.free_memory()


class Unfit(NotAvailable):
    """MODEL_PATH names something that the engine cannot load. `fact` says what; `instead` is a name that would do."""

    def __init__(self, fact: str, instead: str = LARGE) -> None:
        sentence = fact[0].upper() + fact[1:] if fact.startswith("the") else fact
        super().__init__(f"{sentence}; set MODEL_PATH to {instead}.", param="MODEL_PATH", code="unfit_model")
        self.fact = fact
        self.instead = instead


class Checkpoint:
    """The model that the setting MODEL_PATH names: a folder, or a name on the Hugging Face Hub."""

    def __init__(self, model_path: str, settings: Settings) -> None:
        self._path = model_path
        self._settings = settings

    @property
    def name(self) -> str:
        """For people, such as `VibeVoice-7B-hf`."""
        last = re.split(r"[/\\]", self._path.rstrip("/\\"))[-1]
        return last if re.fullmatch(r"\w[\w.-]*", last, re.ASCII) else "local"

    def version(self) -> str:
        """The name and, where the files are here, a mark that changes with them; reads no gigabytes."""
        try:
            found = self._find()
        except NotAvailable:
            found = None
        if found is None:
            return self.name
        mark = hashlib.sha256((found / "config.json").read_bytes())
        for file in _weights_of(found):
            mark.update(f"{file}:{(found / file).stat().st_size}".encode())
        return f"{self.name}-{mark.hexdigest()[:8]}"

    def folder(self) -> Path:
        """The folder that holds all files. Raises NotAvailable."""
        found = self._find()
        if found is None:
            raise NotAvailable(f"The model {self._path} is not downloaded; run: {COMMAND}", code="not_downloaded")
        return found

    def missing(self) -> Missing | None:
        """What is missing and the command that changes it; never touches the network."""
        try:
            found = self._find()
        except Unfit as error:
            return Missing(f"a model that it can load ({error.fact})", f"export MODEL_PATH={error.instead}")
        return None if found is not None else Missing(f"the model {self._path}", COMMAND)

    def download(self, progress: Progress) -> None:
        """Bring what is not here. What has come stays, so that a later call goes on. Raises NotAvailable."""
        if self._find() is not None:
            return
        hub = _hub_name(self._path)
        try:
            with _quiet():
                _download(hub, progress)
        except NotAvailable:
            raise
        except Exception as error:  # of the network, of the disk and of several packages; all are told as one sentence
            raise _told(error, hub) from None
        self.folder()

    def _find(self) -> Path | None:
        """The complete folder; None: it can be downloaded. Raises Unfit."""
        folder = _as_folder(self._path)
        if folder is not None:
            _check_kind(folder, "the model in MODEL_PATH")
            _check_weights([entry.name for entry in _entries(folder)], "the model in MODEL_PATH")
            if not _is_whole(folder):
                raise Unfit("the folder in MODEL_PATH lacks files of the model")
            return folder
        hub = _hub_name(self._path)
        if hub.lower() in _OLD_NAMES:
            raise _old(hub, _OLD_NAMES[hub.lower()])
        if "vibevoice-realtime" in hub.lower():
            raise _realtime(hub)
        for cache in self._caches():
            snapshot = _snapshot(cache / _storage(hub))
            if snapshot is None:
                continue
            _check_kind(snapshot, hub)
            if _is_whole(snapshot):
                return snapshot
        return None

    def _caches(self) -> Iterator[Path]:
        """Where models of the Hub lie, in the order they are looked for: what RunPod brings, then the user's own."""
        yield self._settings.home / "huggingface-cache" / "hub"
        if find_spec("huggingface_hub") is not None:
            yield _user_cache()


def _as_folder(path: str) -> Path | None:
    try:
        folder = Path(path).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, of a user that is unknown, with a NUL
        return None


def _hub_name(path: str) -> str:
    """The path, if it can be a name on the Hub. Raises Unfit."""
    if _HUB_NAME.fullmatch(path):
        return path
    if path.startswith((".", "~")) or "\\" in path or Path(path).is_absolute():
        raise Unfit("the folder that MODEL_PATH names is not there")
    raise Unfit("the setting MODEL_PATH holds neither a folder nor a name on the Hugging Face Hub")


def _storage(hub: str) -> str:
    """The folder of a model in a cache; documented at https://huggingface.co/docs/huggingface_hub/guides/manage-cache."""
    return "models--" + hub.replace("/", "--")


def _user_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _snapshot(storage: Path) -> Path | None:
    """What `refs/main` points to; where there is no such file, the only snapshot."""
    try:
        commit = (storage / "refs" / "main").read_text("utf-8").strip()
    except FileNotFoundError:
        commits = [entry.name for entry in _entries(storage / "snapshots") if _COMMIT.fullmatch(entry.name)]
        commit = commits[0] if len(commits) == 1 else ""
    except (OSError, ValueError):
        return None
    return storage / "snapshots" / commit if _COMMIT.fullmatch(commit) else None


def _entries(folder: Path) -> Sequence[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return ()


def _check_kind(folder: Path, subject: str) -> None:
    """Raises Unfit unless the engine can load what lies there; says nothing of a folder without a configuration."""
    config = _json(folder / "config.json")
    if config is not None:
        _check_config(config, subject)


def _check_config(config: Mapping[str, Any], subject: str) -> None:
    kind = config.get("model_type")
    if kind == "vibevoice_streaming":
        raise _realtime(subject)
    if kind != "vibevoice":
        raise Unfit(f"{subject} is no VibeVoice")
    if isinstance(config.get("text_config"), dict) and isinstance(config.get("audio_config"), dict):
        return
    decoder = config.get("decoder_config")
    width = decoder.get("hidden_size") if isinstance(decoder, dict) else None
    raise _old(subject, _OLD_SIZES.get(width, LARGE) if isinstance(width, int) else LARGE)


def _check_weights(names: Sequence[str], subject: str) -> None:
    """Pickled weights run code when they are loaded, so they are not."""
    if any(name.endswith(_PICKLED) for name in names) and not any(name.endswith(".safetensors") for name in names):
        raise Unfit(f"{subject} has no weights in the format safetensors")


def _old(subject: str, instead: str) -> Unfit:
    # Transformers reads such a configuration without a word, and makes another model of it.
    return Unfit(f"{subject} has VibeVoice's old format", instead)


def _realtime(subject: str) -> Unfit:
    return Unfit(f"{subject} is VibeVoice-Realtime, which clones no voices")


def _is_whole(folder: Path) -> bool:
    weights = _weights_of(folder)
    return _is_described(folder) and bool(weights) and all(_is_safetensors(folder / name) for name in weights)


def _is_described(folder: Path) -> bool:
    """Whether all is there but the weights."""
    if _json(folder / "config.json") is None:
        return False
    here = {entry.name for entry in _entries(folder) if entry.is_file()}
    tokens = "tokenizer.json" in here or {"vocab.json", "merges.txt"} <= here
    sound = bool(here & {"processor_config.json", "preprocessor_config.json"})
    script = bool(here & {"chat_template.jinja", "chat_template.json"}) or any(
        "chat_template" in (_json(folder / name) or {}) for name in ("processor_config.json", "tokenizer_config.json")
    )
    return tokens and sound and script and "tokenizer_config.json" in here


def _weights_of(folder: Path) -> list[str]:
    """The files of the weights, in the order transformers looks for them; none: that cannot be told."""
    if (folder / _WEIGHTS).is_file():
        return [_WEIGHTS]
    places = (_json(folder / _INDEX) or {}).get("weight_map")
    names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
    safe = all(_FILE.fullmatch(name) and name.endswith(".safetensors") for name in names)
    return names if safe else []


def _is_safetensors(file: Path) -> bool:
    """Whether the file is as long as its header says: neither cut, nor what git leaves in place of a large file."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > _LONGEST_HEADER:
                return False
            header = json.loads(opened.read(length))
            size = opened.seek(0, os.SEEK_END)
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return False
    return bool(size == 8 + length + end)


def _json(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@dataclass(frozen=True)
class _File:
    name: str
    size: int
    """Bytes; 0: the server does not say."""
    sha256: str | None
    """None: a small file, which the Hub keeps in git."""


class _Meter:
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


def _download(hub: str, progress: Progress) -> None:
    """Bring a model into the user's cache: what tells its kind first, the weights last."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        raise _failed(f"HF_HUB_OFFLINE forbids to download {hub}; unset it and run the command again.")
    what = f"downloading {hub.split('/')[1]}"
    progress(what, None)
    info = HfApi().model_info(hub, files_metadata=True, timeout=30)
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit):
        raise _failed(f"The Hub told no version of {hub}; run the command again later.")
    names = [str(sibling.rfilename) for sibling in info.siblings or ()]
    files = {
        sibling.rfilename: _File(sibling.rfilename, int(sibling.size or 0), _sha256(sibling.lfs))
        for sibling in info.siblings or ()
        if _FILE.fullmatch(sibling.rfilename)
    }
    if "config.json" not in files:
        raise Unfit(f"{hub} is no VibeVoice")
    _check_weights([name for name in names if "/" not in name], hub)
    store = _Store(hub, commit)
    store.bring(files["config.json"])
    _check_kind(store.folder, hub)
    if _WEIGHTS not in files and _INDEX in files:
        store.bring(files[_INDEX])
    weights = [_WEIGHTS] if _WEIGHTS in files else _weights_of(store.folder)
    if not weights or not files.keys() >= set(weights):
        raise Unfit(f"{hub} lacks files of the model")
    small = [file for file in files.values() if not file.name.endswith(".safetensors")]
    large = [files[name] for name in weights]
    meter = _Meter(progress, what, sum(file.size for file in [*small, *large]))
    for file in small:
        store.bring(file, meter.add)
    if not _is_described(store.folder):
        raise Unfit(f"{hub} lacks files of the model")
    store.check_room(large)
    for file in large:
        store.bring(file, meter.add)
    store.finish()


def _sha256(lfs: Any) -> str | None:
    found = getattr(lfs, "sha256", None)
    return found if isinstance(found, str) and _SHA256.fullmatch(found) else None


def _ignore(_: float) -> None:
    pass


class _Store:
    """One version of a model in the user's cache.

    Large files are fetched here instead of in `hf_hub_download`, which begins them anew in each process and does not
    look at their content.
    """

    def __init__(self, hub: str, commit: str) -> None:
        self._hub, self._commit = hub, commit
        self._cache = _user_cache()
        self._storage = self._cache / _storage(hub)
        self.folder = self._storage / "snapshots" / commit

    def bring(self, file: _File, count: Callable[[float], None] = _ignore) -> None:
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

    def check_room(self, files: Sequence[_File]) -> None:
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

    def _fetch(self, file: _File, sha256: str, count: Callable[[float], None]) -> None:
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

    def _receive(self, file: _File, partial: Path, count: Callable[[float], None]) -> None:
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

    def _blob(self, file: _File) -> Path:
        return self._storage / "blobs" / str(file.sha256)

    def _partial(self, file: _File) -> Path:
        return self._storage / "blobs" / f"{file.sha256}.incomplete"


def _is_right(path: Path, file: _File) -> bool:
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

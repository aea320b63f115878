"""Where the model's files are, and whether they are right."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from oscine.config import Settings
from oscine.engines.protocol import Missing, Progress
from oscine.engines.vibevoice import fetching
from oscine.engines.vibevoice.fetching import COMMIT, storage_of, user_cache
from oscine.errors import NotAvailable

SMALL: Final = "vibevoice/VibeVoice-1.5B-hf"
LARGE: Final = "vibevoice/VibeVoice-7B-hf"
COMMAND: Final = "oscine download vibevoice"

_PACKAGES: Final = ("torch", "transformers", "diffusers", "accelerate", "huggingface_hub")
_INSTALL: Final = 'pip install "oscine[vibevoice]"'
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
    return Missing(what, _INSTALL)


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
        if find_spec("huggingface_hub") is None:
            raise NotAvailable(f"A download needs the package huggingface_hub; run: {_INSTALL}", code="download_failed")
        with fetching.in_one_sentence(hub):
            _download(hub, progress)
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
            snapshot = _snapshot(cache / storage_of(hub))
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
            yield user_cache()


def _download(hub: str, progress: Progress) -> None:
    """Bring a model into the user's cache: what tells its kind first, the weights last."""
    what = f"downloading {hub.split('/')[1]}"
    progress(what, None)
    listing = fetching.listed(hub)
    files = {name: file for name, file in listing.files.items() if _FILE.fullmatch(name)}
    if "config.json" not in files:
        raise Unfit(f"{hub} is no VibeVoice")
    _check_weights([name for name in listing.files if "/" not in name], hub)
    store = fetching.Store(hub, listing.commit)
    store.bring(files["config.json"])
    _check_kind(store.folder, hub)
    if _WEIGHTS not in files and _INDEX in files:
        store.bring(files[_INDEX])
    weights = [_WEIGHTS] if _WEIGHTS in files else _weights_of(store.folder)
    if not weights or not files.keys() >= set(weights):
        raise Unfit(f"{hub} lacks files of the model")
    small = [file for file in files.values() if not file.name.endswith(".safetensors")]
    large = [files[name] for name in weights]
    meter = fetching.Meter(progress, what, sum(file.size for file in [*small, *large]))
    for file in small:
        store.bring(file, meter.add)
    if not _is_described(store.folder):
        raise Unfit(f"{hub} lacks files of the model")
    store.check_room(large)
    for file in large:
        store.bring(file, meter.add)
    store.finish()


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


def _snapshot(storage: Path) -> Path | None:
    """What `refs/main` points to; where there is no such file, the only snapshot."""
    try:
        commit = (storage / "refs" / "main").read_text("utf-8").strip()
    except FileNotFoundError:
        commits = [entry.name for entry in _entries(storage / "snapshots") if COMMIT.fullmatch(entry.name)]
        commit = commits[0] if len(commits) == 1 else ""
    except (OSError, ValueError):
        return None
    return storage / "snapshots" / commit if COMMIT.fullmatch(commit) else None


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

"""Where the model's files are, and whether they are right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from oscine.config import Settings
from oscine.engines import hub as hubs
from oscine.engines.protocol import Missing, Progress
from oscine.engines.stored import (
    HUB_NAME,
    INDEX,
    SAFETENSORS,
    caches,
    entries,
    is_safetensors,
    json_in,
    shards,
    snapshot,
)
from oscine.errors import NotAvailable
from oscine.extras import install_command

SMALL: Final = "vibevoice/VibeVoice-1.5B-hf"
LARGE: Final = "vibevoice/VibeVoice-7B-hf"
COMMAND: Final = "oscine download vibevoice"

_PACKAGES: Final = ("torch", "transformers", "diffusers", "accelerate", "huggingface_hub")
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
_FILE: Final = re.compile(r"\w[\w.-]*\.(?:json|safetensors|txt|jinja|model)", re.ASCII)
_PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt")


def missing_packages() -> Missing | None:
    """What `pip` has to bring first; imports nothing."""
    absent = [name for name in _PACKAGES if find_spec(name) is None]
    if not absent:
        return None
    what = f"the package{'s' if len(absent) > 1 else ''} {', '.join(absent)}"
    return Missing(what, install_command("vibevoice"))


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
        for file in shards(found):
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
            raise NotAvailable(
                f"A download needs the package huggingface_hub; run: {install_command('vibevoice')}",
                code="download_failed",
            )
        with hubs.in_one_sentence(hub, "MODEL_PATH"):
            _download(hub, progress)
        self.folder()

    def _find(self) -> Path | None:
        """The complete folder; None: it can be downloaded. Raises Unfit."""
        folder = _as_folder(self._path)
        if folder is not None:
            _check_kind(folder, "the model in MODEL_PATH")
            _check_weights([entry.name for entry in entries(folder)], "the model in MODEL_PATH")
            if not _is_whole(folder):
                raise Unfit("the folder in MODEL_PATH lacks files of the model")
            return folder
        hub = _hub_name(self._path)
        if hub.lower() in _OLD_NAMES:
            raise _old(hub, _OLD_NAMES[hub.lower()])
        if "vibevoice-realtime" in hub.lower():
            raise _realtime(hub)
        for cache in caches(self._settings):
            found = snapshot(cache, hub)
            if found is None:
                continue
            _check_kind(found, hub)
            if _is_whole(found):
                return found
        return None


def _download(hub: str, progress: Progress) -> None:
    """Bring a model into the user's cache: what tells its kind first, the weights last."""
    what = f"downloading {hub.split('/')[1]}"
    progress(what, None)
    listing = hubs.listed(hub)
    files = {name: file for name, file in listing.files.items() if _FILE.fullmatch(name)}
    if "config.json" not in files:
        raise Unfit(f"{hub} is no VibeVoice")
    _check_weights([name for name in listing.files if "/" not in name], hub)
    store = hubs.Store(hub, listing.commit)
    store.bring(files["config.json"])
    _check_kind(store.folder, hub)
    if SAFETENSORS not in files and INDEX in files:
        store.bring(files[INDEX])
    weights = [SAFETENSORS] if SAFETENSORS in files else shards(store.folder)
    if not weights or not files.keys() >= set(weights):
        raise Unfit(f"{hub} lacks files of the model")
    small = [file for file in files.values() if not file.name.endswith(".safetensors")]
    large = [files[name] for name in weights]
    meter = hubs.Meter(progress, what, sum(file.size for file in [*small, *large]))
    for file in small:
        store.bring(file, meter.add)
    if not _is_described(store.folder):
        raise Unfit(f"{hub} lacks files of the model")
    hubs.check_room(hub, [(store, file) for file in large])
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
    if HUB_NAME.fullmatch(path):
        return path
    if path.startswith((".", "~")) or "\\" in path or Path(path).is_absolute():
        raise Unfit("the folder that MODEL_PATH names is not there")
    raise Unfit("the setting MODEL_PATH holds neither a folder nor a name on the Hugging Face Hub")


def _check_kind(folder: Path, subject: str) -> None:
    """Raises Unfit unless the engine can load what lies there; says nothing of a folder without a configuration."""
    config = json_in(folder / "config.json")
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
    weights = shards(folder)
    return _is_described(folder) and bool(weights) and all(is_safetensors(folder / name) for name in weights)


def _is_described(folder: Path) -> bool:
    """Whether all is there but the weights."""
    if json_in(folder / "config.json") is None:
        return False
    here = {entry.name for entry in entries(folder) if entry.is_file()}
    tokens = "tokenizer.json" in here or {"vocab.json", "merges.txt"} <= here
    sound = bool(here & {"processor_config.json", "preprocessor_config.json"})
    script = bool(here & {"chat_template.jinja", "chat_template.json"}) or any(
        "chat_template" in (json_in(folder / name) or {}) for name in ("processor_config.json", "tokenizer_config.json")
    )
    return tokens and sound and script and "tokenizer_config.json" in here

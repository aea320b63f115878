"""What the two models consist of: what their `config.yaml` names, and the auxiliary models that both use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from oscine.config import Settings
from oscine.engines.hub import Place
from oscine.engines.stored import HUB_NAME, entries, is_content, is_safetensors, is_torch, json_in, shards
from oscine.errors import NotAvailable

Model = Literal["indextts2", "indextts25"]

GLOSSARY: Final = "glossary.yaml"
CONFIG: Final = "config.yaml"

_LONGEST_CONFIG: Final = 1 << 20
"""Bytes; the models' own have 4 KB."""
_INSIDE: Final = re.compile(r"\w[\w. +-]*(?:/\w[\w. +-]*)*/?")
"""A path that does not leave the folder it is in."""
_LONGEST_PATH: Final = 200


class Unfit(NotAvailable):
    """Something here or on the Hub that the engine cannot load; `fact` says what."""

    def __init__(self, fact: str, remedy: str, param: str | None = None) -> None:
        sentence = fact[0].upper() + fact[1:] if fact.startswith("the ") else fact
        super().__init__(f"{sentence}; {remedy}.", param=param, code="unfit_model")
        self.fact = fact


@dataclass(frozen=True)
class Kind:
    """What differs between the two models."""

    title: str
    default: str
    repository: Callable[[Settings], str]
    folder: Callable[[Settings], Path]
    setting: str
    """What names the repository."""
    place: Place
    modules: Mapping[str, str]
    """Modules, with the packages that bring them."""
    named: tuple[str, ...]
    """Entries of `config.yaml` that name files of PyTorch."""
    fixed: tuple[str, ...]
    """Other files of PyTorch."""
    named_text: tuple[str, ...]
    """Entries of `config.yaml` that name what the tokenizer reads."""
    fixed_text: tuple[str, ...]
    """Other files that the tokenizer reads."""


_SHARED_MODULES: Final = {
    "torch": "torch",
    "transformers": "transformers",
    "huggingface_hub": "huggingface_hub",
    "yaml": "pyyaml",
}
_NAMED: Final = ("gpt_checkpoint", "s2mel_checkpoint", "w2v_stat", "spk_matrix", "emo_matrix")
KINDS: Final[Mapping[Model, Kind]] = {
    "indextts2": Kind(
        title="IndexTTS-2",
        default="IndexTeam/IndexTTS-2",
        repository=lambda settings: settings.model_repo,
        folder=lambda settings: settings.indextts_checkpoints,
        setting="MODEL_REPO",
        place=Place("the folder of IndexTTS-2", "CHECKPOINTS_DIR"),
        modules={**_SHARED_MODULES, "indextts": "indextts2-inference"},
        named=_NAMED,
        fixed=(),
        named_text=("dataset.bpe_model",),
        fixed_text=(),
    ),
    "indextts25": Kind(
        title="IndexTTS-2.5",
        default="IndexTeam/IndexTTS-2.5",
        repository=lambda settings: settings.indextts25_repo,
        folder=lambda settings: settings.indextts25_checkpoints,
        setting="OSCINE_INDEXTTS25_REPO",
        place=Place("the folder of IndexTTS-2.5", "OSCINE_INDEXTTS25_DIR"),
        modules={**_SHARED_MODULES, "indextts25": "indextts25-inference"},
        named=_NAMED,
        fixed=("codec.pth",),
        named_text=(),
        fixed_text=("multilingual_zh_ja_yue_char_del.tiktoken",),
    ),
}


@dataclass(frozen=True)
class Part:
    """An auxiliary model on the Hub."""

    hub: str
    files: tuple[str, ...]
    flat: str | None
    """Its name in `hf_cache`: of a folder with these files, or of the only file."""
    correct: str = "HF_ENDPOINT"
    """What is wrong where the Hub does not have it."""

    def within(self, folder: Path) -> Path | None:
        """What is loaded from there, if it is whole."""
        whole = all(_is_whole(folder / name, name) for name in self.files)
        return (folder if len(self.files) > 1 else folder / self.files[0]) if whole else None

    def within_flat(self, folder: Path) -> Path | None:
        if self.flat is None:
            return None
        here = folder / "hf_cache" / self.flat
        if len(self.files) > 1:
            return self.within(here)
        return here if _is_whole(here, self.files[0]) else None


BIGVGAN_FILES: Final = ("config.json", "bigvgan_generator.pt")
BIGVGAN: Final = Part("nvidia/bigvgan_v2_22khz_80band_256x", BIGVGAN_FILES, "bigvgan")
W2V_BERT: Final = Part(
    "facebook/w2v-bert-2.0", ("config.json", "preprocessor_config.json", "model.safetensors"), "w2v-bert-2.0"
)
SEMANTIC_CODEC: Final = Part(
    "amphion/MaskGCT", ("semantic_codec/model.safetensors",), "semantic_codec_model.safetensors"
)
CAMPPLUS: Final = Part("funasr/campplus", ("campplus_cn_common.bin",), "campplus_cn_common.bin")


@dataclass(frozen=True)
class Described:
    """A folder with a `config.yaml` that the engine can load."""

    folder: Path
    torch: tuple[str, ...]
    text: tuple[str, ...]
    vocoder: Path | Part
    emotion: str | None
    """The folder of the model that reads emotions."""

    def lacks(self) -> list[str]:
        """Files that are not there, or not whole."""
        absent = [name for name in self.torch if not is_torch(self.folder / name)]
        return absent + [name for name in self.text if not is_content(self.folder / name)]


@dataclass(frozen=True)
class Found:
    """What is here."""

    main: Described | None
    lacks: tuple[str, ...]
    parts: Mapping[Part, Path | None]
    bigvgan: Path | None
    emotion: Path | None

    @property
    def wants_emotion(self) -> bool:
        """Whether the model that reads emotions could be here and is not; nothing else needs it."""
        return self.emotion is None and self.main is not None and self.main.emotion is not None


def described_by(kind: Kind, folder: Path, remedy: str) -> Described | None:
    """What the folder's `config.yaml` says; None: there is none. Raises Unfit."""
    try:
        config = _yaml(folder / CONFIG)
        if config is None:
            return None
        version = config.get("version")
        if isinstance(version, int | float) and (version < 2 or (kind is KINDS["indextts2"] and version != 2)):
            raise _Wrong(f"is of IndexTTS-{version}, and not of {kind.title}")
        if not all(isinstance(config.get(section), dict) for section in ("gpt", "s2mel", "semantic_codec")):
            raise _Wrong(f"is not of {kind.title}")
        return Described(
            folder,
            torch=(*(_file_in(config, entry) for entry in kind.named), *kind.fixed),
            text=(*(_file_in(config, entry) for entry in kind.named_text), *kind.fixed_text),
            vocoder=_vocoder(config, folder) if kind is KINDS["indextts2"] else BIGVGAN,
            emotion=_emotion_folder(config) if kind is KINDS["indextts2"] else None,
        )
    except _Wrong as wrong:
        raise Unfit(f"config.yaml of {kind.title} {wrong}", remedy) from None


def emotion_in(main: Described | None, beside: Sequence[Path]) -> Path | None:
    """The model that reads emotions from text, if it is whole."""
    if main is None or main.emotion is None:
        return None
    for folder in beside:
        place = folder / main.emotion
        here = {entry.name for entry in entries(place)}
        weights = shards(place)
        if (
            json_in(place / "config.json") is not None
            and "tokenizer_config.json" in here
            and ("tokenizer.json" in here or {"vocab.json", "merges.txt"} <= here)
            and weights
            and all(is_safetensors(place / name) for name in weights)
        ):
            return place
    return None


class _Wrong(Exception):
    """What is wrong with a `config.yaml`."""


def _yaml(file: Path) -> dict[str, Any] | None:
    """What a file says; None: there is none. Raises _Wrong."""
    import yaml

    try:
        with file.open("rb") as opened:
            read = opened.read(_LONGEST_CONFIG + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        raise _Wrong("cannot be read") from None
    try:
        config = yaml.safe_load(read.decode("utf-8")) if len(read) <= _LONGEST_CONFIG else None
    except (ValueError, TypeError, RecursionError, yaml.YAMLError):
        config = None
    if not isinstance(config, dict):
        raise _Wrong("cannot be read")
    return config


def _value(config: Mapping[str, Any], entry: str) -> Any:
    value: Any = config
    for name in entry.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _is_inside(path: str) -> bool:
    return len(path) <= _LONGEST_PATH and _INSIDE.fullmatch(path) is not None


def _file_in(config: Mapping[str, Any], entry: str) -> str:
    """The file that an entry names, which lies in the folder."""
    value = _value(config, entry)
    if not isinstance(value, str) or not value:
        raise _Wrong(f"names no file ({entry})")
    path = value.removeprefix("./")
    if not _is_inside(path) or path.endswith("/"):
        raise _Wrong(f"names a file outside of its folder ({entry})")
    return path


def _emotion_folder(config: Mapping[str, Any]) -> str | None:
    value = _value(config, "qwen_emo_path")
    if value is None:
        return None
    path = str(value).removeprefix("./")
    if not _is_inside(path):
        raise _Wrong("names a folder outside of its own (qwen_emo_path)")
    return path.rstrip("/")


def _vocoder(config: Mapping[str, Any], folder: Path) -> Path | Part:
    """The vocoder that `config.yaml` names: a folder, or a model on the Hub."""
    value = _value(config, "vocoder.name")
    if not isinstance(value, str) or not value:
        raise _Wrong("names no vocoder (vocoder.name)")
    if _is_inside(value.removeprefix("./")) or ("\0" not in value and Path(value).is_absolute()):
        place = folder / value
        if all(_is_whole(place / name, name) for name in BIGVGAN_FILES):
            return place
    if not HUB_NAME.fullmatch(value):
        raise _Wrong("names a vocoder that is not there (vocoder.name)")
    return (
        BIGVGAN if value == BIGVGAN.hub else Part(value, BIGVGAN_FILES, None, "vocoder.name in the model's config.yaml")
    )


def _is_whole(path: Path, name: str) -> bool:
    """Whether the file at `path` is whole, as one of its kind: `name` tells it."""
    if name.endswith(".json"):
        return json_in(path) is not None
    return is_safetensors(path) if name.endswith(".safetensors") else is_torch(path)

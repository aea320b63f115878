"""Which files the two models need, where they lie, and how they come.

A model's own files lie in a folder; the auxiliary models that both use lie in the cache of the Hugging Face Hub. What
existing deployments have of them in `hf_cache` beside the weights counts too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

from oscine.config import Settings
from oscine.engines import hub as hubs
from oscine.engines.protocol import Missing, Progress
from oscine.engines.stored import (
    HUB_NAME,
    caches,
    entries,
    is_content,
    is_damaged_torch,
    is_safetensors,
    is_torch,
    json_in,
    shards,
    snapshot,
    torch_records,
)
from oscine.errors import NotAvailable

Model = Literal["indextts2", "indextts25"]
GLOSSARY: Final = "glossary.yaml"

_CONFIG: Final = "config.yaml"
_LONGEST_CONFIG: Final = 1 << 20
"""Bytes; the models' own have 4 KB."""
_INSIDE: Final = re.compile(r"\w[\w. +-]*(?:/\w[\w. +-]*)*/?")
"""A path that does not leave the folder it is in."""
_LONGEST_PATH: Final = 200
_OF_EMOTION: Final = re.compile(r"\w[\w.-]*\.(?:json|jinja|safetensors|txt)", re.ASCII)
_READ_WHOLE: Final = 4 << 20
"""Bytes of the longest file whose content goes into the version."""


@dataclass(frozen=True)
class Files:
    """Where everything is that a model is loaded from."""

    folder: Path
    """`config.yaml` and the files that it names."""
    w2v_bert: Path
    """A folder: configuration, feature extractor and weights."""
    campplus: Path
    """A file."""
    bigvgan: Path
    """A folder: `config.json` and `bigvgan_generator.pt`."""
    semantic_codec: Path | None = None
    """A file; None for IndexTTS-2.5, which has it among its own."""
    emotion: Path | None = None
    """The folder of the model that reads emotions from text; None: there is none, and `emo_text` cannot be read."""


class Unfit(NotAvailable):
    """Something here or on the Hub that the engine cannot load; `fact` says what."""

    def __init__(self, fact: str, remedy: str, param: str | None = None) -> None:
        sentence = fact[0].upper() + fact[1:] if fact.startswith("the ") else fact
        super().__init__(f"{sentence}; {remedy}.", param=param, code="unfit_model")
        self.fact = fact


@dataclass(frozen=True)
class _Kind:
    """What differs between the two models."""

    title: str
    default: str
    repository: Callable[[Settings], str]
    folder: Callable[[Settings], Path]
    setting: str
    """What names the repository."""
    place: hubs.Place
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
_KINDS: Final[Mapping[Model, _Kind]] = {
    "indextts2": _Kind(
        title="IndexTTS-2",
        default="IndexTeam/IndexTTS-2",
        repository=lambda settings: settings.model_repo,
        folder=lambda settings: settings.indextts_checkpoints,
        setting="MODEL_REPO",
        place=hubs.Place("the folder of IndexTTS-2", "CHECKPOINTS_DIR"),
        modules={**_SHARED_MODULES, "indextts": "indextts2-inference"},
        named=_NAMED,
        fixed=(),
        named_text=("dataset.bpe_model",),
        fixed_text=(),
    ),
    "indextts25": _Kind(
        title="IndexTTS-2.5",
        default="IndexTeam/IndexTTS-2.5",
        repository=lambda settings: settings.indextts25_repo,
        folder=lambda settings: settings.indextts25_checkpoints,
        setting="OSCINE_INDEXTTS25_REPO",
        place=hubs.Place("the folder of IndexTTS-2.5", "OSCINE_INDEXTTS25_DIR"),
        modules={**_SHARED_MODULES, "indextts25": "indextts25-inference"},
        named=_NAMED,
        fixed=("codec.pth",),
        named_text=(),
        fixed_text=("multilingual_zh_ja_yue_char_del.tiktoken",),
    ),
}


@dataclass(frozen=True)
class _Part:
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


_BIGVGAN_FILES: Final = ("config.json", "bigvgan_generator.pt")
_BIGVGAN: Final = _Part("nvidia/bigvgan_v2_22khz_80band_256x", _BIGVGAN_FILES, "bigvgan")
_W2V_BERT: Final = _Part(
    "facebook/w2v-bert-2.0", ("config.json", "preprocessor_config.json", "model.safetensors"), "w2v-bert-2.0"
)
_SEMANTIC_CODEC: Final = _Part(
    "amphion/MaskGCT", ("semantic_codec/model.safetensors",), "semantic_codec_model.safetensors"
)
_CAMPPLUS: Final = _Part("funasr/campplus", ("campplus_cn_common.bin",), "campplus_cn_common.bin")


@dataclass(frozen=True)
class _Described:
    """A folder with a `config.yaml` that the engine can load."""

    folder: Path
    torch: tuple[str, ...]
    text: tuple[str, ...]
    vocoder: Path | _Part
    emotion: str | None
    """The folder of the model that reads emotions."""

    def lacks(self) -> list[str]:
        """Files that are not there, or not whole."""
        absent = [name for name in self.torch if not is_torch(self.folder / name)]
        return absent + [name for name in self.text if not is_content(self.folder / name)]


@dataclass(frozen=True)
class _Found:
    """What is here."""

    main: _Described | None
    lacks: tuple[str, ...]
    parts: Mapping[_Part, Path | None]
    bigvgan: Path | None
    emotion: Path | None

    @property
    def wants_emotion(self) -> bool:
        """Whether the model that reads emotions could be here and is not; nothing else needs it."""
        return self.emotion is None and self.main is not None and self.main.emotion is not None


class Checkpoint:
    """The files of one of the two models."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self._model: Model = model
        self._kind = _KINDS[model]
        self._settings = settings
        self._folder = self._kind.folder(settings)
        self._install = f'pip install "oscine[{model}]"'
        self._command = f"oscine download {model}"

    def version(self) -> str:
        """The name and, where the files are here, a mark that changes with them; reads no gigabytes."""
        try:
            files = self.files()
            described = self._described(files.folder)
        except NotAvailable:
            return self._kind.title
        mark = hashlib.sha256()
        for file in _sounding(files, described):
            mark.update(file.name.encode() + b"\0")
            for fact in _facts(file):
                mark.update(fact)
        return f"{self._kind.title}-{mark.hexdigest()[:8]}"

    def files(self) -> Files:
        """Where the files are. Raises NotAvailable that says what is missing and the command that brings it."""
        found = self._look()
        parts = found.parts
        w2v_bert, campplus = parts[_W2V_BERT], parts[_CAMPPLUS]
        if found.lacks or found.main is None or found.bigvgan is None or w2v_bert is None or campplus is None:
            raise NotAvailable(
                f"{self._kind.title} lacks {', '.join(found.lacks)}; run: {self._command}", code="not_downloaded"
            )
        return Files(
            found.main.folder, w2v_bert, campplus, found.bigvgan, parts.get(_SEMANTIC_CODEC), emotion=found.emotion
        )

    def missing(self) -> Missing | None:
        """What is missing and the command that changes it: packages first, then files; never touches the network."""
        absent = sorted({package for module, package in self._kind.modules.items() if find_spec(module) is None})
        if absent:
            return Missing(f"the package{'s' if len(absent) > 1 else ''} {', '.join(absent)}", self._install)
        try:
            lacks = self._look().lacks
        except Unfit as error:
            repaired = f"export {error.param}={self._kind.default}" if error.param else self._command
            return Missing(f"a model that it can load ({error.fact})", repaired)
        return Missing(f"files of {self._kind.title} ({', '.join(lacks)})", self._command) if lacks else None

    def download(self, progress: Progress) -> None:
        """Bring what is not here. What has come stays, so that a later call goes on. Raises NotAvailable."""
        absent = sorted({package for package in ("huggingface_hub", "yaml") if find_spec(package) is None})
        if absent:
            raise NotAvailable(
                f"A download needs the package {absent[0]}; run: {self._install}", code="download_failed"
            )
        try:
            found = self._look()
        except Unfit as error:
            if error.param is not None:
                raise
            found = None
        if found is None or found.lacks or found.wants_emotion:
            _Download(self._kind, self._repository(), self._folder, progress).bring(found, self._look)
            self.files()

    def _repository(self) -> str:
        name = self._kind.repository(self._settings)
        if not HUB_NAME.fullmatch(name):
            setting, default = self._kind.setting, self._kind.default
            raise Unfit(
                f"the setting {setting} holds no name on the Hugging Face Hub", f"set {setting} to {default}", setting
            )
        return name

    def _look(self) -> _Found:
        """What is here of all files. Raises Unfit, and NotAvailable without the package that reads `config.yaml`."""
        if find_spec("yaml") is None:
            raise NotAvailable(f"{self._kind.title} needs the package pyyaml; run: {self._install}")
        repository = self._repository()
        main, own, lacks, unfit = None, None, [repository], None
        for folder in self._folders(repository):
            try:
                described = self._described(folder)
            except Unfit as error:
                unfit = unfit or (error if folder == self._folder else None)
                continue
            if described is None:
                continue
            absent = described.lacks()
            if not absent:
                main, lacks, unfit = described, [], None
                break
            if folder == self._folder:
                own, lacks = described, absent
        if unfit is not None:
            raise unfit
        beside = tuple(dict.fromkeys((self._folder if main is None else main.folder, self._folder)))
        described = main or own
        vocoder = _BIGVGAN if described is None else described.vocoder
        wanted = [_W2V_BERT, *([_SEMANTIC_CODEC] if self._model == "indextts2" else []), _CAMPPLUS]
        wanted += [vocoder] if isinstance(vocoder, _Part) else []
        parts = {part: self._part(part, beside) for part in wanted}
        lacks += [part.hub for part, place in parts.items() if place is None]
        bigvgan = parts[vocoder] if isinstance(vocoder, _Part) else vocoder
        return _Found(main, tuple(lacks), parts, bigvgan, _emotion(main, beside))

    def _folders(self, repository: str) -> Iterator[Path]:
        """Where the model's own files may be."""
        yield self._folder
        for cache in caches(self._settings):
            found = snapshot(cache, repository)
            if found is not None:
                yield found

    def _part(self, part: _Part, beside: Sequence[Path]) -> Path | None:
        for folder in beside:
            if (found := part.within_flat(folder)) is not None:
                return found
        for cache in (*(folder / "hf_cache" for folder in beside), *caches(self._settings)):
            kept = snapshot(cache, part.hub)
            if kept is not None and (found := part.within(kept)) is not None:
                return found
        return None

    def _described(self, folder: Path) -> _Described | None:
        return _described(self._kind, folder, f"correct it, or run: {self._command}")


class _Download:
    """Brings what is not here: the model's own files into its folder, auxiliary models into the user's cache."""

    def __init__(self, kind: _Kind, repository: str, folder: Path, progress: Progress) -> None:
        self._kind, self._repository, self._folder, self._progress = kind, repository, folder, progress
        self._what = f"downloading {kind.title}"
        self._right = 0
        """Bytes of what is here already."""

    def bring(self, found: _Found | None, look: Callable[[], _Found]) -> None:
        """Bring what `found` does not have; `look` finds again when `config.yaml` has come."""
        self._progress(self._what, None)
        sources: list[_Source] = []
        if found is None or found.main is None or found.wants_emotion:
            with hubs.in_one_sentence(self._repository, self._kind.setting, self._kind.place):
                sources.append(self._own(found))
            found = look()
        for part, place in found.parts.items():
            if place is None:
                with hubs.in_one_sentence(part.hub, part.correct):
                    sources.append(_auxiliary(part))
        coming = [(source.target, file) for source in sources for file in source.files]
        with hubs.in_one_sentence(self._repository, self._kind.setting, self._kind.place):
            hubs.check_room(self._kind.title, coming)
        meter = hubs.Meter(self._progress, self._what, self._right + sum(file.size for _, file in coming))
        meter.add(self._right)
        # What is small comes first, and so does every file that could be refused.
        for source in sorted(sources, key=lambda each: sum(file.size for file in each.files)):
            with hubs.in_one_sentence(source.hub, source.correct, source.target.place):
                for file in source.files:
                    source.target.bring(file, meter.add)
                if isinstance(source.target, hubs.Store):
                    source.target.finish()

    def _own(self, found: _Found | None) -> _Source:
        """What has to come of the model's own files; `config.yaml`, which names them, comes at once."""
        listing = hubs.listed(self._repository)
        target = hubs.Folder(self._repository, listing.commit, self._folder, self._kind.place)
        described = found.main if found is not None else None
        files: list[hubs.File] = []
        if described is None:
            described = self._configured(target, listing)
            files += [file for name in described.torch if (file := self._of_torch(name, listing)) is not None]
            files += [file for name in described.text if (file := self._of_text(name, listing)) is not None]
            glossary = listing.files.get(GLOSSARY)
            if glossary is not None and not (self._folder / GLOSSARY).exists():
                files.append(glossary)
        if described.emotion is not None and (found is None or found.emotion is None):
            files += [file for file in _emotion_of(described.emotion, listing) if not self._is_right(file)]
        return _Source(self._repository, self._kind.setting, target, files)

    def _configured(self, target: hubs.Folder, listing: hubs.Listing) -> _Described:
        """The model's configuration: the one that is here, or else the Hub's."""
        instead = f"set {self._kind.setting} to {self._kind.default}"
        try:
            here = _described(self._kind, self._folder, instead)
        except Unfit:
            (self._folder / _CONFIG).replace(self._folder / f"{_CONFIG}.before")
            here = None
        if here is not None:
            return here
        if _CONFIG not in listing.files:
            raise Unfit(f"{self._repository} is no {self._kind.title}", instead, self._kind.setting)
        target.bring(listing.files[_CONFIG])
        try:
            brought = _described(self._kind, self._folder, instead)
        except Unfit as error:
            (self._folder / _CONFIG).unlink(missing_ok=True)
            raise Unfit(f"{self._repository}: {error.fact}", instead, self._kind.setting) from None
        assert brought is not None
        return brought

    def _of_torch(self, name: str, listing: hubs.Listing) -> hubs.File | None:
        """The file if it has to come. Somebody's own weights are neither replaced nor mixed with the Hub's."""
        here, file = self._folder / name, listing.files.get(name)
        if file is None:
            if not is_torch(here):
                raise self._lacking(name)
            return None
        if self._is_right(file):
            return None
        if torch_records(here) and not is_damaged_torch(here):
            raise NotAvailable(
                f"{name} in {self._kind.place.name} is not the one of {self._repository}; move it away, or set "
                f"{self._kind.place.setting} to another folder.",
                code="download_failed",
            )
        return file

    def _of_text(self, name: str, listing: hubs.Listing) -> hubs.File | None:
        here, file = self._folder / name, listing.files.get(name)
        if file is None:
            if not is_content(here):
                raise self._lacking(name)
            return None
        return None if self._is_right(file) else file

    def _lacking(self, name: str) -> Unfit:
        setting, default = self._kind.setting, self._kind.default
        return Unfit(f"{self._repository} lacks {name}", f"set {setting} to {default}", setting)

    def _is_right(self, file: hubs.File) -> bool:
        right = file.is_at(self._folder / file.name)
        self._right += file.size if right else 0
        return right


@dataclass(frozen=True)
class _Source:
    """Files that have to come from one repository."""

    hub: str
    correct: str
    target: hubs.Folder | hubs.Store
    files: list[hubs.File]


def _auxiliary(part: _Part) -> _Source:
    listing = hubs.listed(part.hub)
    if not listing.files.keys() >= set(part.files):
        raise NotAvailable(f"{part.hub} on the Hub lacks files; correct {part.correct}.", code="download_failed")
    return _Source(
        part.hub, part.correct, hubs.Store(part.hub, listing.commit), [listing.files[name] for name in part.files]
    )


def _described(kind: _Kind, folder: Path, remedy: str) -> _Described | None:
    """What the folder's `config.yaml` says; None: there is none. Raises Unfit."""
    try:
        config = _yaml(folder / _CONFIG)
        if config is None:
            return None
        version = config.get("version")
        if isinstance(version, int | float) and (version < 2 or (kind is _KINDS["indextts2"] and version != 2)):
            raise _Wrong(f"is of IndexTTS-{version}, and not of {kind.title}")
        if not all(isinstance(config.get(section), dict) for section in ("gpt", "s2mel", "semantic_codec")):
            raise _Wrong(f"is not of {kind.title}")
        return _Described(
            folder,
            torch=(*(_file_in(config, entry) for entry in kind.named), *kind.fixed),
            text=(*(_file_in(config, entry) for entry in kind.named_text), *kind.fixed_text),
            vocoder=_vocoder(config, folder) if kind is _KINDS["indextts2"] else _BIGVGAN,
            emotion=_emotion_folder(config) if kind is _KINDS["indextts2"] else None,
        )
    except _Wrong as wrong:
        raise Unfit(f"config.yaml of {kind.title} {wrong}", remedy) from None


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


def _vocoder(config: Mapping[str, Any], folder: Path) -> Path | _Part:
    """The vocoder that `config.yaml` names: a folder, or a model on the Hub."""
    value = _value(config, "vocoder.name")
    if not isinstance(value, str) or not value:
        raise _Wrong("names no vocoder (vocoder.name)")
    if _is_inside(value.removeprefix("./")) or ("\0" not in value and Path(value).is_absolute()):
        place = folder / value
        if all(_is_whole(place / name, name) for name in _BIGVGAN_FILES):
            return place
    if not HUB_NAME.fullmatch(value):
        raise _Wrong("names a vocoder that is not there (vocoder.name)")
    return (
        _BIGVGAN
        if value == _BIGVGAN.hub
        else _Part(value, _BIGVGAN_FILES, None, "vocoder.name in the model's config.yaml")
    )


def _emotion(main: _Described | None, beside: Sequence[Path]) -> Path | None:
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


def _emotion_of(folder: str, listing: hubs.Listing) -> list[hubs.File]:
    """What a repository has of that model."""
    start = f"{folder}/"
    return [
        file
        for name, file in listing.files.items()
        if name.startswith(start) and _OF_EMOTION.fullmatch(name.removeprefix(start))
    ]


def _is_whole(path: Path, name: str) -> bool:
    """Whether the file at `path` is whole, as one of its kind: `name` tells it."""
    if name.endswith(".json"):
        return json_in(path) is not None
    return is_safetensors(path) if name.endswith(".safetensors") else is_torch(path)


def _sounding(files: Files, described: _Described | None) -> Iterator[Path]:
    """All files that the sound depends on."""
    yield files.folder / _CONFIG
    if described is not None:
        yield from (files.folder / name for name in (*described.torch, *described.text, GLOSSARY))
    yield from (files.w2v_bert / name for name in _W2V_BERT.files)
    yield from (files.bigvgan / name for name in _BIGVGAN_FILES)
    yield files.campplus
    if files.semantic_codec is not None:
        yield files.semantic_codec
    if files.emotion is not None:
        yield from (files.emotion / name for name in ("config.json", *shards(files.emotion)))


def _facts(file: Path) -> Iterator[bytes]:
    """What changes with a file: its content, or the checksums in its directory, or its size."""
    try:
        size = file.stat().st_size
        yield str(size).encode()
        if records := torch_records(file):
            yield repr(records).encode()
        elif size <= _READ_WHOLE:
            yield file.read_bytes()
    except OSError:
        return

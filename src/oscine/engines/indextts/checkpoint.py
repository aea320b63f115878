"""Which files the two models need, where they lie, and whether they are right.

A model's own files lie in a folder; the auxiliary models that both use lie in the cache of the Hugging Face Hub. What
existing deployments have of them in `hf_cache` beside the weights counts too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from oscine.config import Settings
from oscine.engines.indextts.download import Download
from oscine.engines.indextts.layout import (
    BIGVGAN,
    BIGVGAN_FILES,
    CAMPPLUS,
    CONFIG,
    GLOSSARY,
    KINDS,
    SEMANTIC_CODEC,
    W2V_BERT,
    Described,
    Found,
    Model,
    Part,
    Unfit,
    described_by,
    emotion_in,
)
from oscine.engines.protocol import Missing, Progress
from oscine.engines.stored import HUB_NAME, caches, shards, snapshot, torch_records
from oscine.errors import NotAvailable
from oscine.extras import install_command

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


class Checkpoint:
    """The files of one of the two models."""

    def __init__(self, model: Model, settings: Settings) -> None:
        self._model: Model = model
        self._kind = KINDS[model]
        self._settings = settings
        self._folder = self._kind.folder(settings)
        self._install = install_command(model)
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
        w2v_bert, campplus = parts[W2V_BERT], parts[CAMPPLUS]
        if found.lacks or found.main is None or found.bigvgan is None or w2v_bert is None or campplus is None:
            raise NotAvailable(
                f"{self._kind.title} lacks {', '.join(found.lacks)}; run: {self._command}", code="not_downloaded"
            )
        return Files(
            found.main.folder, w2v_bert, campplus, found.bigvgan, parts.get(SEMANTIC_CODEC), emotion=found.emotion
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
            Download(self._kind, self._repository(), self._folder, progress).bring(found, self._look)
            self.files()

    def _repository(self) -> str:
        name = self._kind.repository(self._settings)
        if not HUB_NAME.fullmatch(name):
            setting, default = self._kind.setting, self._kind.default
            raise Unfit(
                f"the setting {setting} holds no name on the Hugging Face Hub", f"set {setting} to {default}", setting
            )
        return name

    def _look(self) -> Found:
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
        vocoder = BIGVGAN if described is None else described.vocoder
        wanted = [W2V_BERT, *([SEMANTIC_CODEC] if self._model == "indextts2" else []), CAMPPLUS]
        wanted += [vocoder] if isinstance(vocoder, Part) else []
        parts = {part: self._part(part, beside) for part in wanted}
        lacks += [part.hub for part, place in parts.items() if place is None]
        bigvgan = parts[vocoder] if isinstance(vocoder, Part) else vocoder
        return Found(main, tuple(lacks), parts, bigvgan, emotion_in(main, beside))

    def _folders(self, repository: str) -> Iterator[Path]:
        """Where the model's own files may be."""
        yield self._folder
        for cache in caches(self._settings):
            found = snapshot(cache, repository)
            if found is not None:
                yield found

    def _part(self, part: Part, beside: Sequence[Path]) -> Path | None:
        for folder in beside:
            if (found := part.within_flat(folder)) is not None:
                return found
        for cache in (*(folder / "hf_cache" for folder in beside), *caches(self._settings)):
            kept = snapshot(cache, part.hub)
            if kept is not None and (found := part.within(kept)) is not None:
                return found
        return None

    def _described(self, folder: Path) -> Described | None:
        return described_by(self._kind, folder, f"correct it, or run: {self._command}")


def _sounding(files: Files, described: Described | None) -> Iterator[Path]:
    """All files that the sound depends on."""
    yield files.folder / CONFIG
    if described is not None:
        yield from (files.folder / name for name in (*described.torch, *described.text, GLOSSARY))
    yield from (files.w2v_bert / name for name in W2V_BERT.files)
    yield from (files.bigvgan / name for name in BIGVGAN_FILES)
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

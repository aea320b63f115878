"""How the files that are missing come: the model's own into its folder, auxiliary models into the Hub's cache."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oscine.engines import hub as hubs
from oscine.engines.indextts.layout import CONFIG, GLOSSARY, Described, Found, Kind, Part, Unfit, described_by
from oscine.engines.protocol import Progress
from oscine.engines.stored import is_content, is_damaged_torch, is_torch, torch_records
from oscine.errors import NotAvailable

_OF_EMOTION: Final = re.compile(r"\w[\w.-]*\.(?:json|jinja|safetensors|txt)", re.ASCII)


class Download:
    """Brings what is not here: the model's own files into its folder, auxiliary models into the user's cache."""

    def __init__(self, kind: Kind, repository: str, folder: Path, progress: Progress) -> None:
        self._kind, self._repository, self._folder, self._progress = kind, repository, folder, progress
        self._what = f"downloading {kind.title}"
        self._right = 0
        """Bytes of what is here already."""

    def bring(self, found: Found | None, look: Callable[[], Found]) -> None:
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

    def _own(self, found: Found | None) -> _Source:
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

    def _configured(self, target: hubs.Folder, listing: hubs.Listing) -> Described:
        """The model's configuration: the one that is here, or else the Hub's."""
        instead = f"set {self._kind.setting} to {self._kind.default}"
        try:
            here = described_by(self._kind, self._folder, instead)
        except Unfit:
            (self._folder / CONFIG).replace(self._folder / f"{CONFIG}.before")
            here = None
        if here is not None:
            return here
        if CONFIG not in listing.files:
            raise Unfit(f"{self._repository} is no {self._kind.title}", instead, self._kind.setting)
        target.bring(listing.files[CONFIG])
        try:
            brought = described_by(self._kind, self._folder, instead)
        except Unfit as error:
            (self._folder / CONFIG).unlink(missing_ok=True)
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


def _auxiliary(part: Part) -> _Source:
    listing = hubs.listed(part.hub)
    if not listing.files.keys() >= set(part.files):
        raise NotAvailable(f"{part.hub} on the Hub lacks files; correct {part.correct}.", code="download_failed")
    return _Source(
        part.hub, part.correct, hubs.Store(part.hub, listing.commit), [listing.files[name] for name in part.files]
    )


def _emotion_of(folder: str, listing: hubs.Listing) -> list[hubs.File]:
    """What a repository has of that model."""
    start = f"{folder}/"
    return [
        file
        for name, file in listing.files.items()
        if name.startswith(start) and _OF_EMOTION.fullmatch(name.removeprefix(start))
    ]

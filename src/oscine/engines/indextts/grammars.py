"""The grammars that write numbers and abbreviations out before the models read them."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from oscine.engines.protocol import Progress

log = logging.getLogger(__name__)

LANGUAGES: Final = ("en", "zh", "es")
"""What there are grammars of."""
_EXPORTERS: Final = {
    "es": (
        "nemo_text_processing.text_normalization.es.taggers.tokenize_and_classify",
        "nemo_text_processing.text_normalization.es.verbalizers.verbalize_final",
    )
}
"""Modules whose `generator_main` changes a grammar when it is kept: a Spanish `1,80` would be read differently."""


class Grammars:
    """The grammars of a process, each brought when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._own_folder = self._folder = folder
        self._loaded: dict[str, Any] = {}
        self._passing: TemporaryDirectory[str] | None = None
        self._compiling: dict[str, subprocess.Popen[bytes]] = {}

    def get(self, language: str) -> Any:
        """What `normalize`s texts of a language of `LANGUAGES`."""
        if language not in self._loaded:
            self._loaded[language] = grammar(language, self._folder)
        return self._loaded[language]

    def ready(self, language: str) -> bool:
        """Whether `get` is quick; until it is, a process of its own compiles the grammar."""
        if language not in LANGUAGES or language in self._loaded or find_spec("nemo_text_processing") is None:
            return True
        if _kept(language, self._folder).is_dir():
            return True
        if language not in self._compiling:
            self._find_place()
            log.warning("The grammar of numbers (%s) is compiled, which takes a minute or more.", language)
            self._compiling[language] = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self._folder), language],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return self._compiling[language].poll() is not None

    def _find_place(self) -> None:
        """What another process compiles must lie somewhere, if only until this is closed."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self._folder, os.W_OK):
            self._passing = TemporaryDirectory(prefix="oscine-grammars-")
            self._folder = Path(self._passing.name)

    def bring(self, progress: Progress, languages: Sequence[str]) -> None:
        """Have those of the languages that there are, also on disk."""
        for language in languages:
            if language in LANGUAGES:
                progress(f"grammar of numbers ({language})", None)
                self.get(language)

    def close(self) -> None:
        """Compile nothing any more."""
        for process in self._compiling.values():
            process.kill()
            process.wait()
        self._compiling.clear()
        if self._passing is not None:
            self._passing.cleanup()
            self._folder, self._passing = self._own_folder, None


def read_with() -> list[str]:
    """What numbers are written out with here, each with its version."""
    found = []
    for package, word in (("nemo_text_processing", "nemo"), ("WeTextProcessing", "wetext")):
        with suppress(metadata.PackageNotFoundError):
            found.append(word + metadata.version(package))
    return found


class Plain:
    """Leaves a text as it is."""

    def normalize(self, text: str, verbose: bool = False) -> str:
        """`text`."""
        return text


def grammar(language: str, folder: Path) -> Any:
    """NeMo's grammar of a language of `LANGUAGES`: from `folder`, or compiled (half a minute or more) and kept there.

    Where NeMo is not installed or the folder cannot be written, speech goes on: without, or with what is compiled for
    this process alone.
    """
    try:
        from nemo_text_processing.text_normalization.normalize import Normalizer
    except ImportError:
        log.warning("NeMo's text processing is not installed: numbers are left to the model; write them out.")
        return Plain()
    # What it logs holds the text, and it sets its own level at each text.
    logging.getLogger("NeMo-text-processing").disabled = True
    kept = _kept(language, folder)
    try:
        if not kept.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder, prefix="new-") as new:
                made = Path(new) / "grammar"
                made.mkdir()
                with _exported_as_it_is(language):
                    Normalizer(input_case="cased", lang=language, cache_dir=str(made))
                if not kept.is_dir():
                    made.rename(kept)
        return Normalizer(input_case="cased", lang=language, cache_dir=str(kept))
    except OSError as error:
        log.warning("The grammar of %s cannot be kept (%s); it is compiled anew.", language, type(error).__name__)
        return Normalizer(input_case="cased", lang=language)


def export(file: str, graphs: Mapping[str, Any]) -> None:
    """Keep grammars as they are; NeMo's `generator_main` makes them smaller first, and another reading then wins."""
    pynini: Any = importlib.import_module("pynini")
    with pynini.Far(file, mode="w") as archive:
        for name, graph in graphs.items():
            archive[name] = graph


def _kept(language: str, folder: Path) -> Path:
    return folder / f"{language}-nemo{metadata.version('nemo_text_processing')}"


@contextmanager
def _exported_as_it_is(language: str) -> Iterator[None]:
    modules: list[Any] = [importlib.import_module(name) for name in _EXPORTERS.get(language, ())]
    before = [module.generator_main for module in modules]
    try:
        for module in modules:
            module.generator_main = export
        yield
    finally:
        for module, own in zip(modules, before, strict=True):
            module.generator_main = own


if __name__ == "__main__":
    grammar(sys.argv[2], Path(sys.argv[1]))

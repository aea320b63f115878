"""The grammars that write numbers and abbreviations out before the models read them."""

from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from oscine.engines.protocol import Progress

log = logging.getLogger(__name__)


LANGUAGES: Final = ("en", "zh")
"""What grammars are kept for. Others' change when they are kept: a Spanish `1,80` is read differently then."""


class Grammars:
    """The grammars of a process, each brought when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, Any] = {}

    def get(self, language: str) -> Any:
        """What `normalize`s texts of a language of `LANGUAGES`."""
        if language not in self._loaded:
            self._loaded[language] = grammar(language, self._folder)
        return self._loaded[language]

    def bring(self, progress: Progress) -> None:
        """Have all of them, also on disk."""
        for language in LANGUAGES:
            progress(f"grammar of numbers ({language})", None)
            self.get(language)


class Plain:
    """Leaves a text as it is."""

    def normalize(self, text: str, verbose: bool = False) -> str:
        """`text`."""
        return text


def grammar(language: str, folder: Path) -> Any:
    """NeMo's grammar of `en` or `zh`: from `folder`, or compiled (half a minute or more for English) and kept there.

    Where NeMo is not installed or the folder cannot be written, speech goes on: without, or with what is compiled for
    this process alone.
    """
    try:
        from nemo_text_processing.text_normalization.normalize import Normalizer
    except ImportError:
        log.warning("NeMo's text processing is not installed: numbers are left to the model; write them out.")
        return Plain()
    logging.getLogger("NeMo-text-processing").setLevel(logging.WARNING)
    kept = folder / f"{language}-nemo{metadata.version('nemo_text_processing')}"
    try:
        if not kept.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder, prefix="new-") as new:
                made = Path(new) / "grammar"
                made.mkdir()
                Normalizer(input_case="cased", lang=language, cache_dir=str(made))
                if not kept.is_dir():
                    made.rename(kept)
        return Normalizer(input_case="cased", lang=language, cache_dir=str(kept))
    except OSError as error:
        log.warning("The grammar of %s cannot be kept (%s); it is compiled anew.", language, type(error).__name__)
        return Normalizer(input_case="cased", lang=language)

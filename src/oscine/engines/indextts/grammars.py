"""The grammars that write numbers and abbreviations out before IndexTTS-2 reads them."""

from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

log = logging.getLogger(__name__)


class Plain:
    """Leaves a text as it is."""

    def normalize(self, text: str, verbose: bool = False) -> str:
        """`text`."""
        return text


def grammar(language: str, folder: Path) -> Any:
    """NeMo's grammar of `en` or `zh`: from `folder`, or compiled (half a minute at most) and kept there.

    Where NeMo is not installed or the folder cannot be written, speech goes on: without, or with what is compiled for
    this process alone.
    """
    logging.getLogger("NeMo-text-processing").setLevel(logging.WARNING)
    try:
        from nemo_text_processing.text_normalization.normalize import Normalizer
    except ImportError:
        log.warning("NeMo's text processing is not installed: numbers are left to the model; write them out.")
        return Plain()
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

"""The two packages with the models' code, brought in so that nothing else in the process changes.

Both are other people's; what stands in the way of Oscine is changed here, by narrow patches of the version that they
were made for. `indextts2-inference` (module `indextts`):

* Importing it silences every `FutureWarning` and `UserWarning` of the process: the filters are put back.
* It needs torchaudio, see `oscine.engines.torchaudio`.
* It always loads the model that reads emotions from text: see `emotion.TextEmotion`, which loads it when it is needed.
* It compiles the grammars of two languages when it is constructed, into its own folder: see `grammars`.
* It finds auxiliary models by asking the Hub each time: it is given the files instead.
* It loads all layers of w2v-BERT and reads the 17th: the others are left out.
* It draws the 870 million first weights of its GPT and the 110 million of its vocoder, and then loads all of them:
  nothing is drawn.

`indextts25-inference` (module `indextts25`) is given its files too, and the same grammars: its own are kept pickled.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from oscine.engines.indextts.checkpoint import Files
from oscine.engines.indextts.grammars import LANGUAGES, Grammars
from oscine.engines.torchaudio import make_importable
from oscine.errors import NotAvailable
from oscine.extras import install_command

log = logging.getLogger(__name__)

_MADE_FOR: Final = {"indextts2-inference": "2.1.1", "indextts25-inference": "0.2.0"}
_LAYERS_READ: Final = 17
"""The layer of w2v-BERT whose output the models use; those after it only cost time and memory."""


def indextts() -> ModuleType:
    """The module of IndexTTS-2. Raises NotAvailable for a version that the patches were not made for."""
    check_version("indextts2-inference", "indextts2")
    with _as_before():
        make_importable()
        import indextts.infer_v2 as module
    return module  # type: ignore[no-any-return]


def indextts25() -> ModuleType:
    """The module of IndexTTS-2.5. Raises NotAvailable for a version that the patches were not made for."""
    check_version("indextts25-inference", "indextts25")
    with _as_before():
        make_importable()
        import indextts25.infer_v2_5 as module
    return module  # type: ignore[no-any-return]


def check_version(package: str, extra: str) -> None:
    """Raises NotAvailable unless the package is here in the version that the patches were made for."""
    made_for = _MADE_FOR[package]
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        found = ""
    if found != made_for:
        here = f"{package} {found} is installed" if found else f"{package} is not installed"
        raise NotAvailable(
            f"This Oscine speaks with {package} {made_for}, and {here}; run: {install_command(extra)}",
            code="wrong_version",
        )


@contextmanager
def _as_before() -> Iterator[None]:
    """Leave the filters of warnings as they were, and logging to whoever uses Oscine."""
    with quiet():
        yield
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("indextts", "indextts25"):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.setLevel(logging.ERROR)  # lines below that hold the text that is spoken


@contextmanager
def quiet() -> Iterator[None]:
    """Without warnings of what the packages do in a way that is going out of fashion."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def with_files_of_two(module: ModuleType, files: Files, semantic_codec: Path) -> Iterator[None]:
    """Let `IndexTTS2` be constructed from these files, without the parts that are loaded when they are needed."""
    from oscine.engines.indextts.undrawn import undrawn

    places = {"semantic_codec/model.safetensors": semantic_codec, "campplus_cn_common.bin": files.campplus}
    extractor = module.SeamlessM4TFeatureExtractor
    vocoder = undrawn(module.bigvgan.BigVGAN.from_pretrained)

    def downloaded(_repository: str, filename: str) -> str:
        return str(places[filename])

    with (
        quiet(),
        _replaced(
            module,
            hf_hub_download=downloaded,
            SeamlessM4TFeatureExtractor=SimpleNamespace(
                from_pretrained=lambda _name: extractor.from_pretrained(files.w2v_bert, local_files_only=True)
            ),
            build_semantic_model=lambda statistics: _semantic_model(files.w2v_bert, statistics),
            QwenEmotion=lambda _folder: None,
            UnifiedVoice=undrawn(module.UnifiedVoice),  # all of whose weights must be in the checkpoint
            bigvgan=SimpleNamespace(
                BigVGAN=SimpleNamespace(from_pretrained=lambda _name, **options: vocoder(str(files.bigvgan), **options))
            ),
        ),
        _replaced(module.TextNormalizer, load=lambda _self: None),
    ):
        yield


@contextmanager
def with_files_of_two_five(module: ModuleType, files: Files) -> Iterator[None]:
    """Let `IndexTTS2` of 2.5 be constructed from these files."""
    places = {"w2v_bert": str(files.w2v_bert), "campplus": str(files.campplus), "bigvgan": str(files.bigvgan)}
    with quiet(), _replaced(module, ensure_models_available=lambda _folder: places):
        yield


@contextmanager
def _replaced(owner: Any, **values: object) -> Iterator[None]:
    """Other values for some names of a module or a class, for as long as this is entered."""
    before = {name: owner.__dict__[name] for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def normalise_with(module: ModuleType, grammars: Grammars) -> None:
    """Let 2.5 write numbers out with these grammars where there are some for the language."""

    def normalised(text: str, language: str) -> str:
        if language in LANGUAGES:
            try:
                return str(grammars.get(language).normalize(text, verbose=False))
            except Exception as error:  # NeMo raises whatever its parts raise; the text is read as it is written
                log.warning(
                    "A text could not be written out (%s); numbers in it are left to the model.", type(error).__name__
                )
                return text
        return text

    module.nemo_text_normalize = normalised  # type: ignore[attr-defined]


def _semantic_model(folder: Path, statistics: str) -> tuple[Any, Any, Any]:
    """w2v-BERT up to the layer that is read, and the mean and deviation of what that layer gives."""
    import torch
    from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

    config = Wav2Vec2BertConfig.from_pretrained(folder, num_hidden_layers=_LAYERS_READ, local_files_only=True)
    model = Wav2Vec2BertModel.from_pretrained(folder, config=config, dtype=torch.float32, local_files_only=True).eval()
    numbers = torch.load(statistics, map_location="cpu", weights_only=True)
    return model, numbers["mean"], torch.sqrt(numbers["var"])

"""IndexTTS-2 and IndexTTS-2.5: one cloned voice with the emotion that is asked for."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from oscine.config import Settings
from oscine.engines.device import current, described, device_of, free_memory, is_for_memory, is_of_device
from oscine.engines.indextts import languages
from oscine.engines.indextts.checkpoint import Checkpoint
from oscine.engines.indextts.grammars import Grammars, read_with
from oscine.engines.protocol import (
    LATER,
    NOW,
    Audio,
    Capabilities,
    Capacity,
    Done,
    EngineBroken,
    EngineInfo,
    Event,
    Failed,
    Lane,
    Lengths,
    Missing,
    Progress,
    Utterance,
    never,
)
from oscine.errors import NotAvailable, OscineError

if TYPE_CHECKING:
    from oscine.engines.indextts.emotion import TextEmotion
    from oscine.engines.indextts.model import Model
    from oscine.engines.indextts.take import Steps

log = logging.getLogger(__name__)

LANES: Final = 4
"""Utterances that may be open: the most urgent is spoken, and one that is more urgent still comes between its steps."""
MOST_TOKENS: Final = 500
"""Of a segment; the models' tables end at 602, and beyond that a GPU does not recover."""
LICENCE: Final = (
    "Bilibili Model Use License: commercial use is free below 100 million monthly users and 1 billion RMB of yearly "
    "revenue; its terms and notices go with the model; outputs may not improve other AI models, except non-commercial "
    "ones"
)
_OPTIONS: Final = frozenset({"steps", "fast", "emo_audio_prompt", "emo_vector", "emo_alpha", "use_random"})
_USUAL_TOKENS: Final = 120
_REVISION: Final = 2
"""Of what Oscine does itself; it goes up whenever that sounds different."""
_BROUGHT: Final = ("en", "zh")
"""Grammars without which nothing begins; others are loaded, or compiled, for who needs them."""
_SLOWEST, _FASTEST = 0.5, 1.28
"""Of IndexTTS-2.5; beyond, its duration no longer changes."""


@dataclass(eq=False)
class _Lane(Lane):
    steps: Steps | None = None
    ready: bool = False
    """Whether what reads its text is there."""
    samples: int = 0
    opened_at: float = 0.0
    first_after: float = 0.0


class IndexTTSEngine(ABC):
    """What both engines have in common."""

    name: Literal["indextts2", "indextts25"]

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._checkpoint = Checkpoint(self.name, settings)
        self._grammars = Grammars(settings.home / "cache" / "grammars")
        self._model: Model | None = None
        self._emotions: TextEmotion | None = None
        self._open: set[_Lane] = set()
        self._most_lanes = LANES
        """Fewer since the memory was too little for more."""
        self.info = self._describe()

    def missing(self) -> Missing | None:
        return self._checkpoint.missing()

    def download(self, progress: Progress) -> None:
        self._checkpoint.download(progress)
        if self._checkpoint.missing() is None:
            self._grammars.bring(progress, self.info.languages)
        self.info = self._describe()

    def load(self, progress: Progress) -> None:
        if self._model is not None:
            return
        import torch
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        device = device_of(self._settings)
        progress(f"{self.name} on {device}", None)
        try:
            # Constructing layers draws their first weights. Without a list, every GPU there is would be taken.
            with current(device), torch.random.fork_rng([device] if device.type == "cuda" else []):
                model = self._load()
            with current(device), torch.inference_mode():
                lanes = min(self._most_lanes, model.room(self._most_tokens))
                model.warm_up(self._most_tokens)
        except RuntimeError as error:
            if not is_for_memory(error):
                raise
            raise NotAvailable(
                f"{self.name} does not fit into this GPU; set USE_FP16=true, or take one with more memory.",
                code="out_of_memory",
            ) from None
        self._grammars.bring(progress, _BROUGHT)
        self._model = model
        self.info = replace(self._describe(), device=described(device), max_lanes=lanes)
        progress(self.name, 1.0)

    def capacity(self, utterance: Utterance) -> Capacity:
        if len(utterance.prompts) != 1:
            return never(f"{self.name} speaks one speaker at a time.")
        if any(prompt.reference is None for prompt in utterance.prompts.values()):
            return never(f"{self.name} needs a recording of the voice; add one to the voice library.")
        return NOW if self._model is not None and len(self._open) < self.info.max_lanes else LATER

    def open(self, utterance: Utterance, stop: threading.Event) -> Lane:
        assert self._model is not None, "open before load"
        from oscine.engines.indextts.take import speak

        steps = speak(self._model, self._emotions, utterance, self._most_tokens, stop)
        lane = _Lane(utterance, stop, steps, opened_at=time.monotonic())
        self._open.add(lane)
        return lane

    def step(self, lanes: Sequence[Lane], budget_s: float) -> list[Event]:
        """See `Engine.step`: the first of `lanes` goes on until it is done, for as long as it comes first.

        Their steps are not mixed, for on one device two at a time take as long as one after the other, and the first
        would be heard later.
        """
        import torch

        assert self._model is not None, "step before load"
        until = time.monotonic() + budget_s
        events: list[Event] = []
        waiting = False
        with current(self._model.device), torch.inference_mode():
            for lane in lanes:
                while isinstance(lane, _Lane) and lane.steps is not None and not lane.stop.is_set():
                    lane.ready = lane.ready or self._model.ready(lane.utterance.text, lane.utterance.language)
                    if not lane.ready:
                        waiting = True
                        break
                    events += self._advance(lane)
                    if time.monotonic() >= until:
                        return events
        if waiting and not events:
            time.sleep(max(0.0, until - time.monotonic()))
        return events

    def close_lane(self, lane: Lane) -> None:
        lane.stop.set()
        if isinstance(lane, _Lane):
            self._release(lane)

    def close(self) -> None:
        for lane in list(self._open):
            self._release(lane)
        self._model = self._emotions = None
        self._grammars.close()
        free_memory()

    @abstractmethod
    def _load(self) -> Model:
        """Construct the model."""

    @abstractmethod
    def _describe(self) -> EngineInfo: ...

    @property
    def _most_tokens(self) -> int:
        return min(self._settings.max_tokens_per_segment, MOST_TOKENS)

    def _advance(self, lane: _Lane) -> list[Event]:
        """A step of a lane, and what comes of it."""
        from oscine.engines.indextts.model import Unspeakable

        assert lane.steps is not None
        try:
            samples = next(lane.steps)
        except StopIteration:
            self._release(lane)
            seconds = lane.samples / self.info.sample_rate
            return [Done(lane, {"audio_seconds": seconds, "first_audio_seconds": lane.first_after})]
        except Unspeakable as error:
            self._release(lane)
            return [Failed(lane, f"{self.name} {error}", retryable=False)]
        except OscineError as error:
            self._release(lane)
            return [Failed(lane, error.message, retryable=False)]
        except Exception as error:  # of the package's code, unless the device itself failed
            if is_for_memory(error):
                self._most_lanes = max(1, self.info.max_lanes // 2)
                log.warning("the GPU's memory was too little; %d at once from now on", self._most_lanes)
            if is_of_device(error):
                raise EngineBroken(type(error).__name__) from error
            self._release(lane)
            log.warning("%s could not speak a piece (%s).", self.name, type(error).__name__)
            told = f"{self.name} cannot speak this piece; write it in other words."
            # PyTorch's own are mostly of shapes; those follow from the codes, and other codes may do.
            return [Failed(lane, told, retryable=isinstance(error, RuntimeError))]
        if samples is None:
            return []
        if not np.isfinite(samples).all():
            self._release(lane)
            return [Failed(lane, f"{self.name} made sound that holds no numbers.", retryable=True)]
        lane.samples += len(samples)
        lane.first_after = lane.first_after or time.monotonic() - lane.opened_at
        return [Audio(lane, samples)]

    def _release(self, lane: _Lane) -> None:
        self._open.discard(lane)
        if lane.steps is not None:
            lane.steps.close()
            lane.steps = None

    def _warn_of_settings(self) -> None:
        if self._settings.max_tokens_per_segment > MOST_TOKENS:
            log.warning("MAX_TOKENS_PER_SEGMENT is lowered to %d: the model's table ends at 602.", MOST_TOKENS)

    def _info(self, **facts: Any) -> EngineInfo:
        marks = [f"{self._checkpoint.version()}-r{_REVISION}", *read_with()]
        marks += [f"tokens{self._most_tokens}"] if self._most_tokens != _USUAL_TOKENS else []
        marks += ["half"] if self._settings.use_fp16 else []
        return EngineInfo(
            name=self.name,
            version="+".join(marks),
            sample_rate=22_050,
            max_lanes=LANES,
            grain="segment",
            lengths=Lengths(limit=300, pack=300, shortest=30),
            licence=LICENCE,
            default_format="opus",
            default_rate=24_000,
            default_bitrate=128_000,
            **facts,
        )


class IndexTTS2Engine(IndexTTSEngine):
    """IndexTTS-2: English and Chinese; emotions from numbers, recordings or text."""

    name = "indextts2"

    def _load(self) -> Model:
        from oscine.engines.indextts import two
        from oscine.engines.indextts.emotion import TextEmotion

        self._warn_of_settings()
        files = self._checkpoint.files()
        model = two.load(files, self._settings, self._grammars)
        self._emotions = TextEmotion(files.emotion, model.device)
        return model

    def _describe(self) -> EngineInfo:
        return self._info(
            summary="A cloned voice with emotion, from numbers, a recording or a text; English and Chinese.",
            languages=("en", "zh"),
            tells=languages.two,
            capabilities=Capabilities(
                cloning=True, options=_OPTIONS | {"use_emo_text", "emo_text"}, inline_marks=frozenset({"pinyin"})
            ),
        )


class IndexTTS25Engine(IndexTTSEngine):
    """IndexTTS-2.5: five languages, at half to 1.28 times its pace; emotions from numbers or recordings."""

    name = "indextts25"

    def _load(self) -> Model:
        from oscine.engines.indextts import two_five

        self._warn_of_settings()
        return two_five.load(self._checkpoint.files(), self._settings, self._grammars)

    def _describe(self) -> EngineInfo:
        japanese = ("ja",) if find_spec("fugashi") is not None else ()
        return self._info(
            summary="A cloned voice with emotion at any pace; English, Chinese, Spanish, Arabic and Japanese.",
            languages=("en", "zh", "es", "ar", *japanese),
            tells=languages.two_five,
            capabilities=Capabilities(
                cloning=True,
                speed=(_SLOWEST, _FASTEST),
                options=_OPTIONS,
                inline_marks=frozenset({"annotations", "pinyin"}),
            ),
        )

"""How tests ask for speech, and what IndexTTS's own packages say to the same."""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from oscine.audio.waveform import Samples
from oscine.engines.indextts import take
from oscine.engines.indextts.decoding import decode
from oscine.engines.indextts.engine import IndexTTSEngine
from oscine.engines.indextts.grammars import Plain
from oscine.engines.indextts.model import SAMPLE_RATE, Model, Segment, Voice
from oscine.engines.indextts.sampling import Sampling
from oscine.engines.protocol import Failed, Turn, Utterance
from oscine.voices.prompt import Prompt
from tests.engines.contract import Heard, run
from tests.engines.indextts import tiny
from tests.engines.indextts.mask import mask_kept

TEXT = "Hello world."
BIRD, FROG = tiny.voice("bird", 180.0, 1.0, SAMPLE_RATE), tiny.voice("frog", 300.0, 1.2, SAMPLE_RATE)
"""At the models' own rate, so that nothing depends on how it is reached."""

T = TypeVar("T")


def utterance(
    text: str = TEXT,
    *,
    seed: int = 1,
    voice: Prompt = BIRD,
    speed: float = 1.0,
    language: str | None = None,
    **options: object,
) -> Utterance:
    """What an engine is asked to say."""
    return Utterance((Turn("1", text),), {"1": voice}, seed, speed, language, options)


def heard(engine: IndexTTSEngine, wanted: Utterance) -> Heard:
    """What comes of an utterance that is spoken alone."""
    return run(engine, [wanted])[0]


def said(engine: IndexTTSEngine, wanted: Utterance) -> Samples:
    """The sound of an utterance that is spoken alone."""
    found = heard(engine, wanted)
    assert not isinstance(found.events[-1], Failed), found.events[-1].error
    return found.samples


def model_of(engine: IndexTTSEngine) -> Model:
    """The model of an engine that is loaded."""
    assert engine._model is not None
    return engine._model


def recording(folder: Path, voice: Prompt) -> str:
    """A file with a voice, for the packages, which read nothing else."""
    soundfile: Any = importlib.import_module("soundfile")  # it comes with the packages, which mypy does without
    assert voice.reference is not None
    path = folder / f"{voice.name}.wav"
    soundfile.write(path, voice.reference.samples, voice.reference.sample_rate, subtype="FLOAT")
    return str(path)


def own_sound(engine: IndexTTSEngine, folder: Path, wanted: Utterance, **own: Any) -> Samples:
    """What the package's own code says, with the fade at its ends that its sound lacks."""
    (voice,) = wanted.prompts.values()
    emotion = own.pop("emotion", None)
    own["emo_audio_prompt"] = None if emotion is None else recording(folder, emotion)
    loaded = model_of(engine).loaded
    path = recording(folder, voice)
    with as_is():
        torch.manual_seed(wanted.seed)
        if engine.name == "indextts2":
            loaded.normalizer._normalizers.update(en=Plain(), zh=Plain())
            (sound, *_) = loaded.infer_generator(path, wanted.text, None, stream_return=True, **own)
        else:
            (sound, *_) = loaded.infer_generator(path, wanted.text, None, "en", stream_return=True, **own)
            sound = sound / 32767
    return take.faded(np.ascontiguousarray(sound.numpy().ravel(), dtype=np.float32))


def own_codes(
    engine: IndexTTSEngine, segment: Segment, voice: Voice, mood: torch.Tensor, sampling: Sampling, most: int, seed: int
) -> list[int]:
    """What `inference_speech` of the package chooses."""
    gpt = model_of(engine).loaded.gpt
    text = torch.tensor([segment.tokens], dtype=torch.int32)
    how = {
        "do_sample": True,
        "num_beams": sampling.beams,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "temperature": sampling.temperature,
        "repetition_penalty": sampling.repetition_penalty,
        "length_penalty": 0.0,
        "max_generate_length": most,
    }
    with as_is():
        torch.manual_seed(seed)
        if engine.name == "indextts2":
            width = torch.tensor([voice.features.shape[-1]])
            codes, _ = gpt.inference_speech(voice.features, text, cond_lengths=width, emo_vec=mood, **how)
        else:
            codes = gpt.inference_speech(text, torch.tensor([segment.language]), mood, voice.style, **how)
    return [int(code) for code in codes[0]]


def codes(model: Model, prompt: torch.Tensor, sampling: Sampling, most: int, seed: int) -> list[int]:
    """What Oscine's loop chooses."""
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        return finish(decode(model.weights, model.memories, prompt, sampling, most, generator))


def finish(steps: Generator[Any, None, T]) -> T:
    """What steps return in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


@contextmanager
def as_is() -> Iterator[None]:
    """For the packages' own code: without gradients, its warnings let be, and 2.0 made to run at all."""
    with mask_kept(), warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        yield


def until_it(engine: IndexTTSEngine, wanted: Utterance, part: str, steps: int = 3) -> tuple[Any, threading.Event]:
    """A lane that has just taken some steps of a part of its work: `_codes` or `flow`."""
    stop = threading.Event()
    lane: Any = engine.open(wanted, stop)
    taken = 0
    while taken < steps:
        assert not engine.step([lane], 0.0), "it was over before"
        inner = lane.steps.gi_yieldfrom
        taken += inner is not None and inner.__name__ == part
    return lane, stop

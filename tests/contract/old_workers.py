"""Deployments as two public RunPod workers have them: their folders, their settings, their engines' facts.

What speaks are tones, under the name and with the abilities of the engine that would speak there; its own tests tell
how it sounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from oscine.config import Settings
from oscine.engines.indextts.engine import IndexTTS2Engine
from oscine.engines.protocol import Engine
from oscine.engines.vibevoice.engine import VibeVoiceEngine
from oscine.runpod.handler import make_handler
from oscine.runpod.worker import Worker
from oscine.synthesis.studio import Studio
from tests.echo import EchoEngine
from tests.voices.recordings import recording

ENGINES: dict[str, type[Engine]] = {"vibevoice": VibeVoiceEngine, "indextts2": IndexTTS2Engine}
VOICES = {
    "vibevoice": ("vibevoice/demo/voices", ("Alice.wav", "Frank.mp3", "en-Carter_man.wav")),
    "indextts2": ("indextts/audio_voices", ("ada.wav", "ben.flac", "sad.ogg")),
}
OLD_SETTINGS = {
    "vibevoice": {"MODEL_PATH": "vibevoice/VibeVoice-7B-hf", "DEFAULT_SPEAKER": "Alice", "DEFAULT_CFG_SCALE": "1.3"},
    "indextts2": {"MODEL_REPO": "IndexTeam/IndexTTS-2", "USE_FP16": "true", "DEFAULT_SPEAKER": "ada"},
}


def _speaks(name: str) -> Callable[[Settings], EchoEngine]:
    def construct(settings: Settings) -> EchoEngine:
        facts = ENGINES[name](settings).info  # type: ignore[call-arg]
        engine = EchoEngine(name=name, rate=facts.sample_rate)
        engine.info = replace(facts, grain="frame", device="cuda")
        return engine

    return construct


class Deployment:
    """A worker that was deployed before, and now runs Oscine."""

    def __init__(self, engine: str, worker: Worker) -> None:
        self.engine = engine
        self.worker = worker
        self.studio = worker.studio

    def output(self, asked: Mapping[str, Any] | object, **top: Any) -> Any:
        """What RunPod shows as the job's `output`, or its error as `{"error": ...}`."""
        handler = make_handler(self.worker, lambda: None)
        job = {"id": "6f1c-e1", "input": asked, **top}

        async def run() -> Any:
            if self.worker.settings.single_result:
                return await handler(job)
            items: list[Any] = []
            async for item in handler(job):
                items.append(item)
            return items

        return asyncio.run(run())

    def document(self, asked: Mapping[str, Any] | object, **top: Any) -> dict[str, Any]:
        """The last document."""
        last: dict[str, Any] = self.output(asked, **top)[-1]
        return last


@contextmanager
def deployment(engine: str, volume: Path, **names: str) -> Iterator[Deployment]:
    """A worker on a volume as it was left, with voices where the old worker looked for them."""
    folder, files = VOICES[engine]
    (volume / folder).mkdir(parents=True, exist_ok=True)
    for seed, file in enumerate(files):
        (volume / folder / file).write_bytes(recording(file.rpartition(".")[2], seed=seed + 1))
    settings = Settings.from_env(
        {"OSCINE_VOLUME": str(volume), "OSCINE_ENGINE": engine, **OLD_SETTINGS[engine], **names}
    )
    with Studio(settings, factories={name: _speaks(name) for name in ENGINES}) as studio:
        yield Deployment(engine, Worker(studio))

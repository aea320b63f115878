"""The built-in voice: hibari-tts, English, 24 kHz, more than 100 times real time on one core, nothing to download.

Each sentence is one utterance, spoken whole by one of several worker threads (one per core): onnxruntime and numpy let
go of the interpreter lock, so the cores work side by side on one copy of the model.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from oscine.audio.silence import speech_bounds
from oscine.audio.waveform import Samples
from oscine.config import Settings
from oscine.engines.hibari_network import Network
from oscine.engines.hibari_numerals import GUARD
from oscine.engines.hibari_sound import sound_of
from oscine.engines.hibari_text import readable, sentences
from oscine.engines.noise import TableNoise, prepared
from oscine.engines.protocol import (
    LATER,
    NOW,
    Audio,
    Capabilities,
    Capacity,
    Done,
    EngineInfo,
    Event,
    Failed,
    Lane,
    Lengths,
    Missing,
    Preset,
    Progress,
    Utterance,
    never,
)
from oscine.errors import NotAvailable

if TYPE_CHECKING:
    from hibari import Hibari

log = logging.getLogger(__name__)

SAMPLE_RATE: Final = 24_000
SPEED_RANGE: Final = (0.5, 2.0)
"""What hibari's README gives for `speed`; outside, its prosody breaks down."""
LIMIT_CHARS: Final = 380
"""hibari itself splits sentences above 400 phonemes, which in English are about as many characters."""
_REVISION: Final = 3
"""Of what Oscine does itself; it goes up whenever that sounds different."""
INNER_PAUSE_S: Final = 0.34
"""Between the sentences of one quotation, as between others; each ends and begins with more silence than that."""
LOOK_S: Final = 0.003
"""How often an idle worker looks for what came meanwhile."""
TURN_S: Final = 0.01
"""How often it is asked whether something more urgent than what was to be next has come."""


class _Unreadable(Exception):
    """The text stage failed; it would fail again in the same way."""


@dataclass(eq=False)
class _Lane(Lane):
    work: Future[Samples] | None = None


@dataclass(frozen=True)
class _Voice:
    reader: Hibari
    """Its text stage."""
    network: Network

    def read(self, text: str) -> list[str]:
        """The phonemes of each sentence."""
        if self.reader._g2p is None:
            from hibari import voices

            self.reader._g2p = _phonemizer(british=bool(voices.VOICES[self.reader.voice]["british"]))
        return list(self.reader.phonemize(readable(text, self._knows)))

    def _knows(self, word: str) -> bool:
        from hibari.g2p import Context

        return self.reader.g2p.lexicon.get_word(word, "NN", None, Context())[0] is not None

    def say(self, phonemes: str, speed: float, noise: TableNoise) -> Samples:
        """The samples of one sentence."""
        ids = self.reader.ids(phonemes)
        if len(ids) <= len(self.reader.ids("")):
            return np.zeros(0, np.float32)
        return sound_of(*self.network.run(ids, speed), noise)


class HibariEngine:
    """Speaks English with the voice `heart`, and with hibari's other voices once they were downloaded."""

    def __init__(self, settings: Settings) -> None:
        self._workers = _usable_cores()
        self._pool: ThreadPoolExecutor | None = None
        self._voices: dict[str, _Voice] = {}
        self._loading = threading.Lock()
        self._phonemizing = threading.Lock()
        self._open: set[_Lane] = set()
        self._changed = threading.Condition()
        """Guards what follows; notified when a lane is over."""
        self._next: deque[_Lane] = deque()
        """What idle workers take, in this order."""
        self._busy = 0
        """Workers that are speaking."""
        self.info = _describe(self._workers)

    def missing(self) -> Missing | None:
        return None

    def download(self, progress: Progress) -> None:
        """Bring hibari's other voices, each checked against the SHA-256 that the package lists."""
        from http.client import HTTPException

        from hibari import voices

        absent = [preset.name for preset in _presets() if not preset.installed]
        for count, name in enumerate(absent):
            progress(f"voice {name}", count / len(absent))
            try:
                voices.voice_path(name, download_missing=True)
            except (RuntimeError, OSError, HTTPException):
                raise NotAvailable(
                    f"The voice {name} could not be downloaded whole; check the connection and run the command again.",
                    code="download_failed",
                ) from None
        progress("voices", 1.0)
        self.info = _describe(self._workers)

    def load(self, progress: Progress) -> None:
        if self._pool is not None:
            return
        progress("hibari", None)
        default = str(self.info.default_preset)
        phonemizer: list[Any] = []
        beside = threading.Thread(target=lambda: phonemizer.append(_phonemizer(british=False)), daemon=True)
        beside.start()
        voice = _voice(default)
        prepared()
        beside.join()
        voice.reader._g2p = phonemizer[0] if phonemizer else None
        self._voices[default] = voice
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="hibari")

    def capacity(self, utterance: Utterance) -> Capacity:
        if len(utterance.turns) != 1:
            return never("hibari speaks one speaker at a time.")
        name = utterance.prompts[utterance.turns[0].speaker].name
        if name not in self._voices and not _is_here(name):
            return never(f"The voice {name} of hibari is not downloaded; run: oscine download hibari")
        return NOW if len(self._open) < self.info.max_lanes else LATER

    def open(self, utterance: Utterance, stop: threading.Event) -> Lane:
        lane = _Lane(utterance, stop)
        self._open.add(lane)
        return lane

    def step(self, lanes: Sequence[Lane], budget_s: float) -> list[Event]:
        assert self._pool is not None, "step before load"
        mine = [lane for lane in lanes if isinstance(lane, _Lane)]
        with self._changed:
            self._next = deque(lane for lane in mine if lane.work is None)
            for _ in range(min(len(self._next), self._workers - self._busy)):
                self._busy += 1
                self._pool.submit(self._work)
            idle = self._busy < self._workers
            timeout_s = min(budget_s, LOOK_S if idle else TURN_S)
            self._changed.wait_for(lambda: any(map(_is_over, mine)), timeout_s)
        return [event for lane in mine if _is_over(lane) for event in _outcome(lane)]

    def _work(self) -> None:
        """Speak what is next until there is nothing; to be told so by the owner would cost milliseconds each time."""
        while True:
            with self._changed:
                if not self._next:
                    self._busy -= 1
                    return
                lane = self._next.popleft()
                lane.work = Future()
            try:
                lane.work.set_result(self._speak(lane))
            except BaseException as error:  # told by the lane's outcome
                lane.work.set_exception(error)
            with self._changed:
                self._changed.notify_all()

    def close_lane(self, lane: Lane) -> None:
        lane.stop.set()
        if isinstance(lane, _Lane):
            self._open.discard(lane)
            with self._changed:
                if lane in self._next:
                    self._next.remove(lane)

    def close(self) -> None:
        with self._changed:
            self._next.clear()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        self._busy = 0
        self._open.clear()
        self._voices.clear()

    def _speak(self, lane: _Lane) -> Samples:
        turn = lane.utterance.turns[0]
        voice = self._loaded(lane.utterance.prompts[turn.speaker].name)
        with self._phonemizing:
            try:
                said = voice.read(turn.text)
            except Exception as error:
                raise _Unreadable(type(error).__name__) from error
        noise = TableNoise(lane.utterance.seed)
        parts: list[Samples] = []
        for phonemes in said:
            if lane.stop.is_set():
                break
            parts.append(voice.say(phonemes, lane.utterance.speed, noise))
        return _joined(parts, INNER_PAUSE_S / lane.utterance.speed)

    def _loaded(self, name: str) -> _Voice:
        with self._loading:
            if name not in self._voices:
                self._voices[name] = _voice(name)
            return self._voices[name]


def _joined(parts: list[Samples], pause_s: float) -> Samples:
    """The parts one after the other, with at most `pause_s` of silence between two of them."""
    if len(parts) < 2:
        return parts[0] if parts else np.zeros(0, np.float32)
    bounds = [speech_bounds(part, SAMPLE_RATE) for part in parts]
    keep = round(pause_s * SAMPLE_RATE)
    pieces: list[Samples] = []
    start = 0
    for number, part in enumerate(parts):
        end, following = len(part), 0
        if number + 1 < len(parts) and (here := bounds[number]) and (there := bounds[number + 1]):
            spare = max(0, len(part) - here[1] + there[0] - keep)
            following = min(spare, max(0, there[0] - keep // 2))
            end -= min(spare - following, len(part) - here[1])
        pieces.append(part[start:end])
        start = following
    return np.concatenate(pieces)


def _is_over(lane: _Lane) -> bool:
    return lane.work is not None and lane.work.done()


def _outcome(lane: _Lane) -> list[Event]:
    assert lane.work is not None
    error = lane.work.exception()
    if isinstance(error, NotAvailable):
        return [Failed(lane, error.message, retryable=False)]
    if isinstance(error, _Unreadable):
        log.debug("hibari cannot read a piece", exc_info=error)
        return [Failed(lane, f"hibari cannot read this piece ({error}).", retryable=False)]
    if error is not None:
        log.debug("hibari could not speak a piece", exc_info=error)
        return [Failed(lane, f"hibari could not speak this piece ({type(error).__name__}).", retryable=True)]
    samples = lane.work.result()
    events: list[Event] = [Audio(lane, samples)] if len(samples) else []
    return [*events, Done(lane, {"audio_seconds": len(samples) / SAMPLE_RATE})]


def _voice(name: str) -> _Voice:
    from hibari import Hibari, voices
    from hibari.tts import ASSETS

    try:
        path = voices.voice_path(name, download_missing=False)
    except FileNotFoundError:
        raise NotAvailable(f"The voice {name} is not downloaded; run: oscine download hibari", param="voice") from None
    # Hibari's constructor loads the model in its own way. This is what it does otherwise, in the version that
    # pyproject.toml pins.
    reader = Hibari.__new__(Hibari)
    reader.voice, reader.model_path, reader._g2p = name, path, None
    reader.split_sentences = sentences
    reader.vocab = json.loads((Path(ASSETS) / "vocab.json").read_text(encoding="utf-8"))
    return _Voice(reader, Network(path))


def _is_here(name: str) -> bool:
    from hibari import voices

    facts = voices.VOICES.get(name, {})
    return bool(facts.get("bundled")) or ("file" in facts and (Path(voices.cache_dir()) / facts["file"]).exists())


def _phonemizer(*, british: bool) -> object:
    from hibari.g2p import G2P
    from hibari.g2p.normalize import normalize

    class Phonemizer(G2P):  # type: ignore[misc]  # the package has no types
        def __call__(self, text: str) -> str:
            return str(super().__call__(normalize(text).replace(GUARD, ""), normalize_text=False))

    return Phonemizer(british=british)


def _describe(workers: int) -> EngineInfo:
    from importlib.metadata import version

    return EngineInfo(
        name="hibari",
        version=f"{version('hibari-tts')}-r{_REVISION}",
        summary="Small built-in English voice: no download, no GPU, more than 100x real time on one core.",
        sample_rate=SAMPLE_RATE,
        languages=("en",),
        capabilities=Capabilities(speed=SPEED_RANGE, inline_marks=frozenset({"phonemes"})),
        max_lanes=2 * workers,
        apart=workers,
        grain="utterance",
        lengths=Lengths(limit=LIMIT_CHARS),
        licence="Apache-2.0",
        presets=_presets(),
        default_preset="heart",
    )


def _presets() -> tuple[Preset, ...]:
    from hibari import voices

    return tuple(
        Preset(
            name=name,
            language=str(facts["language"]),
            description=f"{facts['accent']}, {facts['gender']}",
            installed=_is_here(name),
        )
        for name, facts in voices.VOICES.items()
    )


def _usable_cores() -> int:
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # macOS and Windows have no affinity
        return max(1, os.cpu_count() or 1)

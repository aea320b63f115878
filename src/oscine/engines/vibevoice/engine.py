"""VibeVoice: cloned voices, up to four in one take, many takes at once on one GPU."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from oscine.audio.waveform import Samples
from oscine.config import Settings
from oscine.engines.device import free_memory, is_for_memory
from oscine.engines.expected import Expected
from oscine.engines.protocol import (
    LATER,
    NOW,
    Audio,
    Capacity,
    Done,
    EngineBroken,
    Event,
    Failed,
    Lane,
    Missing,
    Progress,
    Utterance,
    never,
)
from oscine.engines.vibevoice import checkpoint
from oscine.engines.vibevoice.facts import (
    GUIDANCE,
    MOST_STEPS,
    SAMPLE_RATE,
    SLOTS,
    SPEAKERS,
    STEPS,
    describe,
    version_of,
)
from oscine.engines.vibevoice.short import is_short, said_once, twice
from oscine.errors import NotAvailable, OscineError, SynthesisFailed

if TYPE_CHECKING:
    from oscine.engines.vibevoice.lanes import Lanes, Said
    from oscine.engines.vibevoice.script import Encoding, Scripts, Voices

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Lane(Lane):
    number: int = -1
    """Its place among the model's lanes; -1: it was closed."""
    expected: Expected = field(default_factory=lambda: Expected(0.0))
    encodings: deque[Encoding] = field(default_factory=deque)
    begun: bool = False
    short: bool = False
    held: list[Samples] = field(default_factory=list)
    frames: int = 0
    opened_at: float = field(default_factory=time.monotonic)
    first_after: float = 0.0


class VibeVoiceEngine:
    """Speaks English and Chinese in the voices of recordings, with transformers' VibeVoice 1.5B or 7B."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._checkpoint = checkpoint.Checkpoint(settings.model_path, settings)
        self._model: Any = None
        self._lanes: Lanes | None = None
        self._scripts: Scripts | None = None
        self._voices: Voices | None = None
        self._samplers: dict[int, Any] = {}
        self._scheduler: Any = None
        self._open: dict[int, _Lane] = {}
        self._most_lanes: int | None = None
        """As many as there may be since the memory was too little for more."""
        self._script: tuple[Utterance, Any] | None = None
        self.info = describe(self._version())

    def missing(self) -> Missing | None:
        return checkpoint.missing_packages() or self._checkpoint.missing()

    def download(self, progress: Progress) -> None:
        self._checkpoint.download(progress)
        self.info = replace(self.info, version=self._version())

    def load(self, progress: Progress) -> None:
        if self._lanes is not None:
            return
        from oscine.engines.vibevoice import attention, fitting, fused, loading
        from oscine.engines.vibevoice.frame import Shape
        from oscine.engines.vibevoice.script import Scripts, Voices

        loaded = loading.load(self._checkpoint.folder(), self._settings, progress)
        self._model = loaded.model
        attention.use_in(self._model.model.language_model)
        fused.fuse(self._model)
        self._scheduler = loading.scheduler_of(self._model, stochastic=self._settings.vibevoice_sde)
        most_steps = _SDE_STEPS if self._settings.vibevoice_sde else MOST_STEPS
        shape = Shape(
            lanes=1,
            slots=SLOTS,
            frames=SLOTS,
            steps=most_steps,
            noises=most_steps if self._settings.vibevoice_sde else 0,
            token_guidance=self._settings.vibevoice_token_guidance,
        )
        lanes, slots = loading.room(self._model, self._settings.vibevoice_lanes, SLOTS, shape.rows)
        shape = replace(shape, lanes=min(lanes, self._most_lanes or lanes), slots=slots, frames=slots)
        try:
            made = fitting.lanes(self._model, shape, steps=STEPS, compiled=self._settings.vibevoice_compile)
        except NotAvailable:
            self.close()
            raise
        self._lanes = made
        self._scripts = Scripts(loaded.processor)
        self._voices = Voices(self._model, loaded.processor)
        self.info = replace(self.info, max_lanes=made.state.shape.lanes, device=loaded.device, version=self._version())
        progress("vibevoice", 1.0)

    def capacity(self, utterance: Utterance) -> Capacity:
        if len({turn.speaker for turn in utterance.turns}) > SPEAKERS:
            return never(f"vibevoice speaks at most {SPEAKERS} speakers in one take.")
        if self._lanes is None or self._scripts is None:
            return LATER
        if not self._lanes.free:
            return LATER
        if self._most_frames(utterance, len(self._tokens(utterance))) is None:
            return never("This piece is too long for one take of vibevoice; send shorter paragraphs.")
        return NOW

    def open(self, utterance: Utterance, stop: threading.Event) -> Lane:
        assert self._lanes is not None
        assert self._voices is not None
        lane = _Lane(utterance, stop)
        lane.number = self._lanes.take()
        lane.short = is_short(utterance)
        lane.expected = Expected.of(self._spoken(utterance))
        self._open[lane.number] = lane
        return lane

    def step(self, lanes: Sequence[Lane], budget_s: float) -> list[Event]:
        assert self._lanes is not None, "step before load"
        wanted = [lane for lane in lanes if isinstance(lane, _Lane) and lane.number >= 0 and not lane.stop.is_set()]
        until = time.monotonic() + budget_s
        events: list[Event] = []
        try:
            while wanted:
                events += self._prepare(wanted)
                said = self._lanes.advance([lane.number for lane in wanted if lane.begun])
                events += [event for each in said for event in self._hear(self._open[each.lane], each)]
                over = {event.lane for event in events if isinstance(event, Done | Failed)}
                wanted = [lane for lane in wanted if lane not in over and not lane.stop.is_set()]
                if over or time.monotonic() >= until:
                    break
        except RuntimeError as error:  # of CUDA, also for want of memory
            if is_for_memory(error):
                self._most_lanes = max(1, self.info.max_lanes // 2)
                log.warning("the GPU's memory was too little; %d at once from now on", self._most_lanes)
            raise EngineBroken(type(error).__name__) from error
        return events

    def close_lane(self, lane: Lane) -> None:
        lane.stop.set()
        if isinstance(lane, _Lane) and lane.number >= 0:
            self._release(lane)

    def close(self) -> None:
        for lane in list(self._open.values()):
            lane.number = -1
        self._open.clear()
        self._lanes = self._scripts = self._voices = self._model = self._scheduler = self._script = None
        self._samplers.clear()
        free_memory()

    def _prepare(self, wanted: Sequence[_Lane]) -> list[Event]:
        """Do the next part of what the first lane that has not begun needs before its first frame."""
        assert self._lanes is not None
        for lane in wanted:
            if not lane.begun:
                try:
                    self._begin(lane)
                except OscineError as error:
                    self._release(lane)
                    return [Failed(lane, error.message, retryable=False)]
                return []
            if not self._lanes.is_prefilled(lane.number):
                self._lanes.prefill(lane.number)
                return []
        return []

    def _begin(self, lane: _Lane) -> None:
        """Encode the next voice that is not known; when all are, write the script."""
        from oscine.engines.vibevoice.lanes import Wish
        from oscine.engines.vibevoice.script import embedded, speakers

        assert self._lanes is not None
        assert self._voices is not None
        if lane.encodings:
            if lane.encodings[0].go_on():
                lane.encodings.popleft()
            return
        prompts = [lane.utterance.prompts[label] for label in speakers(lane.utterance)]
        heard = [prompt for prompt in prompts if self._is_heard(lane.utterance) and prompt.reference is not None]
        unknown = {prompt.key: prompt for prompt in heard if self._voices.known(prompt) is None}
        if unknown:
            lane.encodings.extend(self._voices.encode(prompt) for prompt in unknown.values())
            return
        voices = [voice for prompt in heard if (voice := self._voices.known(prompt)) is not None]
        tokens = self._tokens(lane.utterance)
        if sum(map(len, voices)) != int((tokens == self._model.config.audio_token_id).sum()):
            raise SynthesisFailed("vibevoice cannot use this recording; send it in another length.")
        most = self._most_frames(lane.utterance, len(tokens))
        options = lane.utterance.options
        self._lanes.begin(
            lane.number,
            Wish(
                prompt=embedded(self._model, tokens, voices),
                seed=lane.utterance.seed,
                guidance=_number(options.get("cfg_scale"), self._settings.default_cfg_scale or GUIDANCE),
                sampler=self._sampler(int(_number(options.get("steps"), STEPS))),
                most_frames=most or 1,
            ),
        )
        lane.begun = True

    def _hear(self, lane: _Lane, said: Said) -> list[Event]:
        """What a frame means for its lane."""
        events: list[Event] = []
        if said.samples is not None:
            if not np.isfinite(said.samples).all():
                self._release(lane, clean=True)
                return [Failed(lane, "vibevoice made sound that holds no numbers.", retryable=True)]
            lane.frames += 1
            lane.first_after = lane.first_after or time.monotonic() - lane.opened_at
            if lane.short:
                lane.held.append(said.samples)
            else:
                events.append(Audio(lane, said.samples))
        if not said.over:
            return events
        seconds = lane.frames / _FRAMES_PER_S
        fault = lane.expected.fault(seconds, ended=self._ended(said))
        stats = {"audio_seconds": seconds, "first_audio_seconds": lane.first_after}
        self._release(lane)
        if fault:
            return [*events, Failed(lane, f"vibevoice {fault}.", retryable=True)]
        if lane.short and lane.held:
            events.append(Audio(lane, said_once(np.concatenate(lane.held), SAMPLE_RATE, lane.utterance)))
        return [*events, Done(lane, stats)]

    def _ended(self, said: Said) -> bool:
        """Whether the model itself said that this was all."""
        assert self._lanes is not None
        return self._lanes.frame.ids[said.token] == int(self._model.config.eos_token_id)

    def _release(self, lane: _Lane, *, clean: bool = False) -> None:
        if self._lanes is not None:
            self._lanes.release(lane.number, clean=clean)
        self._open.pop(lane.number, None)
        lane.number = -1
        lane.encodings.clear()

    def _tokens(self, utterance: Utterance) -> Any:
        """The script of an utterance; that of the latest is kept, for it is asked for several times."""
        assert self._scripts is not None
        assert self._voices is not None
        if self._script is None or self._script[0] is not utterance:
            lengths = {label: self._voices.length(prompt) for label, prompt in utterance.prompts.items()}
            heard = lengths if self._is_heard(utterance) else {}
            self._script = utterance, self._scripts.tokens(self._spoken(utterance), heard)
        return self._script[1]

    def _spoken(self, utterance: Utterance) -> Utterance:
        """What the model is to say."""
        return twice(utterance) if is_short(utterance) else utterance

    def _is_heard(self, utterance: Utterance) -> bool:
        """Whether the model hears the reference voices."""
        return not utterance.options.get("disable_prefill")

    def _most_frames(self, utterance: Utterance, tokens: int) -> int | None:
        """Frames that a take may have; None: what it needs does not fit beside its prompt."""
        assert self._lanes is not None
        expected = Expected.of(self._spoken(utterance))
        room = self._lanes.state.shape.slots - tokens
        least, most = (int(seconds * _FRAMES_PER_S) for seconds in (expected.comfortable, expected.longest))
        return None if room < least else min(room, most)

    def _sampler(self, steps: int) -> Any:
        from oscine.engines.vibevoice.sampler import sampler_of

        if steps not in self._samplers:
            self._samplers[steps] = sampler_of(self._scheduler, min(steps, _SDE_STEPS) if self._is_sde else steps)
        return self._samplers[steps]

    @property
    def _is_sde(self) -> bool:
        return self._settings.vibevoice_sde

    def _version(self) -> str:
        return version_of(self._checkpoint.version(), self._settings)


_FRAMES_PER_S: Final = 7.5
_SDE_STEPS: Final = 20


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default

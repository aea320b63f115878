"""Where there is speech and where there is a pause."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oscine.audio.waveform import Samples


def speech_bounds(
    samples: Samples,
    sample_rate: int,
    *,
    floor_dbfs: float = -50.0,
    depth_db: float = 50.0,
    room_dbfs: float = -math.inf,
) -> tuple[int, int] | None:
    """The first sample of speech and the one past its last; None if nothing is louder than `floor_dbfs`.

    Speech is what rises above `floor_dbfs` and clear of the room's noise, with all that leads up to it and dies away
    after it: soft consonants and breath down to `depth_db` below the loud parts, or down to the noise. Levels are RMS
    over 5 ms in dBFS (a square wave at full scale is 0). `room_dbfs` is what is known of the room (`RoomLevel`): a part
    of a recording may hold too little of its noise, or nothing else.
    """
    heard = _listen(samples, sample_rate, floor_dbfs, room_dbfs)
    core = np.flatnonzero(heard.level > max(floor_dbfs, heard.room + _CORE_DB))
    if len(core) == 0:
        return None
    least = max(heard.loud - depth_db, floor_dbfs - _BELOW_FLOOR_DB)
    soft = (heard.level > max(least, heard.room + _SOFT_DB)) | (heard.smooth > max(least, heard.room + _SMOOTH_SOFT_DB))
    first = int(core[0]) - _reach(soft[: core[0]][::-1])
    end = int(core[-1]) + 1 + _reach(soft[core[-1] + 1 :])
    return first * heard.frame, min(len(samples), end * heard.frame)


def quiet_runs(
    samples: Samples, sample_rate: int, min_ms: float, *, floor_dbfs: float = -50.0
) -> list[tuple[int, int]]:
    """Pauses of at least `min_ms` between sounds of speech: first sample and one past the last of each, in order."""
    bounds = speech_bounds(samples, sample_rate, floor_dbfs=floor_dbfs)
    if bounds is None:
        return []
    heard = _listen(samples, sample_rate, floor_dbfs)
    quiet = heard.level <= max(heard.loud - _PAUSE_DB, floor_dbfs - _BELOW_FLOOR_DB, heard.room + _SOFT_DB)
    quiet[: bounds[0] // heard.frame] = False
    quiet[bounds[1] // heard.frame :] = False
    runs = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]))).reshape(-1, 2) * heard.frame
    return [(int(start), int(end)) for start, end in runs if end - start >= min_ms / 1000 * sample_rate]


class RoomLevel:
    """Learns how loud the steady noise behind a voice is, from what the voice says, as it comes."""

    def __init__(self, sample_rate: int) -> None:
        """`sample_rate` in Hz."""
        self._frame = _frame_of(sample_rate)
        self._rest: Samples = np.zeros(0, np.float32)
        self._power = np.zeros(0)
        self._known = -math.inf
        self._new = 0
        """Frames since it was found out."""

    def push(self, samples: Samples) -> None:
        """Take the next float32 `[samples]`."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // self._frame * self._frame
        self._rest = samples[whole:]
        self._power = np.concatenate([self._power, _power(samples[:whole], self._frame)])[-_LEARNED:]
        self._new += whole // self._frame

    def dbfs(self) -> float:
        """Its level; minus infinity while too little was heard, and for rooms that are quieter than anybody minds."""
        if len(self._power) >= _LEAST_LEARNED and self._new >= _AGAIN:
            _, _, _, room = _levels(self._power, _FLOOR_DBFS)
            self._known = room if room > _NOISY_DBFS else -math.inf
            self._new = 0
        return self._known


@dataclass(frozen=True)
class _Heard:
    frame: int
    """Samples in a frame."""
    level: NDArray[np.float64]
    """dBFS of each frame, the last one filled up with silence; float64 `[frames]`."""
    smooth: NDArray[np.float64]
    """The same, averaged over `_SMOOTH` frames around each."""
    loud: float
    """dBFS of the loud parts."""
    room: float
    """dBFS of the steady noise behind the speech; minus infinity if none can be told from the speech."""


def _listen(samples: Samples, sample_rate: int, floor_dbfs: float, room_dbfs: float = -math.inf) -> _Heard:
    frame = _frame_of(sample_rate)
    whole = len(samples) // frame * frame
    power = _power(samples[:whole], frame)
    if whole < len(samples):
        power = np.append(power, np.square(samples[whole:], dtype=np.float64).sum() / frame)
    level, smooth, loud, room = _levels(power, floor_dbfs)
    return _Heard(frame, level, smooth, loud, max(room, room_dbfs))


def _frame_of(sample_rate: int) -> int:
    return max(1, round(sample_rate * _FRAME_SECONDS))


def _power(samples: Samples, frame: int) -> NDArray[np.float64]:
    frames = samples.reshape(-1, frame)
    power: NDArray[np.float64] = np.einsum("ij,ij->i", frames, frames).astype(np.float64) / frame
    return power


def _levels(
    power: NDArray[np.float64], floor_dbfs: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float]:
    """Of each frame its level, alone and averaged with its neighbours; the level of the loud parts, and the room's."""
    level = _db(power)
    above = level[level > floor_dbfs]
    loud = _quantile(above, 0.9) if len(above) else floor_dbfs
    mean = np.convolve(np.pad(power, _SMOOTH // 2), np.full(_SMOOTH, 1 / _SMOOTH), "valid") if len(power) else power
    smooth = _db(mean)
    return level, smooth, loud, min(_room(smooth), loud - _LEAST_SNR_DB)


def _room(smooth: NDArray[np.float64]) -> float:
    """Nothing is quieter than the room, and its noise is steady: the lowest levels, if many frames share them."""
    inner = smooth[_SMOOTH // 2 : len(smooth) - _SMOOTH // 2]
    if len(inner) == 0:
        return -np.inf
    low = _quantile(inner, 0.05)
    return low if low - _quantile(inner, 0.02) < _STEADY_DB else -np.inf


def _reach(soft: NDArray[np.bool_]) -> int:
    """How many frames a sound goes on: up to the first gap that is too long to be part of it."""
    at = np.flatnonzero(soft)
    steps = np.diff(at, prepend=-1)
    breaks = np.flatnonzero(steps > _GAP + 1)
    kept = at[: breaks[0]] if len(breaks) else at
    return int(kept[-1]) + 1 if len(kept) else 0


def _quantile(values: NDArray[np.float64], share: float) -> float:
    """The value below which `share` of the others lie. numpy's own brings in `numpy.ma` at its first use: 45 ms."""
    at = round(share * (len(values) - 1))
    return float(np.partition(values, at)[at])


def _db(power: NDArray[np.float64]) -> NDArray[np.float64]:
    decibels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 1e-20))
    return decibels


_FRAME_SECONDS: Final = 0.005
_FLOOR_DBFS: Final = -50.0
_LEARNED: Final = 4000
"""Frames by which a room is known, 20 s: the last ones."""
_LEAST_LEARNED: Final = 200
_AGAIN: Final = 100
"""Frames after which the level is found out again, half a second: what it costs should not be heard of."""
_NOISY_DBFS: Final = -65.0
"""Quieter rooms are clear of what counts as speech."""
_SMOOTH: Final = 5
"""Frames; odd."""
_GAP: Final = 10
"""Frames of quiet that may lie within a sound, such as the closure before a final stop."""
_CORE_DB: Final = 10.0
"""Above the room: surely no noise. The loudest of many 5 ms frames of noise is about 5 dB above its mean."""
_SOFT_DB: Final = 6.0
"""Above the room: soft sound beside the core, such as a consonant or breath."""
_SMOOTH_SOFT_DB: Final = 3.0
"""The same for the average of `_SMOOTH` frames, which varies less: a long "th" stands out from noise as loud."""
_BELOW_FLOOR_DB: Final = 20.0
"""Soft sound may lie so far below the floor that speech itself has to rise above."""
_PAUSE_DB: Final = 35.0
"""Below the loud parts: a pause."""
_LEAST_SNR_DB: Final = 25.0
"""What is taken for the room lies at least so far below the loud parts."""
_STEADY_DB: Final = 1.5
"""Between the 2 % and the 5 % quietest frames: less is the steady noise of a room, more is speech that dies away."""

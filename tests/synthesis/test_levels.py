"""Speakers of a dialogue are equally loud, whatever their recordings were, and each keeps its own dynamics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from oscine.audio.waveform import Samples
from oscine.engines.protocol import Grain
from oscine.synthesis.studio import Studio
from oscine.synthesis.track import Track
from tests.echo import RATE, EchoEngine
from tests.synthesis.house import studio_with
from tests.synthesis.test_track import streamed, written

LOUDER_DB = 12
TALK = (
    "Ann: Welcome to the evening of stories.\nBob: No!\nBob: Bravo says goodbye to all of this.\n"
    "Ann: And nobody believes a word of it.\nBob: Bravo whispers on and on to himself.\n"
) * 2
VOICES = {"Ann": "low", "Bob": "high"}


def level_of(text: str) -> float:
    level = 0.3 if text.startswith(("Bravo", "No")) else 0.3 * 10 ** (-LOUDER_DB / 20)
    return level * 0.5 if "whispers" in text else level


def studio(folder: Path, grain: Grain = "utterance") -> Studio:
    return studio_with(EchoEngine(grain=grain, level_of=level_of), folder)


def levels(samples: Samples, track: Track, start: str) -> list[float]:
    """Mean level in dB of each sentence that starts so."""
    found = [one for one in track.report().segments if one.text.startswith(start)]
    parts = [samples[round(one.start * RATE) : round(one.end * RATE)] for one in found]
    return [10 * float(np.log10(np.square(part).mean())) for part in parts]


def apart(samples: Samples, track: Track) -> float:
    """dB between the second appearance of one voice and that of the other, which are as long."""
    return levels(samples, track, "Bravo says")[1] - levels(samples, track, "And nobody")[1]


@pytest.fixture
def talking(tmp_path: Path) -> Iterator[Studio]:
    with studio(tmp_path) as made:
        yield made


def test_voices_of_a_file_are_equally_loud_from_the_first_word_on(talking: Studio, tmp_path: Path) -> None:
    samples, track = written(talking, TALK, tmp_path, voices=VOICES)
    assert abs(apart(samples, track)) < 2.5
    says, whispers, no = (levels(samples, track, start) for start in ("Bravo says", "Bravo whispers", "No!"))
    assert np.ptp(says) < 0.1, "no piece has a gain of its own"
    assert np.mean(says) - np.mean(whispers) == pytest.approx(6, abs=1), "who whispers goes on whispering"
    assert np.mean(no) - np.mean(says) == pytest.approx(0, abs=2)


@pytest.mark.parametrize("grain", ["utterance", "frame"])
def test_voices_of_a_stream_are_equally_loud_as_soon_as_they_are_known(grain: Grain, tmp_path: Path) -> None:
    with studio(tmp_path, grain) as made:
        samples, track = streamed(made, TALK, voices=VOICES)
    assert abs(apart(samples, track)) < 4


def test_without_a_target_voices_are_left_as_they_are(talking: Studio, tmp_path: Path) -> None:
    samples, track = written(talking, TALK, tmp_path, voices=VOICES, loudness=None)
    assert apart(samples, track) == pytest.approx(LOUDER_DB, abs=1)


def test_one_voice_keeps_its_own_dynamics(talking: Studio, tmp_path: Path) -> None:
    samples, track = written(talking, TALK, tmp_path, voices={"Ann": "low", "Bob": "low"})
    assert apart(samples, track) == pytest.approx(LOUDER_DB, abs=1)

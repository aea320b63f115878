"""The built-in voice is spoken in a quicker way than its own package does, and sounds the same."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oscine.engines import hibari_network
from oscine.engines.hibari_network import Network
from oscine.engines.hibari_sound import sound_of
from oscine.engines.noise import LENGTH, TableNoise

TEXTS = [
    "Oh.",
    "The harbour was quiet when the last boat came in.",
    "Its lamps were out, and its sails hung loose, while on the quiet deck the bell began to ring for nobody.",
]


class Silent(TableNoise):
    """No noise, for either package."""

    def draw(self, count: int) -> NDArray[np.float32]:
        return np.zeros(count, np.float32)

    def standard_normal(self, size: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        return np.zeros(size, dtype)


@cache
def bare() -> Any:
    from hibari import Hibari

    return Hibari()


@cache
def network() -> Network:
    return Network(bare().model_path)


def ids_of(text: str) -> list[int]:
    return list(bare().ids(bare().phonemize(text)[0]))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_all_but_the_noise_is_what_the_package_says(text: str, speed: float) -> None:
    expected = bare().from_ids(ids_of(text), speed, Silent(0))
    heard = sound_of(*network().run(ids_of(text), speed), Silent(0))
    assert len(heard) == len(expected)
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(heard, expected, atol=2e-6)


def test_the_noise_is_as_loud_as_the_packages_in_every_band() -> None:
    from hibari import dsp

    ids = ids_of(TEXTS[1])
    spectrum, f0 = network().run(ids, 1.0)
    dry = sound_of(spectrum, f0, Silent(0))
    feeds = {"ids": np.asarray([ids], np.int64), "speed": np.ones(1, np.float32)}
    parts = [part[0] for part in bare().sess.run(None, feeds)]
    ours = [sound_of(spectrum, f0, TableNoise(seed)) - dry for seed in range(150)]
    theirs = [dsp.synth(*parts, np.random.default_rng(seed)) - dry for seed in range(150)]
    np.testing.assert_allclose(bands_db(ours), bands_db(theirs), atol=0.6)


def bands_db(sounds: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Mean power in bands of 1 kHz, dB."""
    power = np.mean([np.abs(np.fft.rfft(sound)) ** 2 for sound in sounds], axis=0)
    edges = (np.arange(13) * 1000 / 24_000 * len(sounds[0])).astype(int)
    edges[-1] = len(power)
    decibels: NDArray[np.float64] = 10 * np.log10([power[begin:end].mean() for begin, end in itertools.pairwise(edges)])
    return decibels


@given(seed=st.integers(0, 2**63 - 1), counts=st.lists(st.integers(1, LENGTH // 2), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_noise_is_the_same_however_it_is_drawn(seed: int, counts: list[int]) -> None:
    """Also past the table's end, where it goes on at its beginning."""
    bit_by_bit = TableNoise(seed)
    drawn = np.concatenate([bit_by_bit.draw(count) for count in counts])
    whole, at = TableNoise(seed), 0
    while at < len(drawn):
        part = whole.draw(min(LENGTH, len(drawn) - at))
        np.testing.assert_array_equal(drawn[at : at + len(part)], part)
        at += len(part)


def test_noise_is_normal_and_differs_between_seeds() -> None:
    one, other = TableNoise(1).draw(200_000), TableNoise(2).draw(200_000)
    assert abs(float(one.mean())) < 0.01
    assert abs(float(one.std()) - 1) < 0.01
    assert abs(float(np.corrcoef(one, other)[0, 1])) < 0.01
    assert abs(float((one**4).mean()) - 3) < 0.1


def test_a_model_with_another_end_is_run_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A voice of a later package may be built in another way."""
    expected = network().run(ids_of(TEXTS[1]), 1.0)
    model, name = hibari_network._without_transpose(Path(bare().model_path).read_bytes())
    assert name is not None
    assert hibari_network._without_transpose(model) == (model, None)
    monkeypatch.setattr(hibari_network, "_without_transpose", lambda model: (model, None))
    for ours, theirs in zip(Network(bare().model_path).run(ids_of(TEXTS[1]), 1.0), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)

"""The built-in voice: every core, offline, and a clear word about voices that are not here."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from oscine.config import Settings
from oscine.engines import hibari
from oscine.engines.hibari import HibariEngine
from oscine.engines.protocol import Audio, State
from oscine.errors import NotAvailable
from oscine.synthesis.studio import Studio
from tests.engines.contract import quiet, run, spoken, utterance

SENTENCES = [f"This is sentence number {number}, and it is long enough to take a moment." for number in range(8)]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every attempt to reach the network, each of which fails."""
    attempts: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        attempts.append(args[1:])
        raise OSError("no network in this test")

    for way in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, way, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HibariEngine]:
    """Without downloaded voices."""
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path / "voices"))
    engine = HibariEngine(Settings.from_env({}))
    yield engine
    engine.close()


def test_it_speaks_without_touching_the_network(fresh: HibariEngine, offline: list[object]) -> None:
    assert fresh.missing() is None
    fresh.load(quiet)
    assert len(spoken(fresh, "Hello."))
    assert offline == []


def test_a_voice_that_is_not_downloaded_is_refused_with_the_command(fresh: HibariEngine, offline: list[object]) -> None:
    fresh.load(quiet)
    answer = fresh.capacity(utterance(fresh, "Hello.", voice="emma"))
    assert answer.state is State.NEVER
    assert "oscine download hibari" in answer.reason
    assert offline == []


def test_a_request_for_a_voice_that_is_not_downloaded_is_refused_before_it_is_planned(
    tmp_path: Path, offline: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from oscine.request import SpeechRequest

    monkeypatch.setenv("HIBARI_HOME", str(tmp_path / "voices"))
    with Studio(Settings.from_env({"OSCINE_VOLUME": str(tmp_path)})) as studio:
        request, _ = SpeechRequest.parse({"text": "Hello.", "voice": "emma"})
        with pytest.raises(NotAvailable, match="oscine download hibari"):
            studio.plan(request)
    assert offline == []


def test_a_download_that_cannot_reach_the_network_says_so_and_leaves_nothing(
    fresh: HibariEngine, offline: list[object], tmp_path: Path
) -> None:
    with pytest.raises(NotAvailable, match="connection"):
        fresh.download(quiet)
    assert offline, "a download that was asked for does try"
    assert [path for path in (tmp_path / "voices").rglob("*") if path.is_file()] == []


def test_several_sentences_are_spoken_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hibari, "_usable_cores", lambda: 3)
    engine = HibariEngine(Settings.from_env({}))
    engine.load(quiet)
    both = threading.Barrier(3, timeout=30)
    began: list[int] = []
    speak = engine._speak

    def watched(lane: hibari._Lane) -> np.ndarray:
        began.append(threading.get_ident())
        if len(began) <= 3:
            both.wait()  # passes only when three are in hand at once
        return speak(lane)

    monkeypatch.setattr(engine, "_speak", watched)
    try:
        heard = run(engine, [utterance(engine, text) for text in SENTENCES])
    finally:
        engine.close()
    assert all(any(isinstance(event, Audio) for event in one.events) for one in heard)
    assert len(set(began)) == 3
    assert threading.get_ident() not in began


def test_closing_ends_its_threads() -> None:
    before = threading.active_count()
    engine = HibariEngine(Settings.from_env({}))
    engine.load(quiet)
    lanes = [engine.open(utterance(engine, text), threading.Event()) for text in SENTENCES[:4]]
    engine.step(lanes, 0.001)
    engine.close()
    assert threading.active_count() == before


def test_phonemes_in_the_text_are_spoken_as_they_stand(fresh: HibariEngine) -> None:
    fresh.load(quiet)
    assert fresh.info.capabilities.inline_phonemes
    tomato = spoken(fresh, "I say [tomato](/təmˈɑːtoʊ/).")
    np.testing.assert_array_equal(tomato, spoken(fresh, "I say [potato](/təmˈɑːtoʊ/)."))
    assert not np.array_equal(tomato, spoken(fresh, "I say tomato."))


def test_text_without_words_ends_without_sound_and_without_failure(fresh: HibariEngine) -> None:
    fresh.load(quiet)
    (heard,) = run(fresh, [utterance(fresh, "...")])
    assert heard.over
    assert not any(hasattr(event, "error") for event in heard.events)

"""The built-in voice: every core, offline, and a clear word about voices that are not here."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oscine.config import Settings
from oscine.engines import hibari
from oscine.engines.hibari import HibariEngine
from oscine.engines.hibari_text import readable
from oscine.engines.protocol import Audio, Failed, State
from oscine.errors import NotAvailable
from oscine.synthesis.scheduler import Pace, Scheduler
from oscine.synthesis.studio import Studio
from tests.engines.contract import PATIENCE_S, quiet, run, spoken, utterance
from tests.waiting import until

SENTENCES = [f"This is sentence number {number}, and it is long enough to take a moment." for number in range(8)]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every attempt to reach the network, each of which fails; threads that are of other tests reach it as before."""
    attempts: list[object] = []
    others = set(threading.enumerate()) - {threading.current_thread()}

    def refusing(real: Callable[..., object]) -> Callable[..., object]:
        def refuse(*args: object, **named: object) -> object:
            if threading.current_thread() in others:
                return real(*args, **named)
            attempts.append(args[1:])
            raise OSError("no network in this test")

        return refuse

    for way in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, way, refusing(getattr(socket.socket, way)))
    monkeypatch.setattr(socket, "getaddrinfo", refusing(socket.getaddrinfo))
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
    both = threading.Barrier(3, timeout=PATIENCE_S)
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
    before = set(threading.enumerate())
    engine = HibariEngine(Settings.from_env({}))
    engine.load(quiet)
    lanes = [engine.open(utterance(engine, text), threading.Event()) for text in SENTENCES[:4]]
    engine.step(lanes, 0.001)
    engine.close()
    assert set(threading.enumerate()) <= before


def test_phonemes_in_the_text_are_spoken_as_they_stand(fresh: HibariEngine) -> None:
    fresh.load(quiet)
    assert fresh.info.capabilities.inline_marks == {"phonemes"}
    tomato = spoken(fresh, "I say [tomato](/təmˈɑːtoʊ/).")
    np.testing.assert_array_equal(tomato, spoken(fresh, "I say [potato](/təmˈɑːtoʊ/)."))
    assert not np.array_equal(tomato, spoken(fresh, "I say tomato."))


def test_text_without_words_ends_without_sound_and_without_failure(fresh: HibariEngine) -> None:
    fresh.load(quiet)
    (heard,) = run(fresh, [utterance(fresh, "...")])
    assert heard.over
    assert not any(hasattr(event, "error") for event in heard.events)


NUMBERS = st.text("0123456789,.-$%²٣ ", max_size=80) | st.integers(14, 400).map("7".__mul__)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    before=st.sampled_from(["", "Number ", "a", "$", "-", "1.", "#", "0."]),
    number=NUMBERS,
    after=st.sampled_from(["", ".5", "th", "'s", "%", "b"]),
)
@example("Number ", "7" * 40, "")
@example("", "٣" * 50, "")
@example("$", ",".join(["777"] * 20), ".55")
@example("0.", "0" * 400, "1")
def test_numbers_of_any_length_can_be_read(before: str, number: str, after: str) -> None:
    voice = reader()
    assert isinstance(voice.read(before + number + after), list)


def test_a_number_too_long_to_be_followed_is_read_digit_by_digit(fresh: HibariEngine) -> None:
    fresh.load(quiet)
    long = spoken(fresh, "Number " + "7" * 40 + ".")
    np.testing.assert_array_equal(long, spoken(fresh, "Number " + " ".join("7" * 40) + "."))
    million = "It is 1,000,000 and 123456789012345."
    assert readable(million, lambda _word: False) == million


def test_what_cannot_be_read_is_not_tried_again(fresh: HibariEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.load(quiet)
    monkeypatch.setattr(fresh._voices["heart"].reader, "phonemize", lambda _text: [][0])
    (heard,) = run(fresh, [utterance(fresh, "Hello.")])
    (failure,) = [event for event in heard.events if isinstance(event, Failed)]
    assert not failure.retryable
    assert "IndexError" in failure.error


def test_a_listener_s_first_sentence_is_the_next_that_is_begun_beside_a_book(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hibari, "_usable_cores", lambda: 2)
    engine = HibariEngine(Settings.from_env({}))
    go_on, began = threading.Semaphore(0), list[str]()

    def speak(lane: hibari._Lane) -> np.ndarray:
        began.append(lane.utterance.text)
        assert go_on.acquire(timeout=60)
        return np.full(2400, 0.1, np.float32)

    monkeypatch.setattr(engine, "_speak", speak)
    scheduler = Scheduler(engine)
    try:
        with scheduler.job(Pace.FILE, hold=True) as book, scheduler.job(Pace.LISTENER) as listener:
            for text in SENTENCES:
                book.submit(utterance(engine, text))
            until(lambda: len(began) == 2 and scheduler.lanes_busy == 3)
            first = listener.submit(utterance(engine, "Hello."))
            until(lambda: bool(engine._next) and engine._next[0].utterance.text == "Hello.")
            go_on.release()
            until(lambda: len(began) == 3)
            assert began[2] == "Hello."
            go_on.release(100)
            assert first.read() is not None
    finally:
        go_on.release(100)
        scheduler.close()


@cache
def reader() -> hibari._Voice:
    return hibari._voice("heart")


def test_sentences_of_one_quotation_are_no_further_apart_than_others() -> None:
    loud = np.sin(np.arange(4800, dtype=np.float32) / 10) * np.float32(0.3)
    part = np.concatenate([np.zeros(7200, np.float32), loud, np.zeros(9600, np.float32)])
    whole = hibari._joined([part, part, part], 0.34)
    spoken_at = np.flatnonzero(np.abs(whole) > 0.01)
    gaps = np.diff(spoken_at)
    assert len(gaps[gaps > 1000]) == 2
    assert all(abs(gap - 0.34 * hibari.SAMPLE_RATE) < 500 for gap in gaps[gaps > 1000])
    assert (np.abs(whole) > 0.01).sum() == 3 * (np.abs(part) > 0.01).sum()
    assert len(hibari._joined([part[:0], part], 0.34)) == len(part)

"""The whole way from a plan to mastered sound, for listeners and for files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from oscine.audio.loudness import dbtp, integrated_loudness, true_peak
from oscine.audio.waveform import Samples
from oscine.delivery.tags import tags_for
from oscine.errors import Cancelled, InvalidRequest, SynthesisFailed
from oscine.synthesis import plan as plan_module
from oscine.synthesis.job import Pace
from oscine.synthesis.plan import Plan
from oscine.synthesis.spool import Spool
from oscine.synthesis.studio import Studio
from oscine.synthesis.track import Progress, Track
from tests.echo import RATE, EchoEngine, Failure
from tests.synthesis.house import Endless, in_thread, plan_of, sounding, studio_with, threads
from tests.waiting import until

STORY = (
    "It was a very long night. Nobody came to the house. [pause:900ms] The lamp went out.\n\n"
    "She waited there. Then, at last, it was light again!"
)
PAUSES = [340, 900, 700, 340]


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self, *, fails_after: int | None = None) -> None:
        self.parts: list[Samples] = []
        self.finished = self.closed = False
        self.threads: set[int] = set()
        self._fails_after = fails_after

    def push(self, samples: Samples) -> None:
        assert not self.closed
        self.threads.add(threading.get_ident())
        if self._fails_after is not None and len(self.parts) >= self._fails_after:
            raise OSError("the disk is full")
        self.parts.append(samples)

    def finish(self) -> None:
        assert not self.closed
        self.finished = True

    def close(self) -> None:
        self.closed = True

    @property
    def samples(self) -> Samples:
        return np.concatenate(self.parts)


def spool_in(folder: Path) -> Spool:
    return Spool(folder / "spool", max_age_s=1000, max_bytes=1e9)


def track_of(studio: Studio, plan: Plan, pace: Pace, *, rate: int = RATE, told: list[Progress] | None = None) -> Track:
    job = studio.scheduler("echo").job(pace, hold=pace is Pace.FILE)
    return Track(plan, job, rate, ceiling_dbtp=-1.0, on_progress=None if told is None else told.append)


def streamed(studio: Studio, text: object, **fields: object) -> tuple[Samples, Track]:
    track = track_of(studio, plan_of(studio, text, stream=True, **fields), Pace.LISTENER)  # type: ignore[arg-type]
    with track._job:
        parts = [waveform.samples for waveform in track.stream()]
    return np.concatenate(parts), track


def written(
    studio: Studio, text: str, folder: Path, *, rate: int = RATE, told: list[Progress] | None = None, **fields: object
) -> tuple[Samples, Track]:
    track = track_of(studio, plan_of(studio, text, **fields), Pace.FILE, rate=rate, told=told)
    sinks: list[Kept] = []

    def open_sink() -> Kept:
        sinks.append(Kept())
        return sinks[-1]

    with track._job:
        track.write(open_sink, spool_in(folder))
    assert all(sink.closed and sink.finished for sink in sinks)
    return sinks[-1].samples, track


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Studio]:
    with studio_with(EchoEngine(), tmp_path) as studio:
        yield studio


def ways(studio: Studio, folder: Path) -> dict[str, Callable[[], tuple[Samples, Track]]]:
    def whole() -> tuple[Samples, Track]:
        track = track_of(studio, plan_of(studio, STORY), Pace.FILE)
        with track._job:
            return track.whole().samples, track

    return {
        "stream": lambda: streamed(studio, STORY),
        "live": lambda: streamed(studio, [STORY[n : n + 7] for n in range(0, len(STORY), 7)]),
        "file": lambda: written(studio, STORY, folder),
        "whole": whole,
    }


@pytest.mark.parametrize("way", ["stream", "live", "file", "whole"])
def test_every_way_gives_all_words_with_the_planned_pauses(echo: Studio, tmp_path: Path, way: str) -> None:
    samples, track = ways(echo, tmp_path)[way]()
    report = track.report()
    found = sounding(samples, RATE, gap_ms=200)
    gaps = [round((start - end) * 1000) for (_, end), (start, _) in pairwise(found)]
    if way in ("file", "whole"):
        assert gaps == pytest.approx(PAUSES, abs=5)
    else:  # a listener's first piece may end at a clause
        assert [gap for gap in gaps if gap > 250] == pytest.approx(PAUSES, abs=5)
    assert report.duration == pytest.approx(len(samples) / RATE)
    assert "".join(segment.text for segment in report.segments).replace(" ", "").startswith("Itwasaverylongnight.")
    assert report.segments[-1].text == "Then, at last, it was light again!"
    assert report.segments[-1].end == pytest.approx(found[-1][1], abs=0.05)
    assert report.characters == sum(len(one) for one in STORY.replace("[pause:900ms] ", "").split("\n\n")) - 3


def test_a_file_is_exact_to_half_a_lu_and_a_stream_to_two(echo: Studio, tmp_path: Path) -> None:
    for samples, track, tolerance in (
        (*written(echo, STORY, tmp_path), 0.5),
        (*streamed(echo, STORY), 2.0),
    ):
        assert integrated_loudness(samples, RATE) == pytest.approx(-18.0, abs=tolerance)
        assert dbtp(true_peak(samples, RATE)) <= -1.0
        report = track.report()
        assert report.loudness_lufs == pytest.approx(-18.0, abs=tolerance)
        assert report.true_peak_dbtp is not None
        assert report.true_peak_dbtp <= -1.0


def test_a_file_whose_first_half_minute_misleads_is_mastered_again_without_speaking_again(tmp_path: Path) -> None:
    engine = EchoEngine(grain="utterance", level_of=lambda text: 0.03 if "whisper" in text else 0.4)
    text = "She could only whisper in the dark. " * 14 + "Then everybody began to shout at the same time! " * 20
    with studio_with(engine, tmp_path) as studio:
        sinks: list[Kept] = []
        track = track_of(studio, plan_of(studio, text), Pace.FILE)

        def open_sink() -> Kept:
            sinks.append(Kept())
            return sinks[-1]

        with track._job:
            track.write(open_sink, spool_in(tmp_path))
    assert len(sinks) > 1
    assert engine.counts.opened == 34
    assert integrated_loudness(sinks[-1].samples, RATE) == pytest.approx(-18.0, abs=0.5)
    report = track.report()
    assert report.pieces == 34
    assert report.pieces_reused == 0
    assert report.characters == len(text) - 34
    assert len(report.segments) == 34


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
def test_the_result_has_the_rate_that_was_asked_for(echo: Studio, tmp_path: Path, rate: int) -> None:
    own, _ = written(echo, STORY, tmp_path / "own")
    samples, track = written(echo, STORY, tmp_path, rate=rate)
    assert len(samples) / rate == pytest.approx(len(own) / RATE, abs=0.001)
    assert track.report().sample_rate == rate
    assert [round(end - start, 1) for start, end in track.seams][1:] == [0.3, 0.9, 0.7, 0.3]


def test_loudness_can_be_left_alone(echo: Studio, tmp_path: Path) -> None:
    samples, _ = written(echo, STORY, tmp_path, loudness=None)
    assert np.abs(samples).max() == pytest.approx(0.2, abs=0.01)


def test_speech_that_is_too_short_to_measure_says_so(tmp_path: Path) -> None:
    with studio_with(EchoEngine(), tmp_path) as studio:
        _, track = streamed(studio, "A")
        report = track.report()
    assert report.loudness_lufs is None
    assert any("too short or too quiet" in warning for warning in report.warnings)


@pytest.mark.parametrize("text", ["Only silence.", "Only silence. And silence again."])
def test_a_text_that_the_engine_has_no_sound_for_is_an_error_and_no_empty_file(
    echo: Studio, tmp_path: Path, text: str
) -> None:
    for _ in range(2):  # the second time from the spool
        sink = Kept()
        track = track_of(echo, plan_of(echo, text), Pace.FILE)
        with track._job, pytest.raises(InvalidRequest, match="nothing that the engine echo can read"):
            track.write(lambda sink=sink: sink, spool_in(tmp_path))  # type: ignore[misc]
        assert not sink.finished
    with pytest.raises(InvalidRequest, match=r"can read; write in a language that it speaks \(en, de\), or choose"):
        streamed(echo, text)


def test_a_piece_without_sound_is_named_in_a_warning_also_when_it_comes_from_the_spool(
    echo: Studio, tmp_path: Path
) -> None:
    text = "One came slowly along. Only silence here. Two left again. More silence."
    told = "The engine echo cannot read pieces 2 (at 1 s), 4 (at 2 s); they were left out."
    for reused in (0, 4):
        _, track = written(echo, text, tmp_path)
        report = track.report()
        assert report.pieces_reused == reused
        assert told in report.warnings
    _, track = written(echo, "One came. Only silence.", tmp_path)
    assert "The engine echo cannot read piece 2 (at 1 s), which was left out." in track.report().warnings


def test_an_error_says_which_piece_it_is_about(tmp_path: Path) -> None:
    engine = EchoEngine(failures=[Failure("bad", times=99)])
    text = "A first sentence. A second one. A bad one. The end."
    with studio_with(engine, tmp_path) as studio:
        for fields in ({}, {"stream": True}):
            track = track_of(studio, plan_of(studio, text, **fields), Pace.FILE)
            place = "It is piece 3, about characters 31 to 40"
            with track._job, pytest.raises(SynthesisFailed, match=rf"echo could not speak this piece\. {place}\."):
                track.whole()


def test_the_result_names_the_voices_that_speak_in_order_and_once_each(echo: Studio, tmp_path: Path) -> None:
    text = "Bob: One came.\nAlice: Two left.\nBob: Three.\n"
    plan = plan_of(echo, text, voice="low", voices={"Alice": "low", "Bob": "high", "Eve": "low"})
    assert plan.voices == ("high", "low")
    assert tags_for(plan)["artist"] == "high, low"
    _, track = written(echo, text, tmp_path, voice="low", voices={"Alice": "low", "Bob": "high", "Eve": "low"})
    assert track.report().voices == ("high", "low")
    _, track = written(echo, "Bob: One came.\n", tmp_path, voice="low", voices={"Bob": "high"})
    assert track.report().voices == ("high",)
    undeclared = plan_of(echo, "Speaker 1: One came.\nSpeaker 2: Two left.\nSpeaker 1: Three.\n")
    assert undeclared.voices == ("low", "high")


def test_a_listener_does_not_wait_until_the_whole_text_was_read(echo: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(plan_module, "check_words", checked.append)
    text = "One sentence came.\n\n" * 1000
    plan = plan_of(echo, text, stream=True)
    assert len(checked) == 1
    assert len(list(plan.pieces(listener=True))) == 1000
    assert len(checked) > 1000
    checked.clear()
    list(plan_of(echo, text).pieces())
    assert len(checked) == 1000


def test_a_listener_hears_all_that_comes_before_a_word_that_nobody_can_say(echo: Studio) -> None:
    track = track_of(
        echo, plan_of(echo, f"One came. Two left.\n\nThree.\n\n{'x' * 5000} end.", stream=True), Pace.LISTENER
    )
    with track._job, pytest.raises(InvalidRequest, match="text"):
        list(track.stream())
    assert [segment.text for segment in track._assembler.segments] == ["One came.", "Two left.", "Three."]


def test_progress_counts_up_to_the_whole(echo: Studio, tmp_path: Path) -> None:
    told: list[Progress] = []
    samples, track = written(echo, STORY, tmp_path, told=told)
    assert [one.characters for one in told] == sorted({one.characters for one in told})
    assert told[-1].characters == track.report().characters
    assert len(told) == track.report().pieces
    assert told[-1].audio_seconds <= len(samples) / RATE


def test_a_second_run_speaks_only_what_changed_and_gives_the_same_file(tmp_path: Path) -> None:
    engine = EchoEngine()
    with studio_with(engine, tmp_path) as studio:
        first, _ = written(studio, STORY, tmp_path)
        spoken = engine.counts.opened
        second, track = written(studio, STORY, tmp_path)
        np.testing.assert_array_equal(first, second)
        assert engine.counts.opened == spoken
        assert track.report().pieces_reused == track.report().pieces == 5
        _, third = written(studio, STORY.replace("house", "barn"), tmp_path)
        assert engine.counts.opened == spoken + 1
        assert third.report().pieces_reused == 4


def test_a_damaged_piece_in_the_spool_is_spoken_again(tmp_path: Path) -> None:
    engine = EchoEngine()
    with studio_with(engine, tmp_path) as studio:
        first, _ = written(studio, STORY, tmp_path)
        piece = next((tmp_path / "spool").rglob("*.osp"))
        piece.write_bytes(piece.read_bytes()[:-20])
        second, track = written(studio, STORY, tmp_path)
    np.testing.assert_array_equal(first, second)
    assert track.report().pieces_reused == 4


def test_the_encoder_runs_beside_and_its_failure_ends_the_job(echo: Studio, tmp_path: Path) -> None:
    sink = Kept()
    track = track_of(echo, plan_of(echo, STORY), Pace.FILE)
    with track._job:
        track.write(lambda: sink, spool_in(tmp_path))
    assert sink.threads
    assert threading.get_ident() not in sink.threads
    before = threads("oscine-encode")
    broken = Kept(fails_after=0)
    track = track_of(echo, plan_of(echo, STORY * 20), Pace.FILE)
    with track._job, pytest.raises(OSError, match="disk is full"):
        track.write(lambda: broken, spool_in(tmp_path))
    assert broken.closed
    assert not broken.finished
    until(lambda: threads("oscine-encode") <= before)
    until(lambda: echo.scheduler("echo").lanes_busy == 0)


def test_a_piece_that_cannot_be_spoken_ends_a_file_and_leaves_nothing_running(tmp_path: Path) -> None:
    sink = Kept()
    before = threads("oscine-encode")
    with studio_with(EchoEngine(failures=[Failure("lamp", times=99)]), tmp_path) as studio:
        track = track_of(studio, plan_of(studio, STORY), Pace.FILE)
        with track._job, pytest.raises(SynthesisFailed):
            track.write(lambda: sink, spool_in(tmp_path))
        assert sink.closed
        assert not sink.finished
        assert threads("oscine-encode") <= before
        until(lambda: studio.scheduler("echo").lanes_busy == 0)


def test_a_listener_hears_the_first_sound_before_the_rest_is_spoken(tmp_path: Path) -> None:
    engine = EchoEngine(delay_s=0.001)
    with studio_with(engine, tmp_path) as studio:
        track = track_of(studio, plan_of(studio, STORY * 30), Pace.LISTENER)
        with track._job:
            parts = track.stream()
            first = next(parts)
            assert len(first.samples)
            assert engine.counts.opened < 20
            del parts
        until(lambda: engine.open_lanes == 0)


def test_what_comes_next_is_spoken_while_the_listener_hears_the_first_piece(tmp_path: Path) -> None:
    engine = EchoEngine(grain="utterance")
    long = "The first piece goes on and on and on for quite some time before it comes to its end"
    with studio_with(engine, tmp_path) as studio:
        track = track_of(studio, plan_of(studio, f"{long}. The second one follows. Then a third."), Pace.LISTENER)
        with track._job:
            parts = track.stream()
            heard = [next(parts), next(parts)]  # and not the next: a player takes its time
            assert sum(one.duration for one in heard) < 5
            until(lambda: engine.counts.opened == 3 and engine.open_lanes == 0)
            rest = list(parts)
    assert sum(one.duration for one in heard + rest) > 6


def test_closing_the_job_from_another_thread_ends_a_stream_midway(tmp_path: Path) -> None:
    engine = Endless(delay_s=0.01)
    with studio_with(engine, tmp_path) as studio:
        track = track_of(studio, plan_of(studio, STORY), Pace.LISTENER)
        reading = in_thread(lambda: sum(len(waveform.samples) for waveform in track.stream()))
        until(lambda: engine.counts.steps > 5)
        track._job.close()
        with pytest.raises(Cancelled):
            reading()
        until(lambda: engine.open_lanes == 0)


def test_stream_tail_is_kept(echo: Studio) -> None:
    samples, _ = streamed(echo, "One came. Two left.", stream_tail_ms=1500)
    assert len(samples) / RATE - sounding(samples, RATE)[-1][1] == pytest.approx(1.5, abs=0.02)

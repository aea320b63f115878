"""Listening while it streams: every sample, at once, and no longer than somebody listens."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.echo import Failure
from tests.http.conftest import Running, Serve
from tests.http.page.conftest import LONG_TEXT, Open, Visit, active, get, slowly
from tests.waiting import until

pytestmark = pytest.mark.slow


def test_a_text_is_heard(visit: Visit) -> None:
    visit.speak("Hello from the page.")
    visit.is_sounding()
    visit.said("Finished")
    expect(visit.page.locator("#facts")).to_have_text(
        re.compile(r"First sound after \d+\.\d\d s · \d+\.\d s of speech · seed \d+")
    )


def test_the_example_can_be_heard_at_once(visit: Visit) -> None:
    visit.button("Speak").click()
    visit.is_sounding()


def test_every_sample_is_played_once_and_without_a_gap(server: Running, visit: Visit) -> None:
    text = "One sentence here. Then another one, which is a little longer. And the end."
    visit.page.get_by_text("More", exact=True).click()
    visit.page.get_by_label("Seed").fill("7")
    visit.speak(text)
    visit.said("Finished")
    body = {"model": "tts-1", "input": text, "voice": "heart", "seed": 7, "response_format": "pcm"}
    spoken = np.frombuffer(get(f"{server.url}/v1/audio/speech", body), "<i2")
    gaps = []
    for _ in range(3):  # a browser that stands still for longer than it has planned ahead cannot but leave one
        visit.page.evaluate("heard.pieces = []")
        visit.button("Play").click()
        visit.said("Finished")
        pieces = visit.heard()["pieces"]
        np.testing.assert_array_equal(np.concatenate([piece["samples"] for piece in pieces]), spoken)
        assert {piece["rate"] for piece in pieces} == {24_000}
        ends = [piece["when"] * 24_000 + len(piece["samples"]) for piece in pieces]
        gaps = [after["when"] * 24_000 - end for end, (_, after) in zip(ends, pairwise(pieces), strict=False)]
        if gaps == pytest.approx([0] * len(gaps), abs=0.01):
            break
    assert gaps == pytest.approx([0] * len(gaps), abs=0.01)


def test_the_first_sound_comes_before_the_last_byte(serve: Serve, open_page: Open) -> None:
    server, _ = slowly(serve)
    visit = open_page(server)
    visit.speak("one two three four five six seven eight nine ten")
    visit.is_sounding()
    visit.said("Finished")
    assert visit.heard()["overAtFirst"] is False


def test_stop_frees_the_server(serve: Serve, open_page: Open) -> None:
    server, engine = slowly(serve)
    visit = open_page(server)
    visit.speak(LONG_TEXT)
    visit.is_sounding()
    assert active(server) == 1
    visit.button("Stop").click()
    visit.said("Stopped")
    until(lambda: active(server) == 0 and engine.open_lanes == 0)
    expect(visit.button("Stop")).to_be_disabled()


def test_leaving_the_page_frees_the_server(serve: Serve, open_page: Open) -> None:
    server, engine = slowly(serve)
    visit = open_page(server)
    visit.speak(LONG_TEXT)
    visit.is_sounding()
    visit.page.goto("about:blank")
    visit.page.evaluate("globalThis.violations = []")
    until(lambda: active(server) == 0 and engine.open_lanes == 0)


def test_speaking_again_ends_what_was_spoken(serve: Serve, open_page: Open) -> None:
    server, _ = slowly(serve)
    visit = open_page(server)
    visit.speak(LONG_TEXT)
    visit.is_sounding()
    visit.speak("one two")
    visit.said("Finished")
    until(lambda: active(server) == 0)


def test_what_was_heard_before_stop_can_be_heard_again(serve: Serve, open_page: Open) -> None:
    server, _ = slowly(serve)
    visit = open_page(server)
    visit.speak(LONG_TEXT)
    visit.is_sounding()
    visit.button("Stop").click()
    visit.page.evaluate("heard.loudest = 0")
    visit.page.get_by_label("Position").press("Home")
    visit.button("Play").click()
    visit.is_sounding()
    visit.said("That is all that came")


def test_pause_holds_the_place_and_play_goes_on(visit: Visit) -> None:
    visit.speak("This is spoken with a pause in the middle of it, and then it goes on to its end. " * 5)
    visit.is_sounding()
    visit.button("Pause").click()
    visit.said("Paused")
    position = visit.page.get_by_label("Position")
    place = position.input_value()
    visit.page.wait_for_timeout(300)
    assert position.input_value() == place
    visit.button("Play").click()
    until(lambda: float(position.input_value()) > float(place))
    position.press("End")
    visit.said("Finished")


def test_one_can_go_to_another_place(visit: Visit) -> None:
    visit.speak("This is a text that takes about four seconds, so that there is somewhere to go.")
    visit.said("Finished")
    position = visit.page.get_by_label("Position")
    position.press("Home")
    assert float(position.input_value()) == 0
    position.press("ArrowRight")
    assert float(position.input_value()) == pytest.approx(2, abs=0.1)
    expect(position).to_have_attribute("aria-valuetext", re.compile(r"0:02 of 0:0\d"))


def test_a_stream_that_breaks_says_so_and_keeps_what_came(serve: Serve, open_page: Open) -> None:
    broken = Failure("seven", times=9, retryable=False, after_frames=3)
    server, _ = slowly(serve, failures=[broken])
    visit = open_page(server)
    visit.expected.append("ERR_INCOMPLETE_CHUNKED_ENCODING")
    visit.speak("One two three. Four five six. Seven seven seven seven seven.".lower())
    visit.trouble("The connection broke before the end. What has come can still be heard.")
    visit.button("Play").click()
    visit.is_sounding()


def test_memory_is_bounded_and_no_byte_is_misread(visit: Visit) -> None:
    found = visit.page.evaluate(
        """async () => {
            const { Sound } = await import("/page/sound.js");
            const odd = new Sound(100, 2);
            for (const part of [[1], [2, 3, 4, 255], [], [127]]) odd.push(new Uint8Array(part));
            const full = new Sound(100, 2);
            const second = new Uint8Array(200);
            const room = [];
            for (let s = 0; s < 5; s += 1) { full.push(second); room.push(full.makeRoom(250)); }
            return {
                samples: Array.from(odd.read(0, 9), (each) => each * 32768),
                room, first: full.first, left: full.read(full.first, 1e6).length, wav: full.wav(),
            };
        }"""
    )
    assert found["samples"] == [0x0201, 0x0403, 0x7FFF]
    assert found["room"] == [True, True, True, False, False]
    assert found["first"] == 200
    assert found["left"] == 300
    assert found["wav"] is None

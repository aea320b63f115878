"""The page for everybody: keys and errors in words, files, keyboard, screen readers, small and dark screens."""

from __future__ import annotations

import io
import json
import re
import wave
from typing import Any, Literal

import av
import pytest
from playwright.sync_api import Locator, Route, expect

from tests.http.conftest import Running, Serve
from tests.http.page.conftest import LONG_TEXT, Open, Visit, get, slowly

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)>"


def test_an_error_is_shown_in_the_servers_words(visit: Visit) -> None:
    visit.expects(400)
    visit.speak("!!! ...")
    visit.trouble(re.compile("^input has nothing that can be spoken"))
    expect(visit.page.locator("#listen")).to_be_hidden()
    visit.speak("Hello.")
    visit.said("Finished")
    expect(visit.page.locator("#trouble")).to_be_hidden()


def test_without_a_text_nothing_is_asked(visit: Visit) -> None:
    visit.button("Clear").click()
    visit.button("Speak").click()
    visit.trouble("There is no text yet. Write something, then press Speak.")
    expect(visit.page.get_by_label("Text to speak")).to_be_focused()


def test_a_busy_server_says_when_to_come_back(serve: Serve, open_page: Open) -> None:
    slow, _ = slowly(serve, places=1)
    first, second = open_page(slow), open_page(slow)
    first.speak(LONG_TEXT)
    first.is_sounding()
    second.expects(429)
    second.speak("Hello.")
    second.trouble(re.compile(r"Try again in (a second|\d+ seconds)\.$"))


def test_a_server_that_is_gone_is_said_in_words(visit: Visit) -> None:
    visit.expected.append("ERR_INTERNET_DISCONNECTED")
    visit.page.context.set_offline(True)
    visit.speak("Hello.")
    visit.trouble("The server cannot be reached. See that it is running, then try again.")


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(serve: Serve, open_page: Open) -> None:
    server = serve(OSCINE_API_KEYS="open sesame,other")
    visit = open_page(server)
    visit.expects(401)
    key = visit.page.get_by_label("Key", exact=True)
    visit.speak("Hello.")
    key.fill("wrong")
    key.press("Enter")
    expect(visit.page.locator("#key-said")).to_have_text("The server did not take this key.")
    key.fill("open sesame")
    key.press("Enter")
    visit.is_sounding()
    assert "sesame" not in visit.page.url
    assert visit.page.evaluate("[localStorage.length, document.cookie]") == [0, ""]

    visit.page.reload()
    visit.speak("Hello again.")
    visit.is_sounding()
    other = open_page(server)
    other.expects(401)
    other.speak("Hello.")
    expect(other.page.get_by_label("Key", exact=True)).to_be_visible()


def test_who_has_no_key_is_told_what_is_needed(serve: Serve, open_page: Open) -> None:
    visit = open_page(serve(OSCINE_API_KEYS="secret"))
    visit.expects(401)
    visit.speak("Hello.")
    visit.button("Cancel").click()
    visit.trouble(re.compile("^A key is needed"))


def test_a_hostile_warning_stays_text(visit: Visit) -> None:
    def with_odd_field(route: Route) -> None:
        route.continue_(post_data=json.dumps({**json.loads(route.request.post_data or ""), HOSTILE: 1}))

    visit.page.route("**/v1/audio/speech", with_odd_field)
    visit.speak("Hello.")
    expect(visit.page.locator("#warnings")).to_contain_text("<img src=x")
    assert visit.page.locator("main img").count() == 0


def test_the_whole_is_saved_as_wav(server: Running, visit: Visit) -> None:
    visit.page.get_by_text("More", exact=True).click()
    visit.page.get_by_label("Seed").fill("0009223372036854775807")
    expect(visit.page.get_by_label("Seed")).to_have_js_property("validity.valid", False)
    visit.page.get_by_label("Seed").fill("9223372036854775807")
    visit.page.get_by_label("Loudness").fill("")
    visit.speak("A text, to be kept!")
    visit.said("Finished")
    name, data = saved(visit, "wav")
    assert name == "a-text-to-be-kept.wav"
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        frames = file.readframes(file.getnframes())
    body = {
        "model": "tts-1",
        "input": "A text, to be kept!",
        "voice": "heart",
        "seed": 9223372036854775807,
        "loudness": None,
        "response_format": "pcm",
    }
    assert frames == get(f"{server.url}/v1/audio/speech", body)


@pytest.mark.parametrize("format", ["mp3", "opus", "aac", "flac"])
def test_the_whole_is_saved_in_every_format(visit: Visit, format: str) -> None:
    visit.speak("A text to be kept.")
    visit.said("Finished")
    seconds = float(visit.page.get_by_label("Position").get_attribute("max") or 0)
    _, data = saved(visit, format)
    with av.open(io.BytesIO(data), "r") as file:
        duration = sum(frame.samples / frame.sample_rate for frame in file.decode(audio=0))
    assert duration == pytest.approx(seconds, abs=0.1)


def saved(visit: Visit, format: str) -> tuple[str, bytes]:
    visit.page.get_by_label("Format of the file").select_option(format)
    with visit.page.expect_download() as download:
        visit.button("Save").click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def test_all_can_be_done_with_the_keyboard(visit: Visit) -> None:
    keys = visit.page.keyboard
    seen = []
    for _ in range(7):
        keys.press("Tab")
        seen.append(visit.page.evaluate("document.activeElement.id || document.activeElement.localName"))
        outline = visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", seen[-1]
    assert seen == ["text", "clear", "voice", "speed", "summary", "go", "record"]

    visit.page.get_by_label("Text to speak").focus()
    keys.press("ControlOrMeta+a")
    keys.type("Spoken with the keys alone, and stopped by one. " * 5)
    keys.press("Control+Enter")
    visit.is_sounding()
    keys.press("Escape")
    visit.said("Stopped")
    visit.page.get_by_role("button", name="Speak").focus()
    keys.press("Enter")
    visit.said("Speaking")
    visit.button("Stop").focus()
    keys.press("Enter")
    visit.said("Stopped")
    expect(visit.button("Speak")).to_be_focused()


def test_everything_has_a_name_for_screen_readers(visit: Visit) -> None:
    visit.page.get_by_text("More", exact=True).click()
    visit.speak("Hello.")
    visit.said("Finished")
    visit.button("Record a voice").click()
    expect(visit.button("Finish")).to_be_visible()
    tree = visit.page.locator("body").aria_snapshot()
    unnamed = re.findall(
        r"^\s*- (?:button|textbox|combobox|slider|spinbutton|checkbox|link|meter)(?!\s*\").*$", tree, re.M
    )
    assert unnamed == []
    assert '- slider "Position"' in tree
    assert '- heading "Oscine" [level=1]' in tree
    visit.button("Cancel").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_every_ground(server: Running, open_page: Open, scheme: Literal["light", "dark"]) -> None:
    visit = open_page(server, color_scheme=scheme)
    colours = visit.page.evaluate(
        """() => {
            const style = getComputedStyle(document.documentElement);
            return Object.fromEntries([...style].filter((name) => name.startsWith("--")).map(
                (name) => [name.slice(2), style.getPropertyValue(name).trim()]));
        }"""
    )
    text = [("ink", "card"), ("ink", "ground"), ("soft", "card"), ("soft", "ground"), ("accent", "card")]
    text += [("on-accent", "accent"), ("warm", "warm-ground"), ("bad", "bad-ground"), ("bad", "card"), ("card", "bad")]
    for over, under in text:
        assert contrast(colours[over], colours[under]) >= 4.5, (over, under)
    assert contrast(colours["edge"], colours["card"]) >= 3


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio of two colours as #rrggbb."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_every_screen(server: Running, open_page: Open, width: int) -> None:
    visit = open_page(server, viewport={"width": width, "height": 700})
    visit.page.get_by_text("More", exact=True).click()
    visit.speak("Hello.")
    visit.said("Finished")
    visit.button("Record a voice").click()
    expect(visit.button("Finish")).to_be_visible()
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    small = [name(found) for found in visit.page.get_by_role("button").all() if too_small(found)]
    assert small == []
    visit.button("Cancel").click()


def too_small(button: Locator) -> bool:
    """WCAG 2.2, success criterion 2.5.8: 24 by 24 CSS pixels at least."""
    box: Any = button.bounding_box()
    return box is not None and (box["width"] < 24 or box["height"] < 24)


def name(button: Locator) -> str:
    return button.inner_text()


def test_it_is_light(server: Running) -> None:
    page = get(server.url).decode()
    parts = set(re.findall(r'(?:href|src)="(page/[^"]+)"', page))
    weight = len(page.encode()) + sum(len(get(f"{server.url}/{part}")) for part in parts)
    assert weight < 64 * 1024

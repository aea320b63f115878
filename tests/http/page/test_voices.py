"""Voices of one's own: record, hear, name, keep, choose, delete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from oscine import Oscine
from tests.echo import echo
from tests.http.conftest import Running, Serve
from tests.http.page.conftest import Open, Visit
from tests.waiting import until

pytestmark = pytest.mark.slow

HOSTILE = "<img src=x onerror=alert(1)> & \"co\" '${1}'"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of four seconds."""
    path = tmp_path_factory.mktemp("sample") / "Robin.wav"
    with Oscine() as oscine:
        oscine.save("The rainbow is a division of white light into many beautiful colours.", path)
    return path


@pytest.fixture
def cloning(serve: Serve) -> Running:
    """A server whose engine clones."""
    return serve(factories={"parrot": echo(name="parrot", cloning=True)}, OSCINE_ENGINE="parrot")


def names(server: Running) -> tuple[str, ...]:
    return server.studio.library.names()


def kept(page: Page) -> list[str]:
    return page.locator("#recordings .name").all_inner_texts()


def choose(visit: Visit, path: Path) -> None:
    with visit.page.expect_file_chooser() as chooser:
        visit.button("Choose a file").click()
    chooser.value.set_files(path)


def keep(visit: Visit, name: str) -> None:
    visit.page.get_by_label("Name of the voice").fill(name)
    visit.page.get_by_label("permission").check()
    visit.button("Keep this voice").click()


def test_a_voice_is_recorded_heard_kept_spoken_with_and_deleted(cloning: Running, open_page: Open) -> None:
    visit = open_page(cloning)
    visit.button("Record a voice").click()
    meter = visit.page.get_by_label("Level")
    until(lambda: int(meter.get_attribute("aria-valuenow") or 0) > 10)
    expect(visit.page.locator("#timer")).to_have_text(re.compile("0:0[4-9]|0:[1-9]."))
    visit.button("Finish").click()
    with visit.showing(visit.page.locator("#hear"), "Stop", "Listen"):
        visit.button("Listen").click()
    assert names(cloning) == ()
    keep(visit, "Wren")
    expect(visit.page.locator("#voices-said")).to_have_text("Wren is kept.")
    assert names(cloning) == ("Wren",)
    assert cloning.studio.library.show("Wren").duration > 3

    expect(visit.page.get_by_label("Voice", exact=True)).to_have_value("Wren")
    visit.speak("Hello.")
    visit.is_sounding()
    visit.said("Finished")

    with visit.showing(visit.button("Listen to Wren"), "Stop"):
        visit.button("Listen to Wren").click()
    visit.button("Delete Wren").click()
    visit.button("Cancel").click()
    assert names(cloning) == ("Wren",)
    visit.button("Delete Wren").click()
    visit.button("Delete").click()
    expect(visit.page.locator("#voices-said")).to_have_text("Wren is deleted.")
    assert names(cloning) == ()
    assert kept(visit.page) == []


def test_the_microphone_is_let_go(visit: Visit) -> None:
    visit.page.evaluate(
        """() => {
            const { getUserMedia } = MediaDevices.prototype;
            MediaDevices.prototype.getUserMedia = async function (...wish) {
                return (globalThis.given = await getUserMedia.apply(this, wish));
            };
        }"""
    )
    for end in ("Finish", "Cancel"):
        visit.button("Record a voice").click()
        visit.button(end).click()
        until(lambda: bool(visit.page.evaluate("given.getTracks().every((track) => track.readyState === 'ended')")))
        if end == "Finish":
            visit.button("Discard").click()


def test_a_recording_that_is_too_short_cannot_be_kept(visit: Visit) -> None:
    for _ in range(5):  # it becomes long enough where somebody stands still for so long
        visit.button("Record a voice").click()
        visit.button("Finish").click()
        expect(visit.button("Discard")).to_be_visible()
        if "too short" in visit.page.locator("#sample").inner_text():
            break
        visit.button("Discard").click()
    expect(visit.page.locator("#sample")).to_have_text(re.compile("too short: it takes 3 to 120 seconds"))
    expect(visit.button("Keep this voice")).to_be_disabled()


def test_without_consent_nothing_is_sent(server: Running, visit: Visit, sample: Path) -> None:
    choose(visit, sample)
    visit.page.get_by_label("Name of the voice").fill("Nobody")
    visit.button("Keep this voice").click()
    assert visit.page.get_by_label("permission").evaluate("box => box.validity.valueMissing")
    assert "Nobody" not in names(server)


def test_a_microphone_that_is_refused_is_said_in_words(server: Running, open_page: Open) -> None:
    visit = open_page(server)
    visit.page.evaluate(
        """() => {
            MediaDevices.prototype.getUserMedia = async () => { throw new DOMException("no", "NotAllowedError"); };
        }"""
    )
    visit.button("Record a voice").click()
    expect(visit.page.locator("#voices-trouble")).to_have_text(re.compile("^The browser was not allowed"))


def test_a_file_is_kept_under_its_own_name_and_replaced_only_when_asked(
    serve: Serve, open_page: Open, sample: Path
) -> None:
    server = serve()
    visit = open_page(server)
    visit.expects(400)
    choose(visit, sample)
    expect(visit.page.get_by_label("Name of the voice")).to_have_value("Robin")
    keep(visit, "Robin")
    expect(visit.page.locator("#voices-said")).to_have_text("Robin is kept.")
    (before,) = server.studio.library.list()

    choose(visit, sample)
    keep(visit, "Robin")
    visit.button("Cancel").click()
    assert server.studio.library.list() == (before,)
    visit.button("Keep this voice").click()
    visit.button("Replace").click()
    expect(visit.page.locator("#voices-said")).to_have_text("Robin is kept.")
    (after,) = server.studio.library.list()
    assert after.modified > before.modified
    assert kept(visit.page) == ["Robin"]


def test_what_is_no_recording_is_refused_in_words(server: Running, visit: Visit, tmp_path: Path) -> None:
    visit.expects(400)
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(b"RIFF" + bytes(1000))
    choose(visit, damaged)
    keep(visit, "damaged")
    expect(visit.page.locator("#voices-trouble")).to_have_text(re.compile("^audio_sample .+"))
    assert names(server) == ()


def test_a_file_that_is_too_large_is_not_sent(visit: Visit, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(10 * 1024 * 1024 + 1)
    choose(visit, large)
    expect(visit.page.locator("#voices-trouble")).to_have_text(re.compile("more than 10 MiB"))


def test_an_engine_that_cannot_clone_says_so_and_offers_no_recording(
    serve: Serve, open_page: Open, sample: Path
) -> None:
    server = serve()
    server.studio.library.add("Robin", sample.read_bytes())
    visit = open_page(server)
    expect(visit.page.locator("#cloning")).to_have_text(re.compile("^hibari cannot clone a voice"))
    option = visit.page.locator("#voice option", has_text="Robin")
    expect(option).to_have_text("Robin – needs an engine that clones")
    expect(option).to_be_disabled()
    expect(visit.page.get_by_label("Voice", exact=True)).to_have_value("heart")
    with visit.showing(visit.button("Listen to Robin"), "Stop"):
        visit.button("Listen to Robin").click()


def test_a_hostile_name_stays_text(cloning: Running, open_page: Open, sample: Path) -> None:
    cloning.studio.library.home.mkdir(parents=True, exist_ok=True)
    (cloning.studio.library.home / f"{HOSTILE}.wav").write_bytes(sample.read_bytes())
    assert names(cloning) == (HOSTILE,)
    visit = open_page(cloning)
    assert kept(visit.page) == [HOSTILE]
    expect(visit.page.locator("#voice option", has_text=HOSTILE)).to_be_attached()
    visit.button(f"Delete {HOSTILE}").click()
    expect(visit.page.locator("#ask-text")).to_contain_text(HOSTILE)
    visit.button("Delete").click()
    expect(visit.page.locator("#voices-said")).to_have_text(f"{HOSTILE} is deleted.")
    assert visit.page.locator("main img, dialog img").count() == 0
    assert names(cloning) == ()


def test_ten_thousand_voices_do_not_bury_the_page(serve: Serve, open_page: Open) -> None:
    server = serve()
    server.studio.library.home.mkdir(parents=True, exist_ok=True)
    for n in range(10_000):
        (server.studio.library.home / f"voice {n:05}.wav").touch()
    visit = open_page(server)
    assert len(kept(visit.page)) == 50
    expect(visit.page.locator("#voice option")).to_have_count(10_005)
    visit.button("Show all 10,000 recordings").click()
    assert len(kept(visit.page)) == 10_000

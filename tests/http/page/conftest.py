"""A real browser that has the page of a real server open."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, expect, sync_playwright

from tests.echo import EchoEngine
from tests.http.conftest import Running, Serve
from tests.waiting import until

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PATIENCE_MS: Final = 60_000
LOUD: Final = 0.01
LONG_TEXT: Final = " ".join(f"This is sentence number {n} of a text that is long." for n in range(200))

SPY: Final = """
globalThis.heard = { pieces: [], loudest: 0, over: false, overAtFirst: null };
globalThis.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
const { start } = AudioBufferSourceNode.prototype;
AudioBufferSourceNode.prototype.start = function (when) {
  heard.overAtFirst ??= heard.over;
  const samples = Array.from(this.buffer.getChannelData(0), (sample) => Math.round(sample * 32768));
  heard.pieces.push({ when, rate: this.context.sampleRate, samples });
  return start.apply(this, arguments);
};
const { read } = ReadableStreamDefaultReader.prototype;
ReadableStreamDefaultReader.prototype.read = async function () {
  const part = await read.apply(this, arguments);
  heard.over ||= part.done;
  return part;
};
const { connect } = AudioNode.prototype;
AudioNode.prototype.connect = function (target) {
  if (target instanceof AudioDestinationNode) {
    const tap = this.context.createAnalyser();
    connect.call(this, tap);
    const wave = new Float32Array(tap.fftSize);
    setInterval(() => {
      tap.getFloatTimeDomainData(wave);
      heard.loudest = Math.max(heard.loudest, ...wave.map(Math.abs));
    }, 20);
  }
  return connect.apply(this, arguments);
};
"""
"""Watches what the page gives to the loudspeaker, and what the browser forbids it."""

WATCH: Final = """(node) => {
  globalThis.shown = [];
  const keep = () => shown.push(node.textContent);
  new MutationObserver(keep).observe(node, { childList: true, characterData: true, subtree: true });
}"""


def chromium() -> str:
    """The browser of the system; on CI it has to be there."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("no Chromium: install the system's chromium package")
    if found is None:
        pytest.skip("no Chromium here: install the system's chromium package to test the page")
    return found


@dataclass
class Visit:
    """A page that somebody has open."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expects(self, status: int) -> None:
        """The browser's console names each answer that is an error; this one is meant."""
        self.expected.append(f"status of {status} ")

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def write(self, text: str) -> None:
        self.page.get_by_label("Text to speak").fill(text)

    def speak(self, text: str) -> None:
        self.write(text)
        self.button("Speak").click()

    def said(self, words: str | re.Pattern[str]) -> None:
        expect(self.page.locator("#said")).to_have_text(words)

    def trouble(self, words: str | re.Pattern[str]) -> None:
        expect(self.page.locator("#trouble")).to_have_text(words)

    @contextmanager
    def showing(self, place: Locator, *words: str) -> Iterator[None]:
        """In the block or after it the place shows these words, one after the other, if only for a moment."""
        place.evaluate(WATCH)
        yield
        until(lambda: self.page.evaluate("shown")[: len(words)] == list(words))

    def heard(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate("heard")
        return found

    def is_sounding(self) -> None:
        until(lambda: bool(self.page.evaluate("heard.loudest") > LOUD))

    def asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "blob:", "about:")):
            self.problems.append(request.url)

    def logged(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.expected):
            self.problems.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # No longer than this module: its event loop would be in the way of the tests that start their own.
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=FLAGS, timeout=2 * PATIENCE_MS)
        yield found
        found.close()


Open = Callable[..., Visit]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a server's page; in the end nothing may have been forbidden, broken or asked of another host."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def start(server: Running, *, microphone: bool = True, **options: Any) -> Visit:
        context = browser.new_context(permissions=["microphone"] if microphone else [], **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        visit = Visit(page, server.url)
        visits.append(visit)
        page.on("console", visit.logged)
        page.on("pageerror", lambda error: visit.problems.append(str(error)))
        page.on("request", visit.asked)
        page.add_init_script(SPY)
        page.goto(server.url)
        expect(page.locator("#voice option:not(:disabled)").first).to_be_attached()
        return visit

    expect.set_options(timeout=PATIENCE_MS)
    yield start
    for visit in visits:
        visit.problems += visit.page.evaluate("violations")
        assert visit.problems == []
    for context in contexts:
        context.close()


@pytest.fixture
def visit(server: Running, open_page: Open) -> Visit:
    return open_page(server)


def get(url: str, body: dict[str, Any] | None = None) -> bytes:
    request = urllib.request.Request(url, headers={"content-type": "application/json"})
    request.data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: bytes = answer.read()
        return found


def active(server: Running) -> int:
    found: int = json.loads(get(f"{server.url}/health"))["queue"]["active"]
    return found


def slowly(serve: Serve, *, places: int = 256, **kinds: Any) -> tuple[Running, EchoEngine]:
    """A server whose engine takes about as long to speak as people do, and that engine."""
    engine = EchoEngine(name="slow", delay_s=0.1, lanes=1, **kinds)
    settings = {"OSCINE_ENGINE": "slow", "OSCINE_MAX_REQUESTS": str(places)}
    return serve(factories={"slow": lambda _settings: engine}, **settings), engine

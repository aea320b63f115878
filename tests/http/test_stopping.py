"""What clients hear that still wait when the time of a server that was asked to stop is over."""

from __future__ import annotations

import json
from pathlib import Path

from tests.http.asking import ECHO, Asking, Gated
from tests.http.conftest import is_ready, running
from tests.waiting import until

HELD = "Here it is held."


def test_who_waits_for_a_first_sound_is_told_to_come_back(tmp_path: Path) -> None:
    engine = Gated("held")
    with running(tmp_path, {"echo": lambda _: engine}, OSCINE_DRAIN_SECONDS="1", **ECHO) as server, Asking() as asking:
        is_ready(server)
        asking.ask(server, HELD)
        until(lambda: server.server.service.places.waiting == 1, "the request did not arrive")
        server.server.should_exit = True
        (answer,) = asking.join()
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert answer.json()["error"]["code"] == "stopping"


def test_events_end_with_an_error_that_says_so(tmp_path: Path) -> None:
    engine = Gated("held")
    with running(tmp_path, {"echo": lambda _: engine}, OSCINE_DRAIN_SECONDS="1", **ECHO) as server, Asking() as asking:
        is_ready(server)
        asking.ask(server, f"This is heard at once. {HELD}", stream_format="sse")
        until(lambda: any("heard" in text for text in list(engine.counts.frames)), "nothing was spoken")
        until(lambda: server.server.service.places.waiting == 0, "there was no first sound")
        server.server.should_exit = True
        (answer,) = asking.join()
        last = answer.text.strip().split("\n\n")[-1].splitlines()
        assert last[0] == "event: error"
        assert json.loads(last[1].removeprefix("data: "))["error"]["code"] == "stopping"
        assert "speech.audio.delta" in answer.text

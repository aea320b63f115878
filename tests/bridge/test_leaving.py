"""A client that leaves stops the job that it is the only one to wait for."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.bridge.conftest import House
from tests.bridge.gate import refusal
from tests.bridge.house import Bridge, Bundle, asked, endpoint_of, running
from tests.waiting import until

pytestmark = pytest.mark.long

HELD = "This comes first. This is held back."


@contextmanager
def asking(bridge: Bridge, **fields: Any) -> Iterator[socket.socket]:
    """A client that sends a request, and leaves at the end of the block.

    It resets its connection, as a program does that is ended: the runtime takes one that says only that it sends no
    more for one that still reads, until it has something to write.
    """
    host, _, port = bridge.url.removeprefix("http://").partition(":")
    body = json.dumps(asked(**fields)).encode()
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.sendall(
            b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-client\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        yield connection


_RESET: Final = struct.pack("ii", 1, 0)


def reads_sound(connection: socket.socket) -> None:
    """Until the head of the answer and something after it were read."""
    heard = b""
    while len(heard.partition(b"\r\n\r\n")[2]) < 10:
        heard += connection.recv(65536)
    assert heard.startswith(b"HTTP/1.1 200 "), heard


def job_of(house: House) -> Any:
    until(lambda: house.plane.jobs)
    (job,) = house.plane.jobs.values()
    return job


def test_before_the_first_sound(tones: House):
    with asking(tones.bridge, input="It is held."):
        until(lambda: tones.gate.counted()["stream"])
    job = job_of(tones)
    until(lambda: job.status == "CANCELLED")
    until(lambda: tones.process.lanes() == 0)
    assert tones.gate.counted()["cancel"] == 1


def test_between_two_pieces(tones: House):
    with asking(tones.bridge, input=HELD, response_format="pcm") as connection:
        reads_sound(connection)
    job = job_of(tones)
    until(lambda: job.status == "CANCELLED")
    assert tones.gate.counted()["cancel"] == 1


def test_while_events_are_sent(tones: House):
    with asking(tones.bridge, input=HELD, response_format="pcm", stream_format="sse") as connection:
        reads_sound(connection)
    job = job_of(tones)
    until(lambda: job.status == "CANCELLED")


def test_while_it_waits_for_a_worker(bundle: Bundle, alone: House):
    with running(bundle, endpoint_of(alone.gate)) as patient:
        with asking(patient):
            until(lambda: alone.gate.counted()["stream"])
        job = job_of(alone)
        until(lambda: job.status == "CANCELLED")


def test_polls_end_when_the_client_has_left(tones: House):
    with asking(tones.bridge, input="It is held."):
        until(lambda: tones.gate.counted()["stream"])
    until(lambda: tones.gate.counted()["cancel"])
    before = tones.gate.counted()["stream"]
    others = threading.Thread(target=lambda: tones.bridge.speech(input="Another one."))
    others.start()
    others.join()
    asked_of = {passed.path for passed in tones.gate.of("stream")[before:]}
    assert job_of_first(tones) not in {path.rsplit("/", 1)[1] for path in asked_of}


def job_of_first(house: House) -> str:
    return next(iter(house.plane.jobs))


def test_one_that_is_done_is_not_cancelled(house: House):
    house.gate.passed.clear()
    assert house.bridge.speech().status_code == 200
    until(lambda: any(line.get("outcome") == "done" for line in house.bridge.log))
    assert not house.gate.counted()["cancel"]


def test_one_that_asked_for_a_file_is_cancelled_when_its_job_is_known(tones: House):
    """/runsync says the id only when it answers; until then RunPod's own limit on the job's time holds."""

    def rule(passed: Any) -> Any:
        if passed.kind == "runsync":
            made = tones.direct.run({"text": "It is held."})
            return refusal(200, {"id": made.id, "status": "IN_PROGRESS"})
        return None

    tones.gate.rule = rule
    with asking(tones.bridge, input="It is held.", stream=False):
        until(lambda: tones.gate.counted()["stream"])
    job = job_of(tones)
    until(lambda: job.status == "CANCELLED")


def test_one_that_left_before_its_job_was_known_cancels_it_then(bundle: Bundle, tones: House):
    with running(bundle, endpoint_of(tones.gate), COLD_START_SECONDS="3") as bridge:
        with asking(bridge, input="It is held.", stream=False):
            job = job_of(tones)
        until(lambda: job.status == "CANCELLED")

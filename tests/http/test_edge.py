"""Where the network meets the server: pages of other origins, foreign names, too many connections, strange requests."""

from __future__ import annotations

import json
import socket
import struct
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from oscine.http.protocol import Protocol
from tests.echo import EchoEngine
from tests.http.apart import apart
from tests.http.asking import ECHO, SPEECH, Gated
from tests.http.conftest import Running, Serve
from tests.http.raw import Answer, ask, connected, read, request, upload
from tests.voices.recordings import recording
from tests.waiting import PATIENCE_S, eventually

TONES: dict[str, Any] = {"factories": {"echo": lambda _: EchoEngine(cloning=True)}, **ECHO}
HELLO = json.dumps({"input": "Hello."}).encode()
EVIL = "https://evil.example"


def speech(running: Running, **headers: str) -> Answer:
    return ask(running.port, request("POST", SPEECH, HELLO, **headers))


def test_no_other_page_can_speak_upload_or_delete_without_keys(serve: Serve):
    running = serve(**TONES)
    assert ask(running.port, upload("Mine", recording())).status == 200
    for foreign in ({"Origin": EVIL}, {"Origin": "null"}, {"Origin": "http://localhost:3000"}, {}):
        for site in ({"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {}):
            headers = {**foreign, **site}
            if not headers:
                continue
            form = upload("Theirs", recording())
            lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()).encode()
            for answer in (
                speech(running, Content_Type="text/plain", **headers),
                ask(running.port, form.replace(b"\r\n", b"\r\n" + lines, 1)),
                ask(running.port, request("DELETE", "/v1/audio/voices/Mine", b"", **headers)),
            ):
                assert answer.status == 403, headers
                assert (answer.error["type"], answer.error["code"]) == ("invalid_request_error", "origin_not_allowed")
                assert "OSCINE_CORS_ORIGINS" in answer.error["message"]
    voices = ask(running.port, request("GET", "/v1/audio/voices?all=true")).json["voices"]
    assert [voice["id"] for voice in voices if voice["type"] == "audio_sample"] == ["Mine"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec_Fetch_Mode": "cors"},
        {"Host": "localhost:8000", "Origin": "http://localhost:8000"},
        {"Host": "localhost:8000", "Origin": "http://localhost:8000", "Sec_Fetch_Site": "same-origin"},
        {"Host": "localhost", "Origin": "http://LOCALHOST:80"},
        {"Host": "[::1]:8000", "Origin": "http://[::1]:8000"},
        {"Host": "127.0.0.1:8000", "Origin": "https://behind.a.proxy.example", "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
    ],
    ids=str,
)
def test_the_servers_own_page_and_programs_speak_without_keys(server: Running, headers: dict[str, str]):
    assert speech(server, **headers).status == 200


def test_pages_of_origins_that_are_named_speak_without_keys(serve: Serve):
    named = serve(OSCINE_CORS_ORIGINS="https://a.example", **TONES)
    assert speech(named, Origin="https://a.example", Sec_Fetch_Site="cross-site").status == 200
    assert speech(named, Host="a.example").status == 200
    for other in (EVIL, "http://a.example", "https://a.example:444", "https://a.example.evil.example"):
        assert speech(named, Origin=other, Sec_Fetch_Site="cross-site").status == 403, other
    every = serve(OSCINE_CORS_ORIGINS="*", **TONES)
    assert speech(every, Origin=EVIL, Sec_Fetch_Site="cross-site", Host="evil.example").status == 200


def test_with_keys_the_key_decides_and_not_the_page(serve: Serve):
    running = serve(OSCINE_API_KEYS="right", **TONES)
    foreign = {"Origin": EVIL, "Sec_Fetch_Site": "cross-site", "Host": "speech.example"}
    assert speech(running, Authorization="Bearer right", **foreign).status == 200
    assert speech(running, **foreign).status == 401


def test_another_page_cannot_embed_what_a_server_without_keys_has(serve: Serve):
    name = "cross-origin-resource-policy"
    own, listed = serve(**TONES), serve(OSCINE_CORS_ORIGINS="https://a.example", **TONES)
    assert ask(own.port, upload("Mine", recording())).headers[name] == "same-origin"
    for path, status in (("Mine/sample", 200), ("Mine", 200), ("Nobody/sample", 404)):
        answer = ask(own.port, request("GET", f"/v1/audio/voices/{path}"))
        assert (answer.status, answer.headers[name]) == (status, "same-origin")
    assert name not in ask(listed.port, request("GET", "/v1/audio/voices")).headers


@pytest.mark.parametrize("path", ["/", "/v1/audio/voices", "/v1/audio/voices/heart", "/health", "/metrics", "/none"])
def test_a_page_whose_name_was_made_to_mean_this_machine_reads_nothing(server: Running, path: str):
    for name in (
        "evil.example",
        "evil.example:8000",
        "EVIL.EXAMPLE.",
        "127.0.0.1.evil.example",
        "127.0.0.1@e.vil",
        "[",
    ):
        answer = ask(server.port, request("GET", path, Host=name))
        assert answer.status == 403, name
        assert (answer.error["type"], answer.error["code"]) == ("invalid_request_error", "host_not_allowed")
        assert answer.headers["x-request-id"]
        assert "vil" not in answer.error["message"]
    assert ask(server.port, request("DELETE", path, Host="evil.example", Origin="http://evil.example")).status == 403


OWN_NAMES = ("localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.9.9.9:1", "[::1]:8000", "oscine:8000", "")
PRIVATE_NAMES = ("host.docker.internal:8000", "host.containers.internal", "oscine.localhost")


@pytest.mark.parametrize("name", [*OWN_NAMES, *PRIVATE_NAMES])
def test_names_that_only_this_machine_or_its_containers_give_are_answered(server: Running, name: str):
    assert ask(server.port, request("GET", "/v1/test", Host=name)).status == 200


def test_a_server_on_every_network_or_with_a_name_answers_under_that(serve: Serve):
    everywhere = serve(OSCINE_HOST="0.0.0.0", **TONES)
    assert speech(everywhere, Host="speech.lan.example:8000").status == 200
    assert speech(everywhere, Host="speech.lan.example:8000", Origin=EVIL).status == 403
    named = serve(OSCINE_HOST="speech.lan.example", **TONES)
    assert speech(named, Host="speech.lan.example:8000").status == 200
    assert speech(named, Host="speech.other.example:8000").status == 403


def test_a_server_in_a_container_answers_under_the_names_that_it_is_told(serve: Serve):
    contained = serve(OSCINE_HOST="0.0.0.0", OSCINE_ALLOWED_HOSTS="localhost, speech.lan.example:8000", **TONES)
    for name in ("localhost:8000", "127.0.0.1:8000", "oscine:8000", "speech.lan.example", "SPEECH.lan.example.:9"):
        assert speech(contained, Host=name).status == 200, name
    for name in ("evil.example", "evil.example:8000", "localhost.evil.example"):
        answer = speech(contained, Host=name, Origin=f"http://{name}")
        assert (answer.status, answer.error["code"]) == (403, "host_not_allowed"), name
        assert "OSCINE_ALLOWED_HOSTS" in answer.error["message"]


FEW_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (120, 120))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_more_connections_than_there_are_files_for_are_told_so_and_nothing_breaks(tmp_path: Path):
    with apart(tmp_path, program=FEW_FILES, OSCINE_MAX_REQUESTS="8") as running, ExitStack() as stack:
        idle = [stack.enter_context(connected(running.port)) for _ in range(80)]
        for sock in idle[-8:]:
            answer = read(sock)
            assert answer.status == 503
            assert answer.headers["retry-after"] == "5"
            assert answer.headers["connection"] == "close"
            assert "connections" in answer.error["message"]
        polite = ask(running.port, request("POST", SPEECH, HELLO))
        assert polite.status == 503
        assert polite.error["type"] == "server_error"
        for sock in idle:
            sock.close()
        assert eventually(running.is_up)
        assert ask(running.port, request("POST", SPEECH, HELLO)).whole
        assert not running.strange
        assert [line for line in running.log if line["level"] == "ERROR"] == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_burst_of_connections_neither_fills_the_log_nor_stops_the_server(tmp_path: Path):
    with apart(tmp_path, program=FEW_FILES, OSCINE_MAX_REQUESTS="8") as running:
        with ExitStack() as stack:
            for _ in range(400):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", running.port))
        assert eventually(lambda: ask(running.port, request("POST", SPEECH, HELLO)).whole, PATIENCE_S)
        lines = [line["event"] for line in running.log if line["level"] == "ERROR"]
        assert len(lines) <= 1
        assert lines in ([], ["no connection can be accepted: too many files are open"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_the_limit_of_open_files_is_raised_as_far_as_it_may_be(tmp_path: Path):
    low = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))"
    with apart(tmp_path, program=low, ready=False) as running, ExitStack() as stack:
        for _ in range(110):
            sock = stack.enter_context(connected(running.port))
        sock.sendall(request("GET", "/v1/test"))
        assert read(sock).status == 200


def test_a_client_of_http_1_0_that_leaves_before_the_first_sound_frees_its_place(serve: Serve):
    engine = Gated("Hello")
    running = serve(factories={"echo": lambda _: engine}, **ECHO)
    data = request("POST", SPEECH, HELLO).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    try:
        with connected(running.port) as sock:
            sock.sendall(data)
            assert eventually(lambda: running.server.service.places.active == 1)
        assert eventually(lambda: running.server.service.places.active == 0, PATIENCE_S)
    finally:
        engine.open_gate()
    assert ask(running.port, data).status == 200


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "TLS/1.0"])
def test_a_wish_for_another_protocol_is_answered_without_it_and_without_a_word(
    server: Running, caplog: pytest.LogCaptureFixture, protocol: str
):
    answer = ask(server.port, request("GET", "/v1/test", Connection="Upgrade", Upgrade=protocol))
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    said = [record for record in caplog.records if record.name.startswith(("uvicorn", "oscine.http"))]
    assert [record for record in said if record.levelname == "WARNING"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what waits in the kernel")
def test_little_waits_for_a_client_that_takes_nothing(serve: Serve):
    running = serve(**TONES)
    with connected(running.port, receive_buffer=4096) as sock:
        sock.sendall(request("POST", SPEECH, json.dumps({"input": "A long story. " * 500}).encode()))
        connections = cast("set[Protocol]", running.server.server_state.connections)
        assert eventually(lambda: [one for one in list(connections) if one.flow.write_paused])
        (connection,) = connections
        import fcntl
        from termios import TIOCOUTQ

        (kernel,) = struct.unpack("i", fcntl.ioctl(connection.transport.get_extra_info("socket"), TIOCOUTQ, b"\0" * 4))
        assert kernel + connection.transport.get_write_buffer_size() < 400_000


def preflight(running: Running, origin: str, method: str) -> Answer:
    return ask(running.port, request("OPTIONS", SPEECH, Origin=origin, Access_Control_Request_Method=method))


def test_a_page_that_may_not_call_is_told_so_as_everywhere_and_one_that_may_reads_every_fault(serve: Serve):
    running = serve(OSCINE_CORS_ORIGINS="https://a.example", **TONES)
    for origin, method in ((EVIL, "POST"), ("https://a.example", "PATCH")):
        answer = preflight(running, origin, method)
        assert answer.status == 400
        assert answer.error["code"] == "origin_not_allowed"
        assert answer.headers["x-request-id"]
        assert "origin" in answer.headers["vary"].lower()
    assert preflight(running, "https://a.example", "POST").status == 200
    running.server.service.keys = cast("Any", None)  # so that a route fails as nobody thought of
    answer = speech(running, Origin="https://a.example")
    assert (answer.status, answer.error["type"]) == (500, "server_error")
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert answer.headers["x-request-id"]
    assert speech(running).status == 500


def test_a_request_line_with_the_whole_address_is_answered(server: Running):
    for target, status in (
        ("http://localhost/v1/test", 200),
        ("HTTP://127.0.0.1:8000/v1/audio/voices?engine=hibari", 200),
        ("http://localhost", 200),
        ("http://localhost/v1/audio/voices/no%2Fbody", 404),
        ("http://evil.example/v1/test", 403),
    ):
        answer = ask(server.port, request("GET", target))
        assert answer.status == status, target
    assert ask(server.port, request("POST", f"http://localhost{SPEECH}", HELLO)).status == 200
    assert ask(server.port, request("GET", "http://localhost/v1/test", Host="evil.example")).json == {"status": "ok"}
    assert ask(server.port, request("GET", "http://localhost/none")).error["code"] is None

"""Forms that are none, or hold what does not belong there: each is refused in words, and nothing of it is kept."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator

import pytest

from tests.http.conftest import Running, is_ready, running
from tests.http.raw import ask, connected, head, multipart, read, request
from tests.voices.recordings import recording

MEGABYTE = 1024 * 1024
KIND = "multipart/form-data; boundary=b0undary"


@pytest.fixture(scope="module")
def taker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose folder of voices stays empty."""
    with running(tmp_path_factory.mktemp("taker")) as found:
        yield is_ready(found)


def kept(server: Running) -> list[str]:
    home = server.settings.voice_home
    return sorted(path.name for path in home.iterdir() if path.name != ".oscine-lock") if home.exists() else []


def form(body: bytes, kind: str) -> bytes:
    return request("POST", "/v1/audio/voices", body, Content_Type=kind)


def field(name: str, value: str) -> tuple[str, bytes]:
    return f'name="{name}"', value.encode()


def sample(data: bytes | None = None, filename: str = "a.wav") -> tuple[str, bytes]:
    return f'name="audio_sample"; filename="{filename}"\r\nContent-Type: audio/wav', recording(
        "wav"
    ) if data is None else data


def _good() -> bytes:
    return multipart(field("name", "bert"), sample())[0]


MALFORMED: dict[str, Callable[[], bytes]] = {
    "no boundary": lambda: form(_good(), "multipart/form-data"),
    "an empty boundary": lambda: form(_good(), "multipart/form-data; boundary="),
    "another boundary": lambda: form(_good(), "multipart/form-data; boundary=other"),
    "a boundary of 100 kB in the body": lambda: form(b"--" + b"b" * 100_000, KIND),
    "a boundary with odd characters": lambda: form(_good(), 'multipart/form-data; boundary="\xe9\\"; x=y'),
    "no end": lambda: form(_good()[:-20], KIND),
    "an end within a header": lambda: form(_good()[:60], KIND),
    "nothing": lambda: form(b"", KIND),
    "only an end": lambda: form(b"--b0undary--\r\n", KIND),
    "only garbage": lambda: form(bytes(range(256)) * 100, KIND),
    "bare line feeds": lambda: form(_good().replace(b"\r\n", b"\n"), KIND),
    "thousands of parts": lambda: form(multipart(*(field(f"f{n}", "x") for n in range(5000)), sample())[0], KIND),
    "thousands of files": lambda: form(multipart(*(sample(b"x") for _ in range(2000)))[0], KIND),
    "two files": lambda: form(multipart(field("name", "bert"), sample(), sample())[0], KIND),
    "a giant header": lambda: form(multipart((f'name="a"\r\nX-Big: {"x" * 500_000}', b"x"), sample())[0], KIND),
    "thousands of headers": lambda: form(multipart(('name="a"' + "\r\nX: y" * 20_000, b"x"), sample())[0], KIND),
    "a giant name of a field": lambda: form(multipart((f'name="{"n" * 500_000}"', b"x"), sample())[0], KIND),
    "a giant name": lambda: form(multipart(field("name", "n" * 3_000_000), sample())[0], KIND),
    "a name that is a file": lambda: form(
        multipart(('name="name"; filename="n"', b"bert"), field("audio_sample", "x"))[0], KIND
    ),
    "a sample that is no file": lambda: form(
        multipart(field("name", "bert"), field("audio_sample", "UklGRg=="))[0], KIND
    ),
    "no name": lambda: form(multipart(sample())[0], KIND),
    "an empty name": lambda: form(multipart(field("name", ""), sample())[0], KIND),
    "a blank name": lambda: form(multipart(field("name", " \t "), sample())[0], KIND),
    "no file": lambda: form(multipart(field("name", "bert"))[0], KIND),
    "a name that is no UTF-8": lambda: form(multipart(('name="name"', b"\xff\xfe\x00b"), sample())[0], KIND),
    "a name in an encoding of its own": lambda: form(
        multipart(('name="name"\r\nContent-Transfer-Encoding: base64', b"!!"), sample())[0], KIND
    ),
    "a charset that does not exist": lambda: form(
        multipart(field("name", "bert/"), sample())[0], KIND + "; charset=klingon"
    ),
    "no disposition": lambda: form(b"--b0undary\r\nContent-Type: audio/wav\r\n\r\nx\r\n--b0undary--\r\n", KIND),
    "a disposition without a name": lambda: form(
        b"--b0undary\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b0undary--\r\n", KIND
    ),
    "no consent": lambda: form(multipart(field("consent", "false"), field("name", "bert"), sample())[0], KIND),
    "another type": lambda: form(multipart(field("type", "prompt"), field("name", "bert"), sample())[0], KIND),
    "JSON": lambda: form(b'{"name": "bert", "audio_sample": "UklGRg=="}', "application/json"),
    "JSON that says that it is a form": lambda: form(b'{"name": "bert"}', KIND),
    "a form of the other kind": lambda: form(b"name=bert&audio_sample=x", "application/x-www-form-urlencoded"),
    "no type": lambda: form(_good(), ""),
    "a type of another kind": lambda: form(recording("wav"), "audio/wav"),
    "mixed parts": lambda: form(_good(), "multipart/mixed; boundary=b0undary"),
    "a compressed body": lambda: request(
        "POST", "/v1/audio/voices", gzip.compress(_good()), Content_Type=KIND, Content_Encoding="gzip"
    ),
    "a compressed bomb": lambda: request(
        "POST", "/v1/audio/voices", gzip.compress(bytes(50 * MEGABYTE)), Content_Type=KIND, Content_Encoding="gzip"
    ),
}


# A file whose part never ended is closed when it is freed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_form_is_refused_and_keeps_nothing(taker: Running, what: str) -> None:
    answer = ask(taker.port, MALFORMED[what]())
    assert answer.status == 400
    assert len(answer.error["message"].split()) > 5
    assert "Traceback" not in answer.error["message"]
    assert kept(taker) == []
    assert ask(taker.port, request("GET", "/v1/test")).status == 200


def test_the_order_of_the_fields_does_not_matter(taker: Running) -> None:
    for parts in ([sample(), field("name", "bert")], [field("consent", "cons_1"), sample(), field("name", "bert")]):
        assert ask(taker.port, form(multipart(*parts)[0], KIND)).status == 200
        assert ask(taker.port, request("DELETE", "/v1/audio/voices/bert")).status == 200


def test_a_form_that_comes_in_single_bytes_and_odd_chunks_is_kept(taker: Running) -> None:
    body = multipart(field("name", "bert"), sample(recording("opus")))[0]
    with connected(taker.port) as sock:
        sock.sendall(head("POST", "/v1/audio/voices", {"Content-Type": KIND, "Transfer-Encoding": "chunked"}))
        at = 0
        for size in [1] * 300 + [7, 1000, 3] * 10_000:
            if at >= len(body):
                break
            data = body[at : at + size]
            sock.sendall(f"{len(data):x};a=b\r\n".encode() + data + b"\r\n")
            at += size
        sock.sendall(b"0\r\nTrailer: x\r\n\r\n")
        assert read(sock).status == 200
    assert ask(taker.port, request("DELETE", "/v1/audio/voices/bert")).status == 200

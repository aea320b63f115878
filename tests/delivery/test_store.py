"""Files in an object store: a real S3 server, and a folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oscine.audio.encode import Encoder
from oscine.audio.formats import Format
from oscine.config import Settings
from oscine.delivery.store import ObjectStore, disposition
from oscine.delivery.upload import COMPLETED_AT_THE_END, PART_BYTES, Upload
from oscine.errors import DeliveryFailed, InvalidRequest, NotAvailable
from tests.delivery.conftest import DOMAIN
from tests.delivery.faults import Faults, Passing
from tests.delivery.seaweed import READER, Seaweed

MP3: dict[str, Any] = {"content_type": "audio/mpeg", "filename": "speech.mp3"}


def stored(store: ObjectStore, key: str, data: bytes, block: int = 100_000) -> Upload:
    with store.writer(key, **MP3) as upload:
        for start in range(0, len(data), block):
            upload.write(data[start : start + block])
    return upload


def fetched(link: str, **more: Any) -> httpx.Response:
    """What anybody gets who follows a link."""
    return httpx.get(link, timeout=60, **more)


class Left(Exception):
    """Whoever wrote has left."""


def left_midway(store: ObjectStore, key: str, size: int, then: Callable[[], object] = lambda: None) -> Upload:
    """An upload that nobody finishes; `then` is called before it ends."""
    upload = store.writer(key, **MP3)
    with suppress(Left), upload:
        upload.write(os.urandom(size))
        then()
        raise Left
    return upload


def test_a_finished_file_is_stored_and_anybody_with_its_link_can_play_it(store: ObjectStore, tmp_path: Path):
    path = tmp_path / "speech.mp3"
    path.write_bytes(os.urandom(123_456))
    told = store.upload(path, "finished", content_type="audio/mpeg", filename="speech.mp3")  # a name tells its kind
    assert (told.key, told.size) == ("finished", 123_456)
    link = store.link(told.key, 60)
    answer = fetched(link)
    assert (answer.status_code, answer.content) == (200, path.read_bytes())
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-disposition"] == 'inline; filename="speech.mp3"'
    part = fetched(link, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, path.read_bytes()[100:200])
    found = store.find("finished")
    assert found is not None
    assert (found.key, found.size, found.e_tag) == (told.key, told.size, told.e_tag)
    assert abs((found.last_modified - told.last_modified).total_seconds()) < 600


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 20_000_001])
def test_what_is_written_is_what_is_stored_whatever_its_size(store: ObjectStore, server: Seaweed, size: int):
    data = os.urandom(size)
    upload = stored(store, "size", data, block=777_777)
    assert upload.stored is not None
    assert upload.stored.size == size
    assert store.read("size", size) == data
    assert server.left() == []


def test_a_hundred_megabytes_are_stored_in_the_memory_of_two_parts(server: Seaweed):
    """In a process of its own: its memory is nobody else's, and its peak not that of whoever started it."""
    code = f"""
    import hashlib
    from oscine.config import Settings
    from oscine.delivery.store import ObjectStore

    def peak():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    store = ObjectStore.from_settings(Settings(**{server.settings()!r}))
    store.check()
    before = peak()
    digest = hashlib.sha256()
    with store.writer("hundred.pcm", content_type="audio/pcm", filename="hundred.pcm") as upload:
        for number in range(20_000):
            block = number.to_bytes(4, "big") * 1250
            digest.update(block)
            upload.write(block)
    print(peak() - before, digest.hexdigest())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kilobytes, digest = done.stdout.split()
    print(f"{kilobytes} kB more")
    assert int(kilobytes) < 40_000
    store = ObjectStore.from_settings(Settings(**server.settings()))
    assert store is not None
    seen = hashlib.sha256()
    with httpx.stream("GET", store.link("hundred.pcm", 600), timeout=60) as answer:
        for piece in answer.iter_bytes():
            seen.update(piece)
    assert seen.hexdigest() == digest
    store.delete("hundred.pcm")


def test_links_that_are_expired_or_changed_are_refused(store: ObjectStore):
    stored(store, "linked", b"linked")
    stored(store, "another", b"another")
    link = store.link("linked", 600)
    assert fetched(link).status_code == 200
    assert fetched(link.replace("/linked?", "/another?")).status_code == 403
    assert fetched(link.replace("X-Amz-Expires=600&", "X-Amz-Expires=999&")).status_code == 403
    assert fetched(link[:-1] + ("0" if link[-1] != "0" else "1")).status_code == 403
    assert fetched(link.partition("?")[0]).status_code == 403
    assert httpx.delete(link, timeout=60).status_code == 403
    for seconds in (3, 60):  # so long a machine may stand still between the link and who follows it
        made = time.monotonic()
        link = store.link("linked", seconds)
        if fetched(link).status_code == 200:
            break
        assert time.monotonic() - made > seconds - 1, "the link never lived"
    else:
        pytest.fail("no link was followed in time")
    time.sleep(seconds + 0.1)
    assert fetched(link).status_code == 403


def test_a_link_lives_for_a_week_at_most(store: ObjectStore):
    assert fetched(store.link("nothing", 604_800)).status_code == 404
    for seconds in (0, 604_801):
        with pytest.raises(InvalidRequest, match="1 to 604800 seconds"):
            store.link("nothing", seconds)


def test_an_upload_that_ends_early_leaves_nothing_and_what_was_there_stays(store: ObjectStore, server: Seaweed):
    stored(store, "kept", b"as it was")
    open_uploads: list[str] = []
    upload = left_midway(store, "kept", 2 * PART_BYTES, lambda: open_uploads.extend(server.unfinished()))
    assert len(open_uploads) == 1
    assert server.left() == []
    assert store.read("kept", 100) == b"as it was"
    with pytest.raises(ValueError, match="closed"):
        upload.write(b"more")
    upload.close()
    upload.abort()
    left_midway(store, "small", 10)
    assert store.find("small") is None


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.05, 0.2, 0.5])
def test_an_upload_can_be_aborted_by_another_thread(store: ObjectStore, server: Seaweed, delay: float):
    upload = store.writer("cancelled", **MP3)
    ended: list[type[Exception]] = []

    def write() -> None:
        try:
            while True:
                upload.write(bytes(3_000_000))
        except Exception as error:
            ended.append(type(error))

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(delay)
    upload.abort()
    thread.join(60)
    assert ended == [ValueError]
    assert server.left() == []
    assert store.find("cancelled") is None


def test_many_uploads_at_once_do_not_mix(store: ObjectStore, server: Seaweed):
    def put(number: int) -> None:
        stored(store, f"at-once/{number}", bytes([number]) * (PART_BYTES + 4321 * number))
        # Whose file was replaced before it could be looked at hears of it.
        with suppress(DeliveryFailed):
            stored(store, "at-once/same", bytes([number]) * (PART_BYTES + 1))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(put, range(6)))
    for number in range(6):
        assert store.read(f"at-once/{number}", 20_000_000) == bytes([number]) * (PART_BYTES + 4321 * number)
    same = store.read("at-once/same", 20_000_000)
    assert len(same) == PART_BYTES + 1
    assert len(set(same)) == 1
    assert server.left() == []


def test_what_is_read_is_bounded_and_what_is_missing_is_told(store: ObjectStore):
    stored(store, "voices/My Voice.wav", b"0" * 1000)
    assert store.read("voices/My Voice.wav", 1000) == b"0" * 1000
    with pytest.raises(InvalidRequest, match=r"^s3_key: the file in the object store is larger than 0.0005 MB; "):
        store.read("voices/My Voice.wav", 500)
    with pytest.raises(NotAvailable, match=r"^s3_key: there is no such file"):
        store.read("voices/other.wav", 1000)


def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: ObjectStore):
    stored(store, "gone", b"1")
    store.delete("gone")
    store.delete("gone")
    assert store.find("gone") is None


@pytest.mark.parametrize("session", ["a", "...", "-", "A.b_c-1" * 18, "0" * 128, "con.mp3", ".hidden"])
def test_every_session_id_names_a_file_of_its_own_inside_the_prefix(
    open_store: Callable[..., ObjectStore], server: Seaweed, session: str
):
    inside = open_store(s3_prefix="of/one")
    told = stored(inside, f"{session}.mp3", session.encode()).stored
    assert told is not None
    assert told.key == f"of/one/{session}.mp3"
    assert f"{session}.mp3" in server.files("of/one/")
    assert fetched(inside.link(f"{session}.mp3", 60)).content == session.encode()
    # What the result of a job calls it is understood as well.
    assert inside.read(told.key, 200) == session.encode()
    assert inside.find(told.key) == inside.find(f"{session}.mp3")


@pytest.mark.parametrize(
    "key", ["", "/", "../out", "a/../../out", "a//b", "./a", "a/", "/a", "..", "a\\b", "a\0", "a\nb", "ü" * 600]
)
def test_a_key_that_would_lead_out_of_the_prefix_is_refused(open_store: Callable[..., ObjectStore], key: str):
    inside = open_store(s3_prefix="of/one")
    for use in (
        lambda: inside.writer(key, **MP3),
        lambda: inside.read(key, 10),
        lambda: inside.find(key),
        lambda: inside.delete(key),
        lambda: inside.link(key, 60),
    ):
        with pytest.raises(InvalidRequest, match="must be the name of a file in the object store"):
            use()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(key=st.text(min_size=1, max_size=40) | st.text("./ab%é#?+&=~ ", min_size=1, max_size=12))
def test_a_key_is_refused_or_names_one_file_inside_the_prefix(
    open_store: Callable[..., ObjectStore], server: Seaweed, key: str
):
    inside, everything = open_store(s3_prefix="fenced"), open_store()
    try:
        stored(inside, key, key.encode())
    except InvalidRequest:
        return
    try:
        assert inside.read(key, 1000) == key.encode()
        assert everything.read(f"fenced/{key.removeprefix('fenced/')}", 1000) == key.encode()
        assert fetched(inside.link(key, 60)).content == key.encode()
    finally:
        inside.delete(key)


def test_every_format_can_be_encoded_into_the_store(store: ObjectStore):
    samples = np.sin(np.arange(48_000) * 0.05).astype(np.float32) * 0.3
    for format in Format:
        name = f"spoken.{format.value}"
        looks_back = format in COMPLETED_AT_THE_END
        upload = store.writer(name, content_type=format.media_type, filename=name, seekable=looks_back)
        with upload, Encoder(format, 24_000, sink=upload.file) as encoder:
            encoder.push(samples)
            encoder.finish()
        plain = BytesIO() if looks_back else _Unseekable()
        with Encoder(format, 24_000, sink=plain) as encoder:
            encoder.push(samples)
            encoder.finish()
        assert store.read(name, 1_000_000) == plain.getvalue(), format


@pytest.mark.parametrize("format", list(Format))
def test_the_formats_that_are_completed_at_the_end_are_those_that_look_back(format: Format):
    looked = _Watched()
    with Encoder(format, 24_000, sink=looked) as encoder:
        encoder.push(np.random.default_rng(1).uniform(-0.3, 0.3, 480_000).astype(np.float32))
        encoder.finish()
    assert looked.moved_back == (format in COMPLETED_AT_THE_END)


def test_an_encoder_tells_what_went_wrong_with_the_store(open_store: Callable[..., ObjectStore]):
    refused = open_store(s3_secret_access_key="wrong")
    with (
        pytest.raises(DeliveryFailed, match="refused the credentials"),
        refused.writer("spoken.wav", **MP3) as upload,
        Encoder(Format.WAV, 24_000, sink=upload.file) as encoder,
    ):
        encoder.push(np.zeros(PART_BYTES, np.float32))


def test_what_failed_while_a_temporary_file_was_stored_is_told_and_leaves_nothing(
    open_store: Callable[..., ObjectStore], store: ObjectStore
):
    refused = open_store(s3_access_key_id=READER[0], s3_secret_access_key=READER[1])
    upload = refused.writer("spooled", **MP3, seekable=True)
    upload.write(b"spooled")
    with pytest.raises(DeliveryFailed, match="does not allow this"):
        upload.close()
    assert upload.closed
    assert store.find("spooled") is None


def test_a_store_is_checked_by_writing_and_following_a_link(store: ObjectStore, server: Seaweed, faults: Faults):
    store.check()
    assert [name for name in server.files() if "check" in name] == []
    proxied = ObjectStore.from_settings(Settings(**server.settings(s3_endpoint_url=faults.url)))
    assert proxied is not None
    proxied.check()
    faults.fault = lambda request: request.answer(403) if "X-Amz-Signature" in request.path else None
    with pytest.raises(DeliveryFailed, match="refuses presigned links"):
        proxied.check()
    assert [name for name in server.files() if "check" in name] == []


def test_the_check_of_a_store_goes_nowhere_that_the_store_sends_it(server: Seaweed, faults: Faults):
    proxied = ObjectStore.from_settings(Settings(**server.settings(s3_endpoint_url=faults.url)))
    assert proxied is not None

    def moved(request: Passing) -> None:
        if "X-Amz-Signature" in request.path:
            request.answered = True
            request.send_response_only(302)
            request.send_header("Location", f"{faults.url}/latest/meta-data")
            request.send_header("Content-Length", "0")
            request.end_headers()

    faults.fault = moved
    proxied.check()
    assert [path for _, path in faults.seen if "meta-data" in path] == []
    assert [name for name in server.files() if "check" in name] == []


def test_a_bucket_can_stand_in_the_host_or_in_the_path(
    store: ObjectStore, server: Seaweed, faults: Faults, monkeypatch: pytest.MonkeyPatch
):
    keys: dict[str, Any] = {"bucket_access_key_id": "WRITERKEY", "bucket_secret_access_key": "writer-secret"}
    in_path = ObjectStore.from_settings(Settings(bucket_endpoint_url=f"{server.url}/{server.bucket}", **keys))
    assert in_path is not None
    stored(in_path, "in-path", b"path")
    assert store.read("in-path", 10) == b"path"
    # No name here leads to the server, so the way is one that any host has.
    monkeypatch.setenv("HTTP_PROXY", faults.url)
    monkeypatch.setenv("http_proxy", faults.url)
    in_host = ObjectStore.from_settings(Settings(bucket_endpoint_url=f"http://{server.bucket}.{DOMAIN}", **keys))
    assert in_host is not None
    stored(in_host, "in-host", b"host")
    assert store.read("in-host", 10) == b"host"
    link = in_host.link("in-host", 60)
    assert link.startswith(f"http://{server.bucket}.{DOMAIN}/in-host?")
    assert fetched(link).content == b"host"


def test_variables_of_aws_do_not_mix_with_the_stores_own(
    server: Seaweed, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "OTHER",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_REGION": "mars-north-1",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_UNSIGNED_PAYLOAD": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
    }.items():
        monkeypatch.setenv(name, value)
    mixed = ObjectStore.from_settings(Settings(**server.settings()))
    assert mixed is not None
    mixed.check()


def test_a_folder_is_a_store_too(tmp_path: Path):
    folder = tmp_path / "speech of today"
    store = ObjectStore.from_settings(Settings(store_url=folder.as_uri(), s3_prefix="out"))
    assert store is not None
    store.check()
    told = stored(store, "whole.mp3", os.urandom(PART_BYTES + 5)).stored
    assert told is not None
    assert (folder / "out" / "whole.mp3").stat().st_size == told.size == PART_BYTES + 5
    assert store.link("whole.mp3", 60) == (folder / "out" / "whole.mp3").as_uri()
    left_midway(store, "half.mp3", PART_BYTES + 5)
    assert [path.name for path in (folder / "out").iterdir()] == ["whole.mp3"]
    assert store.find("half.mp3") is None
    store.delete("whole.mp3")
    store.delete("whole.mp3")
    with pytest.raises(NotAvailable):
        store.read("whole.mp3", 100)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.mp3", 'inline; filename="a.mp3"'),
        ('a".mp3', "inline; filename=\"a_.mp3\"; filename*=UTF-8''a%22.mp3"),
        ("ü\r\n.mp3", "inline; filename=\"___.mp3\"; filename*=UTF-8''%C3%BC%0D%0A.mp3"),
    ],
)
def test_a_name_cannot_break_out_of_the_header(name: str, header: str):
    assert disposition(name) == header


class _Unseekable(BytesIO):
    def seekable(self) -> bool:
        return False


class _Watched(BytesIO):
    moved_back = False

    def seek(self, offset: int, whence: int = 0) -> int:
        before, after = self.tell(), super().seek(offset, whence)
        self.moved_back |= after < before
        return after

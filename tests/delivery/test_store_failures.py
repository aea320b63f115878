"""What happens when an object store refuses, breaks, stalls or fills up."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from oscine.config import Settings
from oscine.delivery.store import ObjectStore
from oscine.delivery.upload import PART_BYTES
from oscine.errors import DeliveryFailed
from tests.delivery.faults import Fault, Faults, Passing, times
from tests.delivery.seaweed import NOBODY, READER, WRITER, Seaweed, seaweed

MP3: dict[str, Any] = {"content_type": "audio/mpeg", "filename": "speech.mp3"}


@pytest.fixture
def proxied(server: Seaweed, faults: Faults) -> Callable[..., ObjectStore]:
    """Opens the server's bucket through the proxy."""

    def opened(**others: Any) -> ObjectStore:
        store = ObjectStore.from_settings(Settings(**server.settings(s3_endpoint_url=faults.url, **others)))
        assert store is not None
        return store

    return opened


def put(store: ObjectStore, key: str, data: bytes) -> None:
    with store.writer(key, **MP3) as upload:
        for start in range(0, len(data), 1_000_000):
            upload.write(data[start : start + 1_000_000])


def at_some_pace(check: Callable[[int], None]) -> None:
    """Check what has times of its own; where that fails, once more with longer ones, which no machine stands still for.

    `check` is given how many times as long they are.
    """
    try:
        check(1)
    except (AssertionError, DeliveryFailed):
        check(10)


def refusal(action: Callable[[], object]) -> DeliveryFailed:
    """The error, which is one sentence without anything that is nobody's business."""
    with pytest.raises(DeliveryFailed) as caught:
        action()
    error = caught.value
    assert re.fullmatch(r"[A-Z][^.!?\n]*\.", re.sub(r"s3Config\.", "", error.message)), error.message
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    for private in ("127.0.0.1", "http:", "localhost", "/tmp", *WRITER, *READER, "wrong", "WRONG", "missing-one"):
        assert private not in error.message
    return error


def stuck_until(over: threading.Event) -> Fault:
    """What keeps a request from its answer."""

    def stuck(_request: Passing) -> None:
        over.wait(120)

    return stuck


@pytest.mark.parametrize(
    ("wrong", "code", "names"),
    [
        ({"s3_secret_access_key": "wrong"}, "credentials_refused", ["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"]),
        ({"s3_access_key_id": "WRONG"}, "credentials_refused", ["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"]),
        ({"s3_bucket_name": "missing-one"}, "bucket_not_found", ["S3_BUCKET_NAME"]),
        (
            {"s3_access_key_id": READER[0], "s3_secret_access_key": READER[1]},
            "access_denied",
            ["S3_ACCESS_KEY_ID", "S3_BUCKET_NAME"],
        ),
    ],
)
@pytest.mark.parametrize("size", [10, PART_BYTES + 10])
def test_a_refusal_is_told_at_once_and_names_what_to_correct(
    open_store: Callable[..., ObjectStore], wrong: dict[str, str], code: str, names: list[str], size: int
):
    store = open_store(**wrong, s3_timeout_seconds=600)
    began = time.monotonic()
    error = refusal(lambda: put(store, "refused", bytes(size)))
    assert error.code == code
    for name in names:
        assert name in error.message
    assert refusal(store.check).code == code
    assert time.monotonic() - began < 200


def test_reading_tells_of_a_missing_bucket_and_of_refused_credentials(open_store: Callable[..., ObjectStore]):
    assert refusal(lambda: open_store(s3_bucket_name="missing-one").read("a", 10)).code == "bucket_not_found"
    assert refusal(lambda: open_store(s3_secret_access_key="wrong").find("a")).code == "credentials_refused"
    assert refusal(lambda: open_store(s3_secret_access_key="wrong").delete("a")).code == "credentials_refused"


@pytest.mark.parametrize(
    "wrong",
    [
        {"accessId": "a\r\nX-Other: 1"},
        {"accessId": "a\0"},
        {"endpointUrl": "https://[fe80::1%25eth0]:9"},
        {"endpointUrl": "https://s3\u202e.example"},
    ],
    ids=str,
)
def test_what_breaks_the_package_for_stores_is_told_like_any_other_fault(wrong: dict[str, str]):
    config = {"endpointUrl": "https://127.0.0.1:9", "accessId": "a", "accessSecret": "b", "bucketName": "speech"}
    store = ObjectStore.from_s3_config(config | wrong, Settings())
    for ask in (store.check, lambda: store.find("a"), lambda: store.read("a", 10), lambda: put(store, "a", b"1")):
        error = refusal(ask)
        assert error.code == "store_misconfigured"
        assert "s3Config.endpointUrl" in error.message
        assert "s3Config.accessId" in error.message


def test_a_store_that_is_not_there_is_told_in_bounded_time():
    settings = Settings(
        s3_endpoint_url=NOBODY,
        s3_access_key_id=WRITER[0],
        s3_secret_access_key=SecretStr(WRITER[1]),
        s3_bucket_name="speech",
        s3_timeout_seconds=2,
    )
    store = ObjectStore.from_settings(settings)
    assert store is not None
    began = time.monotonic()
    error = refusal(lambda: put(store, "unreachable", b"1"))
    assert error.code == "store_unreachable"
    assert 1 < time.monotonic() - began < 60


@pytest.mark.parametrize("size", [1000, 3 * PART_BYTES])
def test_what_fails_twice_and_then_works_is_stored(
    proxied: Callable[..., ObjectStore], faults: Faults, store: ObjectStore, size: int
):
    data = os.urandom(size)
    faults.fault = times(2, lambda request: request.answer(503, "SlowDown"))
    put(proxied(), "third", data)
    assert store.read("third", size) == data
    assert len(faults.seen) > 2


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (401, "", "credentials_refused"),
        (403, "", "credentials_refused"),
        (403, "RequestTimeTooSkewed", "clock_skewed"),
        (403, "QuotaExceeded", "disk_full"),
        (404, "NoSuchBucket", "bucket_not_found"),
        (400, "AuthorizationHeaderMalformed", "store_misconfigured"),
        (301, "PermanentRedirect", "store_misconfigured"),
        (400, "InvalidRequest", "store_refused"),
    ],
)
def test_what_was_refused_is_not_sent_again(
    proxied: Callable[..., ObjectStore], faults: Faults, status: int, code: str, told: str
):
    faults.fault = lambda request: request.answer(status, code)
    store = proxied()
    assert refusal(lambda: put(store, "refused", b"1")).code == told
    assert len(faults.seen) == 1


@pytest.mark.parametrize(
    ("status", "code", "told"), [(500, "InternalError", "store_failed"), (507, "XMinioStorageFull", "disk_full")]
)
def test_what_goes_on_failing_is_told_in_bounded_time(
    proxied: Callable[..., ObjectStore], faults: Faults, status: int, code: str, told: str
):
    faults.fault = lambda request: request.answer(status, code)

    def check(pace: int) -> None:
        store = proxied(s3_timeout_seconds=2 * pace)
        began = time.monotonic()
        assert refusal(lambda: put(store, "broken", b"1")).code == told
        assert 1 < time.monotonic() - began < 60

    at_some_pace(check)


def test_a_slow_store_is_waited_for(proxied: Callable[..., ObjectStore], faults: Faults, store: ObjectStore):
    data = os.urandom(2 * PART_BYTES + 1)

    def check(pace: int) -> None:
        faults.fault = lambda _request: time.sleep(0.7 * pace)
        put(proxied(s3_timeout_seconds=4 * pace), "slow", data)

    at_some_pace(check)
    assert store.read("slow", len(data)) == data


def test_a_connection_that_dies_unnoticed_is_replaced(
    proxied: Callable[..., ObjectStore], faults: Faults, store: ObjectStore
):
    over = threading.Event()

    def check(pace: int) -> None:
        faults.fault = times(1, stuck_until(over))
        began = time.monotonic()
        put(proxied(s3_timeout_seconds=4 * pace), "stalled", b"at last")
        assert time.monotonic() - began < 100

    try:
        at_some_pace(check)
    finally:
        over.set()
    assert store.read("stalled", 10) == b"at last"


def test_a_store_that_does_not_answer_is_given_up(proxied: Callable[..., ObjectStore], faults: Faults):
    over = threading.Event()
    faults.fault = stuck_until(over)
    store = proxied(s3_timeout_seconds=2)
    began = time.monotonic()
    try:
        assert refusal(lambda: put(store, "stalled", b"1")).code == "store_unreachable"
        assert time.monotonic() - began < 60
    finally:
        over.set()


def test_a_part_that_is_refused_ends_the_upload_and_leaves_nothing(
    proxied: Callable[..., ObjectStore], faults: Faults, server: Seaweed, store: ObjectStore
):
    def second_part(request: Passing) -> None:
        if "partNumber=2" in request.path:
            request.answer(403, "QuotaExceeded")

    faults.fault = second_part
    broken = proxied()
    assert refusal(lambda: put(broken, "refused", bytes(4 * PART_BYTES))).code == "disk_full"
    assert server.left() == []
    assert store.find("refused") is None


def test_a_result_that_cannot_be_completed_leaves_nothing(
    proxied: Callable[..., ObjectStore], faults: Faults, server: Seaweed, store: ObjectStore
):
    def completion(request: Passing) -> None:
        if request.command == "POST" and "uploadId" in request.path:
            request.answer(400, "InvalidPart")

    faults.fault = completion
    broken = proxied()
    assert refusal(lambda: put(broken, "incomplete", bytes(2 * PART_BYTES + 1))).code == "store_refused"
    assert server.left() == []
    assert store.find("incomplete") is None


def test_bytes_that_change_on_the_way_are_found_out(
    proxied: Callable[..., ObjectStore], faults: Faults, server: Seaweed, store: ObjectStore
):
    def damage(request: Passing) -> None:
        if request.command == "PUT":
            request.body = bytes([request.body[0] ^ 1]) + request.body[1:]

    faults.fault = damage
    broken = proxied()
    assert refusal(lambda: put(broken, "damaged", os.urandom(1000))).code == "damaged"
    assert refusal(lambda: put(broken, "damaged", os.urandom(2 * PART_BYTES))).code == "damaged"
    assert server.left() == []
    faults.fault = None
    put(broken, "damaged", b"whole")
    assert store.read("damaged", 10) == b"whole"


def test_the_digest_of_each_body_is_signed(proxied: Callable[..., ObjectStore], faults: Faults):
    """Some stores take nothing else, and every one refuses what was damaged then."""
    digests: list[bool] = []

    def look(request: Passing) -> None:
        if request.command == "PUT":
            signed = "x-amz-content-sha256" in request.headers["Authorization"]
            digests.append(
                signed and request.headers["x-amz-content-sha256"] == hashlib.sha256(request.body).hexdigest()
            )

    faults.fault = look
    put(proxied(), "signed", b"small")
    put(proxied(), "signed", bytes(PART_BYTES + 1))
    assert len(digests) >= 3
    assert all(digests)


def test_a_store_that_calls_its_objects_otherwise_is_believed_once_they_were_read(
    proxied: Callable[..., ObjectStore], faults: Faults
):
    """As buckets do that encrypt with keys of their own."""

    def count() -> int:
        return sum(method == "GET" for method, _ in faults.seen)

    store = proxied()
    put(store, "plain", os.urandom(1000))
    put(store, "plain", os.urandom(2 * PART_BYTES))
    assert count() == 0, "what is called by its digest need not be read"
    faults.e_tag = '"d41d8cd98f00b204e9800998ecf8427e"'
    put(store, "encrypted", os.urandom(1000))
    assert count() == 1
    put(store, "encrypted", os.urandom(2 * PART_BYTES))
    assert count() == 1


@pytest.mark.slow
def test_an_upload_goes_on_when_a_killed_server_is_back(tmp_path: Path):
    with seaweed(tmp_path) as own:
        store = ObjectStore.from_settings(Settings(**own.settings(s3_timeout_seconds=120)))
        assert store is not None
        data = os.urandom(5 * PART_BYTES)
        upload = store.writer("survivor", **MP3)
        with upload:
            upload.write(data[: 3 * PART_BYTES])
            own.kill()
            again = threading.Thread(target=own.start)
            again.start()
            upload.write(data[3 * PART_BYTES :])
        again.join()
        assert store.read("survivor", len(data)) == data
        assert own.left() == []


@pytest.mark.slow
@pytest.mark.long
def test_an_upload_whose_server_stays_away_fails_and_nothing_of_it_is_seen(tmp_path: Path):
    with seaweed(tmp_path) as own:
        store = ObjectStore.from_settings(Settings(**own.settings(s3_timeout_seconds=2)))
        assert store is not None
        put(store, "victim", b"as it was")

        def killed_midway() -> None:
            with store.writer("victim", **MP3) as upload:
                upload.write(bytes(2 * PART_BYTES))
                own.kill()
                upload.write(bytes(4 * PART_BYTES))

        began = time.monotonic()
        assert refusal(killed_midway).code == "store_unreachable"
        assert time.monotonic() - began < 60
        own.start()
        assert store.read("victim", 100) == b"as it was"


@pytest.mark.slow
def test_a_server_whose_disk_is_full_is_told_and_what_it_has_stays(tmp_path: Path):
    """SeaweedFS with room for one volume of 8 MB."""
    options = ("-master.volumeSizeLimitMB=8", "-volume.max=1", "-master.volumePreallocate=false")
    with seaweed(tmp_path, options=options) as own:

        def opened(timeout: float) -> ObjectStore:
            store = ObjectStore.from_settings(Settings(**own.settings(s3_timeout_seconds=timeout)))
            assert store is not None
            return store

        put(opened(60), "first", b"as it was")

        def fill(store: ObjectStore) -> None:
            for number in range(40):
                put(store, f"more-{number}", os.urandom(6_000_000))

        def check(pace: int) -> None:
            # It does not say that this is why: every server that has no word for it answers 500.
            assert refusal(lambda: fill(opened(3 * pace))).code == "store_failed"

        at_some_pace(check)
        assert opened(60).read("first", 100) == b"as it was"

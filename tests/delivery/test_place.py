"""Which store is meant by what a deployment or a request says."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import PermissionDeniedError

from oscine.config import Settings
from oscine.delivery.bucket import Bucket, bucket_at
from oscine.delivery.place import _options
from oscine.delivery.store import ObjectStore
from oscine.errors import DeliveryFailed, InvalidRequest
from tests.delivery.seaweed import WRITER, Seaweed

ACCOUNT = "0123456789abcdef" * 2
R2 = f"https://{ACCOUNT}.r2.cloudflarestorage.com"
IN_R2 = f"https://speech.{ACCOUNT}.r2.cloudflarestorage.com"
AWS = "https://s3.eu-west-1.amazonaws.com"
IN_AWS = "https://speech.s3.eu-west-1.amazonaws.com"
IN_SPACES = "https://speech.nyc3.digitaloceanspaces.com"
B2 = "https://s3.us-west-004.backblazeb2.com"
KEYS = {"S3_ACCESS_KEY_ID": "AKIA", "S3_SECRET_ACCESS_KEY": "top-secret"}
RUNPODS = {"BUCKET_ACCESS_KEY_ID": "AKIA", "BUCKET_SECRET_ACCESS_KEY": "top-secret"}
CONFIG = {
    "accessId": "AKIA",
    "accessSecret": "top-secret",
    "bucketName": "speech",
    "endpointUrl": "https://s3.example.com",
}


def in_path(endpoint: str, region: str = "us-east-1", name: str = "speech") -> Bucket:
    return Bucket(endpoint, name, region, False)


def in_host(endpoint: str, region: str = "us-east-1") -> Bucket:
    return Bucket(endpoint, "speech", region, True)


@pytest.mark.parametrize(
    ("address", "name", "found"),
    [
        # Stores that are not AWS take the bucket in the path.
        ("http://minio:9000", "speech", in_path("http://minio:9000")),
        ("http://127.0.0.1:8333", "speech", in_path("http://127.0.0.1:8333")),
        ("http://[::1]:8333", "speech", in_path("http://[::1]:8333")),
        (R2, "speech", in_path(R2, "auto")),
        (B2, "speech", in_path(B2, "us-west-004")),
        ("https://s3.gra.io.cloud.ovh.net", "speech", in_path("https://s3.gra.io.cloud.ovh.net", "gra")),
        ("https://s3.office.example.com", "speech", in_path("https://s3.office.example.com")),
        ("https://nyc3.digitaloceanspaces.com", "speech", in_path("https://nyc3.digitaloceanspaces.com", "nyc3")),
        ("https://minio.example.com", "minio", in_path("https://minio.example.com", name="minio")),
        ("https://a.supabase.co/storage/v1/s3", "speech", in_path("https://a.supabase.co/storage/v1/s3")),
        # AWS takes it in the host, where no certificate stands in the way.
        (None, "speech", in_host("https://speech.s3.us-east-1.amazonaws.com")),
        ("https://s3.amazonaws.com", "speech", in_host("https://speech.s3.amazonaws.com")),
        (AWS, "speech", in_host(IN_AWS, "eu-west-1")),
        (AWS, "my.speech", in_path(AWS, "eu-west-1", "my.speech")),
        ("https://my.speech.s3.eu-west-1.amazonaws.com", "my.speech", in_path(AWS, "eu-west-1", "my.speech")),
        # The address holds it already.
        (IN_AWS, "speech", in_host(IN_AWS, "eu-west-1")),
        (IN_SPACES, "speech", in_host(IN_SPACES, "nyc3")),
        (f"{R2}/speech", "speech", in_path(R2, "auto")),
        # And nothing else says which one it is.
        (IN_AWS, None, in_host(IN_AWS, "eu-west-1")),
        (IN_SPACES, None, in_host(IN_SPACES, "nyc3")),
        (IN_R2, None, in_host(IN_R2, "auto")),
        (f"{R2}/speech", None, in_path(R2, "auto")),
        ("http://127.0.0.1:8333/speech", None, in_path("http://127.0.0.1:8333")),
        ("https://a.supabase.co/storage/v1/s3/speech", None, in_path("https://a.supabase.co/storage/v1/s3")),
        (R2, None, None),
        (f"https://{ACCOUNT}.eu.r2.cloudflarestorage.com", None, None),
        (AWS, None, None),
        ("https://nyc3.digitaloceanspaces.com", None, None),
        ("http://127.0.0.1:8333", None, None),
        ("http://minio:9000", None, None),
    ],
)
def test_a_bucket_is_found_as_people_write_its_address(address: str | None, name: str | None, found: Bucket | None):
    assert bucket_at(address, name, guess=True) == found


def test_a_region_that_is_given_comes_before_the_addresss():
    found = bucket_at("https://s3.us-west-004.backblazeb2.com", "speech", "elsewhere")
    assert found is not None
    assert found.region == "elsewhere"
    aws = bucket_at(None, "speech", "eu-north-1")
    assert aws == Bucket("https://speech.s3.eu-north-1.amazonaws.com", "speech", "eu-north-1", True)


def test_without_any_variable_there_is_no_store():
    assert ObjectStore.from_settings(Settings.from_env({"S3_REGION": "eu-west-1", "S3_PREFIX": "a"})) is None


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        (KEYS, "S3_BUCKET_NAME"),
        ({"S3_BUCKET_NAME": "speech"}, "S3_ACCESS_KEY_ID"),
        ({**KEYS, "S3_ENDPOINT_URL": "https://s3.example.com"}, "S3_BUCKET_NAME"),
        ({**KEYS, "S3_ENDPOINT_URL": "https://speech.s3.example.com"}, "S3_BUCKET_NAME"),
        ({"S3_ENDPOINT_URL": "https://a.example", "S3_BUCKET_NAME": "speech"}, "S3_ACCESS_KEY_ID"),
        (
            {"S3_ENDPOINT_URL": "https://a.example", "S3_BUCKET_NAME": "speech", "S3_ACCESS_KEY_ID": "AKIA"},
            "S3_SECRET_ACCESS_KEY",
        ),
        ({"BUCKET_ENDPOINT_URL": "https://speech.s3.example.com"}, "BUCKET_ACCESS_KEY_ID"),
        ({**RUNPODS, "BUCKET_NAME": "speech"}, "BUCKET_ENDPOINT_URL"),
        ({**RUNPODS, "BUCKET_ENDPOINT_URL": "https://s3.eu-west-1.amazonaws.com"}, "BUCKET_NAME"),
        ({**KEYS, "S3_ENDPOINT_URL": "https://a.example", "S3_BUCKET_NAME": "a b"}, "S3_BUCKET_NAME"),
        ({**KEYS, "OSCINE_STORE_URL": "gs://speech"}, "OSCINE_STORE_URL"),
        ({"OSCINE_STORE_URL": "ftp://speech"}, "OSCINE_STORE_URL"),
        ({"OSCINE_STORE_URL": "https://example.com/speech"}, "OSCINE_STORE_URL"),
        ({"OSCINE_STORE_URL": "speech"}, "OSCINE_STORE_URL"),
    ],
)
def test_a_store_that_is_half_configured_is_told_with_the_variable(environment: dict[str, str], name: str):
    with pytest.raises(InvalidRequest) as caught:
        ObjectStore.from_settings(Settings.from_env(environment))
    assert caught.value.param == name
    assert name in caught.value.message
    assert "top-secret" not in caught.value.message


def test_without_an_address_it_is_aws_and_a_forgotten_one_is_told_of(monkeypatch: pytest.MonkeyPatch):
    """As boto3 has it, with which the older workers stored their results."""
    store = ObjectStore.from_settings(Settings.from_env({**KEYS, "S3_BUCKET_NAME": "speech"}))
    assert store is not None
    assert re.match(r"https://speech\.s3\.us-east-1\.amazonaws\.com/a\.mp3\?", store.link("a.mp3", 60))

    def refused(*_: object) -> None:
        raise PermissionDeniedError("<Code>InvalidAccessKeyId</Code>")

    monkeypatch.setattr("obstore.head", refused)
    with pytest.raises(DeliveryFailed, match="S3_SECRET_ACCESS_KEY, or set S3_ENDPOINT_URL where it is not AWS"):
        store.find("a.mp3")


def test_names_with_s3_come_before_runpods(server: Seaweed):
    right = {
        "S3_ENDPOINT_URL": server.url,
        "S3_BUCKET_NAME": server.bucket,
        "S3_ACCESS_KEY_ID": WRITER[0],
        "S3_SECRET_ACCESS_KEY": WRITER[1],
    }
    wrong = {"BUCKET_ENDPOINT_URL": "http://127.0.0.1:1", "BUCKET_NAME": "other", **RUNPODS}
    both = ObjectStore.from_settings(Settings.from_env({**wrong, **right}))
    assert both is not None
    both.check()
    # Each part alone may have either name, and what is wrong is told with the name that was used.
    mixed = {**wrong, **right, "S3_SECRET_ACCESS_KEY": ""}
    store = ObjectStore.from_settings(Settings.from_env(mixed))
    assert store is not None
    with pytest.raises(DeliveryFailed, match="check S3_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY"):
        store.check()


def test_a_request_may_bring_its_own_store(server: Seaweed):
    own = Settings(**server.settings(s3_secret_access_key="wrong", s3_prefix="inside"))
    config = {
        "accessId": WRITER[0],
        "accessSecret": WRITER[1],
        "bucketName": server.bucket,
        "endpointUrl": server.url,
    }
    store = ObjectStore.from_s3_config(config, own)
    with store.writer("brought", content_type="audio/mpeg", filename="a.mp3") as upload:
        upload.write(b"brought")
    assert upload.stored is not None
    assert upload.stored.key == "inside/brought"
    nameless = {**config, "bucketName": None, "endpointUrl": f"{server.url}/{server.bucket}"}
    assert ObjectStore.from_s3_config(nameless, own).read("brought", 10) == b"brought"
    wrong = ObjectStore.from_s3_config({**config, "accessSecret": "wrong"}, own)
    with pytest.raises(DeliveryFailed, match=r"check s3Config.accessId and s3Config.accessSecret\.$"):
        wrong.check()


def test_a_store_of_a_request_has_its_own_region():
    own = Settings.from_env({**KEYS, "S3_BUCKET_NAME": "speech", "S3_ENDPOINT_URL": R2, "S3_REGION": "auto"})
    for address, region in ((AWS, "eu-west-1"), (B2, "us-west-004"), (R2, "auto")):
        link = ObjectStore.from_s3_config({**CONFIG, "endpointUrl": address}, own).link("a.mp3", 60)
        assert f"%2F{region}%2Fs3%2F" in link


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"accessId": None}, "accessId"),
        ({"accessId": 7}, "accessId"),
        ({"accessSecret": " "}, "accessSecret"),
        ({"bucketName": ["speech"]}, "bucketName"),
        ({"bucketName": "no/slash"}, "bucketName"),
        ({"bucketName": ""}, "bucketName"),
        ({"endpointUrl": "s3.example.com"}, "endpointUrl"),
        ({"endpointUrl": "https://user:top-secret@s3.example.com"}, "endpointUrl"),
        # Whoever may send a request may not have the worker talk to what only the worker reaches.
        ({"endpointUrl": "http://169.254.169.254/latest"}, "endpointUrl"),
        ({"endpointUrl": "http://s3.example.com"}, "endpointUrl"),
        ({"endpointUrl": "http://minio:9001"}, "endpointUrl"),
    ],
)
def test_a_wrong_s3_config_is_told_with_its_field(change: dict[str, Any], name: str):
    settings = Settings.from_env({**KEYS, "S3_BUCKET_NAME": "speech", "S3_ENDPOINT_URL": "http://minio:9000"})
    with pytest.raises(InvalidRequest) as caught:
        ObjectStore.from_s3_config({**CONFIG, **change}, settings)
    assert caught.value.param == f"s3Config.{name}"
    assert caught.value.message.startswith(f"s3Config.{name} must ")
    assert "top-secret" not in caught.value.message


@pytest.mark.parametrize("seconds", [4.0, 600.0])
def test_a_request_has_half_of_the_time_and_all_attempts_have_all_of_it(seconds: float):
    """Obstore's own are 30 s and 3 minutes, however long a deployment is willing to wait."""
    options = _options(Settings(s3_timeout_seconds=seconds), plain=False)
    assert options["client_options"]["timeout"] == timedelta(seconds=seconds / 2)
    assert options["client_options"]["connect_timeout"] <= timedelta(seconds=min(seconds / 2, 10))
    assert options["retry_config"]["retry_timeout"] == timedelta(seconds=seconds)
    assert options["retry_config"]["max_retries"] >= 1000  # the time ends them
    assert not options["client_options"]["allow_http"]


def test_no_secret_shows_in_what_is_printed_of_a_store_or_of_settings():
    settings = Settings.from_env({**KEYS, "S3_BUCKET_NAME": "speech", "S3_ENDPOINT_URL": "http://minio:9000"})
    store = ObjectStore.from_settings(settings)
    assert store is not None
    for shown in (repr(settings), repr(store), str(vars(store)), repr(vars(store)["_store"])):
        assert "top-secret" not in shown


def test_google_and_azure_give_links_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Signing asks nobody, so it is tried here with keys that open nothing; nothing was sent to either."""
    key = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], capture_output=True, check=True
    )
    account = tmp_path / "account.json"
    account.write_text(
        json.dumps(
            {
                "type": "service_account",
                "private_key": key.stdout.decode(),
                "private_key_id": "1",
                "client_email": "speech@example.iam.gserviceaccount.com",
            }
        )
    )
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(account))
    google = ObjectStore.from_settings(Settings(store_url="gs://speech", s3_prefix="out"))
    assert google is not None
    assert re.match(r"https://storage\.googleapis\.com/speech/out/a\.mp3\?X-Goog-Algorithm=", google.link("a.mp3", 60))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"0" * 64).decode())
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    azure = ObjectStore.from_settings(Settings(store_url="az://speech"))
    assert azure is not None
    assert re.match(r"https://account\.blob\.core\.windows\.net/speech/a\.mp3\?.*sig=", azure.link("a.mp3", 60))

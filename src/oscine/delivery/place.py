"""Which store a deployment or a request names, opened with obstore."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr, TypeAdapter, ValidationError

from oscine.__about__ import __version__
from oscine.config import Address, Settings
from oscine.delivery.bucket import Bucket, bucket_at, is_bucket_name, same_origin
from oscine.delivery.files import failed
from oscine.delivery.store_errors import Names
from oscine.errors import InvalidRequest, NotAvailable
from oscine.extras import install_command

if TYPE_CHECKING:
    from obstore.store import S3Credential

_S3: Final = Names()
_RUNPOD: Final = Names("BUCKET_ENDPOINT_URL", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY", "BUCKET_NAME")
_REQUEST: Final = Names("s3Config.endpointUrl", "s3Config.accessId", "s3Config.accessSecret", "s3Config.bucketName")
_URL: Final = Names("OSCINE_STORE_URL", "its key", "its secret", "OSCINE_STORE_URL", "OSCINE_STORE_URL")
_KINDS: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "file")


@dataclass(frozen=True)
class Place:
    """A bucket or a folder, ready to be used."""

    store: Any
    """obstore's."""
    names: Names
    folder: Path | None = None
    """Where it is, if it is a folder."""


def place_of_settings(settings: Settings) -> Place | None:
    """The deployment's; None: none is configured.

    Raises InvalidRequest that names the variable where only part of it is set, NotAvailable where obstore is not
    installed.
    """
    ours = (
        settings.s3_endpoint_url,
        settings.s3_access_key_id,
        _shown(settings.s3_secret_access_key),
        settings.s3_bucket_name,
    )
    theirs = (
        settings.bucket_endpoint_url,
        settings.bucket_access_key_id,
        _shown(settings.bucket_secret_access_key),
        settings.bucket_name,
    )
    if settings.store_url is not None:
        if any(ours + theirs):
            raise InvalidRequest(
                "OSCINE_STORE_URL and the S3_ variables are both set; unset one of them.", param="OSCINE_STORE_URL"
            )
        return _place_at(settings.store_url, settings)
    if not any(ours + theirs):
        return None
    missing = _S3 if any(ours) else _RUNPOD
    names = Names(
        *(
            s3 if own else runpod if other else neither
            for own, other, s3, runpod, neither in zip(
                ours, theirs, astuple(_S3)[:4], astuple(_RUNPOD)[:4], astuple(missing)[:4], strict=True
            )
        )
    )
    address, key, secret, name = (own or other for own, other in zip(ours, theirs, strict=True))
    if not address and not settings.s3_region and names.address == _RUNPOD.address:
        raise _missing(names.address)
    if not key:
        raise _missing(names.key)
    if not secret:
        raise _missing(names.secret)
    if not address:  # AWS, as for Amazon's own tools; whoever forgot the address of another store is told of it
        names = replace(names, secret=f"{names.secret}, or set {names.address} where it is not AWS")
    # RunPod's examples have the bucket in the host, and no variable for it.
    bucket = bucket_at(address, name, settings.s3_region, guess=names.address == _RUNPOD.address)
    if bucket is None:
        raise _missing(names.bucket)
    return _place_in(bucket, key, secret, settings, names)


def place_of_request(config: Mapping[str, Any], settings: Settings) -> Place:
    """That of RunPod's `s3Config`. Raises InvalidRequest that names the field, NotAvailable as above."""
    names = _REQUEST
    for name in (names.address, names.key, names.secret, names.bucket):
        value = config.get(name.removeprefix("s3Config."))
        if not isinstance(value, str | None) or (not (value or "").strip() and name != names.bucket):
            raise InvalidRequest(f"{name} must be text that is not empty.", param=name)
    try:
        address = TypeAdapter(Address).validate_python(config["endpointUrl"].strip())
    except ValidationError:
        raise InvalidRequest(
            f"{names.address} must be an address such as https://s3.example.com.", param=names.address
        ) from None
    own = settings.s3_endpoint_url or settings.bucket_endpoint_url
    known = own is not None and same_origin(own, address)
    if urlsplit(address).scheme != "https" and not known:
        raise InvalidRequest(
            f"{names.address} must begin with https://; without encryption only the worker's own store is used.",
            param=names.address,
        )
    wanted = (config.get("bucketName") or "").strip() or None
    bucket = bucket_at(address, wanted, settings.s3_region if known else None, guess=True)
    if bucket is None:
        raise InvalidRequest(f"{names.bucket} must be the name of a bucket.", param=names.bucket)
    return _place_in(bucket, config["accessId"].strip(), config["accessSecret"].strip(), settings, names)


def _place_in(bucket: Bucket, key: str, secret: str, settings: Settings, names: Names) -> Place:
    if not is_bucket_name(bucket.name):
        raise InvalidRequest(
            f"{names.bucket} must be the name of a bucket: letters, digits, dots and hyphens.", param=names.bucket
        )
    _check_installed()
    from obstore.store import S3Store

    def credential() -> S3Credential:
        return {"access_key_id": key, "secret_access_key": secret, "token": None, "expires_at": None}

    # obstore reads AWS's variables for whatever it is not told: a token from there would join this key.
    store = S3Store(
        bucket.name,
        endpoint=bucket.endpoint,
        aws_endpoint_url_s3=bucket.endpoint,
        region=bucket.region,
        virtual_hosted_style_request=bucket.in_host,
        credential_provider=credential,
        skip_signature=False,
        # The hash of each request's body is signed, so every store refuses what was damaged on its way. AWS's newer
        # checksum headers are themselves refused by some.
        unsigned_payload=False,
        disable_bulk_delete=True,
        **_options(settings, plain=bucket.endpoint.startswith("http:")),
    )
    return Place(store, names)


def _place_at(url: str, settings: Settings) -> Place:
    kind = url.partition("://")[0].lower()
    if "://" not in url or kind not in _KINDS:
        raise InvalidRequest(
            "OSCINE_STORE_URL must begin with gs://, az://, s3:// or file:///.", param="OSCINE_STORE_URL"
        )
    _check_installed()
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    try:
        if kind == "file":
            folder = Path(urllib.request.url2pathname(urlsplit(url).path))
            folder.mkdir(parents=True, exist_ok=True)
            return Place(from_url(url), _URL, folder)
        return Place(from_url(url, **_options(settings, plain=False)), _URL)
    except OSError as error:
        raise failed(error, "OSCINE_STORE_URL") from None
    except (BaseError, ValueError):
        raise InvalidRequest(
            "OSCINE_STORE_URL is no address of a store, or a variable that its kind of store needs is missing.",
            param="OSCINE_STORE_URL",
        ) from None


def _options(settings: Settings, *, plain: bool) -> dict[str, Any]:
    """How long requests may take and are tried again; and whether they may go without encryption."""
    timeout = timedelta(seconds=settings.s3_timeout_seconds)
    return {
        "client_options": {
            "allow_http": plain,
            "connect_timeout": min(timeout / 2, timedelta(seconds=10)),
            # Half, so that a connection that has died unnoticed does not use up all of it.
            "timeout": timeout / 2,
            "user_agent": f"oscine/{__version__}",
        },
        "retry_config": {
            # The time ends it, not the number.
            "max_retries": 1000,
            "retry_timeout": timeout,
            "backoff": {
                "init_backoff": timedelta(seconds=0.2),
                "max_backoff": min(timeout, timedelta(seconds=5)),
                "base": 2,
            },
        },
    }


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _missing(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name} is missing; set it beside the other variables of the object store, or unset those.", param=name
    )


def _check_installed() -> None:
    """Raises NotAvailable where obstore is not installed."""
    try:
        import obstore  # noqa: F401
    except ImportError:
        raise NotAvailable(
            f"Object stores need the package obstore, which is not installed; run: {install_command('s3')}"
        ) from None

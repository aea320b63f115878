"""What a store's errors mean to a user, in words that hold no host, no bucket and no key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from oscine.errors import DeliveryFailed


@dataclass(frozen=True)
class Names:
    """What a user calls the parts of a store's configuration: variables, or fields of a request."""

    address: str = "S3_ENDPOINT_URL"
    key: str = "S3_ACCESS_KEY_ID"
    secret: str = "S3_SECRET_ACCESS_KEY"  # noqa: S105 - the variable's name
    bucket: str = "S3_BUCKET_NAME"
    region: str = "S3_REGION"


def is_panic(error: BaseException) -> bool:
    """Whether obstore broke down, as over a control character in a key: such errors are no `Exception`."""
    return type(error).__name__ == "PanicException"


def store_failed(error: BaseException, names: Names) -> DeliveryFailed:
    """The error to raise instead of one of obstore's, whose text holds the address, and what the store answered."""
    if is_panic(error):
        return DeliveryFailed(
            f"The object store cannot be asked like this; check {names.address} and {names.key} for characters that do"
            " not belong there.",
            code="store_misconfigured",
        )
    text = str(error).partition("Debug source")[0]
    found = re.search(r"(?:<Code>|\"code\":\s*\")([A-Za-z]{1,60})", text)
    code = found[1] if found else ""
    found = re.search(r"non-2xx status code: (\d{3})", text)
    status = int(found[1]) if found else 0
    if code in _NO_BUCKET:
        return DeliveryFailed(f"The object store has no such bucket; check {names.bucket}.", code="bucket_not_found")
    if code in _FULL or status == 507 or "os error 28" in text or "os error 122" in text:
        return DeliveryFailed(
            "The object store is full; free some space there or choose another bucket.", code="disk_full"
        )
    if code in _REGION or "incorrectly configured region" in text:
        return DeliveryFailed(
            f"The object store expects another region; check {names.region} and {names.address}.",
            code="store_misconfigured",
        )
    if code == "RequestTimeTooSkewed":
        return DeliveryFailed(
            "The object store refused the request because of its time; set this machine's clock.", code="clock_skewed"
        )
    if code in _DENIED or "os error 13" in text or "os error 30" in text:
        return DeliveryFailed(
            f"The object store does not allow this; check the rights of {names.key} and {names.bucket}.",
            code="access_denied",
        )
    if status in (401, 403) or code in _REFUSED:
        return DeliveryFailed(
            f"The object store refused the credentials; check {names.key} and {names.secret}.",
            code="credentials_refused",
        )
    if 400 <= status < 500:
        answer = f"{status} {code}".strip()
        return DeliveryFailed(
            f"The object store refused the request ({answer}); check {names.address} and {names.bucket}.",
            code="store_refused",
        )
    if status:
        return DeliveryFailed(f"The object store failed ({status}); try again later.", code="store_failed")
    if "os error" in text and "HTTP error" not in text:
        return DeliveryFailed(
            f"The folder of the object store cannot be used; check {names.address}.", code="store_failed"
        )
    return DeliveryFailed(
        f"The object store cannot be reached or does not answer; check {names.address} or try again later.",
        code="store_unreachable",
    )


_NO_BUCKET: Final = {"NoSuchBucket", "InvalidBucketName", "ContainerNotFound", "ContainerBeingDeleted"}
_FULL: Final = {
    "InsufficientStorage",
    "QuotaExceeded",
    "QuotaExceededException",
    "StorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
}
"""AWS has no limit; these are what Ceph, MinIO and others answer."""
_REGION: Final = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
_DENIED: Final = {"AccessDenied", "AccountProblem", "AllAccessDisabled", "AuthorizationPermissionMismatch"}
_REFUSED: Final = {"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}

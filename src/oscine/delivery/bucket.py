"""Where a bucket is, from the addresses that people write."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

_SHORT_REGIONS: Final = (".ovh.net", ".ovh.us")
"""Whose regions are bare letters, such as `gra`; elsewhere such a part of a host may be anything."""
DEFAULT_REGION: Final = "us-east-1"
"""What stores sign with that know no regions."""


@dataclass(frozen=True)
class Bucket:
    """A bucket of an S3 store, and how it is spoken to."""

    endpoint: str
    """Scheme, host and what path the store itself has; with the bucket's name where `in_host`."""
    name: str
    region: str
    in_host: bool
    """Whether the bucket's name stands in the host, not in the path ("virtual-hosted-style" in the S3 guide)."""


def bucket_at(
    address: str | None, name: str | None = None, region: str | None = None, *, guess: bool = False
) -> Bucket | None:
    """The bucket called `name` of the store at `address`; no address is AWS. None: the bucket's name is not known.

    The address may hold the bucket already, as the last part of its path or at the start of its host: then it is used
    as it stands. Without `name` the bucket is the last part of the path, and with `guess` else the first part of a host
    of four parts or more. AWS wants the bucket in the host, other stores in the path, where every store takes it.
    """
    parts = urlsplit(address or f"https://s3.{region or DEFAULT_REGION}.amazonaws.com")
    host = parts.hostname or ""
    path = [part for part in parts.path.split("/") if part]
    if name is None and path:
        name = path.pop()
    elif name is None and guess:
        name = _bucket_in(host)
    elif name is not None and path[-1:] == [name]:
        path.pop()
    if name is None:
        return None
    region = region or _region_of(host)
    if not path and _begins_with(host, name):
        # A certificate for every bucket's host covers no name with a dot in it.
        if "." not in name:
            return Bucket(_join(parts, host, path), name, region, True)
        host = host.removeprefix(f"{name}.")
    elif not path and host.endswith((".amazonaws.com", ".amazonaws.com.cn")) and "." not in name:
        return Bucket(_join(parts, f"{name}.{host}", path), name, region, True)
    return Bucket(_join(parts, host, path), name, region, False)


def is_bucket_name(name: str) -> bool:
    """Whether a store could have a bucket called so (the S3 guide, "Bucket naming rules", and older, laxer ones)."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]", name) is not None and ".." not in name


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses have scheme, host and port in common."""
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.hostname, first.port) == (second.scheme, second.hostname, second.port)


def _join(parts: SplitResult, host: str, path: list[str]) -> str:
    shown = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return "/".join([f"{parts.scheme}://{shown}{port}", *path])


def _bucket_in(host: str) -> str | None:
    first = host.partition(".")[0]
    if first == "s3" or first.startswith("s3-") or not _begins_with(host, first):
        return None
    return first


def _begins_with(host: str, bucket: str) -> bool:
    """Whether the bucket stands in the host: before a store's name of three parts or more, such as s3.example.com."""
    rest = host.removeprefix(f"{bucket}.")
    if rest == host or rest.count(".") < 2 or _is_address(host):
        return False
    if rest.endswith("r2.cloudflarestorage.com"):
        # There the first part is an account, unless one follows: 32 hexadecimal digits.
        return re.match(r"[0-9a-f]{32}\.", rest) is not None
    return True


def _region_of(host: str) -> str:
    if host.endswith("r2.cloudflarestorage.com"):
        return "auto"
    if host.endswith(".digitaloceanspaces.com"):
        return host.split(".")[-3]
    found = re.search(r"(?:^|\.)s3[.-](?:dualstack\.)?([a-z0-9-]+)\.[^.]+\.[^.]+", host)
    if found is None or not (re.search(r"[-\d]", found[1]) or host.endswith(_SHORT_REGIONS)):
        return DEFAULT_REGION
    return found[1]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

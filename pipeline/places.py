"""Addresses of media: `s3://bucket/prefix`, `gs://bucket/prefix`, and access points by their ARN.

s3://films/2026/
s3://arn:aws:s3:eu-central-1:123456789012:accesspoint/films/2026/
gs://films/2026/                     the same protocol, spoken by Google Cloud Storage
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

GOOGLE_ENDPOINT = "https://storage.googleapis.com"
SCHEMES = ("s3", "gs")
# An ARN has slashes of its own, so that a bucket does not always end at the first one.
_ACCESS_POINT = re.compile(
    r"arn:[a-z-]+:s3[a-z-]*:[a-z0-9-]*:\d*:(outpost[/:][^/:]+[/:])?accesspoint[/:][^/:]+"
)


def is_access_point(bucket: str) -> bool:
    """Whether it is named by an ARN."""
    return _ACCESS_POINT.fullmatch(bucket) is not None


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """All objects of a bucket whose keys begin with `prefix`."""

    bucket: str
    prefix: str = ""

    def covers(self, other: Scope) -> bool:
        return self.bucket == other.bucket and other.prefix.startswith(self.prefix)


def split_uri(uri: str) -> tuple[str, str, str]:
    """(scheme, bucket, key or prefix) of an address. Raises ValueError for what is none."""
    scheme, colon, rest = uri.partition("://")
    if not colon or scheme not in SCHEMES:
        raise ValueError(f"{uri!r} does not begin with s3:// or gs://")
    found = _ACCESS_POINT.match(rest)
    bucket, _, key = rest.partition("/")
    if found is not None:
        bucket, key = found[0], rest[found.end() :].removeprefix("/")
    if not bucket:
        raise ValueError(f"{uri!r} names no bucket")
    return scheme, bucket, key


def scopes_of(addresses: Iterable[str]) -> tuple[Scope, ...]:
    """In the order of their buckets and prefixes, without those that another one covers: so each
    object is in one of them, and those of the next come after those of the one before.

    Raises ValueError for what is no address, and for addresses of two protocols.
    """
    split = [split_uri(address) for address in addresses]
    if len({scheme for scheme, _, _ in split}) > 1:
        raise ValueError("s3:// and gs:// are at two endpoints: index them by two states")
    kept: list[Scope] = []
    for scope in sorted(Scope(bucket, prefix) for _, bucket, prefix in split):
        # What begins with a prefix follows it at once, so that the last one kept is the one.
        if not kept or not kept[-1].covers(scope):
            kept.append(scope)
    return tuple(kept)

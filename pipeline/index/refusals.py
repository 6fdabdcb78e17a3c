"""Reads from an answer of Qdrant's why it did not do what it was asked. Imports no client.

The server turns each of its errors into a status of HTTP and into a code of gRPC. Some share one
with others: their words tell them apart, as they are in Qdrant 1.16 to 1.19.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum, auto


class Refusal(StrEnum):
    """What a person or a retry can do differs from one to the next."""

    KEY = auto()
    RATE_LIMIT = auto()
    NO_ROOM = auto()
    POINT_GONE = auto()
    NO_COLLECTION = auto()
    OTHER_VECTORS = auto()
    LIMIT = auto()
    TOO_LARGE = auto()
    NOT_READY = auto()
    TIMED_OUT = auto()
    TOO_OLD = auto()
    AWAY = auto()
    FAILED = auto()
    REFUSED = auto()


_STATUS_OF_CODE: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 408,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 503,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "ABORTED": 503,
}
_BY_STATUS: Mapping[int, Refusal] = {
    401: Refusal.KEY,
    403: Refusal.KEY,
    408: Refusal.TIMED_OUT,
    413: Refusal.TOO_LARGE,
    429: Refusal.RATE_LIMIT,
    501: Refusal.TOO_OLD,
    502: Refusal.AWAY,  # of a proxy
    503: Refusal.NOT_READY,
    504: Refusal.TIMED_OUT,
    507: Refusal.NO_ROOM,
}
# In this order; the first that fits.
_BY_WORDS: tuple[tuple[Refusal, re.Pattern[str]], ...] = tuple(
    (refusal, re.compile(words, re.IGNORECASE))
    for refusal, words in (
        (Refusal.NO_ROOM, "no space left|insufficient storage|out of memory|disk is full"),
        (Refusal.TOO_LARGE, "larger than|message length too large"),
        (Refusal.POINT_GONE, "no point with id"),
        (Refusal.NO_COLLECTION, "collection .*(doesn't exist|not found)"),
        (Refusal.OTHER_VECTORS, "vector dimension|not existing vector name"),
        (
            Refusal.LIMIT,
            "limit (reached|exceeded)|limit of .* reached|index required but not found|"
            "search disabled",
        ),
    )
)
# What gRPC's own TLS says: the library behind it has no class for Python.
_GRPC_TLS = re.compile(
    r"CERTIFICATE_VERIFY_FAILED: ([\w ]+)|(WRONG_VERSION_NUMBER|Hostname Verification Check failed)"
)
_NO_CONNECTION = re.compile("connect|socket|broken pipe|name resolution|dns", re.IGNORECASE)


def by_status(status: int, words: str) -> Refusal:
    """Of an answer of Qdrant's REST interface, or of a proxy before it."""
    if status in (401, 403, 429, 507):
        return _BY_STATUS[status] if status != 429 else _of_too_many(words)
    for refusal, pattern in _BY_WORDS:
        if pattern.search(words):
            return refusal
    return _BY_STATUS.get(status, Refusal.FAILED if status >= 500 else Refusal.REFUSED)


def by_code(code: str, words: str) -> Refusal:
    """Of an error by gRPC; `code` is the name of its code."""
    if code == "UNAVAILABLE" and _NO_CONNECTION.search(words):
        return Refusal.AWAY  # the client's own words: nobody has answered
    return by_status(_STATUS_OF_CODE.get(code, 500), words)


def grpc_tls_reason(words: str) -> str:
    """What an error by gRPC says of TLS; empty where it was something else."""
    found = _GRPC_TLS.search(words)
    if found is None:
        return ""
    certificate, other = found.groups()
    return (certificate or other.lower().replace("_", " ")).strip()


def _of_too_many(words: str) -> Refusal:
    """gRPC has one code for too many requests, a disk without room and a message too large."""
    for refusal, pattern in _BY_WORDS[:2]:
        if pattern.search(words):
            return refusal
    return Refusal.RATE_LIMIT

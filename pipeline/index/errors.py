"""Maps the errors of Qdrant's client to ours; nowhere else is that done."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import grpc
import httpx
from qdrant_client import grpc as g
from qdrant_client import models as q
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
)

from pipeline.errors import (
    IndexMismatch,
    IndexUnavailable,
    Permanent,
    SensedexError,
    SettingsError,
)
from pipeline.first_contact import tls_reason, without_secrets
from pipeline.index.refusals import Refusal, by_code, by_status, grpc_tls_reason
from pipeline.settings_index import IndexSettings

LONGEST_WORDS = 300
_FOREIGN = (ApiException, QdrantException, grpc.RpcError, httpx.HTTPError, ConnectionError)


class IndexRefused(Permanent):
    """Qdrant understood the request and will not do it: a key, a right, a limit."""

    default_code = "index_refused"


def place_of(settings: IndexSettings) -> str:
    """The server's address without what is secret in it, or the folder."""
    return str(settings.path) if settings.url is None else without_secrets(settings.url)


@contextmanager
def mapped_errors(what: str, where: str) -> Iterator[None]:
    """Errors of qdrant_client and its transports become ours; `where` is `place_of`."""
    try:
        yield
    except SensedexError:
        raise
    except _FOREIGN as error:
        raise _mapped(error, what, where) from error
    except (sqlite3.Error, OSError) as error:
        raise IndexUnavailable(
            f"The collection in {where} failed while {what}: {error}.",
            remedy="Look at the disk, then run again.",
        ) from error


def _mapped(error: Exception, what: str, where: str) -> SensedexError:
    if isinstance(error, ResourceExhaustedResponse):
        refusal = by_code("RESOURCE_EXHAUSTED", error.message)
        return _told(refusal, error.message, what, where, retry_after_s=error.retry_after_s)
    if isinstance(error, UnexpectedResponse):
        status, words = error.status_code or 0, _words(error.content)
        return _told(by_status(status, words), words or f"status {status}", what, where)
    if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        code, words = error.code().name, error.details() or ""
        if tls := grpc_tls_reason(words):
            return _untrusted(tls, where)
        named = code.lower().replace("_", " ")
        return _told(by_code(code, words), words or named, what, where)
    reason = error.source if isinstance(error, ResponseHandlingException) else error
    if tls := tls_reason(reason):
        return _untrusted(tls, where)
    late = isinstance(reason, httpx.TimeoutException) and not isinstance(
        reason, httpx.ConnectTimeout
    )
    refusal = Refusal.TIMED_OUT if late else Refusal.AWAY
    return _told(refusal, f"{type(reason).__name__}: {reason}".rstrip(": "), what, where)


def _untrusted(why: str, where: str) -> SettingsError:
    return SettingsError(
        f"No trusted connection to Qdrant at {where}: {why}.",
        code="tls",
        remedy="Mend index.url (http:// or https://, the name in the certificate), or name the "
        "server's authority by SSL_CERT_FILE.",
    )


class _Sentence(NamedTuple):
    """How a refusal is told: `error`, with `{where}`, `{what}` and the server's `{words}` in it."""

    error: type[IndexUnavailable | IndexRefused | IndexMismatch]
    code: str | None
    message: str
    remedy: str


# A code is listed in docs/cli.md; where there is none, it is the class's.
SENTENCES: Mapping[Refusal, _Sentence] = {
    Refusal.KEY: _Sentence(
        IndexRefused,
        None,
        "Qdrant at {where} refused the key while {what} ({words}).",
        "Set SENSEDEX_INDEX__API_KEY to a key that may do this.",
    ),
    Refusal.RATE_LIMIT: _Sentence(
        IndexUnavailable,
        "rate_limited",
        "Qdrant at {where} has had too many requests, {what}: {words}",
        "It is tried again when the server says; raise the collection's rate limit in strict mode.",
    ),
    Refusal.NO_ROOM: _Sentence(
        IndexUnavailable,
        "index_full",
        "Qdrant at {where} has no room left, {what}: {words}",
        "Make room on the server, or add nodes, then run again: what is committed is kept.",
    ),
    Refusal.POINT_GONE: _Sentence(
        # Another writer has taken it away, a server that was killed has lost it, or the engine
        # moves it just now (Qdrant's own test of its copy-on-write names that). A load that is
        # done again writes it anew.
        IndexUnavailable,
        "point_gone",
        "Qdrant at {where} lacks a point that was there a moment ago, {what}: {words}",
        "The step is tried again, from the point's vectors on.",
    ),
    Refusal.NO_COLLECTION: _Sentence(
        IndexRefused,
        "no_collection",
        "Qdrant at {where} has no such collection, {what}: {words}",
        "Check index.collection; `sensedex run` makes it, and `sensedex rebuild` makes it again.",
    ),
    Refusal.OTHER_VECTORS: _Sentence(
        IndexMismatch,
        None,
        "Qdrant at {where} has other vectors, {what}: {words}",
        "Name another collection by --collection, or use the encoder that it was made with.",
    ),
    Refusal.LIMIT: _Sentence(
        IndexRefused,
        "index_limit",
        "Qdrant at {where} has a limit against that, {what}: {words}",
        "Ask for less, or raise the limit in the collection's strict mode (docs/strict-mode.md).",
    ),
    Refusal.TOO_LARGE: _Sentence(
        IndexRefused,
        "request_too_large",
        "Qdrant at {where} takes no request of that size, {what}: {words}",
        "Lower index.upsert_points, or raise the server's limit.",
    ),
    Refusal.NOT_READY: _Sentence(
        IndexUnavailable,
        "index_not_ready",
        "Qdrant at {where} is not ready, {what}: {words}",
        "Wait until the server or its nodes are up, then run again.",
    ),
    Refusal.TIMED_OUT: _Sentence(
        IndexUnavailable,
        "index_timed_out",
        "Qdrant at {where} did not finish in time, {what}: {words}",
        "It is tried again; raise index.timeout_s if that does not help.",
    ),
    Refusal.TOO_OLD: _Sentence(
        IndexRefused,
        "index_too_old",
        "Qdrant at {where} does not know how, {what}: {words}",
        "Use Qdrant 1.16 or newer.",
    ),
    Refusal.AWAY: _Sentence(
        IndexUnavailable,
        None,
        "Qdrant at {where} cannot be reached while {what} ({words}).",
        "Check index.url and that the server runs.",
    ),
    Refusal.FAILED: _Sentence(
        IndexUnavailable,
        "index_failed",
        "Qdrant at {where} failed while {what}: {words}",
        "It is tried again; the server's log says more.",
    ),
    Refusal.REFUSED: _Sentence(
        IndexRefused, None, "Qdrant at {where} refused, {what}: {words}", "See the server's log."
    ),
}


def _told(
    refusal: Refusal, words: str, what: str, where: str, *, retry_after_s: float = 0.0
) -> SensedexError:
    kind, code, message, remedy = SENTENCES[refusal]
    said = message.format(where=where, what=what, words=words[:LONGEST_WORDS].strip().rstrip("."))
    told = kind(said if said.endswith(".") else f"{said}.", code=code, remedy=remedy)
    if isinstance(told, IndexUnavailable):
        told.retry_after_s = retry_after_s
    return told


def _words(body: bytes) -> str:
    """What the server says in its answer, or the begin of what a proxy says."""
    try:
        return str(json.loads(body)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip()


def completed(answer: q.UpdateResult | g.UpdateResult, what: str) -> None:
    """Raises IndexUnavailable: `wait` can end before the work does."""
    if answer.status not in (q.UpdateStatus.COMPLETED, g.UpdateStatus.Completed):
        status = answer.status
        told = status.value if isinstance(status, q.UpdateStatus) else g.UpdateStatus.Name(status)
        raise IndexUnavailable(
            f"Qdrant answered {told} while {what}.", remedy="The step is tried again."
        )

"""Maps the errors of Qdrant's client to ours; nowhere else is that done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import httpx
from qdrant_client import models as q
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
from pipeline.settings import IndexSettings

# What the server says where a payload is to be set on a point by its id, and the point is not
# there: another writer has taken it away, or a server that was killed has lost it. A load that is
# done again writes it anew.
POINT_GONE = "No point with id"


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
    except (ApiException, grpc.RpcError, httpx.HTTPError, ConnectionError) as error:
        raise _mapped(error, what, where) from error
    except (sqlite3.Error, OSError) as error:
        raise IndexUnavailable(
            f"The collection in {where} failed while {what}: {error}.",
            remedy="Look at the disk, then run again.",
        ) from error


def _mapped(error: Exception, what: str, where: str) -> SensedexError:
    if isinstance(error, UnexpectedResponse):
        status = error.status_code or 0
        if status in (401, 403):
            return IndexRefused(
                f"Qdrant at {where} refused the key while {what}.",
                remedy="Set SENSEDEX_INDEX__API_KEY.",
            )
        if status in (408, 429) or status >= 500:
            return _unavailable(what, where, f"status {status}")
        detail = error.content.decode("utf-8", "replace")[:300]
        if POINT_GONE in detail:
            return IndexUnavailable(
                f"Qdrant at {where} lacks a point that was there a moment ago, {what}: {detail}",
                code="point_gone",
                remedy="The step is tried again, from the point's vectors on.",
            )
        if "dimension" in detail:
            return IndexMismatch(f"Qdrant at {where}, {what}: {detail}")
        return IndexRefused(f"Qdrant at {where} said {status} while {what}: {detail}")
    if isinstance(error, grpc.RpcError):
        code = error.code() if hasattr(error, "code") else None
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            return IndexRefused(
                f"Qdrant at {where} refused the key while {what}.",
                remedy="Set SENSEDEX_INDEX__API_KEY.",
            )
        details = (error.details() or "") if hasattr(error, "details") else ""
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return IndexMismatch(f"Qdrant at {where}, {what}: {details}")
        name = "no answer" if code is None else code.name.lower().replace("_", " ")
        return _unavailable(what, where, f"{name}: {details}" if details else name)
    reason = error.source if isinstance(error, ResponseHandlingException) else error
    if tls := tls_reason(reason):
        return SettingsError(
            f"No trusted connection to Qdrant at {where}: {tls}.",
            code="tls",
            remedy="Mend index.url (http:// or https://, the name in the certificate), or name the "
            "server's authority by SSL_CERT_FILE.",
        )
    return _unavailable(what, where, f"{type(reason).__name__}: {reason}")


def completed(answer: q.UpdateResult, what: str) -> None:
    """Raises IndexUnavailable: `wait` can end before the work does."""
    if answer.status != q.UpdateStatus.COMPLETED:
        raise IndexUnavailable(
            f"Qdrant answered {answer.status} while {what}.", remedy="The step is tried again."
        )


def _unavailable(what: str, where: str, why: str) -> IndexUnavailable:
    return IndexUnavailable(
        f"Qdrant at {where} cannot be reached while {what} ({why}).",
        remedy="Check index.url and that the server runs.",
    )

"""How a Qdrant client is opened, and what its errors mean here; mapped in this one place."""

from __future__ import annotations

import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy

import grpc
import httpx
from qdrant_client import QdrantClient
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
from pipeline.first_contact import tls_reason, why_silent, without_secrets
from pipeline.qdrant_embedded import EngineFolder
from pipeline.settings import IndexSettings

REST_PORT, GRPC_PORT = 6333, 6334  # the client's own defaults


class IndexRefused(Permanent):
    """Qdrant understood the request and will not do it: a key, a right, a limit."""

    default_code = "index_refused"


class Connection:
    """An open client. Calls from several threads are taken one after the other where the engine is
    the client's own, which is not made for more.

    `may_write` is called before each change; it raises where the writer has lost its right to.
    """

    def __init__(self, client: QdrantClient, settings: IndexSettings) -> None:
        self.client = client
        self.local = settings.url is None
        self.where = place_of(settings)
        self._may_write: Callable[[], None] = lambda: None
        self._lock = threading.RLock() if self.local else None
        self._folder = EngineFolder(settings.path) if self.local else None

    def guarded(self, may_write: Callable[[], None]) -> Connection:
        """The same client and lock."""
        guarded = copy(self)
        guarded._may_write = may_write
        return guarded

    def make_ready(self) -> None:
        """After opening, and after a collection was made: what the embedded engine needs."""
        if self._folder is not None:
            with self.call("opening the folder") as client:
                self._folder.make_ready(client)

    @contextmanager
    def call(self, what: str) -> Iterator[QdrantClient]:
        """The client, for one call; its errors become ours and say what was being done."""
        with mapped_errors(what, self.where), self._lock or nullcontext():
            yield self.client

    @contextmanager
    def change(self, what: str) -> Iterator[QdrantClient]:
        """As `call`, for what writes."""
        with self.call(what) as client:
            self._may_write()
            yield client
            self._flush()

    def update(self, name: str, steps: Sequence[q.UpdateOperation], what: str) -> None:
        """Do the steps in one request; after a kill all of them are done, or none was begun.

        Raises IndexUnavailable, also where Qdrant has not completed a step.
        """
        with self.call(what) as client:
            self._may_write()
            with self._noted(name, steps):
                answers = client.batch_update_points(name, steps, wait=True)
                self._flush()
        for answer in answers:
            completed(answer, what)

    def _flush(self) -> None:
        if self._folder is not None:
            self._folder.flush()

    def _noted(self, name: str, steps: Sequence[q.UpdateOperation]) -> AbstractContextManager[None]:
        return nullcontext() if self._folder is None else self._folder.noted(name, steps)


@contextmanager
def open_connection(settings: IndexSettings) -> Iterator[Connection]:
    """Raises IndexUnavailable where the server or the folder cannot be had."""
    client = open_client(settings)
    try:
        connection = Connection(client, settings)
        connection.make_ready()
        yield connection
    finally:
        client.close()


def place_of(settings: IndexSettings) -> str:
    """The server's address without what is secret in it, or the folder."""
    return str(settings.path) if settings.url is None else without_secrets(settings.url)


def open_client(settings: IndexSettings) -> QdrantClient:
    """A server by URL, or the client's local mode by folder. Raises IndexUnavailable."""
    if settings.url is None:
        return _open_folder(settings)
    _first_contact(settings.url, grpc=settings.prefer_grpc)
    key = settings.api_key.get_secret_value() if settings.api_key else None
    with mapped_errors("connecting", place_of(settings)):
        client = QdrantClient(
            url=settings.url,
            api_key=key,
            prefer_grpc=settings.prefer_grpc,
            timeout=settings.timeout_s,
            check_compatibility=False,
        )
        client.get_collections()  # the client connects lazily: find out now
        return client


def _first_contact(url: str, *, grpc: bool) -> None:
    """The client would wait for `index.timeout_s` where nobody listens. Raises IndexUnavailable."""
    port = GRPC_PORT if grpc else None
    if why := why_silent(url, port=port, default_port=REST_PORT):
        by = f" by gRPC, port {GRPC_PORT}" if grpc else ""
        raise IndexUnavailable(
            f"Qdrant at {without_secrets(url)} cannot be reached{by} ({why}).",
            remedy="Check index.url and that the server runs"
            + (", or set index.prefer_grpc=false." if grpc else "."),
        )


def _open_folder(settings: IndexSettings) -> QdrantClient:
    settings.path.mkdir(parents=True, exist_ok=True)
    # Local mode is for small collections, as docs/architecture.md says; its own warning at 20,000
    # points would appear in the middle of a run's progress.
    warnings.filterwarnings("ignore", message="Local mode is not recommended", category=UserWarning)
    try:
        return QdrantClient(path=str(settings.path), force_disable_check_same_thread=True)
    except RuntimeError as error:
        if "already accessed" not in str(error):
            raise
        raise IndexUnavailable(
            f"The collection in {settings.path} is open in another process.",
            remedy="Wait until that run or search ends, or use a Qdrant server (index.url).",
        ) from error


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

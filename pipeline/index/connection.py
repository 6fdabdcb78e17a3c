"""Open a client of Qdrant's, for a server or for the embedded engine, and call it."""

from __future__ import annotations

import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any

import grpc
from qdrant_client import QdrantClient
from qdrant_client import models as q
from qdrant_client.http.exceptions import UnexpectedResponse

from pipeline.errors import IndexUnavailable, SettingsError
from pipeline.first_contact import why_silent, without_secrets
from pipeline.index.embedded import EngineFolder
from pipeline.index.errors import SENTENCES, IndexRefused, completed, mapped_errors, place_of
from pipeline.index.refusals import Refusal, by_code, grpc_tls_reason
from pipeline.settings_index import IndexSettings

TIMED_OUT = SENTENCES[Refusal.TIMED_OUT].code
NO_POINT = "00000000-0000-0000-0000-000000000000"
REST_PORT = 6333  # the client's own default
OLDEST_SERVER = (1, 16)
RECOMMENDED_SERVER = (1, 19)  # what was tried with it is in docs/reliability.md
READY_WITHIN_S = 3.0
LOOK_EVERY_S = 0.05
# A server that comes back is found within this; the library's own two minutes are shared by all
# channels of a process, new ones too.
GRPC_OPTIONS = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1_000}


class Connection:
    """An open client. Calls from several threads are taken one after the other where the engine is
    the client's own, which is not made for more.

    `may_write` is called before each change; it raises where the writer has lost its right to.
    """

    def __init__(self, client: QdrantClient, settings: IndexSettings) -> None:
        self.client = client
        self.local = settings.url is None
        self.where = place_of(settings)
        ordering = None if self.local else settings.write_ordering
        self.ordering = ordering and q.WriteOrdering(ordering)
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

    def version(self) -> tuple[int, ...] | None:
        """The server's, as (1, 19); None of a folder, or where a proxy does not let it through."""
        if self.local:
            return None
        with self.call("asking for the version") as client:
            said = _version_of(client)
        return None if said is None else _minor(said)

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

    def update(
        self,
        name: str,
        steps: Sequence[q.UpdateOperation],
        what: str,
        *,
        done: Callable[[], bool] = lambda: False,
    ) -> None:
        """Do the steps in one request; after a kill all of them are done, or none was begun.

        One that takes longer than `index.timeout_s` is waited for, since what is sent anew would
        stand in line behind it; `done` says then whether it has come to what it should.

        Raises IndexUnavailable, also where Qdrant has not completed a step.
        """
        try:
            self._update(name, steps, what)
        except IndexUnavailable as error:
            if error.code != TIMED_OUT:
                raise
            self.wait_for_updates(name)
            if not done():
                raise

    def _update(self, name: str, steps: Sequence[q.UpdateOperation], what: str) -> None:
        with self.call(what) as client:
            self._may_write()
            with self._noted(name, steps):
                answers = client.batch_update_points(name, steps, wait=True, ordering=self.ordering)
                self._flush()
        for answer in answers:
            completed(answer, what)

    def wait_for_updates(self, name: str) -> None:
        """Return when the server has done what it was given before this: it takes the changes of a
        collection one after the other. Raises IndexUnavailable after ten times `index.timeout_s`.
        """
        nothing = q.HasIdCondition(has_id=[NO_POINT])
        selector = q.FilterSelector(filter=q.Filter(must=[nothing]))  # of every shard
        for last in (False,) * 9 + (True,):
            try:
                with self.call("waiting for what was asked before") as client:
                    completed(client.delete(name, selector, wait=True), "waiting for updates")
                return
            except IndexUnavailable as error:
                if last or error.code != TIMED_OUT:
                    raise

    def _flush(self) -> None:
        if self._folder is not None:
            self._folder.flush()

    def _noted(self, name: str, steps: Sequence[q.UpdateOperation]) -> AbstractContextManager[None]:
        return nullcontext() if self._folder is None else self._folder.journaled(name, steps)


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


def open_client(settings: IndexSettings) -> QdrantClient:
    """A server by URL, or the client's local mode by folder. Raises IndexUnavailable."""
    if settings.url is None:
        return _open_folder(settings)
    _first_contact(settings.url, settings.grpc_port if settings.prefer_grpc else None)
    with mapped_errors("connecting", place_of(settings)):
        client = QdrantClient(**client_options(settings))
        try:
            _first_answer(client)  # the client connects lazily: find out now
            _check_version(client, place_of(settings))
        except BaseException:
            client.close()
            raise
        return client


def client_options(settings: IndexSettings) -> dict[str, Any]:
    """Of a client of a server, whether it is awaited or not. Raises SettingsError."""
    return {
        "url": settings.url,
        "api_key": settings.api_key.get_secret_value() if settings.api_key else None,
        "prefer_grpc": settings.prefer_grpc,
        "grpc_port": settings.grpc_port,
        "grpc_options": {**GRPC_OPTIONS, **_authorities()},
        "timeout": settings.timeout_s,
        "check_compatibility": False,
    }


def _first_answer(client: QdrantClient) -> None:
    """Somebody listens. Where gRPC says that nobody does, a channel of this process has seen the
    server away, and all of them wait a moment before they look again: so do we, for some seconds.
    """
    until = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            client.get_collections()
            return
        except grpc.RpcError as error:
            code, words = error.code().name, error.details() or ""
            waits = by_code(code, words) is Refusal.AWAY and not grpc_tls_reason(words)
            if not waits or time.monotonic() > until:
                raise
        time.sleep(LOOK_EVERY_S)


def _authorities() -> dict[str, bytes]:
    """gRPC knows nothing of SSL_CERT_FILE, by which REST goes: it is given what is in it. Raises
    SettingsError where that cannot be read."""
    named = os.environ.get("SSL_CERT_FILE")
    if not named:
        return {}
    try:
        return {"root_certificates": Path(named).read_bytes()}
    except OSError as error:
        raise SettingsError(
            f"SSL_CERT_FILE names {named}, which cannot be read: {error.strerror}.",
            remedy="Name the file with the authority's certificate, in PEM.",
        ) from error


def _check_version(client: QdrantClient, where: str) -> None:
    """Raises IndexRefused: an older server does not say that it ignores the conditions of ours."""
    version = _version_of(client)
    if version is not None and _minor(version) < OLDEST_SERVER:
        raise IndexRefused(
            f"Qdrant at {where} is {version}, which does not know conditional updates: a run that "
            "was overtaken could write over what a later one wrote.",
            code=SENTENCES[Refusal.TOO_OLD].code,
            remedy=SENTENCES[Refusal.TOO_OLD].remedy,
        )


def _version_of(client: QdrantClient) -> str | None:
    """None behind a proxy that lets only collections through."""
    try:
        return client.info().version
    except UnexpectedResponse as error:
        if error.status_code != 404:
            raise
        return None


def _minor(version: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else OLDEST_SERVER


def _first_contact(url: str, grpc_port: int | None) -> None:
    """The client would wait for `index.timeout_s` where nobody listens. Raises IndexUnavailable."""
    if why := why_silent(url, port=grpc_port, default_port=REST_PORT):
        by = f" by gRPC, port {grpc_port}" if grpc_port else ""
        raise IndexUnavailable(
            f"Qdrant at {without_secrets(url)} cannot be reached{by} ({why}).",
            remedy="Check index.url and that the server runs"
            + (", or set index.grpc_port, or index.prefer_grpc=false." if grpc_port else "."),
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

"""Leaves room for searches where a load would take it all: on a server of few cores, while somebody
searches there.

Beside a load as fast as it can be, a search on two cores takes four times as long as alone
(docs/performance.md). Where nobody searches, or the server has cores for both, nothing is held.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import BaseModel

from pipeline.errors import SensedexError
from pipeline.index.connection import Connection

LOOK_EVERY_S = 1.0
LATELY = timedelta(seconds=10)
CORES_FOR_BOTH = 8
REST_OF_WORK = 4.0
LONGEST_REST_S = 5.0

_SEARCH = re.compile(r"(/points/|\.Points/)(query|search|recommend|discover)", re.IGNORECASE)


class _Answered(BaseModel):
    last_responded: datetime | None = None


class _Protocol(BaseModel):
    responses: dict[str, dict[str, _Answered]] = {}


class _Requests(BaseModel):
    rest: _Protocol = _Protocol()
    grpc: _Protocol = _Protocol()


class _System(BaseModel):
    cores: int | None = None


class _App(BaseModel):
    system: _System = _System()


class ServerTelemetry(BaseModel):
    """Of what a server tells about itself (`GET /telemetry?details_level=1`), what is looked at.

    The client's own model asks for fields that a server of another version does not send.
    """

    app: _App = _App()
    requests: _Requests = _Requests()


class _TelemetryAnswer(BaseModel):
    result: ServerTelemetry


def wants_room(telemetry: ServerTelemetry) -> bool:
    """Whether it has few cores, and has answered a search lately, by its own clock: the newest of
    all its answers is taken to be of now, since a load asks it all the time."""
    cores = telemetry.app.system.cores
    if cores is None or cores >= CORES_FOR_BOTH:
        return False
    answers = [
        (endpoint, answered.last_responded)
        for protocol in (telemetry.requests.rest, telemetry.requests.grpc)
        for endpoint, by_status in protocol.responses.items()
        for answered in by_status.values()
        if answered.last_responded is not None
    ]
    searches = [at for endpoint, at in answers if _SEARCH.search(endpoint)]
    return bool(searches) and max(searches) >= max(at for _, at in answers) - LATELY


class RoomForSearches:
    """Of the loads of one open index, one after the other."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._never = connection.local
        self._wanted = False
        self._looked_s = float("-inf")
        self._worked_from_s = 0.0

    def begin(self) -> None:
        """A load begins: what was before is no work of its."""
        self._worked_from_s = time.monotonic()

    def rest(self, drain: Callable[[], None]) -> None:
        """Where somebody searches, wait four times as long as the load has worked since it rested
        last. `drain` waits for what is on its way to the server."""
        if not self._is_wanted():
            self._worked_from_s = time.monotonic()
            return
        drain()
        worked_s = time.monotonic() - self._worked_from_s
        time.sleep(min(LONGEST_REST_S, REST_OF_WORK * worked_s))
        self._worked_from_s = time.monotonic()

    def _is_wanted(self) -> bool:
        now = time.monotonic()
        if not self._never and now - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now
            try:
                self._wanted = wants_room(self._telemetry())
            except SensedexError:  # a key without the right to it, a proxy, another version
                self._never, self._wanted = True, False
        return self._wanted

    def _telemetry(self) -> ServerTelemetry:
        with self._connection.call("asking whether anybody searches") as client:
            by_rest = client.http.service_api.api_client
            answer: _TelemetryAnswer = by_rest.request(
                type_=_TelemetryAnswer,
                method="GET",
                url="/telemetry",
                params={"details_level": "1"},
            )
        return answer.result

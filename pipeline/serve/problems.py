"""Problem documents (RFC 9457): every error that leaves the API, by the tree of our errors.

A client is told the code, the sentence and the remedy that the command line would give; of a defect
of ours it is told the request's id alone, by which the log has the traceback.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from encoders.errors import EncoderError, InputError
from pipeline.errors import (
    MediaRejected,
    ObjectArchived,
    ObjectChanged,
    ObjectDenied,
    Permanent,
    SensedexError,
    SettingsError,
    Transient,
)

CONTENT_TYPE = "application/problem+json"
TYPE = "urn:sensedex:problem:"
RETRY_AFTER_S = 1


class RequestRefused(Permanent):
    """What a client asks cannot be answered so. `status` is that of HTTP."""

    default_code = "request"

    def __init__(
        self, message: str, *, code: str | None = None, remedy: str = "", status: int = 422
    ) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.status = status
        self.headers: dict[str, str] = {}

    def with_headers(self, headers: dict[str, str]) -> RequestRefused:
        """The same; the answer has them, too."""
        self.headers = headers
        return self


class ServerBusy(Transient):
    """More is asked at once than the settings allow, or it took too long. `status` is that of
    HTTP."""

    default_code = "busy"

    def __init__(
        self, message: str, *, code: str | None = None, remedy: str = "", status: int = 503
    ) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.status = status
        self.retry_after_s = RETRY_AFTER_S


def status_of(error: SensedexError | EncoderError) -> int:
    """The status of HTTP that says what a client may do about it."""
    match error:
        case RequestRefused(status=status) | ServerBusy(status=status):
            return int(status)
        case ObjectChanged():
            return HTTPStatus.GONE
        case ObjectDenied():
            return HTTPStatus.FORBIDDEN
        case ObjectArchived():
            return HTTPStatus.CONFLICT
        case MediaRejected() | SettingsError() | InputError():
            return HTTPStatus.UNPROCESSABLE_ENTITY
        case Transient():
            return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem_of(error: SensedexError | EncoderError, request_id: str) -> Response:
    """With Retry-After where a retry can help."""
    status = status_of(error)
    headers = dict(getattr(error, "headers", {}))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        after_s = getattr(error, "retry_after_s", 0.0) or RETRY_AFTER_S
        headers["Retry-After"] = str(max(1, round(after_s)))
    return problem(
        status, error.code, error.message, remedy=error.remedy, request_id=request_id,
        headers=headers,
    )  # fmt: skip


def defect(request_id: str) -> Response:
    """Nothing of what went wrong is in it."""
    return problem(
        500, "defect", "This is a defect of sensedex.",
        remedy="The server's log has it under the request's id.", request_id=request_id,
    )  # fmt: skip


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    remedy: str = "",
    request_id: str = "",
    headers: dict[str, str] | None = None,
) -> Response:
    """A response of that status."""
    body: dict[str, Any] = {
        "type": f"{TYPE}{code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "remedy": remedy,
        "request_id": request_id,
    }
    # The front (front.py) writes the code to the log.
    told = {"Cache-Control": "no-store", "X-Problem-Code": code, **(headers or {})}
    return Response(json.dumps(body).encode(), int(status), told, CONTENT_TYPE)

"""Every request passes here first and every answer last: who may ask, an id, headers, a line of the
log, metrics; and what went wrong unforeseen ends one request, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serve.guard import Guard
from pipeline.serve.problems import defect, problem_of

CODE_HEADER = b"x-problem-code"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, when its answer has ended. `path` is without the query, which may hold a
    signature; `code` is that of a problem; `error` what nobody foresaw."""

    request_id: str
    client: str
    method: str
    path: str
    status: int
    sent_bytes: int
    seconds: float
    route: str
    code: str = ""
    error: BaseException | None = None


OnAsked = Callable[[Asked], None]


class Front:
    """Around an application of ASGI."""

    def __init__(
        self, app: ASGIApp, guard: Guard, headers: dict[str, str], on_asked: OnAsked
    ) -> None:
        self._app = app
        self._guard = guard
        self._headers = [(n.lower().encode(), v.encode()) for n, v in headers.items()]
        self._on_asked = on_asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, self._headers, uuid4().hex)
        scope.setdefault("state", {})["request_id"] = answer.request_id
        began = time.perf_counter()
        error: BaseException | None = None
        try:
            refused = self._guard.refusal(scope)
            if refused is not None:
                await problem_of(refused, answer.request_id)(scope, receive, answer.send)
            else:
                await self._app(scope, receive, answer.send)
        except Exception as unforeseen:  # noqa: BLE001 - it ends this request; the log has it whole
            error = unforeseen
            if not answer.status:
                await _told_defect(answer, scope, receive)
        finally:
            self._on_asked(
                Asked(
                    answer.request_id,
                    str((scope.get("client") or ("",))[0]),
                    scope["method"],
                    scope["path"],
                    answer.status,
                    answer.sent_bytes,
                    time.perf_counter() - began,
                    getattr(scope.get("route"), "path", "") or "other",
                    answer.code,
                    error or scope["state"].get("error"),
                )
            )


async def _told_defect(answer: _Answer, scope: Scope, receive: Receive) -> None:
    await defect(answer.request_id)(scope, receive, answer.send)


class _Answer:
    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]], request_id: str) -> None:
        self._send = send
        self._headers = [*headers, (b"x-request-id", request_id.encode())]
        self.request_id = request_id
        self.status = 0
        self.sent_bytes = 0
        self.code = ""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [(name.lower(), value) for name, value in message.get("headers", [])]
            self.code = next((v.decode() for n, v in own if n == CODE_HEADER), "")
            there = {name for name, _ in own}
            added = [(name, value) for name, value in self._headers if name not in there]
            kept = [(name, value) for name, value in own if name != CODE_HEADER]
            message = {**message, "headers": [*kept, *added]}
        elif message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)


def request_id_of(scope: Any) -> str:
    """Of the request at hand."""
    return str(scope.get("state", {}).get("request_id", ""))


def unforeseen(scope: Scope, error: Exception) -> Response:
    """The answer to a defect; the log is given it when the answer has ended."""
    scope["state"]["error"] = error
    return defect(request_id_of(scope))

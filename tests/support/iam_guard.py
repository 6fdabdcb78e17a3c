"""Stands before the S3 server of the tests and allows what one of infra/iam's policies allows."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.support.s3_server import S3Server

REFUSED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_OF_AN_OBJECT = {
    "GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "POST": "s3:PutObject",
    "DELETE": "s3:DeleteObject",
}  # fmt: skip


class Policy:
    """The statements that allow; there are no others in infra/iam."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._statements = document["Statement"]
        assert self._statements
        assert all(s["Effect"] == "Allow" for s in self._statements)

    @classmethod
    def read(cls, path: Path, **names: str) -> Policy:
        """With the names of this test in place of those in capitals."""
        text = path.read_text()
        for placeholder, name in names.items():
            text = text.replace(placeholder.upper().replace("_", "-"), name)
        return cls(json.loads(text))

    def without(self, *ends: str) -> Policy:
        """The same, but for objects whose keys end so."""
        return _Narrower({"Statement": self._statements}, ends)

    def allows(self, action: str, resource: str, prefix: str) -> bool:
        return any(
            action in _list(s["Action"])
            and any(fnmatch.fnmatchcase(resource, r) for r in _list(s["Resource"]))
            and _holds(s.get("Condition"), prefix)
            for s in self._statements
        )


class _Narrower(Policy):
    def __init__(self, document: Mapping[str, Any], ends: tuple[str, ...]) -> None:
        super().__init__(document)
        self._ends = ends

    def allows(self, action: str, resource: str, prefix: str) -> bool:
        return not resource.endswith(self._ends) and super().allows(action, resource, prefix)


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _holds(condition: Mapping[str, Any] | None, prefix: str) -> bool:
    if condition is None:
        return True
    assert list(condition) == ["StringLike"]
    assert list(condition["StringLike"]) == ["s3:prefix"]
    return fnmatch.fnmatchcase(prefix, condition["StringLike"]["s3:prefix"])


class Guard:
    """`refused` holds what the policy did not allow, as "s3:PutObject arn:aws:s3:::bucket/key"."""

    def __init__(self, server: S3Server, policy: Policy) -> None:
        self.policy: Policy | None = policy
        self.refused: list[str] = []
        app: Callable[..., Iterable[bytes]] = server._app

        def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            action, resource, prefix = _asked(environ)
            if self.policy is None or self.policy.allows(action, resource, prefix):
                return app(environ, start_response)
            self.refused.append(f"{action} {resource}")
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [REFUSED]

        server._app = guarded  # type: ignore[assignment]


def _asked(environ: Mapping[str, Any]) -> tuple[str, str, str]:
    path = unquote(environ.get("RAW_URI", environ["PATH_INFO"]).partition("?")[0]).lstrip("/")
    bucket, _, key = path.partition("/")
    asked = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if key and "tagging" in asked:
        return "s3:GetObjectTagging", f"arn:aws:s3:::{path}", ""
    if key:
        return _OF_AN_OBJECT[environ["REQUEST_METHOD"]], f"arn:aws:s3:::{path}", ""
    prefix = asked.get("prefix", [""])[0]
    listing = environ["REQUEST_METHOD"] == "GET" and "list-type" in asked
    return "s3:ListBucket" if listing else "s3:CreateBucket", f"arn:aws:s3:::{bucket}", prefix

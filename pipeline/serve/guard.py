"""Who is let in: by a key, or by the signature of an address; and, where no key is wanted, only who
asks for this machine by its own name, so that no page of another site can ask in a person's name.
"""

from __future__ import annotations

import ipaddress
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from starlette.types import Scope

from pipeline.serve.keys import SIGNED, Keys, key_of
from pipeline.serve.problems import RequestRefused
from pipeline.settings_serve import ServeSettings

GUARDED = ("/v1/", "/metrics")
ASSETS = "/v1/assets/"
MOST_FIELDS = 32


class Guard:
    """Of the settings and their keys."""

    def __init__(self, settings: ServeSettings, keys: Keys) -> None:
        self._keys = keys
        self._names = {name.lower() for name in settings.names}
        self._origins = frozenset(settings.cors_origins)

    def refusal(self, scope: Scope) -> RequestRefused | None:
        """Why a request is not let in; None where it is."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._keys.wanted and not self._is_own(host):
            return RequestRefused(
                "This server is not called so.",
                code="host",
                remedy="Ask for 127.0.0.1 or localhost, or name it in serve.names.",
                status=HTTPStatus.MISDIRECTED_REQUEST,
            )
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and scope["method"] == "POST" and not self._may_ask(origin, host):
            return RequestRefused(
                "A page of another site may not ask.",
                code="origin",
                remedy="Name it in serve.cors_origins.",
                status=HTTPStatus.FORBIDDEN,
            )
        path = scope["path"]
        if not path.startswith(GUARDED) or self._keys.admit(key_of(scope["headers"])):
            return None
        if self._signed(path, scope["query_string"].decode("latin-1")):
            return None
        return RequestRefused(
            "A key is wanted.",
            code="key_wanted",
            remedy="Send it as Authorization: Bearer KEY, or as X-API-Key.",
            status=HTTPStatus.UNAUTHORIZED,
        )

    def _is_own(self, host: str) -> bool:
        name = _without_port(host).lower()
        if name in self._names or name == "localhost":
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def _may_ask(self, origin: str, host: str) -> bool:
        return origin in self._origins or urlsplit(origin).netloc == host

    def _signed(self, path: str, query: str) -> bool:
        asset_id, _, what = path.removeprefix(ASSETS).partition("/")
        if not path.startswith(ASSETS) or what not in SIGNED:
            return False
        try:
            given = parse_qs(query, max_num_fields=MOST_FIELDS)
        except ValueError:
            return False
        etag, expires, signature = (
            values[0] if len(values := given.get(name, [])) == 1 else ""
            for name in ("etag", "expires", "signature")
        )
        return self._keys.signature_fits(asset_id, etag, expires, signature)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]

"""Who may ask: keys, compared in constant time, and signatures for addresses that an element of a
page fetches, which can send no key.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from pipeline.errors import SettingsError
from pipeline.settings_serve import ServeSettings

LINK_LASTS_S = 3600
SIGNED = ("media", "poster")


def check_guarded(settings: ServeSettings) -> None:
    """Raises SettingsError where others could reach a server that asks for no key."""
    if not settings.loopback and not settings.api_keys:
        raise SettingsError(
            f"`sensedex serve` on {settings.host} can be reached from other machines, and has no "
            "keys.",
            remedy="Set SENSEDEX_SERVE__API_KEYS to a list of them, or serve.host to 127.0.0.1.",
        )


class Keys:
    """Those of the settings. Without any, everybody is let in."""

    def __init__(self, settings: ServeSettings, now: Callable[[], float] = time.time) -> None:
        keys = [key.get_secret_value() for key in settings.api_keys]
        self._digests = [_digest(key) for key in keys]
        # The same in each server that has the same keys, so that a link works at all of them.
        self._secret = hashlib.sha256(
            b"sensedex media\0" + "\0".join(sorted(keys)).encode()
        ).digest()
        self._now = now
        self.wanted = bool(keys)

    def admit(self, given: str | None) -> bool:
        """Whether that is one of the keys. All of them are compared, in time that tells nothing."""
        if not self.wanted:
            return True
        digest = _digest(given or "")
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(found) and given is not None

    def signed(self, asset_id: str, etag: str) -> dict[str, str]:
        """What the query of an address gets beside the ETag; nothing where no key is wanted. Links
        of one hour are alike, so that a browser's cache knows them again."""
        if not self.wanted:
            return {}
        expires = (int(self._now()) // LINK_LASTS_S + 2) * LINK_LASTS_S
        return {"expires": str(expires), "signature": self._signature(asset_id, etag, expires)}

    def signature_fits(self, asset_id: str, etag: str, expires: str, signature: str) -> bool:
        """Whether this server, or one with the same keys, has signed it, and it still holds."""
        if not (expires.isascii() and expires.isdecimal() and len(expires) < 16):
            return False
        good = self._signature(asset_id, etag, int(expires))
        fits = hmac.compare_digest(good.encode(), signature.encode("utf-8", "replace"))
        return fits and int(expires) > self._now()

    def _signature(self, asset_id: str, etag: str, expires: int) -> str:
        told = f"{asset_id}\0{etag}\0{expires}".encode()
        return hmac.new(self._secret, told, hashlib.sha256).hexdigest()


def key_of(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """That of a request's headers: `Authorization: Bearer KEY`, or `X-API-Key`."""
    for name, value in headers:
        text = value.decode("latin-1")
        if name == b"x-api-key":
            return text
        if name == b"authorization" and text[:7].lower() == "bearer ":
            return text[7:].strip()
    return None


def query_of(**values: str | int) -> str:
    """`?a=b&c=d`, or nothing."""
    return f"?{urlencode(values)}" if values else ""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()

"""Asks whether anybody answers at an address, within seconds, before a client is made that would
try for a minute.

A refused connection or an unknown name is known at once. A network that swallows what is sent is
known by its silence; clients wait for a minute and more then, since in the middle of a long run
that is right. Before a run has begun it is not.
"""

from __future__ import annotations

import socket
import ssl
import threading
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

# A lost packet is sent again after one second; twice that, and nobody is there.
WITHIN_S = 3.0


def why_silent(
    url: str,
    *,
    port: int | None = None,
    default_port: int | None = None,
    within_s: float = WITHIN_S,
) -> str:
    """Why nobody answers at the host of `url` and at `port`, by default the URL's own; empty where
    somebody takes the connection. `default_port` is for a URL that names none.

    Asks for the name and for a connection, and sends nothing; behind a proxy of the environment's
    that says nothing, and nothing is asked.
    """
    parts = urlsplit(url if "://" in url else f"//{url}")
    there = port or parts.port or default_port or {"http": 80, "https": 443}.get(parts.scheme)
    if parts.hostname is None or there is None:
        return "no host and port are named"
    if parts.scheme in getproxies() and not proxy_bypass(parts.hostname):
        return ""
    return _why_silent(parts.hostname, there, within_s)


def _why_silent(host: str, port: int, within_s: float) -> str:
    silent = f"no answer within {within_s:g} s"
    found: list[str] = []

    def ask() -> None:
        try:
            with socket.create_connection((host, port), timeout=within_s):
                found.append("")
        except TimeoutError:
            found.append(silent)
        except socket.gaierror:
            found.append("the name is not known")
        except OSError as error:
            found.append((error.strerror or str(error)).lower())

    # The system's resolver has no time limit that can be given: it is left behind if it is slow.
    asking = threading.Thread(target=ask, daemon=True, name="first-contact")
    asking.start()
    asking.join(within_s)
    return found[0] if found else silent


def tls_reason(error: BaseException | None) -> str:
    """What a client's error says of TLS, from the library's own error within it; empty where there
    is none, and it was something else."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, ssl.SSLCertVerificationError):
            return one.verify_message.rstrip(".")
        if isinstance(one, ssl.SSLError):
            return (one.reason or str(one)).lower().replace("_", " ")
        within = [one.__cause__, one.__context__, *one.args, getattr(one, "reason", None)]
        waiting += [found for found in within if isinstance(found, BaseException)]
    return ""


def without_secrets(url: str) -> str:
    """An address as it may be shown: no user, no query."""
    parts = urlsplit(url)
    if parts.hostname is None:
        return url
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"

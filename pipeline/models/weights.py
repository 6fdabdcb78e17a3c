"""Weights from where they are kept: a path as it is, `s3://` into a cache, a URL when asked for.

What is fetched is known by its digest before, and checked after: a checkpoint that somebody swapped
is refused. The cache is `~/.cache/sensedex/weights/DIGEST/NAME`.
"""

from __future__ import annotations

import os
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from encoders.catalogue import card_for, shipped_weights
from encoders.digest import file_digest
from encoders.errors import WeightsError
from pipeline.s3 import client as s3
from pipeline.s3.errors import first_contact
from pipeline.settings import SourceSettings
from pipeline.settings_embedding import EncoderChoice, EncodeSettings

CHUNK_BYTES = 2**20
TIMEOUT_S = 60
# A checkpoint's neighbour that an encoder may need: Frozen in Time's words.
NEIGHBOURS = ("vocab.txt",)
OnBytes = Callable[[int, int], None]


def local_weights(choice: EncoderChoice, source: SourceSettings) -> Path | None:
    """An encoder's weights as a path on this machine, their digest checked where one is set.

    `s3://` is fetched once; a URL never is, since a run must not reach out unasked. Raises
    WeightsError, and what S3 may say.
    """
    if choice.weights is None:
        return None
    if "://" not in choice.weights:
        path = Path(choice.weights)
        if choice.weights_sha256 and path.is_file():
            _check(path, choice.weights_sha256, choice.weights)
        return path
    if not choice.weights.startswith("s3://"):
        raise WeightsError(
            f"encode.weights is {choice.weights}, and a run fetches from s3:// alone.",
            remedy="`sensedex weights get URL --sha256 HEX` fetches it, and prints its path.",
        )
    return fetch_weights(choice.weights, choice.weights_sha256, source)


def fetch_weights(
    uri: str,
    sha256: str,
    source: SourceSettings,
    on_bytes: OnBytes = lambda _done, _total: None,
) -> Path:
    """The file of an `s3://` or `https://` address in the cache, fetched where it is not there.

    Raises WeightsError where the digest is missing, wrong, or the address cannot be read.
    """
    digest = sha256.lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise WeightsError(
            f"{uri} has no digest to be checked against.",
            remedy="Give the 64 hex digits of `sha256sum` as encode.weights_sha256, or --sha256.",
        )
    parts = urlsplit(uri)
    name = Path(parts.path).name
    target = weights_cache() / digest / name
    if target.is_file():
        return target
    if parts.scheme not in ("s3", "https") or not parts.netloc or not name:
        raise WeightsError(f"{uri} is no address of weights.", remedy="Give s3:// or https://.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        fresh = Path(folder) / name
        if parts.scheme == "s3":
            _from_s3(parts.netloc, parts.path.lstrip("/"), fresh, source)
        else:
            _from_url(uri, fresh, on_bytes)
        _check(fresh, digest, uri)
        for path in fresh.parent.iterdir():
            path.replace(target.parent / path.name)
    return target


def weights_bytes(encode: EncodeSettings) -> int | None:
    """Of all encoders of a run, which each actor holds; None where that is not known before they
    are fetched, or they are made of a seed."""
    total = 0
    for choice in encode.chosen():
        path = Path(choice.weights) if choice.weights else shipped_weights(card_for(choice.encoder))
        if path is None or not path.exists():
            return None
        files = path.rglob("*") if path.is_dir() else (path,)
        total += sum(file.stat().st_size for file in files if file.is_file())
    return total


def weights_cache() -> Path:
    """The folder where fetched weights are kept, by their digest."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "sensedex" / "weights"


def _from_s3(bucket: str, key: str, path: Path, source: SourceSettings) -> None:
    client = s3.make_client(source)
    first_contact(client, bucket)
    if not s3.get_file(client, bucket, key, path):
        raise WeightsError(
            f"There is no s3://{bucket}/{key}.", remedy="Check encode.weights, or --weights."
        )
    folder = key.rpartition("/")[0]
    for name in NEIGHBOURS:
        s3.get_file(client, bucket, f"{folder}/{name}".lstrip("/"), path.parent / name)


def _from_url(url: str, path: Path, on_bytes: OnBytes) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, path.open("wb") as file:
            total, done = int(answer.headers.get("Content-Length") or 0), 0
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                on_bytes(done, total)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise WeightsError(
            f"{url} cannot be fetched: {error}", remedy="Check the address and the network."
        ) from error


def _check(path: Path, sha256: str, uri: str) -> None:
    wanted = f"sha256:{sha256.lower().removeprefix('sha256:')}"
    found = file_digest(path)
    if found != wanted:
        raise WeightsError(
            f"{uri} has digest {found}, and {wanted} was expected.",
            remedy="It is another file, or a damaged one; it was not used.",
        )

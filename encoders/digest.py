"""The digest by which a weights file is known."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from encoders.cache import cache_home, read_cached, write_cached
from encoders.errors import WeightsError

READ_BYTES = 8 * 2**20


def file_digest(path: Path) -> str:
    """`sha256:...` of a file, remembered by path, size and time of change, since 4.5 GB take 5 s.

    Raises WeightsError that names the file.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise WeightsError(
            f"There is no weights file {path}.", remedy="Check encode.weights, or --weights."
        ) from error
    key = f"{path.resolve()}|{facts.st_size}|{facts.st_mtime_ns}"
    memo = cache_home() / "digests.json"
    known: dict[str, str] = {}
    try:
        known = json.loads(read_cached(memo) or "{}")
    except ValueError:
        known = {}  # a half-written memo costs a digest, no more
    if key in known:
        return known[key]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    known[key] = f"sha256:{digest.hexdigest()}"
    write_cached(memo, json.dumps(known))
    return known[key]


def folder_digest(folder: Path) -> str:
    """`sha256:...` over the names and digests of the files that change what comes out.

    Raises WeightsError that names the folder.
    """
    names = sorted(
        path.name
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix in (".safetensors", ".json", ".txt", ".model") and path.is_file()
    )
    if not any(name.endswith(".safetensors") for name in names):
        raise WeightsError(
            f"{folder} is no folder with *.safetensors in it.", remedy="Name the model's folder."
        )
    whole = hashlib.sha256()
    for name in names:
        whole.update(f"{name} {file_digest(folder / name)}\n".encode())
    return f"sha256:{whole.hexdigest()}"

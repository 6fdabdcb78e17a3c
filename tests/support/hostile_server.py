"""The fork server, with decoders that a file can take over: what the file names is done in the
child that decodes it, before the decoder itself goes on."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from pipeline.media.decode import Item, decode, read_common_still
from pipeline.media.sandbox import child, server
from pipeline.records import MediaInfo
from pipeline.settings_embedding import DecodeSettings

_DEED = re.compile(rb"HOSTILE (\w+) ?(\S*)")


def hostile(deed: str, argument: str = "") -> bytes:
    """To be put behind the end of a file."""
    return f"HOSTILE {deed} {argument}\n".encode()


def _decode(path: Path, settings: DecodeSettings, *more: Any) -> Iterator[Item]:
    _obey(path.read_bytes())
    return decode(path, settings, *more)


def _read_common_still(
    file: BinaryIO, settings: DecodeSettings
) -> tuple[MediaInfo, Image.Image, float]:
    _obey(file.read())
    file.seek(0)
    return read_common_still(file, settings)


def _obey(data: bytes) -> None:
    found = _DEED.search(data)
    if found is None:
        return
    deed, argument = found[1].decode(), found[2].decode()
    if deed == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif deed == "exit":
        os._exit(0)
    elif deed == "hang":
        time.sleep(3600)
    elif deed == "spin":
        while True:
            pass
    elif deed == "swell":
        hoard = []
        while True:
            hoard.append(bytearray(64 << 20))
    elif deed == "blacken":  # what comes next in this process is black
        Image.Image.resize = lambda *_, **__: Image.new("RGB", (224, 224))  # type: ignore[method-assign]
        Image.Image.tobytes = lambda picture, *_: bytes(3 * picture.width * picture.height)  # type: ignore[method-assign,assignment]
    elif deed == "escape":  # what is got out shows as a crash that tells
        for way in (_open_other, _connect, _find_open_files):
            way(argument)


def _open_other(path: str) -> None:
    try:
        open(path, "rb").close()
    except PermissionError:
        return
    os.kill(os.getpid(), signal.SIGUSR1)


def _connect(_: str) -> None:
    try:
        socket.create_connection(("127.0.0.1", 1), timeout=1)
    except PermissionError:
        return
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGUSR2)


def _find_open_files(_: str) -> None:
    """Of those before this one: there is none left, but this file itself. What has no name in any
    folder is memory that is shared."""
    files = 0
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            found = os.fstat(number)
            files += stat.S_ISREG(found.st_mode) and found.st_nlink > 0
    if files > 1:
        os.kill(os.getpid(), signal.SIGABRT)


if __name__ == "__main__":
    child.decode = _decode  # type: ignore[attr-defined]
    child.read_common_still = _read_common_still  # type: ignore[attr-defined]
    server.serve(socket.socket(fileno=int(sys.argv[1])))

"""What tells whether anything got out: a file that notices being opened, an address that counts."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

_IN_NONBLOCK = os.O_NONBLOCK
_IN_ACCESS, _IN_OPEN = 1, 0x20
_LIBC = ctypes.CDLL(None, use_errno=True)


class FileCanary:
    """By inotify."""

    def __init__(self, path: Path) -> None:
        self._fd = _LIBC.inotify_init1(_IN_NONBLOCK)
        assert _LIBC.inotify_add_watch(self._fd, os.fsencode(path), _IN_ACCESS | _IN_OPEN) >= 0

    def touched(self) -> bool:
        """Since the last time that this was asked."""
        try:
            return bool(os.read(self._fd, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._fd)


class AddressCanary:
    """Takes connections, and closes them."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def touched(self) -> bool:
        """Since the last time that this was asked."""
        count = 0
        while True:
            try:
                self._listener.accept()[0].close()
            except BlockingIOError:
                return count > 0
            count += 1

    def close(self) -> None:
        self._listener.close()

"""A door before a server: all goes through it, as slowly as is wanted, until it is shut, and then
the server is gone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Door:
    """`behind` is the server's own URL, and `url` the same by way of the door. `answers_after_s`:
    so long each part of an answer is kept back; it may change while the door is open."""

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.answers_after_s = 0.0
        parts = urlsplit(behind)
        self._server = (parts.hostname, parts.port)
        self._passing: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._shut = threading.Event()
        port = self._listening.getsockname()[1]
        self.url = parts._replace(netloc=f"127.0.0.1:{port}").geturl()
        threading.Thread(target=self._let_in, daemon=True).start()

    def shut(self) -> None:
        """Who is connected is cut off, and who knocks is refused. May be called again."""
        with self._lock:
            self._shut.set()
            for one in (self._listening, *self._passing):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def _let_in(self) -> None:
        with suppress(OSError):  # the listening socket is closed
            while True:
                outside, _ = self._listening.accept()
                inside = socket.create_connection(self._server)
                with self._lock:
                    self._passing += [outside, inside]
                    if self._shut.is_set():
                        outside.close()
                        inside.close()
                        return
                for way in ((outside, inside, False), (inside, outside, True)):
                    threading.Thread(target=self._pass_on, args=way, daemon=True).start()

    def _pass_on(self, here: socket.socket, there: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while block := here.recv(65_536):
                if answers and self.answers_after_s:
                    time.sleep(self.answers_after_s)
                there.sendall(block)
            there.shutdown(socket.SHUT_WR)


@contextmanager
def door_before(behind: str) -> Iterator[Door]:
    """Open until it is shut or the context ends."""
    door = Door(behind)
    try:
        yield door
    finally:
        door.shut()

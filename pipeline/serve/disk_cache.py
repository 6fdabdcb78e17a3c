"""A folder of files that can be made again, of a bounded size: the ones not asked for go first."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import SettingsError
from pipeline.local_files import room_named

IN_USE_S = 10.0  # a file that was asked for just now is about to be opened
HALF = ".half"


@dataclass(slots=True)
class _Maker:
    lock: threading.Lock = field(default_factory=threading.Lock)
    asking: int = 0


class DiskCache:
    """For any number of threads of one process. Names are digests of ours, in hex.

    Raises SettingsError where the folder cannot be made.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most = most_bytes
        self._lock = threading.Lock()
        self._makers: dict[str, _Maker] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"*{HALF}"):
                left.unlink(missing_ok=True)
        except OSError as error:
            raise SettingsError(
                f"Setting serve.cache_folder: {folder} cannot be used: {error.strerror}.",
                remedy="Name a folder that can be written.",
            ) from error
        files = [file for file in folder.iterdir() if file.is_file()]
        self._sizes = {file.name: file.stat().st_size for file in files}

    @property
    def bytes(self) -> int:
        """Of all that is in it."""
        with self._lock:
            return sum(self._sizes.values())

    def there(self, name: str) -> Path | None:
        """The file, where it is there already."""
        file = self._folder / name
        return file if _touched(file) else None

    def get(self, name: str, make: Callable[[Path], None]) -> Path:
        """The file; where it is not there, `make` writes it. Who asks meanwhile waits. Raises what
        `make` raises, and ScratchFull."""
        file = self._folder / name
        with self._one_maker(name):
            if not _touched(file):
                half = file.with_suffix(HALF)
                try:
                    with room_named(self._folder):
                        make(half)
                        half.replace(file)
                finally:
                    half.unlink(missing_ok=True)
                with self._lock:
                    self._sizes[name] = file.stat().st_size
                    self._make_room(name)
        return file

    @contextmanager
    def _one_maker(self, name: str) -> Iterator[None]:
        with self._lock:
            maker = self._makers.setdefault(name, _Maker())
            maker.asking += 1
        try:
            with maker.lock:
                yield
        finally:
            with self._lock:
                maker.asking -= 1
                if not maker.asking:
                    del self._makers[name]

    def _make_room(self, kept: str) -> None:
        if sum(self._sizes.values()) <= self._most:
            return
        ages = {name: _asked_at(self._folder / name) for name in self._sizes if name != kept}
        for name in sorted(ages, key=lambda one: ages[one]):
            if sum(self._sizes.values()) <= self._most or ages[name] > time.time() - IN_USE_S:
                break
            (self._folder / name).unlink(missing_ok=True)
            del self._sizes[name]


def _touched(file: Path) -> bool:
    try:
        os.utime(file)
    except FileNotFoundError:
        return False
    return True


def _asked_at(file: Path) -> float:
    with suppress(FileNotFoundError):
        return file.stat().st_mtime
    return 0.0

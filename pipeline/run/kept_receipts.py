"""Receipts of shards, kept on this machine's disk until the run's state is written from them.

A receipt has an outcome an object, which is a kilobyte in memory: of 10^7 objects they would be
some gigabytes. In memory is where each lies in the file.
"""

from __future__ import annotations

import os
import threading
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from pipeline import codec
from pipeline.local_files import room_named
from pipeline.records import ShardReceipt
from pipeline.state.receipts import receipt_bytes

_QUICK = 1  # a fourth of the bytes; what more would save costs several times as long


class KeptReceipts:
    """One file in `folder`. May be shared by threads."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "receipts").open("w+b")
        self._lock = threading.Lock()
        self._sequences = array("q")
        self._shards = array("q")
        self._ends = array("q", [0])

    def __enter__(self) -> KeptReceipts:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._shards)

    def keep(self, receipt: ShardReceipt) -> int:
        """By which number it can be read. Raises ScratchFull."""
        packed = zlib.compress(receipt_bytes(receipt), _QUICK)
        with self._lock, room_named():
            begin = self._ends[-1]
            os.pwrite(self._file.fileno(), packed, begin)
            self._sequences.append(receipt.sequence)
            self._shards.append(receipt.shard)
            self._ends.append(begin + len(packed))
            return len(self._shards) - 1

    def read(self, number: int) -> ShardReceipt:
        begin, end = self._ends[number], self._ends[number + 1]
        packed = os.pread(self._file.fileno(), end - begin, begin)
        return codec.from_bytes(ShardReceipt, zlib.decompress(packed))

    def sequences(self) -> list[int]:
        """Of the runs whose receipts are here, the oldest first."""
        return sorted(set(self._sequences))

    def of_run(self, sequence: int) -> Iterator[ShardReceipt]:
        """The receipts of one run in the order of their shards, read one by one. A shard that was
        kept twice is given once."""
        chosen: dict[int, int] = {}
        for number, of in enumerate(self._sequences):
            if of == sequence:
                chosen.setdefault(self._shards[number], number)
        for shard in sorted(chosen):
            yield self.read(chosen[shard])

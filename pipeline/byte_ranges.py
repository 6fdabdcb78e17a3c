"""Ranges of an object's bytes: which are needed, which of them lie on the disk."""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterable, Iterator


class NotFetchedError(Exception):
    """What is to be read of a file is not there: only parts of its object were fetched."""


class ByteRanges:
    """Half-open ranges [start, stop), sorted, that neither touch nor overlap. Never changed."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = (), *, gap_bytes: int = 0) -> None:
        """`ranges` in any order; those with no more than `gap_bytes` between them become one.
        Raises ValueError for one that begins before 0."""
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in sorted(ranges):
            if start < 0:
                raise ValueError(f"a range that begins at {start}")
            if stop <= start:
                continue
            if self._stops and start <= self._stops[-1] + gap_bytes:
                self._stops[-1] = max(self._stops[-1], stop)
            else:
                self._starts.append(start)
                self._stops.append(stop)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._stops, strict=True)

    def __len__(self) -> int:
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteRanges) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ByteRanges({list(self)})"

    @property
    def size_bytes(self) -> int:
        return sum(self._stops) - sum(self._starts)

    def contain(self, start: int, stop: int) -> bool:
        """Whether all of it lies in them; of nothing (`start` is `stop`) it is always true."""
        if stop <= start:
            return True
        place = bisect.bisect_right(self._starts, start) - 1
        return place >= 0 and stop <= self._stops[place]

    def plus(self, other: Iterable[tuple[int, int]], *, gap_bytes: int = 0) -> ByteRanges:
        return ByteRanges([*self, *other], gap_bytes=gap_bytes)

    def minus(self, other: ByteRanges) -> ByteRanges:
        """What lies in these and not in `other`."""
        left: list[tuple[int, int]] = []
        taken = list(other)
        place = 0
        for start, stop in self:
            while place < len(taken) and taken[place][1] <= start:
                place += 1
            at, here = start, place
            while here < len(taken) and taken[here][0] < stop:
                left.append((at, taken[here][0]))
                at = taken[here][1]
                here += 1
            left.append((at, stop))
        return ByteRanges(left)

    def to_bytes(self) -> bytes:
        """16 bytes a range, for `from_bytes`."""
        return b"".join(struct.pack("<QQ", start, stop) for start, stop in self)

    @classmethod
    def from_bytes(cls, data: bytes) -> ByteRanges:
        """Raises ValueError for what is no such thing."""
        if len(data) % 16:
            raise ValueError(f"{len(data)} bytes of ranges")
        return cls(struct.iter_unpack("<QQ", data))

"""Ranges of bytes: held against sets of numbers, one number a byte."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.byte_ranges import ByteRanges


def bytes_of(ranges: ByteRanges) -> set[int]:
    return {at for start, stop in ranges for at in range(start, stop)}


def test_they_are_as_sets() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        sets, made = [], []
        for _ in range(2):
            pairs = [(int(a), int(a + n)) for a, n in random.integers(0, 12, (5, 2))]
            sets.append({at for start, stop in pairs for at in range(start, stop)})
            made.append(ByteRanges(pairs))
        (a, b), (ours, theirs) = sets, made
        assert (bytes_of(ours), bytes_of(theirs)) == (a, b)
        assert bytes_of(ours.plus(theirs)) == a | b
        assert bytes_of(ours.minus(theirs)) == a - b
        assert ours.size_bytes == len(a)
        begin, end = sorted(int(n) for n in random.integers(0, 24, 2))
        assert ours.contain(begin, end) == (set(range(begin, end)) <= a)
        assert ByteRanges.from_bytes(ours.to_bytes()) == ours
        assert all(one[1] < two[0] for one, two in zip(list(ours), list(ours)[1:], strict=False))


def test_near_ones_become_one() -> None:
    assert list(ByteRanges([(30, 40), (0, 10), (13, 20)], gap_bytes=3)) == [(0, 20), (30, 40)]
    assert list(ByteRanges([(0, 10)]).plus([(14, 15)], gap_bytes=4)) == [(0, 15)]


def test_what_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="begins at -1"):
        ByteRanges([(-1, 5)])
    with pytest.raises(ValueError, match="17 bytes"):
        ByteRanges.from_bytes(bytes(17))

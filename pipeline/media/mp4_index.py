"""The index of an MP4 or QuickTime film, read without the film: at which bytes its samples lie
(ISO/IEC 14496-12: moov, stsz, stsc, stco, stts, ctts, stss, elst).

Only what is plain is understood. A film in fragments, an index that contradicts itself or the
object's size, several pictures: None, and the object is fetched whole. What FFmpeg makes of a film
is never decided here; this says which bytes it will want, and the decoder says when it was wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.byte_ranges import ByteRanges

MAX_INDEX_BYTES = 64 * 2**20
MAX_SAMPLES = 2_000_000
"""Of all tracks: a film of seven hours has 0.8 million pictures and 1.1 million pieces of sound."""

MAX_TRACKS = 16
_MAX_BOXES = 64
_HEADER_BYTES = 16
_OPAQUE = (b"mdat", b"free", b"skip", b"wide")
"""Nobody reads what is in them but where an index points there."""

_KNOWN = (*_OPAQUE, b"ftyp", b"moov", b"udta", b"uuid", b"meta", b"pdin")

Read = Callable[[int, int], bytes]
"""Bytes of the object, from, up to."""


class _NotPlainError(Exception):
    """Something that is not understood here."""


@dataclass(frozen=True, slots=True)
class Track:
    """Samples in the order of decoding. `kind` is `vide`, `soun` or what else there is; `codec` the
    name of the sample entry (avc1). `shown_ticks` are times of presentation, of `timescale` a
    second, as the edit list puts them; None where it does more than to move them."""

    kind: str
    codec: str
    timescale: int
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    is_key: NDArray[np.bool_]
    shown_ticks: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class FilmIndex:
    """`boxes` is all of the film but what is in its mdat: what a demuxer reads by itself."""

    tracks: tuple[Track, ...]
    boxes: ByteRanges


def read_index(read: Read, size_bytes: int) -> FilmIndex | None:
    """None where it is not a film whose index is plain. Raises what `read` raises."""
    try:
        return _index(read, size_bytes)
    except (_NotPlainError, struct.error):
        return None


def _index(read: Read, size_bytes: int) -> FilmIndex:
    boxes: list[tuple[int, int]] = []
    moov: bytes | None = None
    at = count = 0
    while at < size_bytes:
        count += 1
        head = read(at, min(at + _HEADER_BYTES, size_bytes))
        name, body, stop = _box(head, at, size_bytes)
        if count > _MAX_BOXES or name not in _KNOWN or (count == 1 and name != b"ftyp"):
            raise _NotPlainError(name)
        boxes.append((at, body if name in _OPAQUE else stop))
        if name not in _OPAQUE and sum(b - a for a, b in boxes) > MAX_INDEX_BYTES:
            raise _NotPlainError("an index that is too large")
        if name == b"moov":
            if moov is not None:
                raise _NotPlainError("two indexes")
            moov = read(body, stop)
        at = stop
    if moov is None:
        raise _NotPlainError("no index")
    tracks = tuple(_tracks(moov))
    if not tracks or sum(len(track.sizes) for track in tracks) > MAX_SAMPLES:
        raise _NotPlainError("no samples, or too many")
    for track in tracks:
        if len(track.offsets) and int((track.offsets + track.sizes).max()) > size_bytes:
            raise _NotPlainError("samples behind the end")
    return FilmIndex(tracks, ByteRanges(boxes))


def _box(data: bytes, at: int, end: int) -> tuple[bytes, int, int]:
    """(name, where its content begins, where it ends) of the box at `at`, of which `data` is the
    beginning; it lies before `end`."""
    size, name = struct.unpack_from(">I4s", data)
    header = 8
    if size == 1:
        (size,) = struct.unpack_from(">Q", data, 8)
        header = 16
    elif size == 0:
        size = end - at
    if size < header or at + size > end:
        raise _NotPlainError("a box with a wrong length")
    return name, at + header, at + size


def _children(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of the boxes in `data`, which QuickTime may end with four zeros."""
    at = 0
    while at + 8 <= len(data):
        name, body, stop = _box(data[at : at + _HEADER_BYTES], at, len(data))
        yield name, data[body:stop]
        at = stop


def _one(data: bytes, path: str) -> bytes | None:
    """The content of the only box at `path`, as in `mdia/hdlr`; None where there is none."""
    name, _, rest = path.partition("/")
    found = [content for child, content in _children(data) if child == name.encode()]
    if len(found) > 1:
        raise _NotPlainError(f"several {name}")
    if not found:
        return None
    return _one(found[0], rest) if rest else found[0]


def _must(data: bytes, path: str) -> bytes:
    found = _one(data, path)
    if found is None:
        raise _NotPlainError(f"no {path}")
    return found


def _tracks(moov: bytes) -> Iterator[Track]:
    names = [name for name, _ in _children(moov)]
    if b"mvex" in names or b"cmov" in names or names.count(b"trak") > MAX_TRACKS:
        raise _NotPlainError("fragments, a packed index or too many tracks")
    (movie_timescale,) = struct.unpack_from(">I", _full_box(_must(moov, "mvhd"), 8, 16))
    for name, trak in _children(moov):
        if name == b"trak":
            yield _track(trak, movie_timescale)


def _full_box(data: bytes, skip_0: int, skip_1: int) -> bytes:
    """What follows the times, which version 1 writes in 64 bits."""
    version = data[0] if data else 2
    if version > 1:
        raise _NotPlainError("a version that is not known")
    return data[4 + (skip_1 if version else skip_0) :]


def _track(trak: bytes, movie_timescale: int) -> Track:
    (timescale,) = struct.unpack_from(">I", _full_box(_must(trak, "mdia/mdhd"), 8, 16))
    (kind,) = struct.unpack_from(">8x4s", _must(trak, "mdia/hdlr"))
    table = _must(trak, "mdia/minf/stbl")
    entries, _, codec = struct.unpack_from(">4xII4s", _must(table, "stsd"))
    references = _one(trak, "mdia/minf/dinf/dref")
    if entries != 1 or not timescale or not movie_timescale or _lies_elsewhere(references):
        raise _NotPlainError("several kinds of samples, no clock, or data in another file")
    sizes = _sizes(table)
    deltas = _runs(_must(table, "stts"), len(sizes), signed=False)
    if not deltas.all():
        raise _NotPlainError("a sample that lasts for nothing: FFmpeg asks its content how long")
    ticks = np.cumsum(deltas) - deltas
    shifts = _one(table, "ctts")
    if shifts is not None:
        ticks = ticks + _runs(shifts, len(sizes), signed=True)
    moved = _moved_by(_one(trak, "edts/elst"))
    keys = _one(table, "stss")
    is_key = np.full(len(sizes), keys is None)
    if keys is not None:
        numbers = _table(keys, ">u4", 1).reshape(-1).astype(np.int64)
        if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= len(sizes)):
            raise _NotPlainError("a key frame that is none of the samples")
        is_key[numbers - 1] = True
        partly = _one(table, "stps")  # QuickTime's: frames shown before these need more
        if partly is not None:
            numbers = _table(partly, ">u4", 1).reshape(-1)
            is_key[numbers[(numbers >= 1) & (numbers <= len(sizes))] - 1] = True
    if any(name == b"sbgp" and box[4:8] == b"rap " for name, box in _children(table)):
        raise _NotPlainError("key frames that are named elsewhere")
    return Track(
        kind.decode("latin-1"),
        codec.decode("latin-1"),
        timescale,
        _offsets(table, sizes),
        sizes,
        is_key,
        None if moved is None else ticks - moved,
    )


def _lies_elsewhere(references: bytes | None) -> bool:
    if references is None:
        return False
    (count,) = struct.unpack_from(">4xI", references)
    flags = [content[3:4] for _, content in _children(references[8:])]
    return count != 1 or flags != [b"\x01"]


def _sizes(table: bytes) -> NDArray[np.int64]:
    """Bytes of each sample."""
    box = _must(table, "stsz")
    same, count = struct.unpack_from(">4xII", box)
    if count > MAX_SAMPLES:
        raise _NotPlainError("too many samples")
    if same:
        return np.full(count, same, np.int64)
    if len(box) < 12 + 4 * count:
        raise _NotPlainError("a table that is cut short")
    return np.frombuffer(box, ">u4", count, 12).astype(np.int64)


def _table(box: bytes, kind: str, columns: int) -> NDArray[np.int64]:
    """(rows, columns) of a box with a count of rows before them."""
    (count,) = struct.unpack_from(">4xI", box)
    if len(box) < 8 + count * columns * np.dtype(kind).itemsize:
        raise _NotPlainError("a table that is cut short")
    rows = np.frombuffer(box, kind, count * columns, 8).astype(np.int64)
    return rows.reshape(count, columns)


def _runs(box: bytes, count: int, *, signed: bool) -> NDArray[np.int64]:
    """A value each for `count` samples, of a table of (how many, value)."""
    rows = _table(box, ">u4", 2)
    if len(rows) > MAX_SAMPLES or int(rows[:, 0].sum()) != count:
        raise _NotPlainError("times for more samples than there are, or fewer")
    values = rows[:, 1]
    if signed:
        values = np.where(values >= 2**31, values - 2**32, values)
    return np.repeat(values, rows[:, 0])


def _offsets(table: bytes, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each sample begins, of where its chunk begins and what lies before it in there."""
    small, large = _one(table, "stco"), _one(table, "co64")
    if (small is None) == (large is None):
        raise _NotPlainError("no places of chunks, or two tables of them")
    chunks = _table(small, ">u4", 1) if small is not None else _table(large or b"", ">u8", 1)
    begins = chunks.reshape(-1)
    rows = _table(_must(table, "stsc"), ">u4", 3)
    if not len(sizes) and not len(begins):
        return np.empty(0, np.int64)
    firsts, per_chunk = rows[:, 0], rows[:, 1]
    if not len(rows) or firsts[0] != 1 or (np.diff(firsts) <= 0).any() or begins.min() < 0:
        raise _NotPlainError("runs of chunks out of order")
    if firsts[-1] > len(begins):
        raise _NotPlainError("a run of chunks that are not there")
    counts = np.repeat(per_chunk, np.diff(np.append(firsts, len(begins) + 1)))
    if int(counts.sum()) != len(sizes):
        raise _NotPlainError("chunks for more samples than there are, or fewer")
    before = np.cumsum(sizes) - sizes
    first_of_chunk = np.cumsum(counts) - counts
    # An empty chunk has no first sample; nothing is repeated for it.
    base = begins - np.append(before, sizes.sum())[first_of_chunk]
    places: NDArray[np.int64] = np.repeat(base, counts) + before
    return places


def _moved_by(edits: bytes | None) -> int | None:
    """Ticks by which an edit list moves the track to the front; None where it does more."""
    if edits is None:
        return 0
    version, count = struct.unpack_from(">B3xI", edits)
    form = ">qqhh" if version == 1 else ">iihh"
    if count != 1:
        return None
    _, media_time, rate, fraction = struct.unpack_from(form, edits, 8)
    return media_time if media_time >= 0 and (rate, fraction) == (1, 0) else None

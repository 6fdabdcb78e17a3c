"""Which bytes of a film its decoder will read, where key frames stand for their windows; told from
the film's index, before the film is there.

More than is needed may be named, never knowingly less: the decoder looks at each packet that it
uses and says so where one is not there (`NotFetchedError`), and then the object is fetched whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.byte_ranges import ByteRanges
from pipeline.media.grid import origin_of
from pipeline.media.mp4_index import FilmIndex, Track
from pipeline.settings_embedding import DecodeSettings

MIN_OBJECT_BYTES = 16 * 2**20
"""A smaller one is there before its index has been read."""

GAP_BYTES = 256 * 2**10
"""Of what nobody needs, so much is read over rather than to ask once more. A request took three
milliseconds here, in which a line of a gigabit carries 400 kB (docs/performance.md)."""

WORTH_SHARE = 0.6
"""Above it, with a request counted as GAP_BYTES, an object is fetched whole."""

_CODECS = frozenset(("avc1", "avc3", "hvc1", "hev1"))
"""Of these, a packet's times and kind follow from the index, whatever its content."""

_PROBED_BYTES = 5_000_000
_PROBED_SAMPLES = 65
"""What FFmpeg (`probesize`) and our probe look at, at most, before they know the streams."""


def wants_parts(settings: DecodeSettings, size_bytes: int) -> bool:
    """Whether it may pay to look at an object's index: the ffmpeg program reads all of a film."""
    sparse = settings.sampling != "exact" and settings.decoder != "ffmpeg"
    return sparse and size_bytes >= MIN_OBJECT_BYTES


def needed_bytes(index: FilmIndex, size_bytes: int, settings: DecodeSettings) -> ByteRanges | None:
    """What to fetch, with what is read over; None where the whole object is as cheap."""
    pictures = [track for track in index.tracks if track.kind == "vide"]
    sounds = [track for track in index.tracks if track.kind == "soun"]
    if len(pictures) != 1 or len(sounds) > 1 or pictures[0].codec not in _CODECS:
        return None
    begins, ends = [], []
    for track in index.tracks:
        # Time codes, titles and the like are small, and all of them are taken: FFmpeg reads some.
        chosen = np.ones(len(track.sizes), bool)
        if track is pictures[0]:
            of_windows = _for_windows(track, index.tracks, settings)
            if of_windows is None:
                return None
            chosen = of_windows | _probed(track)
        begins.append(track.offsets[chosen])
        ends.append(track.offsets[chosen] + track.sizes[chosen])
    samples = _joined(np.concatenate(begins), np.concatenate(ends))
    ranges = index.boxes.plus(samples, gap_bytes=GAP_BYTES)
    cost_bytes = ranges.size_bytes + len(ranges) * GAP_BYTES
    return ranges if cost_bytes <= WORTH_SHARE * size_bytes else None


def _joined(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges, of which there may be millions, with what lies between those that are near."""
    order = np.argsort(begins, kind="stable")
    begins, ends = begins[order], np.maximum.accumulate(ends[order])
    apart = np.flatnonzero(begins[1:] > ends[:-1] + GAP_BYTES) + 1
    firsts, lasts = np.append(0, apart), np.append(apart, len(begins)) - 1
    return zip(begins[firsts].tolist(), ends[lasts].tolist(), strict=True)


def _probed(track: Track) -> NDArray[np.bool_]:
    before = np.cumsum(track.sizes) - track.sizes
    chosen: NDArray[np.bool_] = before <= _PROBED_BYTES
    chosen[:_PROBED_SAMPLES] = True
    return chosen


def _for_windows(
    track: Track, tracks: tuple[Track, ...], settings: DecodeSettings
) -> NDArray[np.bool_] | None:
    """The samples from which windows are shown: key frames; and for a window without any, all of
    the groups from which its frames are decoded."""
    keys = track.is_key
    if settings.sampling == "keyframes_only":
        return keys.copy()
    if track.shown_ticks is None or any(t.shown_ticks is None for t in tracks):
        return None  # when anything is shown, is known to FFmpeg alone
    if track.shown_ticks.min(initial=0) < 0:
        return None  # the film begins within a group, which FFmpeg counts in
    starts = [
        Fraction(int(t.shown_ticks.min()), t.timescale)
        for t in tracks
        if t.kind in ("vide", "soun") and t.shown_ticks is not None and len(t.shown_ticks)
    ]
    origin_ticks = origin_of(starts) * track.timescale
    window_ticks = Fraction(settings.window_ms * track.timescale, 1000)
    shown = track.shown_ticks - float(origin_ticks)
    window = np.maximum(0, np.floor(shown / float(window_ticks))).astype(np.int64)
    groups = np.cumsum(keys)
    keyed = np.unique(window[keys & (track.shown_ticks >= 0)])
    if window.max(initial=0) > settings.max_segments:
        return None
    alone = np.setdiff1d(np.arange(int(window.max(initial=0)) + 1), keyed, assume_unique=True)
    # Until its first frame comes, a window shows the last one before it.
    order = np.argsort(shown, kind="stable")
    last_before = np.searchsorted(shown[order], alone * float(window_ticks)) - 1
    exact = np.union1d(groups[np.isin(window, alone)], groups[order[last_before[last_before >= 0]]])
    return keys | np.isin(groups, exact)

"""From hits on windows to moments: fused over vectors, merged where they touch. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import pstdev
from typing import Any

from pipeline.index.types import Hit

LEAST = 1e-3  # what being first counts for by itself
MERGE_WITHIN = 0.8  # neighbours join a moment when they reach this share of its best score,
# both counted from the weakest hit: cosines of one pair of modalities may all lie close together


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of one asset that answers a query, by its best window. Moments are ordered by
    `score`: the cosine, where one vector was searched, else a fused one (`moments_of`). `cosine` is
    that of the query with the window's vector `vector_name`, of those searched the closest."""

    asset_id: str
    uri: str
    key: str
    media_type: str
    start_ms: int
    end_ms: int
    score: float
    cosine: float
    vector_name: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Window:
    payload: Mapping[str, Any]
    score: float
    cosine: float
    vector_name: str


def moments_of(
    hits: Mapping[str, Sequence[Hit]], limit: int, *, per_asset: int = 3
) -> list[Moment]:
    """The best moments first, at most `per_asset` of one asset.

    With hits of one vector, windows are ordered by its cosine. With hits of several, by the sum of
    how far they stand out of each one's list, in units of that list's spread (z-scores; Montague
    and Aslam, CIKM 2001): cosines of different pairs of modalities are not on one scale, and the
    first of a list that holds nothing right must not count as the first of one that does.
    """
    windows = _fused(hits)
    floor = min((window.score for window in windows), default=0.0)
    by_asset: dict[str, list[_Window]] = defaultdict(list)
    for window in windows:
        by_asset[window.payload["asset_id"]].append(window)
    moments = [m for found in by_asset.values() for m in _merged(found, floor)[:per_asset]]
    return sorted(moments, key=lambda m: (-m.score, m.key, m.start_ms))[:limit]


def _fused(hits: Mapping[str, Sequence[Hit]]) -> list[_Window]:
    if len(hits) == 1:
        [(name, only)] = hits.items()
        return [_Window(h.payload, h.score, h.score, name) for h in only]
    sums: dict[str, float] = defaultdict(float)
    closest: dict[str, tuple[str, Hit]] = {}
    for name, found in hits.items():
        scores = [hit.score for hit in found]
        spread = pstdev(scores) if scores else 0.0
        for rank, hit in enumerate(found):
            # Where nothing stands out, the order alone speaks, softly.
            sums[hit.point_id] += LEAST / (rank + 1)
            if spread > 0:
                sums[hit.point_id] += (hit.score - min(scores)) / spread
            if hit.point_id not in closest or hit.score > closest[hit.point_id][1].score:
                closest[hit.point_id] = (name, hit)
    return [
        _Window(hit.payload, sums[point], hit.score, name) for point, (name, hit) in closest.items()
    ]


def _merged(windows: Iterable[_Window], floor: float) -> list[Moment]:
    """Windows of one asset that follow one another and score alike become one moment."""
    moments = []
    run: list[_Window] = []
    for window in sorted(windows, key=lambda w: w.payload["segment_index"]):
        follows = run and window.payload["segment_index"] == run[-1].payload["segment_index"] + 1
        if follows and _alike(run, window, floor):
            run.append(window)
            continue
        if run:
            moments.append(_moment(run))
        run = [window]
    if run:
        moments.append(_moment(run))
    return sorted(moments, key=lambda m: (-m.score, m.start_ms))


def _alike(run: Sequence[_Window], window: _Window, floor: float) -> bool:
    scores = [w.score - floor for w in run] + [window.score - floor]
    return min(scores) >= MERGE_WITHIN * max(scores)


def _moment(run: Sequence[_Window]) -> Moment:
    best = max(run, key=lambda w: (w.score, -w.payload["segment_index"]))
    payload = best.payload
    return Moment(
        payload["asset_id"],
        payload["uri"],
        payload["key"],
        payload["media_type"],
        run[0].payload["start_ms"],
        run[-1].payload["end_ms"],
        best.score,
        best.cosine,
        best.vector_name,
        payload,
    )


def format_span(start_ms: int, end_ms: int) -> str:
    """`01:12-01:16`, with hours where there are any; `still` for a picture."""
    if start_ms == end_ms == 0:
        return "still"
    return f"{format_time(start_ms)}-{format_time(end_ms)}"


def format_time(at_ms: int) -> str:
    """`01:12`, or `1:01:12`; whole seconds, cut."""
    minutes, seconds = divmod(at_ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"

"""From ranked windows to moments: merged where they touch, ordered, grouped by asset. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.index.types import Hit
from pipeline.search.ranking import Evidence, FoundList, RankedWindow, ranked
from pipeline.search.request import Ranking

HITS_PER_MOMENT = 5  # windows asked for, so that enough are left after merging
MERGE_WITHIN = 0.8  # neighbours join a moment when they reach this share of its best score,
# both counted from the weakest hit: cosines of one pair of modalities may all lie close together


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of one asset that answers a search, by its best window.

    `score` orders moments: the cosine where one vector was searched and nothing else, else what the
    ranking makes of all (docs/query.md). `cosine` is that with the window's vector `vector_name`,
    the strongest of `why`; 0 and `words` for a window that only words found. `share` is the share
    of the collection that scores lower, where it was measured. `best_ms` is the middle of the best
    window, `point_id` its point. `words` are those of the search that it holds. `copies` is how
    many near-duplicates of other assets were folded into it, `copy_keys` some of their keys.
    """

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
    point_id: str = ""
    best_ms: int = 0
    share: float | None = None
    why: tuple[Evidence, ...] = ()
    words: tuple[str, ...] = ()
    copies: int = 0
    copy_keys: tuple[str, ...] = ()

    @property
    def cosines(self) -> dict[str, float]:
        """The highest cosine with each of the window's vectors that was asked."""
        found: dict[str, float] = {}
        for one in self.why:
            found[one.vector_name] = max(one.cosine, found.get(one.vector_name, -1.0))
        return found


def moments_of(
    hits: Mapping[str, Sequence[Hit]], limit: int, *, per_asset: int = 3
) -> list[Moment]:
    """The best moments of one question first, at most `per_asset` of one asset, by hits of each
    vector: by the cosine where there is one, else by how far they stand out of each list."""
    lists = [FoundList(0, "", name, found) for name, found in hits.items()]
    return merged_moments(ranked(lists, ranking=Ranking.SPREAD), per_asset=per_asset)[:limit]


def merged_moments(
    windows: Sequence[RankedWindow], *, per_asset: int, without: Collection[str] = ()
) -> list[Moment]:
    """The best first, at most `per_asset` of one asset; none of the assets `without`, whose windows
    say only how low a score may be."""
    floor = min((window.order for window in windows if not window.deep), default=0.0)
    by_asset: dict[str, list[RankedWindow]] = defaultdict(list)
    for window in windows:
        asset = window.payload["asset_id"]
        if asset not in without:
            by_asset[asset].append(window)
    assets = [_merged(found, floor)[:per_asset] for found in by_asset.values()]
    every = [found for moments in assets for found in moments]
    return [moment for _, moment in sorted(every, key=_place)]


def assets_in_order(windows: Iterable[RankedWindow]) -> list[str]:
    """That with the best window first."""
    best: dict[str, tuple[float, str, int]] = {}
    for window in windows:
        payload = window.payload
        place = -window.order, payload["key"], payload["start_ms"]
        best[payload["asset_id"]] = min(place, best.get(payload["asset_id"], place))
    return sorted(best, key=best.__getitem__)


def _place(found: tuple[float, Moment]) -> tuple[float, str, int]:
    order, moment = found
    return -order, moment.key, moment.start_ms


def _merged(windows: Iterable[RankedWindow], floor: float) -> list[tuple[float, Moment]]:
    """Windows of one asset that follow one another and score alike become one moment."""
    moments = []
    run: list[RankedWindow] = []
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
    return sorted(moments, key=_place)


def _alike(run: Sequence[RankedWindow], window: RankedWindow, floor: float) -> bool:
    scores = [w.order - floor for w in run] + [window.order - floor]
    return min(scores) >= MERGE_WITHIN * max(scores)


def _moment(run: Sequence[RankedWindow]) -> tuple[float, Moment]:
    best = max(run, key=lambda w: (w.order, -w.payload["segment_index"]))
    payload = best.payload
    closest = max(best.why, key=lambda one: one.cosine, default=Evidence("", "words", 0.0))
    return best.order, Moment(
        payload["asset_id"],
        payload["uri"],
        payload["key"],
        payload["media_type"],
        run[0].payload["start_ms"],
        run[-1].payload["end_ms"],
        best.score,
        closest.cosine,
        closest.vector_name,
        payload,
        best.point_id,
        (payload["start_ms"] + payload["end_ms"]) // 2,
        best.share,
        best.why,
        tuple(dict.fromkeys(word for window in run for word in window.words)),
    )


def format_span(start_ms: int, end_ms: int) -> str:
    """`01:12-01:16`, with hours where there are any; `still` for a picture. What has begun of the
    last second counts whole, so that a bark of half a second lasts for some time."""
    if start_ms == end_ms == 0:
        return "still"
    return f"{format_time(start_ms)}-{format_time(-(-end_ms // 1000) * 1000)}"


def format_time(at_ms: int) -> str:
    """`01:12`, or `1:01:12`; whole seconds, cut."""
    minutes, seconds = divmod(at_ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"

"""The comparison: a question to the joined for each thing that can be wrong with the points.

What a stopped run had begun with, and the next run goes on with (`in_flight`), is not judged. Where
Parquet proves nothing of an asset (`unproven`), its points are only counted: it is embedded again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.index.points import CollectionPoints, PointId
from pipeline.settings import SourceSettings
from pipeline.verify.findings import Finding
from pipeline.verify.join_db import JoinDatabase, text

ASSETS_PER_READ = 256

# A row for each asset that is to be whole in the index, and its one live generation. What failed
# keeps its older content, of which the anchor tells, until a run gets the new content in.
_TABLES = """
create temp view judged as
    select * from objects where asset not in (select asset from in_flight);
create temp view done as select * from judged where status in ('indexed', 'partial');
create temp table kept (asset blob primary key, generation text, segments integer) without rowid;
insert or ignore into kept
    select o.asset, f.generation, coalesce(f.segments, -1)
    from judged o join found f on f.asset = o.asset and f.kind = 'anchor'
    where o.status in ('failed', 'denied', 'archived');
create temp table stray (point not null, asset blob, name text not null);
"""

_SEGMENTS = """
insert into findings
select name, asset, '', count(*), detail from (
    select w.asset, case
        when f.point is null then case when u.asset is null then 'points_missing' end
        when f.kind <> 'segment' or f.asset is not w.asset or f.generation <> o.generation
            then 'payload_differs'
        when not f.live then 'points_hidden'
    end name,
    case when f.point is null or f.kind = 'segment' and f.asset is w.asset
        and f.generation = o.generation then '' else 'kind, asset_id or generation' end detail
    from wanted w join done o on o.asset = w.asset
        left join found f on f.point = w.point
        left join unproven u on u.asset = w.asset
) where name not null group by name, asset
"""
_FEWER = """
select o.asset, o.segments - count(f.point) points, 'counted' detail
from unproven u join done o on o.asset = u.asset
    left join found f
    on f.asset = o.asset and f.kind = 'segment' and f.generation = o.generation and f.live
group by o.asset having count(f.point) < o.segments
"""
_NO_ANCHOR = """
select o.asset, 1 points, '' detail
from done o left join found f on f.asset = o.asset and f.kind = 'anchor'
where f.point is null
"""
_OTHER_ANCHOR = """
select o.asset, 1 points,
    'generation ' || f.generation || ', ' || coalesce(f.segments, 'no') || ' segments; the state: '
    || o.generation || ', ' || o.segments detail
from done o join found f on f.asset = o.asset and f.kind = 'anchor'
where f.generation <> o.generation or f.segments is not o.segments
"""
_KEPT_IN_PART = """
select k.asset, 0 points, count(f.point) || ' of ' || k.segments || ' segments' detail
from kept k left join found f
    on f.asset = k.asset and f.kind = 'segment' and f.generation = k.generation and f.live
group by k.asset having count(f.point) <> k.segments
"""
_STRAY = """
insert into stray select point, asset, name from (
    select f.point, f.asset, case
        when f.kind = '' or f.asset is null then 'points_unidentified'
        when o.asset is null then 'points_of_no_object'
        when f.kind = 'anchor' and (o.status in ('indexed', 'partial') or k.asset not null) then ''
        when o.status in ('indexed', 'partial') and f.generation = o.generation then
            case when u.asset is null then 'points_unaccounted' else '' end
        when k.generation = f.generation then ''
        else 'points_superseded'
    end name
    from found f left join wanted w on w.point = f.point
        left join objects o on o.asset = f.asset
        left join kept k on k.asset = f.asset
        left join unproven u on u.asset = f.asset
    where w.point is null
        and (f.asset is null or f.asset not in (select asset from in_flight))
) where name <> ''
"""
_STRAY_COUNTED = """
select asset, count(*) points,
    'such as ' || case typeof(min(point))
        when 'integer' then min(point) else lower(hex(min(point))) end detail
from stray where name = ? and name <> 'points_of_no_object' group by asset
"""

_QUESTIONS: Mapping[Finding, str] = {
    Finding.POINTS_MISSING: _FEWER,
    Finding.ANCHOR_MISSING: _NO_ANCHOR,
    Finding.ANCHOR_DIFFERS: _OTHER_ANCHOR,
    Finding.KEPT_INCOMPLETE: _KEPT_IN_PART,
}

ReadPayloads = Callable[[Sequence[PointId]], Mapping[PointId, Mapping[str, Any]]]


def compare(joined: JoinDatabase, read_payloads: ReadPayloads, source: SourceSettings) -> int:
    """Write down what is found; returns how many points are of no place of the source's.

    `read_payloads` gives the payload fields `bucket` and `key` of points; it is called for one
    point of each asset that the state does not know.
    """
    joined.script(_TABLES)
    joined.ask(_SEGMENTS)
    for name, question in _QUESTIONS.items():
        joined.find_all(name, question)
    joined.ask(_STRAY)
    others = _of_no_object(joined, read_payloads, source)
    for name in (
        Finding.POINTS_UNIDENTIFIED,
        Finding.POINTS_UNACCOUNTED,
        Finding.POINTS_SUPERSEDED,
    ):
        joined.find_all(name, _STRAY_COUNTED, name)
    return others


def payload_reader(points: CollectionPoints) -> ReadPayloads:
    """Asks Qdrant."""

    def read_payloads(point_ids: Sequence[PointId]) -> Mapping[PointId, Mapping[str, Any]]:
        found = points.fetch(point_ids, ["bucket", "key"])
        return {point_id: point.payload for point_id, point in found.items()}

    return read_payloads


def _of_no_object(joined: JoinDatabase, read_payloads: ReadPayloads, source: SourceSettings) -> int:
    """A collection may hold what another state knows: points of another bucket or prefix stay."""
    unknown = joined.ask(
        "select asset, min(point), count(*) from stray where name = 'points_of_no_object' "
        "group by asset"
    ).fetchall()
    others = 0
    for start in range(0, len(unknown), ASSETS_PER_READ):
        assets = unknown[start : start + ASSETS_PER_READ]
        payloads = read_payloads([point_id_of(point) for _, point, _ in assets])
        for asset, point, count in assets:
            payload = payloads.get(point_id_of(point), {})
            key = str(payload.get("key") or "")
            if source.covers(str(payload.get("bucket") or source.name), key):
                joined.find(Finding.POINTS_OF_NO_OBJECT, asset=asset, key=key, points=count)
            else:
                others += count
                joined.ask("delete from stray where asset = ?", asset)
    return others


def point_id_of(point: int | bytes) -> PointId:
    """The id that Qdrant knows, of a `point` column."""
    return point if isinstance(point, int) else text(point)

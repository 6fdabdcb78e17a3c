"""The four parties, read into the joined as streams: bucket beside state, Qdrant, Parquet."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.errors import StateCorrupt
from pipeline.ids import Recipe, anchor_id
from pipeline.index.points import CollectionPoints, StoredPoint
from pipeline.payload_fields import Verified
from pipeline.payload_schema import FIELDS
from pipeline.planning.diff import PlanSummary, RetryPolicy, plan_rows
from pipeline.planning.file import read_plan
from pipeline.progress import ProgressReporter
from pipeline.records import Action, ObjectOutcome, PlanRow, Status
from pipeline.settings import SourceSettings
from pipeline.source.select import SelectionCounts, select
from pipeline.source.source import open_source
from pipeline.state.objects import CurrentState, StateRow
from pipeline.state.receipts import receipt_of, unfinished_runs
from pipeline.state.segments import file_sha256, read_ids
from pipeline.state.store import Store
from pipeline.verify.findings import Finding
from pipeline.verify.join_db import ROWS_PER_WRITE, JoinDatabase, blob
from pipeline.verify.sample import Sampler

POINT_FIELDS = tuple(field.name for field in FIELDS if field.verified is Verified.EVERY_POINT)
DONE = (Status.INDEXED, Status.PARTIAL)
_BEHIND = {
    Action.NEW: Finding.OBJECT_NEW,
    Action.CHANGED: Finding.OBJECT_CHANGED,
    Action.GONE: Finding.OBJECT_GONE,
}


def read_bucket_and_state(
    joined: JoinDatabase, source: SourceSettings, state: CurrentState, recipe: Recipe
) -> SelectionCounts:
    """The same join of listing and state by which a run is planned; nothing is fetched."""
    passed: deque[StateRow] = deque()

    def passing() -> Iterator[StateRow]:
        for row in state.rows():
            passed.append(row)
            yield row

    summary = PlanSummary()
    place = open_source(source)
    place.check()
    planned = plan_rows(
        select(place.listed(), source, summary.selection),
        passing(),
        recipe,
        RetryPolicy(readable_classes=frozenset(source.storage_classes)),
        summary,
        bucket=state.bucket or source.name,
        is_gone=place.is_gone,
    )
    while chunk := list(islice(planned, ROWS_PER_WRITE)):
        known = [passed.popleft() for row in chunk if row.action is not Action.NEW]
        joined.write("objects", map(_object_row, known), 7)
        moving = [row for row in chunk if row.action is not Action.UNCHANGED]
        joined.write("moving", ((blob(row.asset_id),) for row in moving), 1)
        for row in moving:
            if row.action in _BEHIND:
                name, detail = _behind(row)
                joined.find(name, asset=blob(row.asset_id), key=row.object.key, detail=detail)
        for was in known:
            if was.status not in DONE and was.failure is None:
                joined.find(Finding.CAUSE_MISSING, asset=blob(was.asset_id), detail=was.status)
    joined.index("objects", "files")
    return summary.selection


def _object_row(row: StateRow) -> tuple[Any, ...]:
    cause = row.failure.code if row.status not in DONE and row.failure is not None else ""
    file = row.data_file if row.status in DONE else None
    asset = blob(row.asset_id)
    return asset, row.key, row.generation, row.status.value, cause, row.segments, file


def _behind(row: PlanRow) -> tuple[Finding, str]:
    if "recipe" in row.reason:
        return Finding.RECIPE_CHANGED, ""
    return _BEHIND[row.action], row.reason if row.action is Action.CHANGED else ""


def read_unfinished_runs(joined: JoinDatabase, state: CurrentState) -> None:
    """What a run that was stopped before its state had begun with, and the next run goes on with.

    What the next run will not touch is judged as everything else: nobody else would mend it.
    """
    known = 0
    for run in unfinished_runs(state.store, state.sequence, state.in_increments()):
        try:
            with state.store.local_copy(f"{run}/plan.parquet") as path:
                begun = ((blob(row.asset_id),) for row in read_plan(path))
                while chunk := list(islice(begun, ROWS_PER_WRITE)):
                    joined.write("in_flight", chunk, 1)
        except FileNotFoundError:
            continue  # it had not begun
        joined.ask("delete from in_flight where asset not in (select asset from moving)")
        now = joined.ask_one("select count(*) from in_flight")
        if now > known:
            joined.find(Finding.RUN_UNFINISHED, detail=f"{run}: {now - known} objects")
        known = now


def read_points(joined: JoinDatabase, points: CollectionPoints, reporter: ProgressReporter) -> int:
    """Every point of the collection by its fields; returns how many."""
    reporter.phase("reading the collection")
    count = 0
    for page in points.pages(POINT_FIELDS):
        joined.write("found", map(_point_row, page), 6)
        count += len(page)
        reporter.count(f"reading the collection: {count} points")
    joined.index("found")
    return count


def _point_row(point: StoredPoint) -> tuple[Any, ...]:
    payload, point_id = point.payload, point.point_id
    kind, asset_id = payload.get("kind"), payload.get("asset_id")
    asset = blob(asset_id) if isinstance(asset_id, str) else None
    # What a load reads of an anchor must be there, or it is none.
    is_anchor = (
        kind == "asset"
        and asset is not None
        and point_id == anchor_id(str(asset_id))
        and isinstance(payload.get("sequence"), int)
        and isinstance(payload.get("generation"), str)
    )
    segments = payload.get("segments")
    return (
        point_id if isinstance(point_id, int) else blob(point_id),
        asset,
        "anchor" if is_anchor else "segment" if kind == "segment" else "",
        str(payload.get("generation")),
        payload.get("live") is True,
        segments if isinstance(segments, int) else None,
    )


class ParquetReader:
    """Reads every file that the state names: digest, ids, and with the sampler its content."""

    def __init__(self, joined: JoinDatabase, store: Store, sampler: Sampler | None) -> None:
        self._ledger = joined
        self._store = store
        self._sampler = sampler
        self.files = 0
        self.bytes = 0
        self.segments = 0

    def read(self, reporter: ProgressReporter) -> None:
        done = "status in ('indexed', 'partial')"
        for (asset,) in self._ledger.ask(
            f"select asset from objects where {done} and data_file is null"
        ).fetchall():
            self._unproven(Finding.PARQUET_MISSING, [asset], "the state names no file")
        reporter.phase("reading Parquet, and a sample of the collection")
        named = self._ledger.ask(
            "select distinct data_file from objects where data_file is not null order by 1"
        ).fetchall()
        for (file,) in named:
            assets = self._ledger.ask(
                "select asset, generation, segments from objects where data_file = ?", file
            ).fetchall()
            self._read_file(file, {asset: (gen, count) for asset, gen, count in assets})
            self.files += 1
            reporter.count(f"reading Parquet: {self.files} of {len(named)} files")
        self._ledger.index("wanted")

    def _read_file(self, file: str, assets: dict[bytes, tuple[str, int]]) -> None:
        outcomes, digest = self._promised(file, assets)
        try:
            with self._store.local_copy(file) as path:
                self.bytes += path.stat().st_size
                counts = self._read_ids(path, assets)
                if digest and file_sha256(path) != digest:
                    self._unproven(Finding.PARQUET_ALTERED, assets, file)
                    return
                short = [a for a, (_, count) in assets.items() if counts.get(a, 0) != count]
                for asset in short:
                    there = f"{counts.get(asset, 0)} of {assets[asset][1]} segments in {file}"
                    self._unproven(Finding.PARQUET_ROWS, [asset], there)
                if self._sampler is not None:
                    judged = outcomes.keys() - set(short) - self._in_flight(assets)
                    self._sampler.check(path, {asset: outcomes[asset] for asset in judged})
        except FileNotFoundError:
            self._unproven(Finding.PARQUET_MISSING, assets, file)
        except StateCorrupt as error:
            self._unproven(Finding.PARQUET_UNREADABLE, assets, error.message)

    def _promised(
        self, file: str, assets: dict[bytes, tuple[str, int]]
    ) -> tuple[dict[bytes, ObjectOutcome], str | None]:
        """The receipt's outcomes of these assets, and the digest that the file must have."""
        why, receipt = f"{file} has none", None
        try:
            receipt = receipt_of(self._store, file)
        except StateCorrupt as error:
            why = error.message
        if receipt is None or receipt.data_file != file:
            self._unproven(Finding.RECEIPT_UNUSABLE, assets, why)
            return {}, None
        outcomes = {
            asset: outcome
            for outcome in receipt.outcomes
            if (asset := blob(outcome.asset_id)) in assets
            and assets[asset] == (outcome.generation, outcome.segments)
        }
        unnamed = assets.keys() - outcomes.keys()
        self._unproven(Finding.RECEIPT_UNUSABLE, unnamed, "the receipt says otherwise of it")
        return outcomes, receipt.data_sha256

    def _read_ids(self, path: Path, assets: dict[bytes, tuple[str, int]]) -> dict[bytes, int]:
        """Write down the segments that are wanted; how many of each asset there are."""
        generations = {asset: generation for asset, (generation, _) in assets.items()}
        counts: dict[bytes, int] = {}
        known: dict[str, bytes | None] = {}
        for points, owners, gens in read_ids(path):
            rows = []
            for point, owner, generation in zip(points, owners, gens, strict=True):
                if owner not in known:
                    known[owner] = blob(owner)
                asset = known[owner]
                if asset is not None and generations.get(asset) == generation:
                    counts[asset] = counts.get(asset, 0) + 1
                    rows.append((blob(point), asset))
            self._ledger.write("wanted", rows, 2)
            self.segments += len(rows)
        return counts

    def _in_flight(self, assets: Iterable[bytes]) -> set[bytes]:
        known = self._ledger.ask_one("select count(*) from in_flight")
        question = "select 1 from in_flight where asset = ?"
        return {a for a in assets if self._ledger.ask_one(question, a)} if known else set()

    def _unproven(self, name: Finding, assets: Collection[bytes], detail: str) -> None:
        self._ledger.write("unproven", ((asset,) for asset in assets), 1)
        self._ledger.write("findings", ((name, asset, "", 0, detail) for asset in assets), 5)

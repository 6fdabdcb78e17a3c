"""Repairs the index: stray points are deleted, assets are loaded again from Parquet without an
encoder, and an ordinary run does the rest. Every step may be repeated, wherever it was killed.

    under the lease:  audit -> delete strays -> reload from Parquet
    without it:       an ordinary run, if there is something that only a run can repair
    ... until an audit finds that all agree, three rounds at most
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from pipeline import codec
from pipeline.errors import StateCorrupt
from pipeline.index.load import load_shard
from pipeline.index.vector_index import VectorIndex
from pipeline.index.writer import writing
from pipeline.models.spaces import cards_of, spaces_of
from pipeline.progress import ProgressReporter
from pipeline.records import ObjectOutcome, ShardReceipt
from pipeline.report.record import RunReport
from pipeline.run_options import RunOptions
from pipeline.settings import Settings
from pipeline.state.lease import LeaseHandle
from pipeline.state.objects import read_state
from pipeline.state.receipts import new_run_id, receipt_of, receipts_newest_first
from pipeline.state.run_leases import hold_both_leases
from pipeline.state.segments import file_sha256, read_segments, read_spaces
from pipeline.state.store import Store, open_store
from pipeline.verify.audit import AuditOptions, audit, with_recall
from pipeline.verify.compare import point_id_of
from pipeline.verify.findings import MEANINGS, Finding, Kind, Repair, Verdict, VerifyReport
from pipeline.verify.join_db import JoinDatabase, open_join_database, text

ROUNDS = 3
POINTS_PER_STEP = 1_000
# A run's keys are parameters of a flow, which must stay small.
KEYS_PER_RUN = 2_000


@dataclass(frozen=True, slots=True)
class Round:
    """One audit under the lease and what was repaired by it; `run_objects` is of the run after it.

    `keys` are the objects whose Parquet is lost: an ordinary run must be asked for them.
    """

    report: VerifyReport
    deleted_points: int = 0
    reloaded_objects: int = 0
    reloaded_segments: int = 0
    removed_objects: int = 0
    keys: tuple[str, ...] = ()
    run_objects: Mapping[str, int] | None = None

    @property
    def needs_run(self) -> bool:
        """Settings that would embed everything anew are a person's to confirm."""
        names = {row.name for row in self.report.findings}
        if Finding.RECIPE_CHANGED in names:
            return False
        return bool(self.keys) or any(MEANINGS[name].kind is Kind.STALE for name in names)

    @property
    def repaired(self) -> bool:
        return bool(self.deleted_points or self.reloaded_objects or self.removed_objects)

    def to_json(self) -> dict[str, Any]:
        return {**codec.to_json(self), "report": self.report.to_json()}


def rounds_of(
    repair_once: Callable[[], Round], run: Callable[[RunOptions], RunReport]
) -> Iterator[Round]:
    """Repair, run, and audit again; the last round's report is how it stands."""
    for _ in range(ROUNDS):
        done = repair_once()
        if done.report.verdict is Verdict.AGREE or not (done.repaired or done.needs_run):
            yield done
            return
        yield _run(done, run) if done.needs_run else done
    yield repair_once()


def _run(done: Round, run: Callable[[RunOptions], RunReport]) -> Round:
    objects: dict[str, int] = {}
    for start in range(0, max(1, len(done.keys)), KEYS_PER_RUN):
        report = run(RunOptions(retry_keys=done.keys[start : start + KEYS_PER_RUN]))
        for action, count in report.objects_by_action.items():
            objects[action] = objects.get(action, 0) + count
    return replace(done, run_objects=objects)


def repair_round(settings: Settings, options: AuditOptions, reporter: ProgressReporter) -> Round:
    """Look at everything under the lease, and repair what needs no encoder.

    Raises LeaseHeld where a run is at work, and what `audit` and a load raise.
    """
    store = open_store(settings.state.location, settings.source)
    after = read_state(store).newest
    name = f"verify-{new_run_id()}"
    with (
        writing(settings, store, name, after_token=after, hold=hold_both_leases) as (lease, index),
        open_join_database() as joined,
    ):
        report = audit(joined, settings, options, reporter, index)
        if report.verdict is Verdict.AGREE:
            return Round(with_recall(report, settings, options, reporter))
        done = _Mender(joined, store, index, lease, reporter)
        done.delete_strays()
        done.reload_live()
        done.reload_kept()
        keys = _keys_to_embed(joined)
        if keys and not index.exists():  # nothing in Parquet could be loaded: the run is to fill it
            index.ensure_collection(spaces_of(cards_of(settings)))
        reporter.record_phase("repair")
        return Round(
            report,
            done.deleted_points,
            done.reloaded_objects,
            done.reloaded_segments,
            done.removed_objects,
            keys,
        )


class _Mender:
    def __init__(
        self,
        joined: JoinDatabase,
        store: Store,
        index: VectorIndex,
        lease: LeaseHandle,
        reporter: ProgressReporter,
    ) -> None:
        self._ledger = joined
        self._store = store
        self._index = index
        self._lease = lease
        self._reporter = reporter
        self.deleted_points = 0
        self.reloaded_objects = 0
        self.reloaded_segments = 0
        self.removed_objects = 0

    def delete_strays(self) -> None:
        """First: a stray may bear the id of a segment that is loaded anew."""
        strays = (point_id_of(row[0]) for row in self._ledger.ask("select point from stray"))
        while chunk := list(islice(strays, POINTS_PER_STEP)):
            self._lease.confirm()
            self._index.points().delete(chunk)
            self.deleted_points += len(chunk)
            self._reporter.count(f"deleting stray points: {self.deleted_points}")

    def reload_live(self) -> None:
        names = [
            n for n, m in MEANINGS.items() if m.kind is Kind.FAULT and m.repair is Repair.RELOAD
        ]
        marks = ", ".join("?" * len(names))
        rows = self._ledger.ask(
            "select distinct o.data_file, o.asset from findings f join done o on o.asset = f.asset "
            f"where f.name in ({marks}) and o.asset not in (select asset from unproven) order by 1",
            *names,
        )
        for file, group in groupby(rows, key=itemgetter(0)):
            assets = {text(asset) for _, asset in group}
            receipt = receipt_of(self._store, file)
            if receipt is not None:
                outcomes = {o.asset_id: o for o in receipt.outcomes if o.asset_id in assets}
                self._load(receipt, outcomes)

    def reload_kept(self) -> None:
        """What failed and has lost a part of its older content: an older receipt may have it."""
        wanted = {
            text(asset): generation
            for asset, generation in self._ledger.ask(
                "select k.asset, k.generation from findings f join kept k on k.asset = f.asset "
                "where f.name = ?",
                Finding.KEPT_INCOMPLETE,
            )
        }
        receipts = receipts_newest_first(self._store) if wanted else iter(())
        for receipt in receipts:
            outcomes = {
                o.asset_id: o
                for o in receipt.outcomes
                if o.segments and wanted.get(o.asset_id) == o.generation
            }
            if outcomes and self._load(receipt, outcomes):
                for asset in outcomes:
                    del wanted[asset]
        if wanted:
            # Nobody has it: an asset is in the index whole or not at all.
            self._lease.confirm()
            self._index.remove(list(wanted), self._lease.fencing_token)
            self.removed_objects += len(wanted)

    def _load(self, receipt: ShardReceipt, outcomes: Mapping[str, ObjectOutcome]) -> bool:
        """False where the receipt's file is no longer what it was."""
        if receipt.data_file is None:
            return False
        self._lease.confirm()
        try:
            with self._store.local_copy(receipt.data_file) as path:
                return self._load_file(path, receipt, outcomes)
        except (FileNotFoundError, StateCorrupt):
            return False  # the audit named it, or it is of a run whose files are gone

    def _load_file(
        self, path: Path, receipt: ShardReceipt, outcomes: Mapping[str, ObjectOutcome]
    ) -> bool:
        if file_sha256(path) != receipt.data_sha256:
            return False
        self._index.ensure_collection(read_spaces(path))
        done = load_shard(
            self._index,
            read_segments(path, only=outcomes),
            list(outcomes.values()),
            self._lease.fencing_token,
            self._lease.run_id,
        )
        self.reloaded_objects += done.assets
        self.reloaded_segments += done.points
        self._reporter.count(f"loading from Parquet: {self.reloaded_segments} segments")
        return True


def _keys_to_embed(joined: JoinDatabase) -> tuple[str, ...]:
    names = [n for n, m in MEANINGS.items() if m.kind is Kind.FAULT and m.repair is Repair.RUN]
    marks = ", ".join("?" * len(names))
    return tuple(
        key
        for (key,) in joined.ask(
            "select distinct o.key from findings f join judged o on o.asset = f.asset "
            f"where f.name in ({marks}) order by 1",
            *names,
        )
    )

"""One event run: some named objects made true to their buckets, beside any whole run at work.

    plan -> events lease -> embed -> load -> remove -> increment

The steps are those of a whole run (`pipeline.run.steps`), in this process, on the rows of these
objects; what is written last is an increment of the state. A run of nothing to do writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encoders.protocol import Encoder
from pipeline.embed.engine import Engine
from pipeline.embed.job import EmbedJob
from pipeline.embed.local import receipts_in_loop
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.index.writer import writing
from pipeline.local_files import scratch_folder
from pipeline.planning.file import read_plan
from pipeline.planning.named import NamedObjects, plan_named
from pipeline.planning.plan import RunPlan
from pipeline.progress import ProgressReporter
from pipeline.records import Action, Place, PlanRow, ShardReceipt, Status
from pipeline.run import steps as protocol
from pipeline.run.begin import Run, began
from pipeline.run.cluster_checks import for_workers
from pipeline.run.kept_progress import progress_kept
from pipeline.run.observers import committed_shard, lease_taken
from pipeline.run.preflight import index_lost
from pipeline.run_events import RunEnded
from pipeline.settings import Settings
from pipeline.source.source import Source
from pipeline.state.increments import About, commit_increment
from pipeline.state.lease import LEASE, LeaseHandle, is_free, read_lease
from pipeline.state.objects import CurrentState, StateRow, read_state
from pipeline.state.receipts import RunFolder, new_run_id
from pipeline.state.run_leases import hold_events_lease
from pipeline.state.run_progress import EVENTS_PROGRESS
from pipeline.state.store import Store

# Searchable, or gone: as an event has told.
_SETTLED = (Status.INDEXED, Status.PARTIAL, Status.REMOVED)


@dataclass(frozen=True, slots=True)
class EventRunDone:
    """What became of them: objects by what was to be done about them, and by how they ended.
    `settled` are those that are searchable now, or gone; `again` those whose failure may pass, and
    which are committed as failed."""

    objects_by_action: Mapping[str, int]
    objects_by_status: Mapping[str, int] = field(default_factory=dict)
    segments: int = 0
    settled: frozenset[Place] = frozenset()
    again: frozenset[Place] = frozenset()
    sequence: int = 0


class EventRuns:
    """Runs one after the other; the encoders are loaded by the first that needs them, and kept."""

    def __init__(self, settings: Settings, store: Store, source: Source) -> None:
        self._settings = settings
        self._store = store
        self._source = source
        self._encoders: list[Encoder] = []

    def run(self, named: NamedObjects, reporter: ProgressReporter) -> EventRunDone:
        """Plan, and do what is planned. May be repeated, wherever it was killed. Who looks on by
        the reporter is told what is told of a whole run.

        Raises LeaseHeld where another event run is at work, and what a whole run raises.
        """
        with scratch_folder() as folder:
            reporter.phase("planning")
            planned = self._planned(named, read_state(self._store), folder, reporter)
            reporter.record_phase("list and plan")
            if planned.nothing_to_do:
                reporter.tell(RunEnded())
                return EventRunDone(_counts(planned.summary.objects))
            after = planned.state.newest
            with writing(
                self._settings, self._store, new_run_id(), after_token=after, hold=hold_events_lease
            ) as (lease, index):
                state = read_state(self._store)
                if state.version != planned.state.version:
                    planned = self._planned(named, state, folder, reporter, index)
                return self._write(planned, lease, index, reporter)

    def _planned(
        self,
        named: NamedObjects,
        state: CurrentState,
        folder: Path,
        reporter: ProgressReporter,
        index: VectorIndex | None = None,
    ) -> RunPlan:
        def live(assets: Sequence[str]) -> Mapping[str, str]:
            if index is not None:
                return _shown(index, assets)
            with open_index(self._settings.index) as opened:
                return _shown(opened, assets)

        path = folder / "plan.parquet"
        planned = plan_named(self._settings, named, state, self._source, live, path)
        waiting_since = _waiting_since(planned)
        reporter.set_totals(planned.to_embed, len(planned.objects_by_shard), waiting_since)
        return planned

    def _write(
        self, planned: RunPlan, lease: LeaseHandle, index: VectorIndex, reporter: ProgressReporter
    ) -> EventRunDone:
        protocol.check_tools(self._settings, planned, Engine.LOOP)
        if planned.state.totals.get("segments") and not index.exists():
            raise index_lost(self._settings, planned.state)
        run = began(self._settings, planned, lease, planned.state, {})
        reporter.tell(lease_taken(run.folder, lease, self._settings, last_run=""))
        with progress_kept(self._store, run.folder, lease, reporter, EVENTS_PROGRESS):
            return self._under_lease(run, planned, index, reporter)

    def _under_lease(
        self, run: Run, planned: RunPlan, index: VectorIndex, reporter: ProgressReporter
    ) -> EventRunDone:
        index.ensure_collection(run.spaces)
        receipts = []
        for receipt in self._receipts(run, planned, reporter):
            outcomes = protocol.outcomes_taken(run, planned, receipt)
            reporter.committed(committed_shard(self._settings, run.folder, receipt, outcomes))
            protocol.load(run, planned, index, receipt, reporter, lambda _, here: here())
            receipts.append(receipt)
        protocol.sweep(run, planned, index, reporter)
        rows = list(_rows(run, planned, receipts))
        self._commit(run, planned, rows, index)
        reporter.record_phase("write the increment")
        ended = [row for row in rows if row.status is not Status.REMOVED]
        removed = _counts({Status.REMOVED: len(rows) - len(ended)})
        reporter.tell(RunEnded(objects_by_status={**reporter.latest.objects_by_status, **removed}))
        return EventRunDone(
            _counts(planned.summary.objects),
            _counts(Counter(str(row.status) for row in rows)),
            sum(row.segments for row in ended),
            frozenset(row.place for row in rows if row.status in _SETTLED),
            frozenset(row.place for row in ended if row.failure and row.failure.retryable),
            run.folder.sequence,
        )

    def _receipts(
        self, run: Run, planned: RunPlan, reporter: ProgressReporter
    ) -> Iterator[ShardReceipt]:
        if not planned.to_embed:
            return iter(())
        settings = for_workers(self._settings)
        job = EmbedJob(settings, run.folder, run.spaces, dict(planned.objects_by_shard))
        self._encoders = self._encoders or job.load_encoders()
        job = _KeptJob(job.settings, job.run, job.spaces, job.objects_by_shard, self._encoders)
        rows = (row for row in read_plan(planned.path) if row.shard >= 0)
        return receipts_in_loop(job, rows, reporter)

    def _commit(
        self, run: Run, planned: RunPlan, rows: Sequence[StateRow], index: VectorIndex
    ) -> None:
        def take_out() -> None:
            """Once more, after a whole run that may have loaded them in between."""
            protocol.take_out(run, index, protocol.assets_out(rows))

        source = self._settings.source
        at_work = read_lease(self._store, LEASE)
        commit_increment(
            planned.state,
            rows,
            sequence=run.folder.sequence,
            run_id=run.folder.run_id,
            about=About(source.title, source.prefix, planned.recipe.digest(), planned.card.name),
            before_swap=run.lease.confirm,
            on_new_whole=take_out,
            fence=0 if at_work is None or is_free(at_work) else at_work.sequence,
        )


@dataclass(frozen=True, slots=True)
class _KeptJob(EmbedJob):
    """A job whose encoders are loaded already."""

    encoders: Sequence[Encoder] = ()

    def load_encoders(self) -> list[Encoder]:
        return list(self.encoders) or EmbedJob.load_encoders(self)


def _waiting_since(planned: RunPlan) -> str:
    """When the oldest object that is to be embedded was put; as a whole run's plan counts it."""
    rows = (row for row in read_plan(planned.path) if row.shard >= 0)
    put = (row.object.last_modified for row in rows if row.action is not Action.RETRY)
    return min(put, default="")


def _shown(index: VectorIndex, assets: Sequence[str]) -> Mapping[str, str]:
    return index.generations(assets) if index.exists() else {}


def _rows(run: Run, planned: RunPlan, receipts: Sequence[ShardReceipt]) -> Iterator[StateRow]:
    """Of what was embedded, shard by shard as they were committed, and of what is gone."""
    digest = planned.recipe.digest()
    for receipt in receipts:
        for outcome in receipt.outcomes:
            yield protocol.row_of(outcome, receipt, digest, run.bucket)
    for row in read_plan(planned.path):
        if row.action is Action.GONE:
            yield _tombstone(row, run.folder, digest)


def _tombstone(row: PlanRow, folder: RunFolder, digest: str) -> StateRow:
    return StateRow(
        row.object.key, row.asset_id, "", "", None, 0, Status.REMOVED, None, 0, 0, (),
        folder.sequence, None, digest, bucket=row.object.bucket,
    )  # fmt: skip


def _counts(counts: Mapping[Any, int]) -> dict[str, int]:
    return {str(name): count for name, count in sorted(counts.items()) if count}

"""A whole run as one plain function: make the collection true to the bucket.

    plan -> check -> lease -> embed -> load, shard by shard -> sweep -> state -> measure -> report

The steps are `pipeline.run.steps`'s, in the order of the protocol (docs/architecture.md). The
command line, the Prefect flow, tests and benchmarks all call this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

from pipeline.embed.engine import Engine, engine_for, engine_session
from pipeline.garbage import garbage_seldom_looked_for
from pipeline.lazy_pandas import make_arrays_without_pandas
from pipeline.local_files import scratch_folder
from pipeline.planning.plan import RunPlan, plan
from pipeline.progress import OnProgress, ProgressReporter, ignore_progress
from pipeline.report.build import keep_report, report_of
from pipeline.report.record import OutcomeTotals, RunReport
from pipeline.run.expected import calibrate_by_run, expected, kept_calibration, money_of
from pipeline.run.kept_receipts import KeptReceipts
from pipeline.run.observers import committed_shard, lease_taken, watched_run
from pipeline.run.preflight import check_index, check_queries
from pipeline.run.step_runner import (
    CHECK,
    EMBED,
    LOAD,
    MEASURE,
    PLAN,
    RECALL,
    STATE,
    SWEEP,
    Pending,
    StepRunner,
    plain_runner,
)
from pipeline.run.watched_steps import WatchedSteps
from pipeline.run_events import OnEvent, RunEnded, Searched, ignore_event
from pipeline.run_options import RunOptions
from pipeline.settings import Settings
from pipeline.state.receipts import new_run_id

if TYPE_CHECKING:
    from pipeline.index.vector_index import VectorIndex
    from pipeline.records import ShardReceipt
    from pipeline.run.begin import Run
    from pipeline.run.load_place import LoadPlace

# So far loading may be behind before embedding waits for it: each load that waits is a kilobyte.
MOST_LOADS_BEHIND = 1024
# Of these so many have their receipt in memory; others read it again.
MOST_HELD = 32


def run_index(
    settings: Settings,
    options: RunOptions | None = None,
    on_progress: OnProgress = ignore_progress,
    *,
    on_plan: Callable[[RunPlan], None] = lambda _: None,
    on_event: OnEvent = ignore_event,
    runner: StepRunner | None = None,
) -> RunReport:
    """Plan, and do what is planned. `runner` calls the steps, by default in this process; what
    happens is told to `on_progress` and `on_event`, after the metrics and traces of the settings.

    A run with nothing to do reads the listing and the state, and writes nothing; it imports no
    torch, Ray, Qdrant client or pandas. Killed anywhere, the next call goes on from what is
    committed.

    Raises what the steps raise: SensedexError, whose class says whether to call again.
    """
    wanted = options or RunOptions()
    make_arrays_without_pandas()
    with (
        garbage_seldom_looked_for(),
        watched_run(settings, on_progress, on_event) as reporter,
        scratch_folder() as folder,
        plain_runner(reporter.phase) if runner is None else nullcontext(runner) as calling,
    ):
        steps = WatchedSteps(calling, reporter)

        def checked_plan() -> RunPlan:
            check_queries(settings)
            return plan(settings, wanted, folder / "plan.parquet", reporter)

        planned = steps.call(PLAN, checked_plan)
        steps.call(CHECK, lambda: check_index(settings, planned))
        on_plan(planned)
        if planned.nothing_to_do:
            report = report_of(settings, planned, OutcomeTotals(), reporter)
        else:
            with KeptReceipts(folder) as receipts:
                report = _write(settings, planned, reporter, steps, receipts)
        reporter.tell(RunEnded(objects_by_status=report.objects_by_status))
        return report


def _write(
    settings: Settings,
    planned: RunPlan,
    reporter: ProgressReporter,
    steps: StepRunner,
    receipts: KeptReceipts,
) -> RunReport:
    """Everything that changes something, under the lease."""
    from pipeline.index.writer import writing
    from pipeline.run import steps as protocol  # Qdrant's client takes a second to import
    from pipeline.run.begin import start
    from pipeline.run.cluster_checks import checked_cluster
    from pipeline.run.kept_progress import progress_kept

    run_id, store, after = new_run_id(), planned.state.store, planned.state.newest
    engine = engine_for(settings, planned.to_embed, planned.bytes_to_embed)
    protocol.check_tools(settings, planned, engine)
    with (
        checked_cluster(settings, planned, engine, reporter),
        writing(settings, store, run_id, after_token=after) as (lease, index),
    ):
        run = start(settings, planned, lease)
        reporter.tell(lease_taken(run.folder, lease, settings, planned.state.run_id))
        with progress_kept(store, run.folder, lease, reporter):
            return _under_lease(run, planned, index, reporter, steps, engine, receipts)


def _under_lease(
    run: Run,
    planned: RunPlan,
    index: VectorIndex,
    reporter: ProgressReporter,
    steps: StepRunner,
    engine: Engine,
    receipts: KeptReceipts,
) -> RunReport:
    """From the collection to the report, in the order of the protocol."""
    from pipeline.run import steps as protocol

    settings = run.settings
    index.ensure_collection(run.spaces)
    totals = _embed_and_load(run, planned, index, reporter, steps, engine, receipts)
    steps.call(SWEEP, lambda: protocol.sweep(run, planned, index, reporter))
    state = steps.call(STATE, lambda: protocol.commit(run, planned, receipts, index))
    reporter.record_phase("write the state")

    def searched(seconds: float) -> None:
        reporter.tell(Searched(seconds))

    search = steps.call(MEASURE, lambda: protocol.measure(run, planned, index, searched))
    if search:
        reporter.record_phase("measure search")
    known = state.totals.get("segments", 0)
    recall = None
    if protocol.measures_recall(settings):
        recall = steps.call(RECALL, lambda: protocol.recall(run, searched))
        reporter.record_phase("measure the index")
    report = report_of(
        settings,
        planned,
        totals,
        reporter,
        run=run.folder,
        estimate=expected(settings, planned, kept_calibration(planned)),
        money=money_of(settings, planned, totals, reporter, engine),
        points=protocol.live_segments(index, known),
        known=known,
        search=search,
        engine=engine if planned.to_embed else "",
        recall=recall,
    )
    keep_report(run.store, run.folder, report)
    calibrate_by_run(planned, totals, reporter, engine, run.folder.run_id)
    return report


def _embed_and_load(
    run: Run,
    planned: RunPlan,
    index: VectorIndex,
    reporter: ProgressReporter,
    steps: StepRunner,
    engine: Engine,
    receipts: KeptReceipts,
) -> OutcomeTotals:
    """Each shard is loaded once it is committed: beside the embedding of later ones where that goes
    on elsewhere, between them where this process does it. Sums over the outcomes, when all are
    loaded; `receipts` has them then."""
    from pipeline.run import steps as protocol
    from pipeline.run.load_place import load_place

    totals = OutcomeTotals()
    loads: deque[Pending[None]] = deque()
    loading: set[int] = set()

    def load(receipt: ShardReceipt, place: LoadPlace) -> None:
        outcomes = protocol.outcomes_taken(run, planned, receipt)
        for outcome in outcomes:
            totals.add(outcome)
        reporter.committed(committed_shard(run.settings, run.folder, receipt, outcomes))
        number = receipts.keep(receipt)
        held = receipt if len(loading) < MOST_HELD else None
        loading.add(number)

        def loaded() -> None:
            known = receipts.read(number) if held is None else held
            protocol.load(run, planned, index, known, reporter, place)
            loading.discard(number)

        if engine is Engine.RAY:
            loads.append(steps.submit(LOAD, loaded, number=len(receipts)))
            while len(loads) > MOST_LOADS_BEHIND:
                loads.popleft().result()
        else:
            steps.call(LOAD, loaded)

    with (
        engine_session(engine, run.settings, reporter) if planned.to_embed else nullcontext(),
        load_place(run.settings, index, engine if planned.to_embed else Engine.LOOP) as place,
        closing(protocol.embed(run, planned, engine, reporter)) as embedded,
    ):
        for receipt in planned.recovered():
            load(receipt, place)
        if planned.to_embed:
            for receipt in steps.stream(EMBED, lambda: embedded):
                load(receipt, place)
        reporter.phase("loading")
        while loads:
            loads.popleft().result()
    return totals

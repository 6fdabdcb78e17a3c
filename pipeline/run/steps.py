"""One run, step by step, in the order of the protocol (docs/architecture.md).

    plan -> lease -> embed (data, receipts) -> load (upsert, count, flip) -> gone -> state

Each step is a function; `pipeline.run.whole_run` calls them in this order. Killed between any two,
the next run finds what is committed and goes on from there.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator

from encoders.loading import check_weights
from pipeline.embed.engine import Engine
from pipeline.embed.job import EmbedJob
from pipeline.embed.local import receipts_in_loop
from pipeline.embed.ray_start import first_contact, joins_cluster
from pipeline.embed.rounds import ShardsMissing
from pipeline.errors import SensedexError, TooManyDenied
from pipeline.index.load import LoadReceipt
from pipeline.index.recall import Effort, measure_recall
from pipeline.index.vector_index import VectorIndex
from pipeline.media.ffmpeg import find_ffmpeg
from pipeline.media.nvdec import check_nvdec
from pipeline.models.weights import local_weights
from pipeline.planning.file import read_plan
from pipeline.planning.plan import RunPlan
from pipeline.progress import ProgressReporter, Stage, StageProgress
from pipeline.records import ObjectOutcome, ShardReceipt, Status
from pipeline.report.read import last_decode_share
from pipeline.run.begin import Run
from pipeline.run.cluster_checks import for_workers
from pipeline.run.kept_receipts import KeptReceipts
from pipeline.run.load_place import LoadPlace
from pipeline.run.shard_load import ShardLoad, load_committed
from pipeline.run_events import ShardLoaded
from pipeline.search.calibrate import calibrate_if_changed
from pipeline.search.evaluate import measure_index
from pipeline.search.recall import SearchRecall
from pipeline.served_recall import ServedRecall
from pipeline.settings import Settings
from pipeline.state.commit import commit_state
from pipeline.state.merge import merge_state
from pipeline.state.objects import CurrentState, StateRow

ASSETS_PER_REQUEST = 256


def check_tools(settings: Settings, planned: RunPlan, engine: Engine) -> None:
    """What embedding needs is there and is what it should be; before anything is written.

    Raises WeightsError, SettingsError, RayUnavailable.
    """
    if not planned.to_embed:
        return
    for choice in settings.encode.chosen():
        check_weights(choice.encoder, local_weights(choice, settings.source))
    find_ffmpeg(settings.decode)  # a path that is wrong is one error here, not one an object
    if engine is not Engine.RAY or not joins_cluster():  # else its nodes are asked
        check_nvdec(settings.decode)
    if engine is Engine.RAY:
        first_contact()


def embed(
    run: Run, planned: RunPlan, engine: Engine, reporter: ProgressReporter
) -> Generator[ShardReceipt, None, None]:
    """Decode and encode; receipts come as their shards are committed.

    Raises GraphBroken and ShardsMissing; no object's own fault can do that. Raises TooManyDenied.
    """
    settings = for_workers(run.settings)
    job = EmbedJob(settings, run.folder, run.spaces, dict(planned.objects_by_shard))
    reporter.phase("starting the decoder and the encoder")
    missing = set(planned.objects_by_shard)
    denied = 0
    for receipt in _receipts(job, planned, engine, reporter):
        missing.discard(receipt.shard)
        denied += sum(outcome.status is Status.DENIED for outcome in receipt.outcomes)
        check_denied(denied, planned)
        yield receipt
    if missing:
        raise ShardsMissing(
            f"{len(missing)} of {len(planned.objects_by_shard)} shards were not committed.",
            remedy="A worker was lost; run again, committed shards are kept.",
        )


def _receipts(
    job: EmbedJob, planned: RunPlan, engine: Engine, reporter: ProgressReporter
) -> Iterator[ShardReceipt]:
    if engine is Engine.LOOP:
        rows = (row for row in read_plan(planned.path) if row.shard >= 0)
        return receipts_in_loop(job, rows, reporter)
    from pipeline.embed.graph import receipts_by_ray  # after Ray's environment is set

    share = last_decode_share(planned.state, job.settings)
    return receipts_by_ray(job, planned.path, reporter, share)


def check_denied(denied: int, planned: RunPlan) -> None:
    """Raises TooManyDenied: a policy that was changed by mistake must not look like a quiet day."""
    if planned.most_denied is not None and denied > planned.most_denied:
        raise TooManyDenied(
            f"{denied} objects may not be read, and more may follow; state.max_denied_share "
            f"allows {planned.most_denied} of those listed.",
            remedy="Allow s3:GetObject to these credentials and run again; if it is meant so, run "
            "with --allow-denied.",
        )


def outcomes_taken(run: Run, planned: RunPlan, receipt: ShardReceipt) -> tuple[ObjectOutcome, ...]:
    """All of an own shard, of a stopped run's what is taken over; but for what was overtaken."""
    own = receipt.sequence == run.folder.sequence
    outcomes = receipt.outcomes if own else planned.taken_over(receipt)
    return run.not_overtaken(outcomes) if run.overtaken else outcomes


def load(
    run: Run,
    planned: RunPlan,
    index: VectorIndex,
    receipt: ShardReceipt,
    reporter: ProgressReporter,
    place: LoadPlace,
) -> LoadReceipt:
    """Make a committed shard searchable, wherever `place` has it done. May be repeated: ids and the
    flip are idempotent."""
    outcomes = outcomes_taken(run, planned, receipt)
    asked = ShardLoad(for_workers(run.settings), run.folder, receipt, outcomes, run.lease.stored)
    done = place(asked, lambda: load_committed(asked, run.store, index, run.lease))
    reporter.add(
        Stage.LOAD,
        StageProgress(
            objects=len(outcomes),
            segments=done.receipt.points,
            media_ms=sum(outcome.decoded_ms for outcome in outcomes),
            busy_seconds=done.seconds,
        ),
    )
    points = done.receipt.points
    reporter.loaded(ShardLoaded(receipt.shard, points, done.seconds, done.upsert_seconds))
    return done.receipt


def sweep(run: Run, planned: RunPlan, index: VectorIndex, reporter: ProgressReporter) -> int:
    """Take the points of objects that left the bucket out of the index, and what stopped runs have
    left hidden there: all that this run loads is live by now. How many objects left."""
    removed = take_out(run, index, (row.asset_id for row in run.gone(planned)))
    kept = {row.asset_id for row in run.overtaken.values()}
    take_out(run, index, (asset for asset in planned.unlisted if asset not in kept))
    leftovers = planned.leftovers(run.folder.sequence)
    while batch := list(itertools.islice(leftovers, ASSETS_PER_REQUEST)):
        run.lease.confirm()
        index.sweep_leftovers(batch, run.folder.sequence)
    reporter.record_phase("sweep")
    return removed


def measure(
    run: Run, planned: RunPlan, index: VectorIndex, on_search: Callable[[float], None]
) -> tuple[SearchRecall, ...]:
    """Make cosines comparable, where the collection has changed enough; then the labelled searches,
    of each of which `on_search` is told the seconds.

    Raises IndexUnavailable, SettingsError, and what loading an encoder raises."""
    calibrate_if_changed(run.settings, index, planned.cards)
    return measure_index(run.settings, index, planned.cards, on_search)


def take_out(run: Run, index: VectorIndex, assets: Iterable[str]) -> int:
    """Remove the points of these, as far as no later run has written them. How many assets."""
    left, count = iter(assets), 0
    while batch := list(itertools.islice(left, ASSETS_PER_REQUEST)):
        run.lease.confirm()
        index.remove(batch, run.folder.sequence)
        count += len(batch)
    return count


def live_segments(index: VectorIndex, expected: int) -> int | None:
    """How many there are, a figure for the report; None where it cannot be had, which fails no run.

    An exact count walks every id, so that what the server knows without looking is taken. Only
    where that is fewer than `expected` are they counted: that segments are lost is said once it is
    certain, and while a server moves points about, it knows of fewer than there are.
    """
    try:
        known = index.count(exact=False)
        return known if known >= expected else index.count()
    except SensedexError:
        return None


def commit(run: Run, planned: RunPlan, receipts: KeptReceipts, index: VectorIndex) -> CurrentState:
    """Write the state, last. A run's shards are cut from its plan in the order of its objects, so
    that what each run committed is in that order, and all are merged as they are read.

    What event runs have removed meanwhile left no anchor, by which a load of this run would have
    seen that it comes too late: it is taken out once more, now that all loads are done.
    """
    run.lease.confirm()
    source = run.settings.source
    digest = planned.recipe.digest()

    def rows_of_run(sequence: int) -> Iterator[StateRow]:
        for receipt in receipts.of_run(sequence):
            for outcome in outcomes_taken(run, planned, receipt):
                yield row_of(outcome, receipt, digest, run.bucket)

    merged = heapq.merge(*map(rows_of_run, receipts.sequences()), key=lambda row: row.place)
    gone = (row.object.place for row in run.gone(planned))
    return commit_state(
        run.store,
        run.state,
        merge_state(run.state.rows(), merged, gone),
        sequence=run.folder.sequence,
        run_id=run.folder.run_id,
        bucket=source.title,
        prefix=source.prefix,
        recipe=digest,
        encoder=planned.card.name,
        on_later=lambda rows: _out_again(run, index, rows),
    )


def _out_again(run: Run, index: VectorIndex, rows: Iterable[StateRow]) -> None:
    take_out(run, index, assets_out(rows))


def assets_out(rows: Iterable[StateRow]) -> list[str]:
    """Of which objects by these rows nothing is in the index."""
    return [row.asset_id for row in rows if row.status in (Status.REMOVED, Status.REJECTED)]


def measures_recall(settings: Settings) -> bool:
    """A folder is exact: there is nothing to measure."""
    return settings.index.url is not None and settings.search.recall_queries > 0


def recall(run: Run, on_search: Callable[[float], None]) -> ServedRecall:
    """What the index finds as it is served; the run's token is the seed, and `on_search` is told
    the seconds of each search. Raises nothing that a server can make go wrong."""
    wanted = run.settings.search
    effort = Effort(wanted.recall_queries, wanted.recall_seconds)
    return measure_recall(run.settings.index, effort, run.folder.sequence, on_search)


def row_of(outcome: ObjectOutcome, receipt: ShardReceipt, digest: str, bucket: str) -> StateRow:
    """What the state is to say of it; `bucket` is that of an outcome which names none."""
    return StateRow.of(
        outcome,
        sequence=receipt.sequence,
        data_file=receipt.data_file,
        recipe=digest,
        bucket=bucket,
    )

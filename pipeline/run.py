"""One run, step by step, in the order of the protocol (docs/architecture.md).

    plan -> lease -> embed (data, receipts) -> load (upsert, count, flip, sweep) -> gone -> state

Each step is a function that a plain script can call; `flows.index` calls them as Prefect tasks.
Killed between any two, the next run finds what is committed and goes on from there.
"""

from __future__ import annotations

import heapq
import itertools
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from encoders.card import EncoderCard
from encoders.catalogue import card_for
from encoders.modality import Modality
from pipeline import s3
from pipeline.errors import SettingsError, Transient
from pipeline.ids import Recipe
from pipeline.lease import Lease, still_held
from pipeline.listing import select
from pipeline.load import LoadReceipt, load_shard
from pipeline.parquet import read_segments
from pipeline.plan import (
    PlanSummary,
    RetryPolicy,
    check_removals,
    cut_into_shards,
    plan_rows,
    read_plan,
    write_plan,
)
from pipeline.progress import Stage, StageProgress
from pipeline.qdrant import VectorIndex
from pipeline.receipts import RunFolder, commit_load, open_receipts
from pipeline.records import Action, PlanRow, ShardReceipt, VectorSpace
from pipeline.settings import Settings
from pipeline.state import CurrentState, StateRow, commit_state, merge_state, read_state
from pipeline.store import Store, open_store
from pipeline.watch import Watch

PROGRESS_EVERY_S = 0.5


class StateMoved(Transient):
    """Another run wrote the state between this run's plan and its lease."""

    default_code = "state_moved"


class ShardsMissing(Transient):
    """The graph ended without a receipt for every shard; what is committed is kept."""

    default_code = "shards_missing"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a person may ask of one run, beside the settings."""

    retry_failed: bool = False
    retry_keys: tuple[str, ...] = ()
    allow_removals: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """What there is to do. `recovered` are receipts of a run that was stopped before its state:
    what they hold of the generations in `recovered_generations` (by asset) is not embedded again.
    """

    path: Path
    state: CurrentState
    card: EncoderCard
    recipe: Recipe
    summary: PlanSummary
    objects_by_shard: Mapping[int, int]
    recovered: tuple[ShardReceipt, ...]
    recovered_generations: Mapping[str, str]

    @property
    def to_embed(self) -> int:
        return sum(self.objects_by_shard.values())

    @property
    def nothing_to_do(self) -> bool:
        return self.summary.nothing_to_do


@dataclass(frozen=True, slots=True)
class Run:
    """One run that holds the lease."""

    settings: Settings
    store: Store
    lease: Lease
    folder: RunFolder
    spaces: tuple[VectorSpace, ...]


def new_run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def check_settings(settings: Settings) -> EncoderCard:
    """What can be known to be wrong before anything starts; no model is loaded."""
    if not settings.source.bucket:
        raise SettingsError(
            "Setting source.bucket: no bucket is named.",
            remedy="Give --bucket NAME, or set it in sensedex.toml (`sensedex init` writes one).",
        )
    return card_for(settings.encode.encoder, settings.encode.weights, seed=settings.encode.seed)


def spaces_of(card: EncoderCard) -> tuple[VectorSpace, ...]:
    """The named vectors that an encoder fills: a modality's own name."""
    kinds = (Modality.VISION, Modality.AUDIO, Modality.TEXT)
    return tuple(
        VectorSpace(str(m), m, card.dimension, card.name, card.fingerprint())
        for m in kinds
        if m in card.modalities
    )


def recipe_of(settings: Settings, card: EncoderCard) -> Recipe:
    """Everything that, when it changes, means that every object has to be embedded again."""
    decode = settings.decode
    return Recipe(
        (card.fingerprint(),),
        f"window/{decode.window_ms}",
        f"midpoints/{decode.frames_per_window}",
    )


def plan(settings: Settings, options: RunOptions, path: Path, watch: Watch) -> Planned:
    """List, compare with the state, and write the plan to a local file. Only reads elsewhere.

    Raises SettingsError, BucketNotFound, CredentialsMissing, PlanRefused, StoreUnavailable.
    """
    watch.phase("listing and planning")
    card = check_settings(settings)
    recipe = recipe_of(settings, card)
    state = read_state(open_store(settings.state.location, settings.source))
    recovered: dict[str, str] = {}
    receipts: list[ShardReceipt] = []
    candidates = _recoverable(state)
    summary = PlanSummary()
    source = settings.source
    client = s3.make_client(source)
    listed = s3.list_pages(client, source.bucket, source.prefix)
    rows = plan_rows(
        select(listed, source, summary.selection),
        state.rows(),
        recipe,
        RetryPolicy(
            options.retry_failed,
            frozenset(options.retry_keys),
            frozenset(source.storage_classes),
        ),
        summary,
        bucket=source.bucket,
    )
    objects_by_shard: Counter[int] = Counter()

    def counted() -> Iterator[PlanRow]:
        cut = cut_into_shards(
            (row for row in rows if not _is_recovered(row, candidates, recovered)),
            settings.state.shard_objects,
            settings.state.shard_mb * 2**20,
        )
        for row in cut:
            if row.shard >= 0:
                objects_by_shard[row.shard] += 1
            yield row

    write_plan(path, counted(), summary)
    check_removals(
        summary, settings.state.max_removed_share, allowed=options.allow_removals
    )
    if recovered:
        wanted = {id(candidates[asset][1]): candidates[asset][1] for asset in recovered}
        receipts = list(wanted.values())
    watch.expect(sum(objects_by_shard.values()), len(objects_by_shard))
    watch.lap("list and plan")
    return Planned(
        path, state, card, recipe, summary, objects_by_shard, tuple(receipts), recovered
    )


def _recoverable(state: CurrentState) -> dict[str, tuple[str, ShardReceipt]]:
    """By asset, the generation that an unfinished run committed last, and the receipt it is in."""
    found = {}
    for receipt in open_receipts(state.store, state.sequence):
        for outcome in receipt.outcomes:
            # What may pass another time is tried again, not taken over.
            if outcome.failure is None or not outcome.failure.retryable:
                found[outcome.asset_id] = (outcome.generation, receipt)
    return found


def _is_recovered(
    row: PlanRow,
    candidates: Mapping[str, tuple[str, ShardReceipt]],
    recovered: dict[str, str],
) -> bool:
    if row.action not in (Action.NEW, Action.CHANGED):
        return False
    candidate = candidates.get(row.asset_id)
    if candidate is None or candidate[0] != row.generation:
        return False
    recovered[row.asset_id] = row.generation
    return True


def start(settings: Settings, planned: Planned, lease: Lease) -> Run:
    """Begin to write: the state must still be the one that was planned against."""
    store = planned.state.store
    if read_state(store).version != planned.state.version:
        raise StateMoved(
            "Another run wrote the state while this one was planning.", remedy="Run again."
        )
    folder = RunFolder(lease.sequence, lease.run_id)
    store.put_file(folder.plan, planned.path)
    return Run(settings, store, lease, folder, spaces_of(planned.card))


def embed(run: Run, planned: Planned, watch: Watch) -> Iterator[ShardReceipt]:
    """Decode and encode on the current Ray session; receipts come as their shards are committed.

    Raises GraphBroken and ShardsMissing; no object's own fault can do that.
    """
    from pipeline.graph import GraphPlan, ProgressBoard, run_graph  # after Ray's environment is set

    graph = GraphPlan(run.settings, run.folder, run.spaces, dict(planned.objects_by_shard))
    rows = (row for row in read_plan(planned.path) if row.shard >= 0)
    watch.phase("loading the encoder")
    board = ProgressBoard()
    missing = set(planned.objects_by_shard)
    with board.followed_by(watch.see, PROGRESS_EVERY_S):
        watch.phase("embedding")
        for receipt in run_graph(graph, rows, board):
            missing.discard(receipt.shard)
            yield receipt
    if missing:
        raise ShardsMissing(
            f"{len(missing)} of {len(planned.objects_by_shard)} shards were not committed.",
            remedy="A worker was lost; run again, committed shards are kept.",
        )


def load(
    run: Run, planned: Planned, index: VectorIndex, receipt: ShardReceipt, watch: Watch
) -> LoadReceipt:
    """Make a committed shard searchable. May be repeated: ids and the flip are idempotent."""
    still_held(run.store, run.lease)
    started = time.perf_counter()
    own = receipt.sequence == run.folder.sequence
    outcomes = [
        outcome
        for outcome in receipt.outcomes
        if own or planned.recovered_generations.get(outcome.asset_id) == outcome.generation
    ]
    if receipt.data_file is None:
        done = load_shard(index, (), outcomes, run.folder.sequence, run.folder.run_id)
    else:
        with run.store.local_copy(receipt.data_file) as path:
            done = load_shard(
                index, read_segments(path), outcomes, run.folder.sequence, run.folder.run_id
            )
    if own:
        commit_load(run.store, run.folder, receipt.shard, done.to_json())
    watch.add(
        Stage.LOAD,
        StageProgress(
            objects=len(outcomes),
            segments=done.points,
            media_ms=sum(outcome.decoded_ms for outcome in outcomes),
            busy_seconds=time.perf_counter() - started,
        ),
    )
    return done


def remove_gone(run: Run, planned: Planned, index: VectorIndex, watch: Watch) -> int:
    """Take the points of objects that left the bucket out of the index; how many objects."""
    gone = (row.asset_id for row in read_plan(planned.path) if row.action is Action.GONE)
    removed = 0
    while batch := list(itertools.islice(gone, 256)):
        still_held(run.store, run.lease)
        index.remove(batch, run.folder.sequence)
        removed += len(batch)
    watch.lap("remove what is gone")
    return removed


def commit(run: Run, planned: Planned, receipts: Sequence[ShardReceipt]) -> CurrentState:
    """Write the state, last."""
    still_held(run.store, run.lease)
    digest = planned.recipe.digest()
    own = sorted((r for r in receipts if r.sequence == run.folder.sequence), key=lambda r: r.shard)
    fresh = (_state_rows(receipt, digest, None) for receipt in own)
    taken_over = sorted(
        (
            row
            for receipt in receipts
            if receipt.sequence != run.folder.sequence
            for row in _state_rows(receipt, digest, planned.recovered_generations)
        ),
        key=lambda row: row.key,
    )
    # One asset may stand in the receipts of several broken runs; the last one is the newest.
    latest = {row.key: row for row in taken_over}
    merged = heapq.merge(
        itertools.chain.from_iterable(fresh), latest.values(), key=lambda row: row.key
    )
    gone = (row.object.key for row in read_plan(planned.path) if row.action is Action.GONE)
    source = run.settings.source
    return commit_state(
        run.store,
        planned.state,
        merge_state(planned.state.rows(), merged, gone),
        sequence=run.folder.sequence,
        run_id=run.folder.run_id,
        bucket=source.bucket,
        prefix=source.prefix,
        recipe=digest,
        encoder=planned.card.name,
    )


def _state_rows(
    receipt: ShardReceipt, digest: str, only: Mapping[str, str] | None
) -> Iterator[StateRow]:
    for outcome in receipt.outcomes:
        if only is None or only.get(outcome.asset_id) == outcome.generation:
            yield StateRow.of(
                outcome, sequence=receipt.sequence, data_file=receipt.data_file, recipe=digest
            )

"""Runs without media: what a run commits and loads, made of invented vectors by the real steps."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.ids import asset_id
from pipeline.index.load import load_shard
from pipeline.index.vector_index import VectorIndex
from pipeline.planning.diff import PlanSummary
from pipeline.planning.file import write_plan
from pipeline.records import (
    Action,
    ObjectOutcome,
    PlanRow,
    SegmentRow,
    ShardReceipt,
    Status,
    VectorSpace,
)
from pipeline.settings import Settings
from pipeline.state.commit import commit_state
from pipeline.state.increments import About, commit_increment
from pipeline.state.lease import hold_lease
from pipeline.state.merge import merge_state
from pipeline.state.objects import CurrentState, StateRow, read_state
from pipeline.state.receipts import RunFolder, commit_receipt, put_shard_data
from pipeline.state.segments import read_segments, write_segments
from pipeline.state.store import Store, open_store
from tests.support.invented_assets import SPACES, bad, media, outcome, rows_of, unit

A_SHARD = 4


def run_of(
    settings: Settings,
    index: VectorIndex | None,
    changed: Mapping[str, tuple[str, int]],
    *,
    bad_ones: Mapping[str, Status] | None = None,
    gone: Sequence[str] = (),
    spaces: Sequence[VectorSpace] = SPACES,
    committed: bool = True,
    beside: bool = False,
) -> CurrentState:
    """A run that embeds `changed` (generation and number of segments, by key), fails or rejects
    `bad_ones`, and finds `gone` to have left the bucket. Loads into `index`, if there is one;
    without `committed` it is killed before it writes the state; `beside` writes an increment."""
    store = open_store(settings.state.location, settings.source)
    state = read_state(store)
    outcomes = [outcome(key, *what) for key, what in changed.items()]
    outcomes += [bad(key, "unseen", status) for key, status in (bad_ones or {}).items()]
    outcomes.sort(key=lambda o: o.key)
    with hold_lease(store, settings.state, "run", after_token=state.newest) as lease:
        folder = RunFolder(lease.fencing_token, lease.run_id)
        _put_plan(store, folder, gone)
        rows = [
            StateRow.of(
                o,
                sequence=lease.fencing_token,
                data_file=receipt.data_file,
                recipe="r",
                bucket="media",
            )
            for receipt in _shards(store, folder, outcomes, spaces)
            if _load(store, index, receipt)
            for o in receipt.outcomes
        ]
        if index is not None and gone:
            index.remove([asset_id("media", key) for key in gone], lease.fencing_token)
        if not committed:
            return state
        if beside:
            return commit_increment(
                state, rows, sequence=lease.fencing_token, run_id=lease.run_id,
                about=About("media", "", "r", spaces[0].encoder), before_swap=lease.confirm,
                on_new_whole=lambda: None,
            )  # fmt: skip
        return commit_state(
            store,
            state,
            merge_state(state.rows(), rows, [("media", key) for key in sorted(gone)]),
            sequence=lease.fencing_token,
            run_id=lease.run_id,
            bucket="media",
            prefix="",
            recipe="r",
            encoder=spaces[0].encoder,
        )


def _shards(
    store: Store,
    folder: RunFolder,
    outcomes: Sequence[ObjectOutcome],
    spaces: Sequence[VectorSpace],
) -> list[ShardReceipt]:
    receipts = []
    iterator = iter(outcomes)
    for number in itertools.count():
        part = tuple(itertools.islice(iterator, A_SHARD))
        if not part:
            return receipts
        rows = [row for o in part if o.segments for row in _rows(o, spaces)]
        name = digest = None
        if rows:
            with tempfile.TemporaryDirectory() as made:
                path = Path(made) / "shard.parquet"
                digest = write_segments(path, rows, spaces)
                name = put_shard_data(store, folder, number, path)
        receipts.append(
            commit_receipt(
                store,
                ShardReceipt(folder.run_id, folder.sequence, number, name, digest, len(rows), part),
            )
        )
    raise AssertionError


def _rows(done: ObjectOutcome, spaces: Sequence[VectorSpace]) -> list[SegmentRow]:
    """With a vector of each space, of its dimension; audio in every second window."""
    made = []
    for row in rows_of(done.key, done.generation, done.segments):
        vectors: dict[str, Any] = {}
        for space in spaces:
            if space.modality in row.vectors:
                vector = np.resize(unit(space.vector_name, row.point_id), space.dimension)
                vectors[space.vector_name] = vector / np.linalg.norm(vector)
        facts = {
            "spaces": sorted({space.fingerprint for space in spaces}),
            "encoder": spaces[0].encoder,
        }
        made.append(replace(row, vectors=vectors, payload={**row.payload, **facts}))
    return made


def _load(store: Store, index: VectorIndex | None, receipt: ShardReceipt) -> bool:
    if index is None:
        return True
    if receipt.data_file is None:
        load_shard(index, (), receipt.outcomes, receipt.sequence, receipt.run_id)
        return True
    with store.local_copy(receipt.data_file) as path:
        rows = read_segments(path)
        load_shard(index, rows, receipt.outcomes, receipt.sequence, receipt.run_id)
    return True


def _put_plan(store: Store, folder: RunFolder, gone: Sequence[str]) -> None:
    rows = [
        PlanRow(Action.GONE, media(key), asset_id("media", key), "", "gone") for key in sorted(gone)
    ]
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "plan.parquet"
        write_plan(path, rows, PlanSummary())
        store.put_file(folder.plan, path)

"""Stage 3 of the graph: rows are gathered by shard; a full shard becomes Parquet and a receipt.

A shard is full when the last row of each of its objects has come and with it as many windows as
that row counts: several encode actors may overtake one another.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from pipeline import codec
from pipeline.embed.rows import vectors_of
from pipeline.ids import point_id
from pipeline.local_files import scratch_folder
from pipeline.progress import AddProgress, Stage, StageProgress
from pipeline.records import (
    Failure,
    ObjectOutcome,
    Segment,
    SegmentRow,
    ShardReceipt,
    Status,
    VectorSpace,
)
from pipeline.state.receipts import RunFolder, commit_receipt, put_shard_data
from pipeline.state.segments import write_segments
from pipeline.state.store import Store


@dataclass(slots=True)
class _Asset:
    """What has come of one object so far: rows by the number of their window, and all windows that
    were `seen`, the failed ones too. One may come twice: a decoder or an encoder that was started
    again after a death does what it had, and need not do it in the same order."""

    rows: dict[int, SegmentRow] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    failure: Failure | None = None
    outcome: ObjectOutcome | None = None

    @property
    def complete(self) -> bool:
        if self.outcome is None:
            return False
        done = self.outcome.status in (Status.INDEXED, Status.PARTIAL)
        return not done or len(self.seen) >= self.outcome.segments


class WriteStage:
    """One writer a run. What it holds in memory is vectors, never pixels."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        run: RunFolder,
        spaces: Sequence[VectorSpace],
        add_progress: AddProgress,
    ) -> None:
        self._store = open_store()
        self._run = run
        self._spaces = tuple(spaces)
        self._names = [space.vector_name for space in spaces]
        self._add_progress = add_progress
        self._shards: dict[int, dict[str, _Asset]] = {}
        self._written: set[int] = set()

    def receipts(self, encoded: pa.Table) -> Iterator[ShardReceipt]:
        """Take a table of `rows.encoded_schema`; give the receipts of shards that it completes."""
        columns = [n for n in encoded.schema.names if n not in self._names]
        sizes: dict[int, int] = {}
        all_vectors = vectors_of(encoded, self._names)
        for vectors, row in zip(all_vectors, encoded.select(columns).to_pylist(), strict=True):
            shard = row["shard"]
            if shard in self._written:
                continue
            sizes[shard] = row["shard_objects"]
            asset = self._shards.setdefault(shard, {}).setdefault(row["asset_id"], _Asset())
            if row["outcome"] is not None:
                asset.outcome = codec.from_bytes(ObjectOutcome, row["outcome"])
                continue
            asset.seen.add(row["segment_index"])
            if row["failure"] is not None:
                asset.failure = codec.from_bytes(Failure, row["failure"])
                continue
            if vectors:
                asset.rows[row["segment_index"]] = self._segment_row(row, vectors)
        for shard, objects in sizes.items():
            assets = self._shards[shard]
            if len(assets) == objects and all(asset.complete for asset in assets.values()):
                yield self._commit(shard, self._shards.pop(shard))

    def _segment_row(self, row: dict[str, object], vectors: Mapping[str, object]) -> SegmentRow:
        segment = Segment(int(row["segment_index"]), int(row["start_ms"]), int(row["end_ms"]))  # type: ignore[call-overload]
        asset, generation = str(row["asset_id"]), str(row["generation"])
        return SegmentRow(
            point_id(asset, generation, self._names, segment.index),
            asset,
            generation,
            segment,
            vectors,
            json.loads(str(row["payload"])),
        )

    def _commit(self, shard: int, assets: dict[str, _Asset]) -> ShardReceipt:
        started = time.perf_counter()
        outcomes = sorted((_outcome(a) for a in assets.values()), key=lambda o: (o.bucket, o.key))
        rows = [
            row
            for outcome in outcomes
            if outcome.segments
            for _, row in sorted(assets[outcome.asset_id].rows.items())
        ]
        data_file = digest = None
        if rows:
            with scratch_folder() as folder:
                path = folder / "shard.parquet"
                digest = write_segments(path, rows, self._spaces)
                data_file = put_shard_data(self._store, self._run, shard, path)
        receipt = ShardReceipt(
            self._run.run_id,
            self._run.sequence,
            shard,
            data_file,
            digest,
            len(rows),
            tuple(outcomes),
        )
        committed = commit_receipt(self._store, receipt)
        self._written.add(shard)
        self._add_progress(
            Stage.WRITE,
            StageProgress(
                objects=len(outcomes),
                segments=len(rows),
                media_ms=sum(o.decoded_ms for o in outcomes),
                busy_seconds=time.perf_counter() - started,
            ),
        )
        return committed


def _outcome(asset: _Asset) -> ObjectOutcome:
    """The decoder's outcome, unless the encoder could not take one of the object's windows: an
    asset is indexed whole or not at all."""
    outcome = asset.outcome
    if outcome is None:
        raise ValueError("a shard was committed before all of its objects ended")
    if outcome.segments == 0:
        return outcome
    if asset.failure is not None:
        return _without_segments(outcome, Status.FAILED, asset.failure)
    if not asset.rows:
        nothing = Failure(
            "encode",
            "no_modality",
            False,
            "The encoder has no tower for anything that this object holds.",
            "Choose an encoder with the modality; `sensedex doctor` lists them.",
        )
        return _without_segments(outcome, Status.REJECTED, nothing)
    return replace(outcome, segments=len(asset.rows))


def _without_segments(outcome: ObjectOutcome, status: Status, failure: Failure) -> ObjectOutcome:
    return replace(
        outcome,
        status=status,
        segments=0,
        segments_by_modality={},
        decoded_ms=0,
        failure=failure,
    )

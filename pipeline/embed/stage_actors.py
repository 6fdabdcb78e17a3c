"""The stages of the graph as actors of Ray's. Each tells the board what it begins and ends: started
again after a death, it does what it had one by one, and leaves out what has killed too often.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from encoders.errors import EncoderError
from pipeline import codec
from pipeline.embed.attempts import MOST_KILLS
from pipeline.embed.job import EmbedJob, chunks
from pipeline.embed.left_out import failed_outcome, killed_workers
from pipeline.embed.plan_feeder import rows_for
from pipeline.embed.progress_actor import Ledger, Reporter
from pipeline.embed.reused_memory import keep_freed_memory
from pipeline.embed.rows import DecodedRow, decoded_table
from pipeline.embed.writer_pool import ShardWriter, receipts_of
from pipeline.media.sandbox.server_process import prepare_children
from pipeline.planning.file import rows_of_table
from pipeline.progress import Stage
from pipeline.records import PlanRow

# A decoded window weighs 0.36 MB; a block of 16 keeps every stage busy and memory small.
WINDOWS_PER_BLOCK = 16


class RayDecode:
    """Tasks of `pipeline.embed.decode_tasks` in, a row each, tables of `rows.DECODED` out."""

    def __init__(self, job: EmbedJob, board: Any, feeder: Any) -> None:
        self._job = job
        self._feeder = feeder
        self._ledger = Ledger(board, Stage.DECODE)
        self._reporter = Reporter(board)
        self._stage = job.decode_stage(self._reporter.add)
        prepare_children()  # half a second, while the encoder loads its model

    def __call__(self, tasks: pa.Table) -> Iterator[pa.Table]:
        for task in tasks.to_pylist():
            yield from self._decoded(rows_for(self._feeder, task["first"], task["count"]))

    def _decoded(self, table: pa.Table) -> Iterator[pa.Table]:
        planned = [row for row in rows_of_table(table) if row.shard >= 0]
        piece = f"decode {planned[0].asset_id} {planned[-1].asset_id}" if planned else "decode"
        shards = frozenset(row.shard for row in planned)
        verdict = self._ledger.begin(piece, shards=shards)
        rows = self._one_by_one(planned) if verdict.one_by_one else self._rows(planned)
        for chunk in chunks(rows, WINDOWS_PER_BLOCK):
            yield decoded_table(chunk)
        self._ledger.end(piece)
        self._reporter.tell()

    def _rows(self, planned: Iterable[PlanRow]) -> Iterator[DecodedRow]:
        with self._job.fetched(iter(planned)) as fetched:
            for item in fetched:
                yield from self._stage.rows(item, self._job.shard_of(item.planned))

    def _one_by_one(self, planned: Iterable[PlanRow]) -> Iterator[DecodedRow]:
        for row in planned:
            piece = f"decode {row.asset_id} alone"
            # One death was the whole task's.
            if self._ledger.begin(piece).kills >= MOST_KILLS - 1:
                yield self._left_out(row)
            else:
                yield from self._rows([row])
            self._ledger.end(piece)

    def _left_out(self, row: PlanRow) -> DecodedRow:
        shard = self._job.shard_of(row)
        outcome = codec.to_bytes(failed_outcome(row, killed_workers("decode"))).decode()
        return DecodedRow(
            shard.number, shard.objects, row.asset_id, row.generation, outcome=outcome
        )


class RayEncode:
    """A batch of windows in, or several to a GPU, the same with vectors out."""

    def __init__(self, job: EmbedJob, board: Any) -> None:
        self._ledger = Ledger(board, Stage.ENCODE)
        self._reporter = Reporter(board)
        self._batch_size = job.settings.encode.batch_size
        self._refused: EncoderError | None = None
        keep_freed_memory()
        try:
            self._stage = job.encode_stage(self._reporter.add)
        except EncoderError as error:
            # Of an actor's start Ray keeps the words alone, and the run would try it three times.
            self._refused = error
        self._reporter.tell()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Raises the EncoderError that an encoder was refused with."""
        if self._refused is not None:
            raise self._refused
        piece = _named(table)
        verdict = self._ledger.begin(piece, batch=True)
        size = 1 if verdict.one_by_one else max(1, self._batch_size >> verdict.halvings)
        parts = [table.slice(start, size) for start in range(0, table.num_rows, size)]
        if verdict.one_by_one:
            encoded = [self._alone(part) for part in parts]
        else:
            encoded = list(self._stage.tables(parts))
        self._ledger.end(piece)
        self._reporter.tell()
        return pa.concat_tables(encoded) if len(encoded) != 1 else encoded[0]

    def _alone(self, part: pa.Table) -> pa.Table:
        if part.column("payload")[0].as_py() is None:
            return self._stage.table(part)
        piece = f"{_named(part)} alone"
        if self._ledger.begin(piece).kills >= MOST_KILLS - 1:
            encoded = self._stage.left_out(part, killed_workers("encode"))
        else:
            encoded = self._stage.table(part)
        self._ledger.end(piece)
        return encoded


def _named(table: pa.Table) -> str:
    """The same for the same windows, and no other's."""
    ends = [f"{table.column('asset_id')[row]}/{table.column('segment_index')[row]}"
            for row in (0, table.num_rows - 1)] if table.num_rows else []  # fmt: skip
    return f"encode {table.num_rows} {' '.join(ends)}"


class RayWrite:
    """Encoded rows in, receipts of the shards that they fill out. Where there are several
    `writers`, they write, and this hands them their rows."""

    def __init__(self, job: EmbedJob, board: Any, writers: tuple[Any, ...]) -> None:
        self._writers = writers
        self._here = ShardWriter(job, board) if not writers else None

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        if self._here is not None:
            receipts = self._here.receipts(table)
        else:
            receipts = receipts_of(self._writers, table)
        yield pa.table({"receipt": pa.array(receipts, type=pa.binary())})

"""A run of which only the driver's own part is real: what grows with the number of objects.

    python -m tests.bench.null_run FOLDER --keys N [--engine loop|ray|elsewhere]

The listing is `tests.bench.planning`'s paginator. Nothing is fetched, decoded, encoded or loaded:
each object has one window, whose vector is always the same. Plan, graph, writer, receipts, state
and report are the product's. With `elsewhere` the receipts come ready made, as on a cluster, whose
nodes decode, encode and write: what is left is what the driver does. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

from pipeline import codec
from pipeline.ahead import Shared
from pipeline.embed.fetch import Fetched
from pipeline.embed.job import EmbedJob
from pipeline.embed.rows import DecodedRow, Shard, encoded_schema
from pipeline.planning.file import read_plan
from pipeline.planning.plan import RunPlan
from pipeline.progress import AddProgress, Stage, StageProgress
from pipeline.records import MediaObject, MediaType, ObjectOutcome, PlanRow, ShardReceipt, Status
from pipeline.state.receipts import commit_receipt
from tests.bench.planning import FakeClient

SHARD_OBJECTS = 256


class NullDecode:
    """One window an object, without a picture."""

    def __init__(self, add_progress: AddProgress) -> None:
        self._add_progress = add_progress

    def rows(self, fetched: Fetched, shard: Shard) -> Iterator[DecodedRow]:
        planned = fetched.planned
        which = (shard.number, shard.objects, planned.asset_id, planned.generation)
        yield DecodedRow(*which, 0, 0, 2000, payload=f'{{"key": {json.dumps(planned.object.key)}}}')
        yield DecodedRow(*which, outcome=codec.to_bytes(_indexed(planned)).decode())
        self._add_progress(Stage.DECODE, StageProgress(1, 1, 2000, planned.object.size_bytes))

    def close(self) -> None:
        """There is no process to end."""


class NullEncode:
    """The same vector for each window, in every space."""

    def __init__(self, job: EmbedJob, add_progress: AddProgress) -> None:
        self._schema = encoded_schema([space.vector_name for space in job.spaces])
        self._dimensions = {space.vector_name: space.dimension for space in job.spaces}
        self._add_progress = add_progress
        add_progress(Stage.ENCODE, StageProgress())

    def table(self, decoded: pa.Table) -> pa.Table:
        rows = decoded.num_rows
        columns: dict[str, Any] = {"failure": pa.nulls(rows, pa.string())}
        for name, dimension in self._dimensions.items():
            offsets = np.arange(rows + 1, dtype=np.int64) * dimension
            values = np.full(rows * dimension, dimension**-0.5, np.float32)
            columns[name] = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
        for name in self._schema.names:
            if name not in columns:
                columns[name] = decoded.column(name)
        windows = rows - decoded.column("payload").null_count
        self._add_progress(Stage.ENCODE, StageProgress(rows - windows, windows, 2000 * windows))
        return pa.Table.from_pydict({n: columns[n] for n in self._schema.names}, self._schema)


class NullJob(EmbedJob):
    """An `EmbedJob` whose first two stages do nothing."""

    __slots__ = ()

    def decode_stage(self, add_progress: AddProgress) -> Any:
        return NullDecode(add_progress)

    @contextmanager
    def fetched(self, rows: Iterator[PlanRow]) -> Generator[Iterator[Fetched], None, None]:  # type: ignore[override]
        yield Shared(map(Fetched, rows))

    def encode_stage(self, add_progress: AddProgress) -> Any:
        return NullEncode(self, add_progress)


def receipts_from_elsewhere(job: EmbedJob, planned: RunPlan, *_: object) -> Iterator[ShardReceipt]:
    """What actors on other nodes would have committed, shard by shard."""
    store = job.open_store()
    rows = (row for row in read_plan(planned.path) if row.shard >= 0)
    for shard, some in itertools.groupby(rows, attrgetter("shard")):
        outcomes = tuple(map(_indexed, some))
        receipt = ShardReceipt(
            job.run.run_id, job.run.sequence, shard, job.run.new_shard_data(shard), "0" * 64,
            len(outcomes), outcomes,
        )  # fmt: skip
        yield commit_receipt(store, receipt)


def _indexed(planned: PlanRow) -> ObjectOutcome:
    obj = planned.object
    return ObjectOutcome(
        obj.key, planned.asset_id, planned.generation, obj.etag, None, obj.size_bytes,
        Status.INDEXED, MediaType.VIDEO, 1, {"vision": 1}, 2000, 2000,
        sidecars=tuple(sidecar.key for sidecar in planned.sidecars),
    )  # fmt: skip


class ListedSource:
    """So many keys, of which 8 in 10 are media and 1 a sidecar."""

    def __init__(self, keys: int) -> None:
        self._client: Any = FakeClient(keys)

    def check(self) -> None:
        """It is there."""

    def listed(self) -> Iterator[MediaObject]:
        from pipeline.s3.listing import list_pages

        return list_pages(self._client, "media", "")

    def is_gone(self, bucket: str, key: str) -> bool:  # noqa: ARG002
        return True

    def notes(self) -> tuple[str, ...]:
        return ()


class NullIndex:
    """Takes all calls of a run and keeps nothing; has as many segments as it is asked whether."""

    def newest_token(self, at_least: int) -> int:
        return at_least

    def guarded(self, _: object) -> NullIndex:
        return self

    def count(self, **_: object) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Memory:
    """The most memory of its own that this process had, looked at now and then; in MB. Pages that
    it shares with Ray's object store are not its own."""

    def __init__(self) -> None:
        self.most_mb = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            [own] = [int(line.split()[1]) for line in lines if line.startswith("RssAnon")]
            self.most_mb = max(self.most_mb, own / 1024)
            if self._done.wait(0.05):
                return


class CountedStore:
    """Counts what a store of S3's would be asked, by the kind of request."""

    def __init__(self) -> None:
        self.asked = {"puts": 0, "gets": 0}

    def counted(self) -> list[Any]:
        from pipeline.state.store import FolderStore

        patches = []
        for kind, names in (("puts", ("create", "replace", "put_file")), ("gets", ("read",))):
            for name in names:
                patches.append(self._patch(FolderStore, name, kind))
        return patches

    def _patch(self, owner: Any, name: str, kind: str) -> Any:
        original = getattr(owner, name)

        def counted(*given: Any, **named: Any) -> Any:
            self.asked[kind] += 1
            return original(*given, **named)

        return mock.patch.object(owner, name, counted)


def run_once(folder: Path, keys: int, engine: str) -> dict[str, float]:
    """One run of so many keys on an empty state."""
    from pipeline.index.load import LoadReceipt
    from pipeline.run.shard_load import LoadDone, ShardLoad
    from pipeline.run.whole_run import run_index
    from pipeline.settings import load_settings
    from pipeline.state.receipts import commit_load
    from pipeline.state.store import FolderStore

    state = folder / "state"
    settings = load_settings(
        None,
        {
            "source.bucket": "media",
            "encode.encoder": "imagebind-demo",
            "embed.engine": "ray" if engine == "ray" else "loop",
            "index.path": folder / "qdrant",
            "state.location": str(folder / "state"),
            "state.shard_objects": SHARD_OBJECTS,
        },
    )

    @contextmanager
    def null_index(_: object) -> Iterator[NullIndex]:
        yield NullIndex()

    def null_load(asked: ShardLoad, *_: object) -> LoadDone:
        store = FolderStore(state)
        commit_load(store, asked.run, asked.receipt.shard, codec.to_json(LoadReceipt(0, 0, 0)))
        return LoadDone(LoadReceipt(0, 0, 0), 0.0)

    store = CountedStore()
    with ExitStack() as stack:
        for target, made in (
            ("pipeline.planning.plan.open_source", lambda _: ListedSource(keys)),
            ("pipeline.run.steps.EmbedJob", NullJob),
            ("pipeline.index.writer.open_index", null_index),
            ("pipeline.run.steps.load_committed", null_load),
        ):
            stack.enter_context(mock.patch(target, made))
        if engine == "elsewhere":
            elsewhere = mock.patch("pipeline.run.steps._receipts", receipts_from_elsewhere)
            stack.enter_context(elsewhere)
        for patch in store.counted():
            stack.enter_context(patch)
        memory = stack.enter_context(Memory())
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        report = run_index(settings)
        wall_s = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
    current = sum(path.stat().st_size for path in (state / "objects").iterdir())
    receipts = list(state.glob("runs/*/receipts/*.json"))
    [plan] = state.glob("runs/*/plan.parquet")
    objects = sum(report.objects_by_action.values()) - keys // 10
    assert len(receipts) == -(-objects // SHARD_OBJECTS), (len(receipts), objects)
    return {
        "objects": objects,
        "wall_s": wall_s,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "plan_s": report.seconds_by_phase["list and plan"],
        "state_write_s": report.seconds_by_phase["write the state"],
        "driver_mb": memory.most_mb,
        "plan_bytes": plan.stat().st_size,
        "state_bytes": current,
        "receipts": len(receipts),
        "receipt_bytes": sum(path.stat().st_size for path in receipts),
        "listing_pages": -(-keys // 1000),
        **store.asked,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keys", type=int, required=True)
    parser.add_argument("--engine", choices=["loop", "ray", "elsewhere"], default="loop")
    given = parser.parse_args()
    print(json.dumps(run_once(given.folder, given.keys, given.engine)))


if __name__ == "__main__":
    main()

"""Names and receipts of what a run leaves behind; a killed run is found again by its receipts.

runs/<sequence>-<run>/plan.parquet
                      shards/<shard>-<nonce>.parquet   embeddings, written first
                      receipts/<shard>.json            the promise that they are all there
                      loads/<shard>.json               they are in the index, counted
                      report.json
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline import codec
from pipeline.errors import StateCorrupt
from pipeline.records import ShardReceipt
from pipeline.state.store import AlreadyThere, Store

RUNS = "runs/"


class ReceiptGone(StateCorrupt):
    """A receipt that was promised, and is not there."""

    default_code = "receipt_gone"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The names of one run. The sequence is padded, so that names sort as runs follow."""

    sequence: int
    run_id: str

    def __post_init__(self) -> None:
        if self.sequence < 1 or not self.run_id or "/" in self.run_id:
            raise ValueError(f"no such run: {self.sequence}-{self.run_id!r}")

    @property
    def root(self) -> str:
        return f"{_runs_from(self.sequence)}-{self.run_id}"

    @property
    def plan(self) -> str:
        return f"{self.root}/plan.parquet"

    @property
    def report(self) -> str:
        return f"{self.root}/report.json"

    def receipt(self, shard: int) -> str:
        return f"{self.root}/receipts/{shard:06d}.json"

    def load(self, shard: int) -> str:
        return f"{self.root}/loads/{shard:06d}.json"

    def new_shard_data(self, shard: int) -> str:
        """A name that no other writer of the same shard has."""
        return f"{self.root}/shards/{shard:06d}-{uuid.uuid4().hex[:12]}.parquet"


@dataclass(frozen=True, slots=True, order=True)
class ReceiptPlace:
    """Where a receipt is, by its run and shard."""

    sequence: int
    run_id: str
    shard: int

    @property
    def name(self) -> str:
        return RunFolder(self.sequence, self.run_id).receipt(self.shard)


def new_run_id() -> str:
    """A name for a run: its start in UTC and a few letters by chance."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def put_shard_data(store: Store, run: RunFolder, shard: int, path: Path) -> str:
    """Copy a shard's embeddings in, under a fresh name, which is returned."""
    name = run.new_shard_data(shard)
    store.put_file(name, path)
    return name


def receipt_bytes(receipt: ShardReceipt) -> bytes:
    """The receipt as it is stored."""
    return codec.to_bytes(receipt, sort_keys=True)


def commit_receipt(store: Store, receipt: ShardReceipt) -> ShardReceipt:
    """Commit, or return the receipt that was there first: the one by which the shard goes on."""
    name = RunFolder(receipt.sequence, receipt.run_id).receipt(receipt.shard)
    try:
        store.create(name, receipt_bytes(receipt))
    except AlreadyThere:
        return receipt_at(store, name)
    return receipt


def read_receipts(store: Store, run: RunFolder) -> Iterator[ShardReceipt]:
    """All receipts of one run in the order of their shards. Raises StateCorrupt."""
    for name in store.list(f"{run.root}/receipts/"):
        yield receipt_at(store, name)


def promise_of(store: Store, data_file: str) -> ShardReceipt:
    """The receipt that promises a shard's file. Raises StateCorrupt where none does."""
    receipt = receipt_of(store, data_file)
    if receipt is None or receipt.data_file != data_file:
        raise StateCorrupt(
            f"No receipt in {store.location} promises {data_file}.",
            remedy="Restore the state location from a copy, or `sensedex clean` and index anew.",
        )
    return receipt


def open_receipts(store: Store, after_token: int) -> Iterator[ShardReceipt]:
    """Receipts of the runs after `after_token`, the oldest first.

    With the state's own token these are the runs that were stopped before they wrote the state:
    what they embedded need not be embedded again.
    """
    for place in places_of_receipts(store, after_token):
        yield receipt_at(store, place.name)


def places_of_receipts(store: Store, after_token: int) -> Iterator[ReceiptPlace]:
    """Where they are, in the same order; none is read."""
    # A name that begins with this one is longer, and so comes after it.
    for name in store.list(RUNS, start_after=_runs_from(after_token + 1)):
        path = PurePosixPath(name)
        if path.parent.name == "receipts":
            sequence, _, run_id = path.parent.parent.name.partition("-")
            yield ReceiptPlace(int(sequence), run_id, int(path.stem))


def receipt_of(store: Store, data_file: str) -> ShardReceipt | None:
    """The receipt by which a shard's file was committed; None where it is gone.

    Raises StateCorrupt for one that cannot be read.
    """
    path = PurePosixPath(data_file)
    name = f"{path.parent.parent}/receipts/{path.name.partition('-')[0]}.json"
    try:
        return receipt_at(store, name)
    except ReceiptGone:
        return None


def receipts_newest_first(store: Store) -> Iterator[ShardReceipt]:
    """Every receipt of every run that can be read."""
    for name in sorted(store.list(RUNS), reverse=True):
        if PurePosixPath(name).parent.name == "receipts":
            with suppress(StateCorrupt):
                yield receipt_at(store, name)


def unfinished_runs(store: Store, after_token: int, finished: Collection[int] = ()) -> list[str]:
    """The folders of the runs after `after_token`, which is the state's own, without those that
    have `finished` beside it."""
    names = store.list(RUNS, start_after=_runs_from(after_token + 1))
    folders = sorted({"/".join(name.split("/")[:2]) for name in names})
    return [one for one in folders if int(one[len(RUNS) :].partition("-")[0]) not in finished]


def commit_load(store: Store, run: RunFolder, shard: int, facts: Mapping[str, Any]) -> None:
    """Say that the shard is in the index; to say it again changes nothing."""
    data = json.dumps(dict(facts), ensure_ascii=True, sort_keys=True).encode()
    try:
        store.create(run.load(shard), data)
    except AlreadyThere:
        return


def read_loads(store: Store, run: RunFolder) -> dict[int, dict[str, Any]]:
    """The facts of each loaded shard, by its number."""
    loads = {}
    for name in store.list(f"{run.root}/loads/"):
        found = store.read(name)
        if found is not None:
            loads[int(PurePosixPath(name).stem)] = _parsed(name, found.data)
    return loads


def receipt_at(store: Store, name: str) -> ShardReceipt:
    """The receipt of that name. Raises StateCorrupt."""
    found = store.read(name)
    if found is None:
        raise ReceiptGone(f"{name} has vanished from {store.location}.")
    try:
        return codec.from_bytes(ShardReceipt, found.data)
    except ValueError as error:
        raise _corrupt(name, error) from error


def _parsed(name: str, data: bytes) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise _corrupt(name, error) from error
    return facts


def _corrupt(name: str, error: Exception) -> StateCorrupt:
    return StateCorrupt(
        f"{name} is not a receipt: {error}.", remedy=f"Remove {name} and run again."
    )


def _runs_from(sequence: int) -> str:
    return f"{RUNS}{sequence:08d}"

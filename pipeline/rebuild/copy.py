"""Fills a collection from Parquet: what is not yet live in it is loaded, what should not be goes.

May be stopped and repeated anywhere: a file that is in whole has a receipt; of any other the
collection itself says, by its anchors, which assets it already shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pipeline import codec
from pipeline.errors import IndexMismatch, StateCorrupt
from pipeline.index.load import load_shard
from pipeline.index.vector_index import VectorIndex
from pipeline.rebuild.live_set import LiveFile, LivePlan, missing_file
from pipeline.records import VectorSpace
from pipeline.state.receipts import promise_of
from pipeline.state.segments import file_sha256, read_segments, read_spaces
from pipeline.state.store import AlreadyThere, Store

ASSETS_PER_REQUEST = 256


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy is; `points` are those that this process has loaded."""

    files: int = 0
    of_files: int = 0
    points: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FileReceipt:
    """That a file is in the collection, whole. Its name says so; what is in it nobody reads."""

    data_file: str
    assets: int
    points_loaded: int


OnCopied = Callable[[CopyProgress], None]
ReceiptName = Callable[[LiveFile], str]


def fill(
    target: VectorIndex,
    store: Store,
    plan: LivePlan,
    *,
    receipt_name: ReceiptName | None = None,
    done: Collection[str] = (),
    on_copied: OnCopied = lambda _: None,
) -> CopyProgress:
    """Make live in `target`, which nobody reads yet, what `plan` says, file by file; `done` are
    receipts that are there.

    Raises IndexUnavailable, IndexMismatch for a file of other vectors, StateCorrupt.
    """
    began = time.perf_counter()
    points = 0
    now = CopyProgress(0, len(plan.names))
    for number, file in enumerate(plan.files(), start=1):
        receipt = receipt_name(file) if receipt_name else None
        if receipt is None or receipt not in done:
            loaded = _load_missing(target, store, file, plan.spaces)
            points += loaded
            if receipt is not None:
                _keep_receipt(store, receipt, file, loaded)
        now = CopyProgress(number, len(plan.names), points, time.perf_counter() - began)
        on_copied(now)
    return now


def take_out_extras(target: VectorIndex, plan: LivePlan) -> int:
    """Take out the assets that the plan does not have: they left the bucket since they were
    copied. How many. Only where the numbers differ is the collection read."""
    if target.count_assets() == plan.assets:
        return 0
    wanted = plan.asset_ids()
    extras = [
        payload["asset_id"]
        for page in target.anchors()
        for payload in page
        if payload["asset_id"] not in wanted
    ]
    for start in range(0, len(extras), ASSETS_PER_REQUEST):
        target.remove(extras[start : start + ASSETS_PER_REQUEST], plan.state.sequence)
    return len(extras)


def _load_missing(
    target: VectorIndex, store: Store, file: LiveFile, spaces: tuple[VectorSpace, ...]
) -> int:
    """Load the assets of a file that the collection does not yet show; how many points."""
    shown: dict[str, str] = {}
    assets = list(file.generations)
    for start in range(0, len(assets), ASSETS_PER_REQUEST):
        some = assets[start : start + ASSETS_PER_REQUEST]
        shown |= target.generations(some)
    missing = {a: g for a, g in file.generations.items() if shown.get(a) != g}
    if not missing:
        return 0
    promised = promise_of(store, file.name)
    outcomes = [o for o in promised.outcomes if missing.get(o.asset_id) == o.generation]
    if len(outcomes) != len(missing):
        raise StateCorrupt(
            f"The receipt of {file.name} has {len(outcomes)} of {len(missing)} live assets.",
            remedy="Restore the state location from a copy, or `sensedex clean` and index anew.",
        )
    try:
        with store.local_copy(file.name) as path:
            if file_sha256(path) != promised.data_sha256:
                raise StateCorrupt(
                    f"{file.name} is not what its receipt says.",
                    remedy="Restore it from a copy; or `sensedex clean` and index anew.",
                )
            if read_spaces(path) != spaces:
                raise IndexMismatch(
                    f"{file.name} holds other vectors than the newest file does.",
                    remedy="`sensedex run` embeds everything by one choice of encoders.",
                )
            rows = read_segments(path)
            done = load_shard(
                target, rows, outcomes, promised.sequence, promised.run_id, unread=True
            )
    except FileNotFoundError as error:
        raise missing_file(store, file.name) from error
    return done.points


def _keep_receipt(store: Store, name: str, file: LiveFile, points: int) -> None:
    receipt = FileReceipt(file.name, len(file.generations), points)
    try:
        store.create(name, codec.to_bytes(receipt, sort_keys=True))
    except AlreadyThere:
        return

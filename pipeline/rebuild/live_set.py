"""Lists what is live, by the file that holds it: the state's generations, and those it forgot.

An object that failed keeps, in the index, the generation that it had; the state only knows that it
failed, so its earlier generation is looked up in the receipts. 10^6 assets take some 60 MB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StateCorrupt
from pipeline.planning.file import read_plan
from pipeline.records import Action, Status, VectorSpace
from pipeline.state.objects import CurrentState, StateRow
from pipeline.state.receipts import RUNS, receipt_at
from pipeline.state.segments import read_spaces
from pipeline.state.store import Store

_ROW = np.dtype([("file", "i4"), ("asset", "S36"), ("generation", "S16"), ("segments", "i4")])
_DONE = (Status.INDEXED, Status.PARTIAL)


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A shard's file, and which generations of which assets in it are live."""

    name: str
    generations: Mapping[str, str]

    def digest(self) -> str:
        """Of the name and of what is live in it: another when anything of that changes."""
        facts = [self.name, *(f"{a} {g}" for a, g in sorted(self.generations.items()))]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class LivePlan:
    """All that a new collection is to hold. `left_out` counts live assets whose vectors are of
    other spaces than `spaces`: they were never embedded as the rest was."""

    state: CurrentState
    spaces: tuple[VectorSpace, ...]
    names: tuple[str, ...]
    rows: NDArray[Any]
    left_out: int

    @property
    def assets(self) -> int:
        return len(self.rows)

    @property
    def segments(self) -> int:
        return int(self.rows["segments"].sum())

    def files(self) -> Iterator[LiveFile]:
        """In the order of their names, which is that of the runs."""
        edges = np.searchsorted(self.rows["file"], np.arange(len(self.names) + 1))
        for name, begin, end in zip(self.names, edges[:-1], edges[1:], strict=True):
            part = self.rows[begin:end]
            pairs = zip(part["asset"].tolist(), part["generation"].tolist(), strict=True)
            yield LiveFile(name, {a.decode(): g.decode() for a, g in pairs})

    def asset_ids(self) -> set[str]:
        return {asset.decode() for asset in self.rows["asset"].tolist()}


def live_plan(store: Store, state: CurrentState) -> LivePlan:
    """Raises StateCorrupt where a file that is needed is missing or is not what it should be."""
    names: dict[str, int] = {}
    unsure: set[str] = set()
    rows = np.fromiter(_indexed(state.rows(), names, unsure), _ROW)
    newest = max(names, default="")
    spaces = spaces_in(store, newest) if newest else ()
    left_out = 0
    if unsure:
        earlier = _earlier_generations(store, unsure, state)
        fits = {file: spaces_in(store, file) == spaces for file, _, _ in earlier.values()}
        left_out = sum(not fits[file] for file, _, _ in earlier.values())
        known = [
            (names.setdefault(file, len(names)), asset, generation, segments)
            for asset, (file, generation, segments) in earlier.items()
            if fits[file]
        ]
        rows = np.concatenate([rows, np.array(known, _ROW)])
    in_order = sorted(names)
    place = np.empty(len(names), np.int32)
    place[[names[name] for name in in_order]] = np.arange(len(names))
    rows["file"] = place[rows["file"]]
    rows = rows[np.argsort(rows["file"], kind="stable")]
    return LivePlan(state, spaces, tuple(in_order), rows, left_out)


def needed_files(store: Store, state: CurrentState) -> set[str]:
    """The shards' files of which something is live, or goes on being live though its object failed
    since. Raises StateCorrupt."""
    names: dict[str, int] = {}
    unsure: set[str] = set()
    for _ in _indexed(state.rows(), names, unsure):
        pass
    earlier = _earlier_generations(store, unsure, state) if unsure else {}
    return {*names, *(file for file, _, _ in earlier.values())}


def spaces_in(store: Store, name: str) -> tuple[VectorSpace, ...]:
    """Of a shard's file. Raises StateCorrupt."""
    try:
        with store.local_copy(name) as path:
            return read_spaces(path)
    except FileNotFoundError as error:
        raise missing_file(store, name) from error


def missing_file(store: Store, name: str) -> StateCorrupt:
    """The error for a Parquet file that the state names and the store has not."""
    return StateCorrupt(
        f"{name} is not in {store.location}.",
        remedy="Restore it from a copy; or `sensedex clean` and index anew.",
    )


def _indexed(
    rows: Iterator[StateRow], names: dict[str, int], unsure: set[str]
) -> Iterator[tuple[int, str, str, int]]:
    for row in rows:
        if row.data_file is not None and row.status in _DONE:
            file = names.setdefault(row.data_file, len(names))
            yield file, row.asset_id, row.generation, row.segments
        elif row.status is not Status.REJECTED:  # rejected content takes what was there along
            unsure.add(row.asset_id)


def _earlier_generations(
    store: Store, assets: set[str], state: CurrentState
) -> dict[str, tuple[str, str, int]]:
    """Of these assets, those that an earlier run indexed and none took away since: file,
    generation, number of segments."""
    found: dict[str, tuple[str, str, int]] = {}
    beside = state.in_increments()
    for name in store.list(RUNS):  # runs in their order; a run's plan before its receipts
        sequence = int(name.split("/")[1].partition("-")[0])
        if sequence > state.newest:
            break
        if sequence > state.sequence and sequence not in beside:
            continue  # it was stopped
        if name.endswith("/plan.parquet") and found:
            with store.local_copy(name) as path:
                for row in read_plan(path):
                    if row.action is Action.GONE:
                        found.pop(row.asset_id, None)
        elif "/receipts/" in name:
            receipt = receipt_at(store, name)
            for outcome in receipt.outcomes:
                if outcome.asset_id not in assets:
                    continue
                if outcome.status in _DONE and receipt.data_file is not None:
                    entry = (receipt.data_file, outcome.generation, outcome.segments)
                    found[outcome.asset_id] = entry
                elif outcome.status is Status.REJECTED:
                    found.pop(outcome.asset_id, None)
    return found

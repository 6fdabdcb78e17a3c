"""Keeps a record of each rebuild beside the state.

rebuilds/<number>-<collection>/rebuild.json   what is made, where, and how far it got
                               files/         one receipt a Parquet file that is in it, whole
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pipeline import codec
from pipeline.errors import StateCorrupt
from pipeline.rebuild.live_set import LiveFile
from pipeline.state.store import AlreadyThere, Store

REBUILDS = "rebuilds/"


class Phase(StrEnum):
    """How far a rebuild got."""

    COPYING = "copying"
    SHOWN = "shown"
    ROLLED_BACK = "rolled_back"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class RebuildRecord:
    """`shape` is what the collection is made of, and decides whether a stopped rebuild goes on;
    `previous` is what the alias showed before, `state_sequence` the state that it was true to at
    the flip, `same_spaces` whether both hold the same vectors."""

    number: int
    alias: str
    place: str
    target: str
    shape: Mapping[str, Any]
    started_at: str
    phase: Phase = Phase.COPYING
    previous: str | None = None
    state_sequence: int = 0
    same_spaces: bool = True
    recall: float | None = None

    @property
    def root(self) -> str:
        return f"{REBUILDS}{self.number:06d}-{self.target}"

    @property
    def name(self) -> str:
        return f"{self.root}/rebuild.json"

    def file_receipt(self, file: LiveFile) -> str:
        return f"{self.root}/files/{file.digest()}.json"


def read_records(store: Store, alias: str, place: str) -> list[RebuildRecord]:
    """The rebuilds of an alias on a server or in a folder, the oldest first."""
    names = (name for name in store.list(REBUILDS) if name.endswith("/rebuild.json"))
    every = [_read(store, name) for name in names]
    return [record for record in every if (record.alias, record.place) == (alias, place)]


def begin_record(store: Store, record: RebuildRecord) -> RebuildRecord:
    """Keep it under a number that no other rebuild has, which is put in."""
    while True:
        taken = [int(name.split("/")[1].partition("-")[0]) for name in store.list(REBUILDS)]
        record = replace(record, number=max(taken, default=0) + 1)
        try:
            store.create(record.name, _bytes(record))
        except AlreadyThere:
            continue
        return record


def keep_record(store: Store, record: RebuildRecord) -> RebuildRecord:
    """Write over what was known of it. Raises VersionConflict where another did just now."""
    found = store.read(record.name)
    if found is None:
        store.create(record.name, _bytes(record))
    else:
        store.replace(record.name, _bytes(record), found.version)
    return record


def reread(store: Store, record: RebuildRecord) -> RebuildRecord:
    """The record as it is kept by now. Raises StateCorrupt."""
    return _read(store, record.name)


def receipts_of(store: Store, record: RebuildRecord) -> set[str]:
    """The names of the receipts; a name says which file, and what of it was live."""
    return set(store.list(f"{record.root}/files/"))


def _bytes(record: RebuildRecord) -> bytes:
    return codec.to_bytes(record, sort_keys=True, indent=1)


def _read(store: Store, name: str) -> RebuildRecord:
    found = store.read(name)
    try:
        if found is None:
            raise ValueError("it has vanished")
        return codec.from_bytes(RebuildRecord, found.data)
    except ValueError as error:
        raise StateCorrupt(
            f"{name} in {store.location} is no record of a rebuild: {error}.",
            remedy=f"Remove {name}; its collection is then no longer known, and can be deleted.",
        ) from error

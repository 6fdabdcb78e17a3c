"""Joins the four parties in SQLite: tables of a scratch file that goes with the context.

SQLite keeps them on the disk, so that 10^6 objects need a few megabytes of memory; what is compared
is `pipeline.verify.compare`.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import StoreUnavailable
from pipeline.local_files import scratch_folder
from pipeline.verify.findings import Example, Finding, FindingRow

CACHE_KB = 64_000
ROWS_PER_WRITE = 5_000

_TABLES = """
-- What the state says of an object, and in which file Parquet has it.
create table objects (
    asset blob not null, key text not null, generation text not null, status text not null,
    cause text not null, segments integer not null, data_file text
);
-- The segments of the live generations that Parquet has.
create table wanted (point blob not null, asset blob not null);
-- Every point of the collection. `kind` is segment, anchor, or empty for what is neither.
create table found (
    point primary key, asset blob, kind text not null, generation text, live integer,
    segments integer
) without rowid;
-- Assets that the next run will touch; of these, the ones that a stopped run had begun with; and
-- those whose Parquet proves nothing.
create table moving (asset blob primary key) without rowid;
create table in_flight (asset blob primary key) without rowid;
create table unproven (asset blob primary key) without rowid;
create table findings (name text not null, asset blob, key text, points integer, detail text);
"""
# Each holds all that is asked by it, so that no row is looked up beside.
_INDEXES = {
    "objects": "create index objects_by_asset on objects (asset, status, generation, segments)",
    "files": "create index objects_by_file on objects (data_file) where data_file is not null",
    "wanted": "create index wanted_by_point on wanted (point)",
    "found": "create index found_by_asset on found (asset, kind, generation, live, segments)",
}


def blob(identity: object) -> bytes | None:
    """16 bytes for a UUID's text, None for what is none."""
    try:
        found = bytes.fromhex(str(identity).replace("-", ""))
    except ValueError:
        return None
    return found if len(found) == 16 else None


def text(identity: bytes) -> str:
    """An identity's bytes as a UUID is written."""
    return str(uuid.UUID(bytes=identity))


class JoinDatabase:
    """Rows go in as they are read; `index` a table once it is full."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def ask(self, question: str, *values: Any) -> sqlite3.Cursor:
        return self._database.execute(question, values)

    def ask_one(self, question: str, *values: Any) -> Any:
        row = self.ask(question, *values).fetchone()
        return None if row is None else row[0]

    def write(self, table: str, rows: Iterable[Sequence[Any]], columns: int) -> None:
        marks = ", ".join("?" * columns)
        self._database.executemany(f"insert or ignore into {table} values ({marks})", rows)

    def script(self, statements: str) -> None:
        for statement in filter(str.strip, statements.split(";\n")):
            self._database.execute(statement)

    def index(self, *names: str) -> None:
        for name in names:
            self._database.execute(_INDEXES[name])

    def find(
        self,
        name: Finding,
        *,
        asset: bytes | None = None,
        key: str = "",
        points: int = 0,
        detail: str = "",
    ) -> None:
        self.write("findings", [(name, asset, key, points, detail)], 5)

    def find_all(self, name: Finding, question: str, *values: Any) -> None:
        """`question` selects (asset, points, detail)."""
        self.ask(
            f"insert into findings select '{name}', asset, '', points, detail from ({question})",
            *values,
        )

    def rows(self, examples: int) -> tuple[FindingRow, ...]:
        """What was found, by name in the order of `Finding`, with that many examples of each."""
        counted = {
            name: (objects, points)
            for name, objects, points in self.ask(
                "select name, count(distinct asset), sum(points) from findings group by name"
            )
        }
        rows = []
        for name in Finding:
            if name in counted:
                objects, points = counted[name]
                rows.append(FindingRow(name, objects, points, self._examples(name, examples)))
        return tuple(rows)

    def _examples(self, name: Finding, most: int) -> tuple[Example, ...]:
        chosen = self.ask(
            "select coalesce(o.key, f.key, ''), f.points, f.detail from findings f "
            "left join objects o on o.asset = f.asset where f.name = ? order by f.rowid limit ?",
            name,
            most,
        )
        return tuple(Example(key, points, detail) for key, points, detail in chosen)


@contextmanager
def open_join_database() -> Iterator[JoinDatabase]:
    """An empty one. Raises StoreUnavailable where the scratch disk is full."""
    with (
        scratch_folder() as folder,
        _room_for_pages(folder),
        closing(sqlite3.connect(folder / "join.db", isolation_level=None)) as database,
    ):
        # Nothing here outlives the process: no journal, no flush.
        for setting in ("journal_mode = off", "synchronous = off", "locking_mode = exclusive"):
            database.execute(f"pragma {setting}")
        database.execute(f"pragma cache_size = -{CACHE_KB}")
        database.executescript(_TABLES)
        database.execute("begin")  # one transaction, never committed: pages go out when full
        yield JoinDatabase(database)


@contextmanager
def _room_for_pages(folder: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" not in str(error) and "I/O" not in str(error):
            raise
        raise StoreUnavailable(
            f"The scratch file in {folder.parent} cannot be written: {error}.",
            remedy="Make room there, or set TMPDIR to a disk that has some.",
        ) from error

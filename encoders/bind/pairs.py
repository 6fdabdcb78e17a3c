"""Pairs of a picture and something else, from a table of paths.

A CSV or Parquet file with a column `image` and one more for each modality that is to be bound:
`text` (the words themselves), `audio`, `depth`, `thermal` or `imu` (paths). Paths are relative to
the table. An empty cell is no pair; rows with the same picture are the same thing.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from encoders.errors import InputError
from encoders.modality import Modality

IMAGE = "image"
MODALITY_BY_COLUMN = {str(m): m for m in Modality if m is not Modality.VISION}


@dataclass(frozen=True, slots=True)
class Pair:
    """`other` is the text itself, or a path; `thing` numbers what the picture shows."""

    image: Path
    modality: Modality
    other: str
    thing: int


def read_pairs(table: Path) -> list[Pair]:
    """In the order of the table. Raises InputError that names the row and the file."""
    rows = _parquet(table) if table.suffix == ".parquet" else _csv(table)
    if not rows or IMAGE not in rows[0]:
        raise InputError(f"{table} has no column {IMAGE!r}, or no row.", remedy="Give both.")
    modalities = [name for name in rows[0] if name in MODALITY_BY_COLUMN]
    if not modalities:
        raise InputError(
            f"{table} has the columns {', '.join(rows[0])}.",
            remedy=f"Add one of {', '.join(MODALITY_BY_COLUMN)}.",
        )
    things: dict[str, int] = {}
    pairs = []
    for number, row in enumerate(rows, start=1):
        image = table.parent / row[IMAGE]
        _must_be(image, table, number)
        thing = things.setdefault(row[IMAGE], len(things))
        for name in modalities:
            cell = (row[name] or "").strip()
            if not cell:
                continue
            modality = MODALITY_BY_COLUMN[name]
            if modality is not Modality.TEXT:
                _must_be(table.parent / cell, table, number)
                cell = str(table.parent / cell)
            pairs.append(Pair(image, modality, cell, thing))
    if not pairs:
        raise InputError(f"{table} has no pair.", remedy="Fill a cell beside a picture.")
    return pairs


def _must_be(path: Path, table: Path, row: int) -> None:
    if not path.is_file():
        raise InputError(f"{table}, row {row}: there is no {path}.", remedy="Mend the path.")


def _csv(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8") as file:
            return [dict(row) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read: {error}", remedy="Give UTF-8 CSV.") from error


def _parquet(table: Path) -> list[dict[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return [
            {name: "" if value is None else str(value) for name, value in row.items()}
            for row in pq.read_table(table).to_pylist()
        ]
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{table} cannot be read: {error}", remedy="Give Parquet.") from error

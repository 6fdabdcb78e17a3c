"""What was stored once is read for ever, and the same records make the same file again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.stored_formats import FORMATS, STORED, StoredFormat

NEWEST = {stored.name: max(s.version for s in STORED if s.name == stored.name) for stored in STORED}
WRITTEN = [stored for stored in STORED if stored.version == NEWEST[stored.name]]


@pytest.mark.parametrize("stored", STORED, ids=str)
def test_it_is_read(stored: StoredFormat) -> None:
    assert stored.read(stored.path) == stored.records


@pytest.mark.parametrize("stored", WRITTEN, ids=str)
def test_it_is_written_so_again(stored: StoredFormat, tmp_path: Path) -> None:
    written = stored.write(tmp_path)
    if stored.path.suffix == ".parquet":
        assert parquet_facts(written) == parquet_facts(stored.path)
        assert pq.read_table(written).equals(pq.read_table(stored.path), check_metadata=True)
    same_library = stored.path.suffix == ".json" or made_by(written) == made_by(stored.path)
    assert not same_library or written.read_bytes() == stored.path.read_bytes()


def test_every_file_is_looked_at() -> None:
    files = {path for path in FORMATS.rglob("*") if path.is_file()}
    assert files == {stored.path for stored in STORED}
    assert max(path.stat().st_size for path in files) < 10_000


def made_by(path: Path) -> str:
    return str(pq.read_metadata(path).created_by)


def parquet_facts(path: Path) -> dict[str, Any]:
    """All that a file says of itself but for who made it, and what depends on that."""
    about = pq.read_metadata(path)
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    return {
        "schema": about.schema.to_arrow_schema().to_string(show_schema_metadata=True),
        "columns": [str(column) for column in about.schema],
        "metadata": {
            name: value for name, value in about.metadata.items() if name != b"ARROW:schema"
        },
        "version": about.format_version,
        "rows": [group.num_rows for group in groups],
        "compression": {c.compression for c in columns_of(groups)},
        "dictionaries": [c.path_in_schema for c in columns_of(groups) if c.has_dictionary_page],
        "statistics": [c.path_in_schema for c in columns_of(groups) if c.is_stats_set],
    }


def columns_of(groups: list[Any]) -> list[Any]:
    return [group.column(n) for group in groups for n in range(group.num_columns)]


def test_a_plan_counts_what_is_unchanged() -> None:
    for plan in [stored for stored in STORED if stored.name == "plan"]:
        summary = json.loads(pq.read_metadata(plan.path).metadata[b"summary"])
        assert summary["objects"] == {"changed": 1, "gone": 1, "new": 1}

"""The codec: what goes in comes out, and what is no such record says which field is at fault."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pyarrow as pa
import pytest

from pipeline import codec
from pipeline.errors import StateCorrupt
from pipeline.planning.file import plan_table, rows_of_table
from pipeline.records import ObjectOutcome, ShardReceipt, Status
from pipeline.state.lease import LEASE, Lease, read_lease
from pipeline.state.objects import read_state
from pipeline.state.store import FolderStore
from tests.stored_records import OUTCOMES, PLAN_ROWS, RECEIPT

PLAIN: dict[str, Any] = {
    "sequence": 1,
    "run_id": "r",
    "holder": "h",
    "process": "p",
    "expires_at": 2.5,
}


@pytest.mark.parametrize("record", [*OUTCOMES, RECEIPT], ids=lambda r: type(r).__name__)
def test_records_come_back(record: object) -> None:
    for layout in ({}, {"sort_keys": True}, {"indent": 1}):
        data = codec.to_bytes(record, **layout)  # type: ignore[arg-type]
        assert data.isascii()
        assert codec.from_bytes(type(record), data) == record
        assert codec.from_bytes(type(record), data.decode()) == record


def test_a_whole_number_stays_one_where_it_is_written() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert b'"expires_at": 0,' in codec.to_bytes(Lease(1, "r", "h", "p", 0), sort_keys=True)
    assert codec.from_bytes(Lease, json.dumps({**PLAIN, "expires_at": 0})).expires_at == 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sequence": "1"}, "sequence: "),
        ({"sequence": 1.5}, "sequence: "),
        ({"holder": None}, "holder: "),
        ({"colour": "red"}, "colour: "),
    ],
)
def test_what_is_wrong_is_named_on_a_line(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}[^\n]*$"):
        codec.from_bytes(Lease, json.dumps({**PLAIN, **change}))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b'{"sequence": 1', b"\xff", b"{}"])
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        codec.from_bytes(Lease, data)


def test_it_says_where_in_a_record_of_records() -> None:
    values = json.loads(codec.to_bytes(RECEIPT))
    values["outcomes"][1]["failure"]["cause"] = "x"
    with pytest.raises(ValueError, match=r"^outcomes\.1\.failure\.cause: "):
        codec.from_bytes(ShardReceipt, json.dumps(values))


def test_a_record_checks_itself() -> None:
    values = codec.to_json(OUTCOMES[0]) | {"status": Status.REJECTED}
    with pytest.raises(ValueError, match=r"is rejected but has 3 segments$"):
        codec.from_bytes(ObjectOutcome, json.dumps(values))


def test_a_table_in_pieces_or_of_nothing() -> None:
    table = plan_table(PLAN_ROWS)
    assert list(rows_of_table(pa.concat_tables([table, table.slice(1)]))) == [
        *PLAN_ROWS,
        *PLAN_ROWS[1:],
    ]
    assert list(rows_of_table(plan_table([]))) == []
    assert list(rows_of_table(table.select(list(reversed(table.column_names))))) == PLAN_ROWS


def test_a_table_of_something_else() -> None:
    table = plan_table(PLAN_ROWS)
    for other in (table.drop(["reason"]), table.append_column("more", pa.array([1, 2, 3]))):
        with pytest.raises(ValueError, match="its columns are"):
            list(rows_of_table(other))
    unknown = table.set_column(0, "action", pa.array(["new", "fly", "gone"]))
    with pytest.raises(ValueError, match="'fly' is not a valid Action"):
        list(rows_of_table(unknown))
    nothing = table.set_column(0, "action", pa.array(["new", None, "gone"]))
    with pytest.raises(ValueError, match="None is not a valid Action"):
        list(rows_of_table(nothing))


def test_a_column_that_no_field_fills() -> None:
    with pytest.raises(ValueError, match="Lease has nothing for a column 'colour'"):
        codec.Columns(Lease, pa.schema([("colour", pa.string())]))


def test_a_state_that_cannot_be_read_is_named(tmp_path: Any) -> None:
    store = FolderStore(tmp_path)
    store.create("current.json", b'{"sequence": "many"}')
    store.create(LEASE, b"{}")
    with pytest.raises(StateCorrupt, match=r"current\.json in .* is not a state: sequence: "):
        read_state(store)
    with pytest.raises(StateCorrupt, match=r"lease\.json in .* is not a lease: sequence: "):
        read_lease(store)

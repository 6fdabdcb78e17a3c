"""What Parquet or the receipts have lost is embedded again, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import codec
from pipeline.index.vector_index import open_index
from pipeline.records import Segment, SegmentRow, ShardReceipt
from pipeline.state.receipts import receipt_bytes
from pipeline.state.segments import read_segments, read_spaces, write_segments
from pipeline.verify.findings import Verdict
from tests.pipeline.verify.scene import Place
from tests.support.index_damage import FILM, SEGMENTS


def a_file_goes(file: Path) -> None:
    file.unlink()


def a_file_is_cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:2000])


def a_file_has_other_vectors(file: Path) -> None:
    """A sound file of embeddings, and not the one that was committed."""
    kept = read_spaces(file)
    write_segments(file, rows_in(file, scale=-1.0), kept)


def a_receipt_goes(file: Path) -> None:
    receipt_file(file).unlink()


def a_receipt_is_cut(file: Path) -> None:
    receipt_file(file).write_bytes(b'{"run_id": ')


def a_row_is_lost(file: Path) -> None:
    """By file and receipt alike, as if it had never been written."""
    rows = [row for row in rows_in(file) if row.segment.index == 0]
    digest = write_segments(file, rows, read_spaces(file))
    receipt = codec.from_bytes(ShardReceipt, receipt_file(file).read_bytes())
    receipt_file(file).write_bytes(receipt_bytes(replace(receipt, data_sha256=digest)))


def receipt_file(file: Path) -> Path:
    return file.parent.parent / "receipts" / f"{file.name.partition('-')[0]}.json"


def rows_in(file: Path, scale: float = 1.0) -> list[SegmentRow]:
    rows = []
    for batch in read_segments(file):
        for number, payload in enumerate(batch.payloads):
            vectors = {
                name: matrix[list(there).index(number)] * scale
                for name, (there, matrix) in batch.vectors.items()
                if number in there
            }
            span = (payload["segment_index"], payload["start_ms"], payload["end_ms"])
            rows.append(
                SegmentRow(
                    batch.point_ids[number],
                    batch.asset_ids[number],
                    batch.generations[number],
                    Segment(*span),
                    vectors,
                    payload,
                )
            )
    return rows


# The first shard holds the rejected object, the film and two pictures.
OF_THE_SHARD = {FILM, "films/one.srt", "pictures/0.jpg", "pictures/1.jpg"}


@pytest.mark.parametrize(
    ("damage", "found", "again"),
    [
        (a_file_goes, {"parquet_missing": (3, 0)}, OF_THE_SHARD),
        (a_file_is_cut, {"parquet_unreadable": (3, 0)}, OF_THE_SHARD),
        (a_file_has_other_vectors, {"parquet_altered": (3, 0)}, OF_THE_SHARD),
        (a_receipt_goes, {"receipt_unusable": (3, 0)}, OF_THE_SHARD),
        (a_receipt_is_cut, {"receipt_unusable": (3, 0)}, OF_THE_SHARD),
        (a_row_is_lost, {"parquet_rows": (1, 0)}, {FILM, "films/one.srt"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_parquet_has_lost_is_embedded_again_alone(
    place: Place, damage: Callable[[Path], None], found: dict[str, Any], again: set[str]
) -> None:
    damage(place.files()[0])
    assert place.found() == found
    rounds = place.repair()
    assert [r.report.verdict for r in rounds] == [Verdict.DISAGREE, Verdict.AGREE]
    assert place.fetched() == again
    assert place.look().verdict is Verdict.AGREE


def test_what_collection_and_parquet_have_lost_is_embedded_again(place: Place) -> None:
    """A run refuses a collection that is not there; a repair makes it first."""
    shutil.rmtree(place.folder / "qdrant")
    for file in place.files():
        file.unlink()
    *_, last = place.repair()
    assert last.report.verdict is Verdict.AGREE
    with open_index(place.settings.index) as index:
        assert index.count() == SEGMENTS

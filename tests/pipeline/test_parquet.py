"""The file of embeddings: what goes in comes out, and what is not such a file says so."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from encoders.modality import Modality
from pipeline.errors import StateCorrupt
from pipeline.records import Segment, SegmentRow, VectorSpace
from pipeline.state import segments
from pipeline.state.segments import read_segments, read_spaces, write_segments

SPACES = (
    VectorSpace("vision", Modality.VISION, 8, "demo", "f1"),
    VectorSpace("audio", Modality.AUDIO, 4, "demo", "f2"),
)


def rows(count: int) -> list[SegmentRow]:
    rng = np.random.default_rng(0)
    made = []
    for n in range(count):
        vectors = {"vision": rng.standard_normal(8).astype(np.float32)}
        if n % 3 == 0:
            vectors["audio"] = rng.standard_normal(4).astype(np.float32)
        payload = {"key": f"dog 🐕\n{n}", "text": None, "n": n, "flags": [True, 1.5]}
        made.append(SegmentRow(f"p{n}", f"a{n // 4}", "g", Segment(n, n, n + 1), vectors, payload))
    return made


def test_rows_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "ROWS_PER_GROUP", 16)
    written = rows(50)
    path = tmp_path / "s.parquet"
    digest = write_segments(path, iter(written), SPACES, {"run": "r1"})
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert pq.read_metadata(path).num_row_groups == 4
    assert pq.read_schema(path).metadata[b"run"] == b"r1"
    assert pq.read_schema(path).field("vision").type == pa.list_(pa.float32(), 8)
    assert read_spaces(path) == SPACES
    seen = 0
    for batch in read_segments(path, 7):
        assert len(batch) <= 7
        part = written[seen : seen + len(batch)]
        assert batch.point_ids == [r.point_id for r in part]
        assert batch.asset_ids == [r.asset_id for r in part]
        assert batch.generations == [r.generation for r in part]
        assert batch.payloads == [r.payload for r in part]
        for name in ("vision", "audio"):
            indices, matrix = batch.vectors[name]
            expected = [(i, r.vectors[name]) for i, r in enumerate(part) if name in r.vectors]
            assert indices.tolist() == [i for i, _ in expected]
            assert matrix.dtype == np.float32
            assert matrix.shape == (len(expected), 8 if name == "vision" else 4)
            for vector, (_, wanted) in zip(matrix, expected, strict=True):
                np.testing.assert_array_equal(vector, wanted)
        seen += len(batch)
    assert seen == 50


def test_full_columns_are_views(tmp_path: Path) -> None:
    write_segments(tmp_path / "s.parquet", rows(20), SPACES)
    (batch,) = read_segments(tmp_path / "s.parquet", 64)
    assert not batch.vectors["vision"][1].flags.owndata


def test_no_rows_is_a_file_too(tmp_path: Path) -> None:
    write_segments(tmp_path / "s.parquet", [], SPACES)
    assert list(read_segments(tmp_path / "s.parquet")) == []


def test_a_vector_of_another_shape_or_name_is_refused(tmp_path: Path) -> None:
    wrong = SegmentRow("p", "a", "g", Segment(0, 0, 1), {"vision": np.zeros(9, np.float32)}, {})
    with pytest.raises(ValueError, match=r"vision of p has shape \(9,\)"):
        write_segments(tmp_path / "s.parquet", [wrong], SPACES)
    unknown = SegmentRow("p", "a", "g", Segment(0, 0, 1), {"smell": np.zeros(8, np.float32)}, {})
    with pytest.raises(ValueError, match="smell"):
        write_segments(tmp_path / "s.parquet", [unknown], SPACES)


def test_what_is_no_such_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    with pytest.raises(StateCorrupt, match=r"s\.parquet"):
        list(read_segments(path))
    path.write_bytes(b"not parquet")
    with pytest.raises(StateCorrupt):
        list(read_segments(path))
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(StateCorrupt, match="format"):
        list(read_segments(path))
    write_segments(path, rows(20), SPACES)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StateCorrupt):
        list(read_segments(path))

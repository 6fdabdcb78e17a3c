"""The encode stage on a GPU, row for row; and the benchmark, by what it says, not by its times."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from encoders.imagebind.encode import ImageBindEncoder
from encoders.loading import load_encoder
from encoders.modality import Modality
from pipeline.embed.encode import EncodeStage
from pipeline.embed.rows import DecodedRow, decoded_table
from pipeline.models.spaces import spaces_of
from tests.bench import gpu
from tests.support import media_files


def window(index: int) -> DecodedRow:
    frames = np.stack([media_files.picture_array(2 * index + n, (224, 224)) for n in range(2)])
    return DecodedRow(
        0, 1, "asset", "g", index, index * 2000, index * 2000 + 2000,
        payload=json.dumps({"key": "a"}), frames=frames.tobytes(),
        sound=media_files.sound_array(index, 2.0).tobytes(), text=f"words of window {index}",
    )  # fmt: skip


def test_tables_come_back_as_they_were_given() -> None:
    encoder = load_encoder("sensedex-mini", device="cuda", precision="bf16")
    assert isinstance(encoder, ImageBindEncoder)
    stage = EncodeStage(
        lambda: [encoder], spaces_of([encoder.card]), lambda _stage, _progress: None, batch_size=8
    )
    assert set(encoder.feed.captured) == {Modality.VISION, Modality.AUDIO, Modality.TEXT}
    given = [decoded_table([window(5 * n + m) for m in range(5)]) for n in range(4)]
    ahead = list(stage.tables(iter(given)))
    assert all(one.equals(stage.table(table)) for one, table in zip(ahead, given, strict=True))
    assert [t.column("segment_index").to_pylist() for t in ahead] == [
        list(range(5 * n, 5 * n + 5)) for n in range(4)
    ]


def test_the_benchmark_goes_by_graphs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "gpu.json"
    gpu.main(
        f"--size mini --batch 16 --rounds 2 --stage-batches 8 --seconds 10 --json {figures}".split()
    )
    printed = capsys.readouterr().out
    assert "captured: nothing" not in printed
    rows = {row["name"]: row for row in json.loads(figures.read_text())["rows"]}
    for modality in (Modality.VISION, Modality.AUDIO, Modality.TEXT):
        product = rows[f"{modality}, product"]
        assert product["cosine_to_fp32"] > 0.999
        assert product["peak_bytes"] > 0
    assert rows["encode stage, decoder"]["value"] > 0

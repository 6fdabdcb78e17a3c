"""The GPU bench runs, calls the product's class, and prints what it should; tried on a CPU with the
small network. No figure of such a run means anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from encoders.device_feed import DeviceFeed
from encoders.modality import Modality
from tests.bench import gpu

pytestmark = pytest.mark.slow("builds networks, and makes and decodes a second of 1080p: 15 s")


def test_it_measures_the_products_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted: list[Modality] = []
    real = DeviceFeed.submit

    def counted(feed: DeviceFeed, modality: Modality, batch: Any) -> object:
        submitted.append(modality)
        return real(feed, modality, batch)

    monkeypatch.setattr(DeviceFeed, "submit", counted)
    figures = tmp_path / "gpu.json"
    gpu.main(
        f"--device cpu --size mini --batch 2 --modalities audio --rounds 1 --stage-batches 2 "
        f"--seconds 2 --decoders 1 --price 2.5 --json {figures}".split()
    )
    assert {Modality.AUDIO, Modality.VISION} <= set(submitted)
    printed = capsys.readouterr().out
    for words in ("bf16 matrix rate", "plain fp32", "eager", "product", "null decoder",
                  "h of 1080p/h", "USD/1,000 h", "captured: nothing"):  # fmt: skip
        assert words in printed
    rows = {row["name"]: row for row in json.loads(figures.read_text())["rows"]}
    assert set(rows) == {
        "audio, plain fp32", "audio, eager", "audio, product",
        "encode stage, null decoder", "encode stage, decoder",
    }  # fmt: skip
    assert rows["audio, product"]["cosine_to_fp32"] > 0.99
    assert all(row["value"] > 0 and row["share_of_matrix_rate"] >= 0 for row in rows.values())
    for name in ("encode stage, null decoder", "encode stage, decoder"):
        row = rows[name]
        # A window is two seconds of film: so many hours of it an hour, at so much an hour. Both are
        # rounded to hundredths, which of a busy CPU's half an hour are some per cent.
        hours = row["hours_of_1080p_an_hour"]
        assert hours == pytest.approx(2 * row["value"], rel=0.01, abs=0.016)
        assert row["usd_per_1000_hours"] * hours == pytest.approx(2500, rel=0.01 + 0.006 / hours)


def test_it_refuses_to_go_on_without_a_gpu(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "there is no GPU here; --device cpu --size mini" in capsys.readouterr().err

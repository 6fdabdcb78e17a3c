"""A run says what its towers compute in, and which of them fell back to float32."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import save_file

from encoders.imagebind.config import DEMO
from encoders.imagebind.model import ImageBind
from encoders.seeded import seeded_state_dict
from flows.cli.render import render_report
from pipeline import codec
from pipeline.report.html import report_html
from pipeline.report.record import RunReport
from pipeline.run.whole_run import run_index
from pipeline.settings import load_settings
from tests.support import media_files
from tests.support.s3_server import S3Server


@pytest.fixture
def reports(s3_server: S3Server, tmp_path: Path) -> tuple[RunReport, RunReport]:
    """A run in bf16 with weights whose sound is lost in it, and one in fp32 with the same."""
    state = seeded_state_dict(ImageBind(DEMO), 0)
    # Shared by all channels, so the norms take it off; in bf16 nothing is left beside it.
    state["modality_preprocessors.audio.pos_embedding_helper.pos_embed"] += 3_000.0
    save_file(state, tmp_path / "faulty.safetensors")
    client = s3_server.client()
    client.create_bucket(Bucket="precise")
    client.put_object(Bucket="precise", Key="a.jpg", Body=media_files.jpeg(1))
    made = []
    for precision in ("bf16", "fp32"):
        settings = load_settings(
            None,
            {
                "source.bucket": "precise",
                "source.endpoint_url": s3_server.url,
                "encode.encoder": "imagebind-demo",
                "encode.weights": str(tmp_path / "faulty.safetensors"),
                "encode.device": "cpu",
                "encode.precision": precision,
                "embed.engine": "loop",
                "index.path": str(tmp_path / precision / "qdrant"),
                "state.location": str(tmp_path / precision / "state"),
            },
        )
        made.append(run_index(settings))
    return made[0], made[1]


def shown(report: RunReport) -> str:
    out = StringIO()
    Console(file=out, width=1_000).print(render_report(report))
    return out.getvalue()


def test_the_report_says_what_fell_back(reports: tuple[RunReport, RunReport]) -> None:
    less, full = reports
    assert less.objects_by_status == full.objects_by_status == {"indexed": 1}
    used = {str(one.modality): (one.requested, one.used) for one in less.precisions}
    assert used == {
        "vision": ("bf16", "bf16"),
        "audio": ("bf16", "fp32"),
        "text": ("bf16", "bf16"),
    }
    line = "audio in float32, since bf16 gave a cosine to it of"
    assert shown(less).count(line) == 1
    assert report_html(less).count(line) == 1
    assert {(one.requested, one.used) for one in full.precisions} == {("fp32", "fp32")}
    assert "float32" not in shown(full)
    assert "float32" not in report_html(full)

    assert codec.from_bytes(RunReport, codec.to_bytes(less)) == less
    old = codec.to_json(less)  # of a run before there was such a field
    del old["precisions"]
    assert codec.from_bytes(RunReport, json.dumps(old)).precisions == ()

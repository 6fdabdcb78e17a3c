"""The recall of an index, where a person meets it: in a run's report and in `sensedex verify`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows.artifacts import report_markdown
from flows.cli.main import app
from flows.cli.render import render_report
from flows.reconcile import verify_markdown
from pipeline.errors import IndexUnavailable
from pipeline.index import recall as measured
from pipeline.progress import ProgressReporter
from pipeline.report.html import report_html
from pipeline.report.read import read_report
from pipeline.run.whole_run import run_index
from pipeline.served_recall import Looking
from pipeline.settings import Settings
from pipeline.verify.audit import AuditOptions, verify
from tests.support import media_files
from tests.support.fixtures_qdrant import Served
from tests.support.run_settings import small_run_settings
from tests.support.s3_server import S3Server, fill

# That gRPC gives the same figures: tests/pipeline/test_index_recall.py.
pytestmark = pytest.mark.parametrize("served", ["rest"], indirect=True)
PICTURES = 12


@pytest.fixture
def settings(served: Served, s3_server: S3Server, tmp_path: Path) -> Settings:
    """Of a bucket of pictures that is not indexed yet; there is time for every query."""
    fill(s3_server, {f"{n}.jpg": media_files.jpeg(n) for n in range(PICTURES)})
    at = {f"index__{n}": getattr(served.settings, n) for n in ("url", "prefer_grpc", "grpc_port")}
    return small_run_settings(tmp_path, s3_server.url, search__recall_seconds=200, **at)


def printed(what: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=1_000).print(what)
    return out.getvalue()


def test_a_run_says_what_its_index_finds_and_what_would_help(
    served: Served, settings: Settings
) -> None:
    served.server.blunt = 5
    report = run_index(settings)
    assert report.recall is not None
    [vision] = report.recall.vectors
    assert (vision.vector_name, vision.queries, vision.share) == ("vision", PICTURES, 0.8)
    assert report.recall.proposal is not None
    assert report.recall.proposal.looking == Looking(400, 1.0)
    assert "measure the index" in report.seconds_by_phase
    assert read_report(settings) == report
    page = report_html(report)
    assert "Does the index find what is nearest?" in page
    for told in (page, printed(render_report(report)), report_markdown(report)):
        assert "vision 0.800 (12)" in told
        assert "index.hnsw_ef = 400" in told


def test_verify_says_it_and_its_verdict_is_of_what_is_there(
    served: Served, settings: Settings
) -> None:
    run_index(settings)
    served.server.blunt = 5
    words = [
        f"--set={part}.{name}={value}"
        for part, fields in settings.model_dump(mode="json", exclude_unset=True).items()
        for name, value in fields.items()
        if value is not None
    ]
    done = CliRunner().invoke(app, ["verify", *words])
    assert done.exit_code == 0, done.output
    told = " ".join(done.stdout.split())
    assert "vision 0.800 (12)" in told
    assert "index.hnsw_ef = 400" in told
    done = CliRunner().invoke(app, ["verify", "--json", "--seed", "3", *words])
    facts = json.loads(done.stdout)
    assert facts["verdict"] == "agree"
    assert facts["recall"]["vectors"] == [{"vector_name": "vision", "queries": 12, "share": 0.8}]
    assert facts["recall"]["proposal"]["looking"] == {"hnsw_ef": 400, "oversampling": 1.0}
    assert (facts["recall"]["unmeasured"], facts["recall"]["seed"]) == ("", 3)
    done = CliRunner().invoke(app, ["verify", "--json", "--recall-queries", "0", *words])
    assert json.loads(done.stdout)["recall"] is None
    report = verify(settings, AuditOptions(), ProgressReporter())
    assert "vision 0.800 (12)" in verify_markdown(report)


def test_a_figure_that_cannot_be_had_is_absent_with_its_reason(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise IndexUnavailable("Qdrant is gone.")

    monkeypatch.setattr(measured, "open_connection", gone)
    report = run_index(settings)
    assert report.recall is not None
    assert (report.recall.vectors, report.recall.unmeasured) == ((), "Qdrant is gone.")
    for told in (report_html(report), printed(render_report(report))):
        assert "against exact search: Qdrant is gone." in told
    found = verify(settings, AuditOptions(), ProgressReporter())
    assert found.verdict == "agree"
    assert found.recall is not None
    assert found.recall.unmeasured == "Qdrant is gone."


def test_it_can_be_switched_off_and_a_folder_is_not_asked(
    settings: Settings, tmp_path: Path
) -> None:
    off = {"search": settings.search.model_copy(update={"recall_queries": 0})}
    report = run_index(settings.model_copy(update=off))
    assert report.recall is None
    assert "nearest?" not in report_html(report)
    folder = small_run_settings(tmp_path / "other", settings.source.endpoint_url)
    assert run_index(folder).recall is None
    found = verify(folder, AuditOptions(), ProgressReporter())
    assert found.recall is not None
    assert "a folder is searched exactly" in found.recall.unmeasured

"""A run believes the state. Where the index is another one, or has less, it says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.cli.exit_codes import Exit, status_of
from pipeline.index.vector_index import open_index
from pipeline.report.html import report_html
from pipeline.report.record import RunReport
from pipeline.run.preflight import IndexLost
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings
from tests.support import media_files
from tests.support.index_damage import points_hide
from tests.support.qdrant_server import qdrant_server
from tests.support.run_settings import reconcile_parameters
from tests.support.s3_server import S3Server

pytestmark = pytest.mark.usefixtures("ray_running", "prefect_running")


def run(settings: Settings) -> RunReport:
    return run_index(settings)


def moved(settings: Settings, **index: object) -> Settings:
    return settings.model_copy(update={"index": settings.index.model_copy(update=index)})


def test_an_index_that_is_not_there_is_no_unchanged_one(
    indexed: tuple[S3Server, Settings],
    tmp_path: Path,
) -> None:
    from flows.reconcile import reconcile_flow

    _, settings = indexed
    assert run(settings).run_id == "none: nothing to do"
    elsewhere = moved(settings, path=tmp_path / "elsewhere")
    with pytest.raises(IndexLost, match=r"by the state in .* it has 5 segments") as lost:
        run(elsewhere)
    assert "verify --repair" in lost.value.remedy
    assert not lost.value.retryable
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(IndexLost, match="'medias'"):
        run(moved(settings, collection="medias"))
    with qdrant_server() as empty, pytest.raises(IndexLost, match=r"in http://127\.0\.0\.1"):
        run(moved(settings, url=empty.url, prefer_grpc=False))

    # What the remedy promises.
    shutil.rmtree(settings.index.path)
    with pytest.raises(IndexLost):
        run(settings)
    *_, last = reconcile_flow(**reconcile_parameters(settings), repair=True)["rounds"]
    assert last["report"]["verdict"] == "agree"
    assert run(settings).run_id == "none: nothing to do"


def test_segments_that_are_missing_stand_in_the_report(
    indexed: tuple[S3Server, Settings],
) -> None:
    server, settings = indexed
    with open_index(settings.index) as index:
        points_hide(index)
    server.client().put_object(Bucket="media", Key="pictures/new.jpg", Body=media_files.jpeg(99))
    report = run(settings)
    assert (report.points_in_index, report.segments_known, report.segments_missing) == (5, 6, 1)
    assert status_of(report) is Exit.SOME_FAILED
    assert "lacks 1 segment<" in report_html(report)
    with open_index(settings.index) as index:
        assert index.count() == 5

"""The report's figure of what is live: cheap, certain where it says that something is missing, and
no reason for a run to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.cli.exit_codes import Exit, status_of
from flows.cli.render import render_report
from pipeline.codec import from_bytes, to_bytes
from pipeline.errors import IndexUnavailable
from pipeline.index.vector_index import VectorIndex
from pipeline.report.html import report_html
from pipeline.report.record import RunReport
from pipeline.run.steps import live_segments
from pipeline.run.whole_run import run_index
from tests.support import media_files
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server


class Counted:
    """An index that knows of `about` segments, and has `exactly` so many."""

    def __init__(self, about: int, exactly: int) -> None:
        self.about, self.exactly = about, exactly
        self.asked: list[bool] = []

    def count(self, *, exact: bool = True) -> int:
        self.asked.append(exact)
        return self.exactly if exact else self.about


@pytest.mark.parametrize(
    ("about", "exactly", "told", "asked"),
    [(9, 9, 9, [False]), (10, 9, 10, [False]), (8, 9, 9, [False, True]), (8, 7, 7, [False, True])],
)
def test_what_is_said_to_be_missing_was_counted(
    about: int, exactly: int, told: int, asked: list[bool]
) -> None:
    index: Any = Counted(about, exactly)
    assert live_segments(index, 9) == told
    assert index.asked == asked


def test_a_figure_that_cannot_be_had_fails_no_run(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collection took everything, and then the server was gone."""

    def gone(*_: object, **__: object) -> int:
        raise IndexUnavailable("Qdrant is away.", remedy="Wait.")

    s3_server.client().put_object(Bucket="media", Key="a.jpg", Body=media_files.jpeg(1))
    monkeypatch.setattr(VectorIndex, "count", gone)
    report = run_index(settings_for(tmp_path, s3_server.url, encode__encoder="imagebind-demo"))
    assert (report.segments, report.points_in_index, report.segments_missing) == (1, None, 0)
    assert status_of(report) is Exit.OK
    assert "<b>?</b>live in the collection" in report_html(report)
    assert render_report(report)
    assert from_bytes(RunReport, to_bytes(report)) == report

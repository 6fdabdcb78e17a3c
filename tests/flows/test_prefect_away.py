"""Prefect's server goes away: what is shown of a run is lost, and a run that is done is not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import artifacts, index
from flows.quiet import quiet_logs
from pipeline.planning import RunOptions
from pipeline.progress import ignore_progress
from pipeline.report import RunReport
from pipeline.settings import Settings
from pipeline.watch import Watch


def away(*_: Any, **__: Any) -> Any:
    raise httpx.ConnectError("refused")


def test_artifacts_do_not_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "create_progress_artifact", away)
    with artifacts.ProgressArtifact(Watch()):
        pass
    monkeypatch.undo()
    monkeypatch.setattr(artifacts, "update_progress_artifact", away)
    shown = artifacts.ProgressArtifact(Watch())
    shown._id = artifacts.UUID(int=1)
    shown._update(50.0)


def test_a_run_that_is_done_has_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def done_then_away(**_: Any) -> Any:
        index.report_here.get([]).append({"the": "report"})
        away()

    monkeypatch.setattr(index, "index_flow", done_then_away)
    monkeypatch.setattr(RunReport, "from_json", lambda plain: plain)
    report: Any = index.run_index(Settings(), RunOptions(), ignore_progress)
    assert report == {"the": "report"}


def test_a_run_that_is_not_done_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "index_flow", away)
    with pytest.raises(index.PrefectUnavailable, match="PREFECT_API_URL") as raised:
        index.run_index(Settings(), RunOptions(), ignore_progress)
    assert raised.value.retryable


def test_half_a_line_on_the_screen_hides_no_error(tmp_path: Path) -> None:
    def fail() -> None:
        with quiet_logs(tmp_path / "log"):
            sys.stderr.write("half a line")
            raise ValueError("what went wrong")

    with pytest.raises(ValueError, match="what went wrong"):
        fail()

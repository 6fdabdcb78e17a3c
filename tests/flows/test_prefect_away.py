"""Prefect's server goes away: what is shown of a run is lost, and a run that is done is not."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.flows import Flow

from flows import artifacts, index
from flows.away import if_prefect_answers, server_may_go_away
from flows.log_redirect import quiet_logs
from flows.prefect_server import PrefectUnavailable
from pipeline.progress import RunProgress, ignore_progress
from pipeline.run_options import RunOptions
from pipeline.settings import Settings


@pytest.fixture
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_start_own_server", lambda: None)


def away(*_: Any, **__: Any) -> Any:
    raise httpx.ConnectError("refused")


def test_artifacts_do_not_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "create_progress_artifact", away)
    monkeypatch.setattr(artifacts, "PROGRESS_EVERY_S", 0.01)
    seen: list[RunProgress] = []
    with artifacts.ProgressArtifact(seen.append) as see:
        see(RunProgress("embedding", total_objects=4))
    assert [progress.phase for progress in seen] == ["embedding"]
    monkeypatch.undo()
    monkeypatch.setattr(artifacts, "update_progress_artifact", away)
    shown = artifacts.ProgressArtifact(ignore_progress)
    shown._id = artifacts.UUID(int=1)
    shown._show(50.0)


def test_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    events = logging.getLogger("prefect.events.clients")
    caplog.set_level(logging.WARNING)  # a run in Prefect leaves the root's handlers at ERROR
    with server_may_go_away(said.append):
        for _ in range(3):
            with if_prefect_answers():
                away()
            events.warning("Unable to connect to %r. Please check.", "ws://127.0.0.1:9/api")
        events.warning("something else")
    assert len(said) == 1
    assert "Prefect's server does not answer (refused)" in said[0]
    assert [record.getMessage() for record in caplog.records] == ["something else"]
    events.warning("Unable to connect to %r, after the run.", "ws://127.0.0.1:9/api")
    assert len(caplog.records) == 2


@pytest.mark.usefixtures("_no_server")
def test_a_run_that_is_done_has_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    report: Any = object()
    monkeypatch.setattr(index, "_run", lambda *_, **__: report)

    def done_then_away(flow: Flow[Any, Any], *arguments: Any) -> Any:
        flow.fn(*arguments)
        away()

    monkeypatch.setattr(Flow, "__call__", done_then_away)
    assert index.run_in_flow(Settings(), RunOptions(), ignore_progress) is report


@pytest.mark.usefixtures("_no_server")
def test_a_run_that_is_not_done_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flow, "__call__", away)
    with pytest.raises(PrefectUnavailable, match="PREFECT_API_URL") as raised:
        index.run_in_flow(Settings(), RunOptions(), ignore_progress)
    assert raised.value.retryable


def test_half_a_line_on_the_screen_hides_no_error(tmp_path: Path) -> None:
    def fail() -> None:
        with quiet_logs(tmp_path / "log"):
            sys.stderr.write("half a line")
            raise ValueError("what went wrong")

    with pytest.raises(ValueError, match="what went wrong"):
        fail()

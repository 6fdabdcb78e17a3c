"""Prefect's server goes away: what is shown of a run is lost, and a run that is done is not."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows import artifacts
from flows.away import if_prefect_answers, server_may_go_away
from flows.index import run_in_flow
from flows.log_redirect import quiet_logs
from flows.prefect_server import PrefectUnavailable
from pipeline.progress import RunProgress, ignore_progress
from pipeline.run_options import RunOptions
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server
from tests.support.server_door import Door, door_before


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


@pytest.fixture
def door(prefect_running: None) -> Iterator[Door]:  # noqa: ARG001
    """The way to Prefect's server; a client that is refused does not ask again."""
    api = PREFECT_API_URL.value()
    assert api is not None
    with (
        door_before(api) as door,
        temporary_settings({PREFECT_API_URL: door.url, PREFECT_CLIENT_MAX_RETRIES: 0}),
    ):
        yield door


def test_a_run_that_is_done_has_its_report(door: Door, s3_server: S3Server, tmp_path: Path) -> None:
    """The server goes once the run is under way; it is not there to be told how the run ended."""

    def gone(_: RunProgress) -> None:
        door.shut()

    report = run_in_flow(settings_for(tmp_path, s3_server.url), RunOptions(), gone)
    assert (report.bucket, report.objects) == ("media", 0)
    with SyncPrefectClient(api=door.behind) as client:
        [last] = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    assert last.state_name == "Running", "the server was told of the end"


def test_a_run_that_is_not_done_says_why(door: Door, s3_server: S3Server, tmp_path: Path) -> None:
    door.shut()
    with pytest.raises(PrefectUnavailable, match="PREFECT_API_URL") as raised:
        run_in_flow(settings_for(tmp_path, s3_server.url), RunOptions())
    assert raised.value.retryable
    assert s3_server.requests == []


def test_half_a_line_on_the_screen_hides_no_error(tmp_path: Path) -> None:
    def fail() -> None:
        with quiet_logs(tmp_path / "log"):
            sys.stderr.write("half a line")
            raise ValueError("what went wrong")

    with pytest.raises(ValueError, match="what went wrong"):
        fail()

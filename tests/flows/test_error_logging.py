"""In Prefect an error of ours is the message of the run's state, and one line of its log."""

from __future__ import annotations

import time
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.index import run_in_flow
from pipeline.errors import BucketNotFound
from pipeline.run_options import RunOptions
from pipeline.settings import Settings, SourceSettings
from tests.support.s3_server import S3Server

LEVEL_ERROR = 40


@pytest.mark.usefixtures("prefect_running")
def test_state_and_log_have_the_sentence(
    s3_server: S3Server,
) -> None:
    source = SourceSettings(bucket="no-such", endpoint_url=s3_server.url)
    with pytest.raises(BucketNotFound):
        run_in_flow(Settings(source=source), RunOptions())
    client = get_client(sync_client=True)
    run = max(client.read_flow_runs(), key=lambda run: str(run.created))
    assert run.state is not None
    assert run.state.message is not None
    assert run.state.is_failed()
    assert run.state.message.startswith("There is no bucket 'no-such'")
    assert run.state.message.endswith("[bucket_not_found]")
    said = [log.message for log in _logs(client, run.id) if log.level >= LEVEL_ERROR]
    assert said == [run.state.message]


def _logs(client: Any, run_id: Any) -> list[Any]:
    """Prefect sends them in batches, some seconds later."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = [log for log in client.read_logs() if log.flow_run_id == run_id]
        if any(log.level >= LEVEL_ERROR for log in found):
            time.sleep(3)  # what else comes
            return [log for log in client.read_logs() if log.flow_run_id == run_id]
        time.sleep(0.5)
    return []

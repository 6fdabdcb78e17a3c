"""The flow `reconcile` and the command `verify`, on an index that a real run made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.rebuild import rebuild_flow
from flows.reconcile import IndexWrong, reconcile_flow, verify_markdown
from flows.sweep import sweep_flow
from pipeline.index.vector_index import open_index
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings
from pipeline.verify.findings import (
    Example,
    Finding,
    FindingRow,
    IndexCounts,
    Verdict,
    VerifyReport,
)
from tests.support import media_files
from tests.support.index_damage import an_old_generation_is_left, points_hide
from tests.support.python_path import python_path
from tests.support.run_settings import reconcile_parameters
from tests.support.s3_server import S3Server


@pytest.mark.usefixtures("ray_running", "prefect_running")
def test_the_flow_fails_where_the_index_is_wrong_and_mends_it(
    indexed: tuple[S3Server, Settings],
) -> None:
    server, settings = indexed
    looked = reconcile_flow(**reconcile_parameters(settings), repair=False, recall_queries=0)
    assert looked["rounds"][0]["report"]["verdict"] == "agree"
    assert looked["rounds"][0]["report"]["recall"] is None
    with open_index(settings.index) as index:
        points_hide(index)
        an_old_generation_is_left(index)
    with pytest.raises(IndexWrong, match="points_hidden, points_superseded"):
        reconcile_flow(**reconcile_parameters(settings), repair=False)
    # A picture that is new needs the encoder, and so the flow `index`, with Ray.
    server.client().put_object(Bucket="media", Key="pictures/new.jpg", Body=media_files.jpeg(99))
    server.requests.clear()
    first, *_, last = reconcile_flow(**reconcile_parameters(settings), repair=True)["rounds"]
    assert (first["deleted_points"], first["reloaded_objects"]) == (1, 1)
    assert first["run_objects"] == {"new": 1, "unchanged": 3}
    assert last["report"]["verdict"] == "agree"
    assert "a folder is searched exactly" in last["report"]["recall"]["unmeasured"]
    assert server.count("GET") == 1


@pytest.mark.usefixtures("prefect_running")
def test_the_flows_that_sweep_and_rebuild(indexed: tuple[S3Server, Settings]) -> None:
    """What they delete and make, nothing misses: the audit agrees afterwards."""
    server, settings = indexed
    parts = {"source": settings.source, "state": settings.state}
    at_once = settings.state.model_copy(update={"superseded_hours": 0})
    changed = {f"pictures/{n}.jpg": media_files.jpeg(70 + n) for n in range(2)}
    for key, body in {**changed, "films/one.mp4": media_files.mp4(8)}.items():
        server.client().put_object(Bucket="media", Key=key, Body=body)
    run_index(settings)
    assert sweep_flow(**parts, dry_run=True)["dry_run"]
    swept = sweep_flow(source=settings.source, state=at_once)
    assert swept["deleted"] >= 1
    rebuilt = rebuild_flow(**parts, index=settings.index)
    assert (rebuilt["alias"], rebuilt["shows"]) == ("media", "media-2")
    assert rebuilt["assets"] == 3
    agreed = reconcile_flow(**reconcile_parameters(settings), recall_queries=0)
    assert agreed["rounds"][0]["report"]["verdict"] == "agree"
    with get_client(sync_client=True) as client:
        made = {artifact.key: artifact.data for artifact in client.read_artifacts()}
    assert "shows `media-2`" in str(made["rebuild-report"])
    assert "| deleted |" in str(made["sweep-report"])


def test_the_command_says_it_by_its_status(
    indexed: tuple[S3Server, Settings], tmp_path: Path, root_dir: Path
) -> None:
    server, settings = indexed

    def verify(*words: str) -> subprocess.CompletedProcess[str]:
        more = [f"index.path={settings.index.path}", f"state.location={settings.state.location}"]
        more.append(f"encode.encoder={settings.encode.encoder}")
        command = [sys.executable, "-m", "flows.cli.main", "verify", "--bucket", "media"]
        command += ["--endpoint-url", server.url, *(f"--set={word}" for word in more), *words]
        env = {**os.environ, "PYTHONPATH": python_path(root_dir), "COLUMNS": "110"}
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=250
        )

    good = verify()
    assert good.returncode == 0, good.stderr
    assert "Bucket, state, Parquet and Qdrant agree." in good.stdout
    hard = "pictures/\x1b[31m[red].jpg"
    server.client().put_object(Bucket="media", Key=hard, Body=media_files.jpeg(99))
    behind = verify()
    assert behind.returncode == 5
    assert "object_new" in behind.stdout
    assert "\x1b" not in behind.stdout
    assert "sensedex run" in behind.stdout
    with open_index(settings.index) as index:
        points_hide(index)
    wrong = verify("--json", "--seed", "7")
    assert wrong.returncode == 3
    facts = json.loads(wrong.stdout)
    assert (facts["verdict"], facts["seed"]) == ("disagree", 7)
    names = {row["name"]: (row["kind"], row["repair"]) for row in facts["findings"]}
    assert names == {"object_new": ("stale", "run"), "points_hidden": ("fault", "reload")}
    # What Parquet has is mended without Prefect or Ray; what is new is a run's.
    server.client().delete_object(Bucket="media", Key=hard)
    mended = verify("--repair")
    assert mended.returncode == 0, mended.stderr
    assert "1 object, 3 segments, loaded again from Parquet" in mended.stdout
    assert "Prefect" not in mended.stderr
    assert verify().returncode == 0
    nothing = verify("--sample", "-1")
    assert nothing.returncode == 2
    assert "Traceback" not in nothing.stderr


def test_a_hard_key_cannot_steer_the_artifact() -> None:
    key = "x/<script>`|\n# heading"
    row = FindingRow(Finding.OBJECT_NEW, 1, 0, (Example(key, 0, ""),))
    report = VerifyReport(
        "films", "", "s", "media", 1, "r", "2026-01-01", 1.0, 7, IndexCounts(), (row,)
    )
    page = verify_markdown(report)
    assert report.verdict is Verdict.STALE
    assert "\n# heading" not in page
    assert page.splitlines()[-1].count("|") - page.splitlines()[-1].count("\\|") == 6

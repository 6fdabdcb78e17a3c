"""A run as another terminal sees it: by its state alone, while it goes on and after."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.cli.running import follow, render_running
from pipeline.errors import StoreUnavailable
from pipeline.progress import ProgressReporter
from pipeline.report.read import read_running_run, read_status
from pipeline.report.running import RunningRun, RunningState, read_running
from pipeline.run import event_run, kept_progress
from pipeline.run.event_loop import Until, run_events
from pipeline.run.step_runner import STATE
from pipeline.run.whole_run import run_index
from pipeline.run_events import RunEvent, ShardLoaded
from pipeline.settings import Settings
from pipeline.state.lease import acquire, hold_lease
from pipeline.state.receipts import RunFolder
from pipeline.state.run_progress import (
    PROGRESS,
    StageDone,
    StoredProgress,
    put_progress,
    read_progress,
)
from pipeline.state.store import FolderStore
from tests.support import media_files
from tests.support.event_scene import EventScene
from tests.support.python_path import python_path
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server, fill
from tests.support.stopped_runs import StoppedError, stop_before

STATUS = (
    "import sys; from flows.cli.main import main; sys.argv = ['sensedex', *sys.argv[1:]]; main()"
)
PROGRESSED = StoredProgress(
    "r", 3, "2026-01-01T00:00:00+00:00", 1e9, "embedding", 20,
    {"decode": StageDone(12, 40, 80.0, 9.0, 3), "encode": StageDone(10, 38, 76.0, 9.5),
     "write": StageDone(8, 30, 60.0, 0.1)},
    {"planned": 5, "committed": 2}, {"indexed": 7, "rejected": 1}, {"index_unavailable": 2},
    10.0, 0.5, 4.0,
)  # fmt: skip


def status_of(settings: Settings, *more: str) -> str:
    """As it is asked for in another terminal, by the state's place alone."""
    done = subprocess.run(
        [sys.executable, "-c", STATUS, "status", "--state", settings.state.location, *more],
        env={**os.environ, "PYTHONPATH": python_path(*sys.path), "COLUMNS": "160"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(run: RunningRun) -> str:
    screen = Console(file=io.StringIO(), width=160)
    screen.print(render_running(run))
    return screen.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_run_is_seen_while_it_goes_on_and_when_it_died(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = {f"{n}.jpg": media_files.jpeg(n) for n in range(4)}
    fill(s3_server, pictures | {"no.jpg": b"this is no picture"})
    settings = settings_for(
        tmp_path, s3_server.url,
        encode__encoder="imagebind-demo", embed__engine="loop", state__shard_objects=2,
    )  # fmt: skip
    monkeypatch.setattr(kept_progress, "FOLDER_EVERY_S", 0.05)
    seen: list[str] = []

    def look(event: RunEvent) -> None:
        if isinstance(event, ShardLoaded) and event.shard == 2:
            while (run := read_running_run(settings)) is None or run.shards.get("loaded") != 3:
                pass
            seen.extend([status_of(settings), status_of(settings, "--json")])

    run_index(settings, on_event=look)
    plain, facts = seen[0], json.loads(seen[1])["running"]
    assert "running  run " in plain
    assert "5/5 objects" in plain
    assert "1 rejected" in plain
    assert facts["state"] == "running"
    assert facts["objects_by_status"] == {"indexed": 4, "rejected": 1}
    assert facts["shards"] == {"planned": 3, "committed": 3, "loaded": 3}
    assert facts["stages"]["write"]["objects"] == facts["total_objects"] == 5
    assert (Path(settings.state.location) / PROGRESS).stat().st_size < 4096
    assert read_status(settings).running is None, "it came to its end"

    fill(s3_server, {"later.jpg": media_files.jpeg(9)})
    stop_before(STATE, settings)
    failed = read_running_run(settings)
    assert failed is not None
    assert (failed.state, failed.failed_by) == (RunningState.FAILED, "defect")
    assert "ended by defect" in status_of(settings)
    run_index(settings)
    assert status_of(settings, "--watch") == "No run is at work.\n"


def test_an_event_run_is_seen_in_the_same_way(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = EventScene.at(s3_server, tmp_path)
    monkeypatch.setattr(kept_progress, "FOLDER_EVERY_S", 0.05)
    scene.put("a.jpg", media_files.jpeg(1))
    scene.put("no.jpg", b"this is no picture")
    seen: list[RunningRun] = []

    def look(event: RunEvent) -> None:
        if isinstance(event, ShardLoaded):
            while (run := read_running_run(scene.settings)) is None or not run.shards.get("loaded"):
                pass
            seen.append(run)

    run_events(scene.settings, Until.ONE_BATCH, on_event=look)
    [run] = seen
    assert (run.state, run.events) == (RunningState.RUNNING, True)
    assert run.objects_by_status == {"indexed": 1, "rejected": 1}
    assert run.stages["write"].objects == run.total_objects == 2
    told = printed(run)
    for words in ("running  event run ", "2/2 objects", "1 rejected"):
        assert words in told
    status = read_status(scene.settings)
    assert (status.running, status.running_events) == (None, None), "it came to its end"

    def die(*_: Any, **__: Any) -> None:
        raise StoppedError("commit_increment")

    scene.put("b.jpg", media_files.jpeg(2))
    monkeypatch.setattr(event_run, "commit_increment", die)
    with pytest.raises(StoppedError):
        scene.batch()
    failed = read_status(scene.settings).running_events
    assert failed is not None
    assert (failed.state, failed.failed_by) == (RunningState.FAILED, "defect")
    assert "ended by defect" in printed(failed)
    assert "Its messages come again." in printed(failed)


def killed_run(tmp_path: Path) -> FolderStore:
    """What a process leaves that was killed while it held the lease."""
    code = (
        "import os, sys\n"
        "from pipeline.state.lease import acquire\n"
        "from pipeline.state.store import FolderStore\n"
        "acquire(FolderStore(__import__('pathlib').Path(sys.argv[1])), 'r', 600, after_token=2)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "state")], check=False)
    store = FolderStore(tmp_path / "state")
    put_progress(store, PROGRESSED)
    return store


def test_a_dead_run_is_told_as_dead_by_its_lease(tmp_path: Path) -> None:
    store = killed_run(tmp_path)
    run = read_running(store)
    assert run is not None
    assert run.state is RunningState.DEAD
    assert run.seconds_left is None
    told = printed(run)
    assert "dead  run r" in told
    assert "run again to go on" in told
    # Another run has the lease now, and has not said anything yet.
    acquire(store, "next", 60)
    later = read_running(store)
    assert later is not None
    assert (later.state, later.holder) == (RunningState.DEAD, "")


def test_rate_time_left_and_what_sets_the_pace(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "state")
    acquire(store, "r", 60, after_token=2)
    put_progress(store, PROGRESSED)
    run = read_running(store)
    assert run is not None
    assert run.state is RunningState.RUNNING
    assert (run.seconds_left, run.binding_stage, run.binding_share) == (24, "encode", 0.95)
    assert run.failures == 1
    told = printed(run)
    for words in ("8/20 objects", "0.5 objects", "about 24 s left", "encode is busy 95%",
                  "7 indexed, 1 rejected", "tried again: 2 by index_unavailable"):  # fmt: skip
        assert words in told


def test_it_is_followed_until_it_is_no_longer_at_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(tmp_path / "state")
    acquire(store, "r", 60, after_token=2)
    put_progress(store, PROGRESSED)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        put_progress(store, replace(PROGRESSED, ended="lease_lost" if len(waits) == 2 else ""))

    follow(Console(), lambda: read_running(store), as_json=True, wait=wait)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["state"] for line in lines] == ["running", "running", "failed"]


def test_what_the_store_refuses_is_said_once_and_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(tmp_path)
    store = FolderStore(tmp_path / "state")
    tries: list[int] = []
    said: list[str] = []

    def refuse(*_: Any) -> None:
        tries.append(1)
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr(kept_progress, "put_progress", refuse)
    monkeypatch.setattr(kept_progress, "FOLDER_EVERY_S", 0.01)
    reporter = ProgressReporter(lambda now: said.append(now.phase))
    with (
        hold_lease(store, settings.state, "r") as lease,
        kept_progress.progress_kept(store, RunFolder(1, "r"), lease, reporter),
    ):
        while len(tries) < 3:
            pass
    assert [text for text in said if "disk is full" in text] == [
        "`sensedex status` will not see this run: The disk is full."
    ]
    assert said[-1] == "starting", "the phase goes on"


def test_a_progress_that_another_version_wrote_is_none(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "state")
    assert read_progress(store) is None
    store.create(PROGRESS, b'{"run": 7}')
    assert read_progress(store) is None

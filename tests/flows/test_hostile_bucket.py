"""A bucket that means ill, a policy that allows little, secrets that must not show; for real."""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    get_current_settings,
    temporary_settings,
)
from rich.console import Console

from flows.artifacts import report_markdown
from flows.cli.render import render_failures
from flows.index import run_in_flow
from pipeline.errors import SensedexError, TooManyDenied
from pipeline.index.collections import open_collections
from pipeline.index.vector_index import open_index
from pipeline.progress import ProgressReporter
from pipeline.rebuild.alias import roll_back
from pipeline.rebuild.prepare import RebuildOptions
from pipeline.rebuild.rebuild import rebuild
from pipeline.report.html import report_html
from pipeline.report.read import read_failures, read_report, read_status
from pipeline.report.record import FailureRow, RunReport
from pipeline.run_options import RunOptions
from pipeline.settings import Settings
from pipeline.state.objects import read_state
from pipeline.state.store import open_store
from pipeline.verify.audit import AuditOptions, verify
from tests.support import media_files
from tests.support.iam_guard import Guard, Policy
from tests.support.nasty_keys import KEYS, MARK
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server

API_KEY = "canary-of-the-index-5e1f"
SESSION_TOKEN = "canary-of-the-session-77b0"
PASSWORD = "canary:of-prefect-93ad"
NEW_LINE = "n4sty-28 new\nline.jpg"
settings_of = partial(
    settings_for,
    index__api_key=API_KEY,
    state__location="s3://notes/of/sensedex",
    state__shard_objects=16,
    encode__encoder="imagebind-demo",
    embed__engine="ray",
)


@pytest.fixture
def guard(s3_server: S3Server, root_dir: Path) -> Guard:
    """Buckets `media` and `notes`, and nothing allowed but what a writer needs."""
    s3_server.client().create_bucket(Bucket="notes")
    names = {"source_bucket": "media", "state_bucket": "notes", "state_prefix": "of/sensedex"}
    return Guard(s3_server, Policy.read(root_dir / "infra/iam/writer.json", **names))


def put(key: str, body: bytes) -> None:
    """Past the HTTP server, which bends some of the keys."""
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object("media", key, body)


def payloads(settings: Settings) -> list[dict[str, Any]]:
    with open_index(settings.index) as index:
        vector = np.ones(256, np.float32) / 16
        return [dict(hit.payload) for hit in index.query("vision", vector, 1000)]


@pytest.mark.usefixtures("ray_running", "prefect_running")
def test_nasty_keys_little_rights_and_secrets(
    s3_server: S3Server,
    guard: Guard,
    tmp_path: Path,
    root_dir: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION_TOKEN)
    settings = settings_of(tmp_path, s3_server.url)
    for number, key in enumerate(KEYS):
        put(key, media_files.jpeg(number))
    put(NEW_LINE, media_files.jpeg(99))
    with temporary_settings({PREFECT_API_AUTH_STRING: PASSWORD}):
        report = run_in_flow(settings, RunOptions(), lambda _: None)

    # Keys: as they are in the state and in the payload; the server's own 404 for a line break too.
    assert dict(report.objects_by_status) == {"indexed": len(KEYS), "failed": 1}
    state = read_state(open_store(settings.state.location, settings.source))
    assert [row.key for row in state.rows()] == sorted([*KEYS, NEW_LINE])
    found = payloads(settings)
    assert sorted(p["key"] for p in found) == sorted(KEYS)
    assert all(p["uri"] == f"s3://media/{p['key']}" for p in found)
    named = [
        str(p) for folder in (tmp_path, Path(tempfile.gettempdir()), root_dir, Path.home())
        for p in folder.glob("*") if MARK in p.name
    ]  # fmt: skip
    assert named == []

    # Rights: a run, its proof and a rebuild need no more than the policy, and may not write to the
    # media.
    verify(settings, AuditOptions(), ProgressReporter())
    with open_collections(settings.index) as collections:
        assert rebuild(settings, RebuildOptions(), collections).assets == len(KEYS)
        roll_back(settings, collections)
    assert guard.refused == []
    with pytest.raises(SensedexError):
        open_store("s3://media/x", settings.source).create("a", b"1")
    assert guard.refused == ["s3:PutObject arn:aws:s3:::media/x/a"]
    names = {"source_bucket": "media", "state_bucket": "notes", "state_prefix": "of/sensedex"}
    guard.policy = Policy.read(root_dir / "infra/iam/reader.json", **names)
    assert read_status(settings).objects_by_status["indexed"] == len(KEYS)
    assert [f.key for f in read_failures(settings)] == [NEW_LINE]
    assert read_report(settings).run_id == report.run_id
    with pytest.raises(SensedexError):
        open_store(settings.state.location, settings.source).create("a", b"1")
    guard.policy = None

    # Secrets: in nothing that a run leaves behind.
    secrets = [API_KEY, "test-secret", SESSION_TOKEN, PASSWORD, os.environ["RAY_AUTH_TOKEN"]]
    secrets += ["Signature=", base64.b64encode(PASSWORD.encode()).decode()]
    left = dict(_left_behind(settings, tmp_path, capfd, report))
    assert {name for name, text in left.items() if MARK in text} >= {
        "state", "payloads", "html", "artifacts"
    }  # fmt: skip
    assert "media" in left["parameters"]
    assert left["ray"]
    assert MARK in left["database"]
    shown = [(name, s) for name, text in left.items() for s in secrets if s in text]
    assert shown == []


def _left_behind(
    settings: Settings, folder: Path, capfd: pytest.CaptureFixture[str], report: RunReport
) -> Iterator[tuple[str, str]]:
    """Everything that a run writes, by where, as text."""
    import ray
    from prefect.client.orchestration import get_client

    store = open_store(settings.state.location, settings.source)
    texts = []
    for name in store.list():
        with store.local_copy(name) as path:
            if name.endswith(".parquet"):
                texts.append(json.dumps(pq.read_table(path).to_pylist(), default=str))
                texts.append(str(pq.read_metadata(path).metadata))
            texts.append(path.read_bytes().decode("latin-1"))
    yield "state", "\n".join(texts)
    yield "payloads", json.dumps(payloads(settings))
    yield "html", report_html(report)
    yield (
        "files",
        "\n".join(p.read_bytes().decode("latin-1") for p in folder.rglob("*") if p.is_file()),
    )
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs()
        yield "parameters", "\n".join(run.model_dump_json() for run in runs)
        yield "artifacts", "\n".join(a.model_dump_json() for a in client.read_artifacts())
        for run in runs:
            tasks = client.request("POST", "/task_runs/filter", json={"limit": 200}).text
            logs = client.request("POST", "/logs/filter", json={"limit": 200}).text
            yield f"tasks and logs of {run.name}", tasks + logs
    url = get_current_settings().server.database.connection_url
    assert url is not None
    kept = Path(url.get_secret_value().rpartition("sqlite+aiosqlite:///")[2])
    files = [*kept.parent.glob(kept.name + "*"), *Path(os.environ["PREFECT_HOME"]).rglob("*")]
    yield "database", "\n".join(p.read_bytes().decode("latin-1") for p in files if p.is_file())
    logs_folder = Path(ray._private.worker._global_node.get_logs_dir_path())  # type: ignore[attr-defined]
    yield (
        "ray",
        "\n".join(p.read_bytes().decode("latin-1") for p in logs_folder.rglob("*") if p.is_file()),
    )
    out, err = capfd.readouterr()
    yield "screen", out + err


@pytest.mark.usefixtures("prefect_running")
def test_too_many_denied_stop_the_run(
    s3_server: S3Server,
    guard: Guard,
    tmp_path: Path,
) -> None:
    # The share is counted when all shards are in, whichever engine made them.
    settings = settings_of(
        tmp_path, s3_server.url, state__max_denied_share=0.2, embed__engine="loop"
    )
    for number in range(8):
        put(f"{number}.jpg", media_files.jpeg(number))
    whole = guard.policy
    assert whole is not None
    guard.policy = whole.without("media/3.jpg", "media/4.jpg")
    with pytest.raises(TooManyDenied, match=r"2 objects may not be read") as stopped:
        run_in_flow(settings, RunOptions(), lambda _: None)
    assert "--allow-denied" in stopped.value.remedy
    assert read_status(settings).sequence == 0  # no state was written
    report = run_in_flow(settings, RunOptions(allow_denied=True), lambda _: None)
    assert dict(report.objects_by_status) == {"indexed": 6, "denied": 2}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("key", [*KEYS, NEW_LINE])
def test_a_key_is_shown_and_does_nothing(key: str) -> None:
    row = FailureRow(key, "rejected", "decode", "not_media", False, f"about {key}", "Remove it.")
    buffer = io.StringIO()
    Console(file=buffer, width=4000, force_terminal=True, color_system=None).print(
        render_failures((row,))
    )
    printed = buffer.getvalue()
    assert all(c.isprintable() or c == "\n" for c in printed)
    assert key[:8].strip("./-") in printed
    page = Tags()
    page.feed(report_html(_report(row)))
    assert not page.seen & {"script", "img", "iframe"}
    assert "onerror" not in page.attributes
    table = [line for line in report_markdown(_report(row)).splitlines() if MARK in line]
    assert len(table) == 1
    assert table[0].startswith("| `")
    assert table[0].replace("\\|", "").count("|") == 6


def _report(*failures: FailureRow) -> RunReport:
    return RunReport(
        run_id="r", sequence=1, bucket="media", prefix="", collection="media", encoder="e",
        meaningful=True, started_at="", wall_seconds=1.0, objects_by_status={"rejected": 1},
        objects_by_action={}, segments_by_modality={}, segments=0, media_seconds=0.0,
        bytes_fetched=0, points_in_index=0, failures=failures,
    )  # fmt: skip

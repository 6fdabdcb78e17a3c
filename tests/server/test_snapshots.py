"""A snapshot of Qdrant's that was made in the middle of a load, and is restored when the run is
long over: verify names what is not as the state says, and repairs it from Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.index.connection import open_client
from pipeline.index.vector_index import VectorIndex
from pipeline.progress import ProgressReporter
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.settings import Settings
from pipeline.verify.audit import AuditOptions, verify
from pipeline.verify.findings import Verdict
from pipeline.verify.repair import repair_round, rounds_of
from tests.server.nodes import settings_of
from tests.support import media_files
from tests.support.real_qdrant import QdrantNodes
from tests.support.run_settings import small_run_settings
from tests.support.s3_server import S3Server, fill

WHOLE = AuditOptions(seed=1, recall_queries=0)
KEYS = [f"pictures/{n}.jpg" for n in range(8)]  # in two shards
COLLECTION = "media-1"


def settings_on(nodes: QdrantNodes, s3: S3Server, folder: Path, *, grpc: bool) -> Settings:
    there = settings_of(nodes, grpc=grpc).model_dump(exclude_defaults=True)
    fields: dict[str, Any] = {f"index__{name}": value for name, value in there.items()}
    return small_run_settings(folder, s3.url, embed__engine="loop", **fields)


def look(settings: Settings) -> tuple[Verdict, dict[str, int]]:
    report = verify(settings, WHOLE, ProgressReporter())
    return report.verdict, {str(row.name): row.points for row in report.findings}


def no_run(_: RunOptions) -> Any:
    pytest.fail("Parquet has it all: no run is needed")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", ["before the first flip", "after the first flip"])
def test_a_snapshot_made_during_a_load_is_repaired_when_it_is_restored(
    node: QdrantNodes,
    grpc: bool,
    when: str,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_on(node, s3_server, tmp_path, grpc=grpc)
    fill(s3_server, {key: media_files.jpeg(n) for n, key in enumerate(KEYS)})
    run_index(settings, RunOptions())
    fill(s3_server, {key: media_files.jpeg(50 + n) for n, key in enumerate(KEYS)})
    client = open_client(settings.index)
    made: list[str] = []
    flip = VectorIndex.flip

    def flip_and_keep(index: VectorIndex, *given: Any, **more: Any) -> None:
        if when.startswith("after"):
            flip(index, *given, **more)
        if not made:
            snapshot = client.create_snapshot(COLLECTION)
            assert snapshot is not None
            made.append(snapshot.name)
        if when.startswith("before"):
            flip(index, *given, **more)

    monkeypatch.setattr(VectorIndex, "flip", flip_and_keep)
    assert run_index(settings, RunOptions()).objects_by_action == {"changed": 8}
    monkeypatch.undo()
    assert look(settings) == (Verdict.AGREE, {})

    file = node.nodes[0].folder / "snapshots" / COLLECTION / made[0]
    assert client.recover_snapshot(COLLECTION, file.as_uri(), wait=True)
    client.close()
    verdict, findings = look(settings)
    assert verdict is Verdict.DISAGREE
    assert {"points_missing", "points_hidden", "points_superseded"} & findings.keys(), findings
    rounds = list(rounds_of(lambda: repair_round(settings, WHOLE, ProgressReporter()), no_run))
    assert rounds[0].reloaded_objects == (4 if when.startswith("after") else 8)
    assert look(settings) == (Verdict.AGREE, {})

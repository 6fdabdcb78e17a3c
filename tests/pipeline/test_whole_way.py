"""One collection from its first run to a rebuild and back: on the stand-ins for a server and, where
one is named, on a real Qdrant of one node and of three, by REST and by gRPC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.index.collections import open_collections
from pipeline.index.vector_index import open_index
from pipeline.progress import ProgressReporter
from pipeline.rebuild.alias import roll_back
from pipeline.rebuild.prepare import RebuildOptions
from pipeline.rebuild.rebuild import rebuild
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.search.request import asked
from pipeline.search.searcher import open_searcher
from pipeline.settings import Settings
from pipeline.verify.audit import AuditOptions, verify
from pipeline.verify.findings import Verdict
from pipeline.verify.repair import repair_round, rounds_of
from tests.support import media_files
from tests.support.fixtures_qdrant import Served
from tests.support.run_settings import small_run_settings
from tests.support.s3_server import S3Server, fill

WHOLE = AuditOptions(seed=1)
PICTURES = {f"pictures/{n}.jpg": media_files.jpeg(n) for n in range(6)}


def settings_on(served: Served, s3: S3Server, folder: Path, **more: Any) -> Settings:
    there = served.settings.model_dump(exclude_defaults=True)
    fields = {f"index__{name}": value for name, value in there.items()} | more
    return small_run_settings(folder, s3.url, embed__engine="loop", **fields)


def look(settings: Settings) -> tuple[Verdict, dict[str, int]]:
    report = verify(settings, WHOLE, ProgressReporter())
    return report.verdict, {str(row.name): row.points for row in report.findings}


@pytest.mark.timeout(600)
def test_a_collection_lives_through_all_that_is_done_to_it(
    served: Served, s3_server: S3Server, tmp_path: Path
) -> None:
    settings = settings_on(served, s3_server, tmp_path)
    fill(s3_server, PICTURES | {"films/one.mp4": media_files.mp4(7)})
    first = run_index(settings, RunOptions())
    assert first.objects_by_action == {"new": 7}
    assert first.segments_missing == 0
    assert look(settings) == (Verdict.AGREE, {})

    picture = tmp_path / "query.jpg"
    picture.write_bytes(PICTURES["pictures/3.jpg"])
    with open_searcher(settings) as searcher:
        [best] = searcher.search(asked(image=picture, limit=1))
        assert best.payload["key"] == "pictures/3.jpg"

    with open_index(settings.index) as index:
        [page, *_] = index.points().pages(["kind"])
        index.points().delete([p.point_id for p in page if p.payload["kind"] == "segment"][:2])
    verdict, findings = look(settings)
    assert (verdict is Verdict.AGREE, findings) == (False, {"points_missing": 2})
    list(
        rounds_of(
            lambda: repair_round(settings, WHOLE, ProgressReporter()),
            lambda asked: run_index(settings, asked),
        )
    )
    assert look(settings) == (Verdict.AGREE, {})

    fill(s3_server, {"pictures/0.jpg": media_files.jpeg(90), "pictures/9.jpg": media_files.jpeg(9)})
    s3_server.client().delete_object(Bucket="media", Key="pictures/1.jpg")
    second = run_index(settings, RunOptions())
    assert second.objects_by_action == {"new": 1, "changed": 1, "gone": 1, "unchanged": 5}
    assert look(settings) == (Verdict.AGREE, {})

    smaller = settings_on(served, s3_server, tmp_path, index__quantization="int8")
    with open_collections(smaller.index) as collections:
        done = rebuild(smaller, RebuildOptions(queries=5), collections)
        assert (done.shows, done.previous) == ("media-2", "media-1")
        assert done.segments == done.points_loaded == second.segments_known
    assert look(smaller) == (Verdict.AGREE, {})
    assert run_index(smaller, RunOptions()).objects_by_action == {"unchanged": 7}
    with open_collections(smaller.index) as collections:
        assert roll_back(smaller, collections).shows == "media-1"
    assert look(settings) == (Verdict.AGREE, {})

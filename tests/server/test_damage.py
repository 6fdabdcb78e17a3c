"""Every kind of damage that verify has a name for, made in a real server: named there as in a
folder, and mended from Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.index.vector_index import open_index
from pipeline.models import spaces
from pipeline.progress import ProgressReporter
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.verify.audit import AuditOptions, verify
from pipeline.verify.findings import Verdict, VerifyReport
from pipeline.verify.repair import repair_round
from tests.server.nodes import settings_of
from tests.support import media_files
from tests.support.index_damage import DAMAGES, FILM, SEGMENTS
from tests.support.real_qdrant import QdrantNodes
from tests.support.run_settings import small_run_settings
from tests.support.s3_server import S3Server, fill

WHOLE = AuditOptions(seed=1, recall_queries=0)


def _of_every_kind() -> dict[str, bytes]:
    objects = {f"pictures/{n}.jpg": media_files.jpeg(n) for n in range(3)}
    objects |= {f"sounds/{n}.wav": media_files.wav(n) for n in range(2)}
    return objects | {
        FILM: media_files.mp4(7),
        "films/one.srt": b"1\n00:00:02,000 --> 00:00:04,000\nthe second picture\n",
        "bad/text.mp4": b"not a film at all\n" * 30,
    }


@pytest.mark.timeout(600)
def test_damage_is_named_and_mended(
    node: QdrantNodes,
    grpc: bool,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = settings_of(node, grpc=grpc).model_dump(exclude_defaults=True)
    fields: dict[str, Any] = {f"index__{name}": value for name, value in there.items()}
    settings = small_run_settings(tmp_path, s3_server.url, embed__engine="loop", **fields)
    fill(s3_server, _of_every_kind())
    run_index(settings, RunOptions())

    def look() -> VerifyReport:
        return verify(settings, WHOLE, ProgressReporter())

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an encoder was loaded")

    monkeypatch.setattr(spaces, "load_encoder", refuse)
    assert look().verdict is Verdict.AGREE
    for damage, wanted in DAMAGES.items():
        with open_index(settings.index) as index:
            damage(index)
        found = {str(row.name): (row.objects, row.points) for row in look().findings}
        assert found == wanted, damage.__name__
        assert not repair_round(settings, WHOLE, ProgressReporter()).needs_run
        after = look()
        assert after.verdict is Verdict.AGREE, (damage.__name__, after.findings)
        with open_index(settings.index) as index:
            assert index.count(live_only=False) == index.count() == SEGMENTS, damage.__name__

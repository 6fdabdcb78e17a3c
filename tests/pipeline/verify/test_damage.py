"""Each kind of damage to the collection, made for real: found by its name, and mended without an
encoder wherever Parquet has it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import numpy as np
import pytest

from pipeline.ids import asset_id
from pipeline.index.vector_index import open_index
from pipeline.verify.audit import AuditOptions
from pipeline.verify.findings import MEANINGS, Finding, Verdict
from pipeline.verify.sample import is_stored_as
from tests.pipeline.verify.scene import Place
from tests.support.index_damage import (
    DAMAGES,
    FILM,
    SEGMENTS,
    Damage,
    an_old_generation_is_left,
    engine,
    points_of,
    put_point,
)


def test_an_index_that_a_run_left_is_proven(place: Place) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in place.folder.rglob("*.parquet"))
    report = place.look()
    assert report.verdict is Verdict.AGREE
    assert report.findings == ()
    counts = report.counts
    assert counts.listed == 8
    assert counts.objects_by_cause == {"indexed": 6, "rejected: not_media": 1}
    assert counts.segments == counts.parquet_segments == counts.live_segments == SEGMENTS
    assert counts.sampled_segments == SEGMENTS
    assert counts.undetected_share == 0
    assert (counts.anchors, counts.points) == (6, SEGMENTS + 6)
    assert counts.precisions == {"vision": "float32", "audio": "float32", "text": "float32"}
    assert counts.parquet_files == 2
    # It only reads: no GET, no write, not even a lease.
    assert place.fetched() == set()
    assert place.server.count("PUT") == 0
    assert sorted((p, p.stat().st_mtime_ns) for p in place.folder.rglob("*.parquet")) == before
    assert json.loads(json.dumps(report.to_json()))["verdict"] == "agree"


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_named_and_mended_from_parquet(place: Place, damage: Damage) -> None:
    with open_index(place.settings.index) as index:
        damage(index)
    report = place.look()
    found = {str(row.name): (row.objects, row.points) for row in report.findings}
    assert found == DAMAGES[damage]
    assert report.verdict is Verdict.DISAGREE
    assert report.findings
    assert all(row.examples for row in report.findings)

    done = place.repair_round()
    assert not done.needs_run
    after = place.look()
    assert after.verdict is Verdict.AGREE, after.findings
    assert place.fetched() == set(), "Parquet had it"
    with open_index(place.settings.index) as index:
        assert len(points_of(index, FILM, live=True)) == 3
        assert index.count(live_only=False) == index.count() == SEGMENTS


def test_points_of_another_bucket_are_left_alone(place: Place) -> None:
    """Two buckets may share a collection; the state of one says nothing of the other."""
    with open_index(place.settings.index) as index:
        point = points_of(index, FILM)[0]
        other = {
            "bucket": "other",
            "asset_id": asset_id("other", FILM),
            "uri": f"s3://other/{FILM}",
        }
        put_point(index, point, str(uuid.uuid4()), **other)
        an_old_generation_is_left(index)
    report = place.look()
    assert report.counts.points_of_others == 1
    assert [str(row.name) for row in report.findings] == ["points_superseded"]
    assert place.repair_round().deleted_points == 1
    after = place.look()
    assert (after.verdict, after.counts.points_of_others) == (Verdict.AGREE, 1)


def test_a_sample_is_repeatable_and_says_what_it_cannot_exclude(place: Place) -> None:
    with open_index(place.settings.index) as index:
        for key in (FILM, "sounds/0.wav", "sounds/1.wav"):
            points = [point.id for point in points_of(index, key)]
            engine(index).set_payload("media", {"text": "x"}, points=points)
    shares = set()
    for seed in range(5):
        report = place.look(AuditOptions(sample=4, seed=seed))
        assert (
            report.to_json()["findings"]
            == (place.look(AuditOptions(sample=4, seed=seed)).to_json()["findings"])
        )
        counts = report.counts
        assert counts.undetected_share == min(1, 3 / max(3, counts.sampled_segments)) or (
            counts.sampled_segments == SEGMENTS
        )
        shares.add(counts.sampled_segments)
    assert len(shares) > 1, "every seed took the same"
    none = place.look(AuditOptions(sample=0))
    assert (none.verdict, none.counts.sampled_segments) == (Verdict.AGREE, 0)
    assert none.counts.undetected_share == 1


def test_half_precision_is_compared_as_it_is_stored() -> None:
    """Qdrant may keep float16: what rounding explains is no fault, what it does not is one."""
    vector = np.random.default_rng(0).normal(size=256)
    vector /= np.linalg.norm(vector)
    half = vector.astype(np.float16).astype(np.float32)
    assert is_stored_as(half, vector, "float16")
    assert not is_stored_as(half, vector, "float32")
    half[7] += 0.002
    assert not is_stored_as(half, vector, "float16")


def test_every_name_is_explained(root_dir: Path) -> None:
    explained = (root_dir / "docs/verify.md").read_text()
    assert set(MEANINGS) == set(Finding)
    assert [name for name in Finding if f"`{name}`" not in explained] == []

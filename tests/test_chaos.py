"""Runs killed at points of the protocol: the next one makes what a clean one makes, and a reader
that read all along never saw an asset go, twice, or in part. All points: `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.harness import Scene
from tests.chaos.points import POINTS
from tests.chaos.reading import judge
from tests.s3_server import S3Server, s3_server  # noqa: F401


@pytest.fixture
def scene(s3_server: S3Server, tmp_path: Path) -> Scene:  # noqa: F811
    return Scene(s3_server, tmp_path / "scene", objects=24)


@pytest.mark.timeout(900)
def test_a_killed_run_loses_and_doubles_nothing(scene: Scene) -> None:
    for point, hit in (
        ("after receipt", 2),
        ("between upsert batches", 2),
        ("after flip", 1),
        ("state half written", 1),
    ):
        attempt = scene.attempt(point, hit)
        assert attempt.killed, attempt
        assert attempt.converged, attempt
        assert attempt.clean, attempt
        assert attempt.reads > 2, "the reader read while the run went"


def test_the_judge_sees_what_must_not_be() -> None:
    """The test above must be able to fail."""
    whole = {"a": {"g1": 2, "g2": 3}, "b": {"g1": 1}}
    fine = judge([{"a": {"g1": 2}, "b": {"g1": 1}}, {"a": {"g2": 3}}], whole, {"a"})
    assert fine.clean
    bad = judge([{}, {"a": {"g1": 2, "g2": 3}}, {"a": {"g2": 2}}], whole, {"a"})
    assert (bad.lost, bad.doubled, bad.half) == (["a"], ["a"], ["a"])


def test_every_point_is_of_its_own_name() -> None:
    assert len({point.name for point in POINTS}) == len(POINTS)

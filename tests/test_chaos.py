"""Runs killed at points of the protocol, and disturbed otherwise: the next one makes what a clean
one makes, and a reader that read all along never saw an asset go, twice, or in part. All of it:
`make chaos`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.accidents import (
    changed_on_the_way,
    gone_after_a_kill,
    late_riser,
    two_at_once,
)
from tests.chaos.event_kills import Order, killed_with_events
from tests.chaos.host import Host
from tests.chaos.kills import attempt
from tests.chaos.points import OF_EVENTS, POINTS, Kind, point_named, points_of
from tests.chaos.reading import judge
from tests.chaos.scene import Scene, Way
from tests.support.s3_server import S3Server, reset_moto

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patch, Host() as host:
        patch.setenv("AWS_ACCESS_KEY_ID", "chaos")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "chaos")
        server = S3Server()
        reset_moto(server.url)
        server.client().create_bucket(Bucket="media")
        yield Scene(server, host, tmp_path_factory.mktemp("chaos") / "scene", objects=24)
        server.stop()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("point", "hit", "state"),
    [
        ("after receipt", 2, Kind.FOLDER),
        ("between upsert batches", 2, Kind.FOLDER),
        ("in the flip", 1, Kind.FOLDER),
        ("after load receipt", 1, Kind.BUCKET),
        ("state half written", 1, Kind.FOLDER),
    ],
)
def test_a_killed_run_loses_and_doubles_nothing(
    scene: Scene, point: str, hit: int, state: Kind
) -> None:
    done = attempt(scene, point_named(point, state), hit, way=Way(state))
    assert done.clean, done
    assert done.reads > 10, "the reader read while the runs went"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("point", "order"),
    [
        ("before the increment", Order.EVENTS_TWICE),
        ("before the state write", Order.EVENTS_THEN_WHOLE),
        ("after flip", Order.WHOLE_THEN_EVENTS),
    ],
)
def test_events_before_and_after_a_kill_lose_and_double_nothing(
    scene: Scene, point: str, order: Order
) -> None:
    done = killed_with_events(scene, point_named(point), 1, order)
    assert done.clean, done
    assert done.reads > 10


@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", ["between upsert batches", "flip on its way"])
def test_a_run_that_sleeps_past_its_lease_changes_nothing(scene: Scene, point: str) -> None:
    done = late_riser(scene, point, 2, 0, Kind.FOLDER)
    assert done.clean, done
    assert done.reads > 10


@pytest.mark.timeout(900)
def test_of_two_runs_one_wins_and_the_other_says_so(scene: Scene) -> None:
    done = two_at_once(scene, 0, Way(Kind.BUCKET))
    assert done.clean, done


@pytest.mark.timeout(900)
def test_objects_that_change_on_the_way_keep_what_they_had(scene: Scene) -> None:
    done = changed_on_the_way(scene, 0, gone=False)
    assert done.clean, done


@pytest.mark.timeout(900)
@pytest.mark.parametrize("killed", ["after count", "after load receipt"])
def test_what_a_killed_run_brought_in_can_leave_again(scene: Scene, killed: str) -> None:
    done = gone_after_a_kill(scene, 0, killed)
    assert done.clean, done


def test_the_judge_sees_what_must_not_be() -> None:
    """The test above must be able to fail."""
    whole = {"a": {"g1": 2, "g2": 3}, "b": {"g1": 1}}
    fine = judge([{"a": {"g1": 2}, "b": {"g1": 1}}, {"a": {"g2": 3}}], whole, {"a"})
    assert fine.clean
    bad = judge([{}, {"a": {"g1": 2, "g2": 3}}, {"a": {"g2": 2}}], whole, {"a"})
    assert (bad.lost, bad.doubled, bad.half) == (["a"], ["a"], ["a"])


def test_every_point_is_of_its_own_name() -> None:
    for kind in Kind:
        names = {point.name for point in points_of(kind, events=True)}
        assert len(names) == len(POINTS) + len(OF_EVENTS)

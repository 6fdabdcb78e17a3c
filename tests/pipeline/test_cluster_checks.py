"""What is looked at on each node of a cluster, and how it is told; without a cluster."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from flows.cli.exit_codes import Exit, exit_for
from pipeline.embed.cluster import Answer, Node
from pipeline.planning.plan import check_source_and_encoders
from pipeline.progress import ProgressReporter
from pipeline.run import cluster_checks
from pipeline.run.cluster_checks import (
    IndexNotShared,
    NodesUnavailable,
    NodesUnfit,
    check_nodes,
    for_workers,
    judge,
)
from pipeline.run.node_checks import NodeCheck, NodeFacts, Trouble, check_node, versions_here
from pipeline.settings import Settings
from pipeline.state.shared_folder import FolderNotShared, see_token, token_in
from tests.support import media_files
from tests.support.known_bucket import planned
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server, fill


def asked(settings: Settings) -> NodeCheck:
    cards = check_source_and_encoders(settings)
    fingerprints = tuple(card.fingerprint() for card in cards)
    return NodeCheck(settings, None, fingerprints, versions_here(), 1)


@pytest.fixture
def settings(s3_server: S3Server, tmp_path: Path) -> Settings:
    fill(s3_server, {"one.jpg": media_files.jpeg(1)})
    s3_server.client().create_bucket(Bucket="state")
    s3_server.requests.clear()
    return settings_for(tmp_path, s3_server.url, state__location="s3://state/x")


def kinds(check: NodeCheck) -> list[str]:
    return [trouble.kind for trouble in check_node(check).troubles]


def test_a_good_node_has_no_trouble_and_is_left_as_it_was(
    settings: Settings, s3_server: S3Server
) -> None:
    assert kinds(asked(settings)) == []
    listed = s3_server.client().list_objects_v2(Bucket="state")
    assert listed["KeyCount"] == 0


def test_each_trouble_has_its_kind(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = asked(settings)
    other = replace(good, versions={**good.versions, "torch": "1.0"})
    assert kinds(other) == ["versions:other_version"]
    assert "(driver: 1.0)" in check_node(other).troubles[0].message
    assert kinds(replace(good, fingerprints=("another",))) == ["weights:other_weights"]
    assert kinds(replace(good, scratch_bytes=2**60)) == ["scratch:no_room"]

    missing = settings.encode.model_copy(update={"weights": str(tmp_path / "no.pth")})
    update = {
        "encode": missing,
        "decode": settings.decode.model_copy(update={"ffmpeg_path": tmp_path / "no"}),
        "state": settings.state.model_copy(update={"location": "s3://nowhere/x"}),
        "index": settings.index.model_copy(update={"url": "http://127.0.0.1:9"}),
    }
    bad = replace(good, settings=settings.model_copy(update=update))
    found = kinds(bad)
    assert [kind.partition(":")[0] for kind in found] == ["weights", "ffmpeg", "state", "index"]

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert kinds(good) == ["credentials"]


def test_a_folder_is_shared_where_the_token_is_seen(tmp_path: Path) -> None:
    place = tmp_path / "not" / "there" / "yet"
    with token_in(str(place)) as token:
        see_token(token)
        with pytest.raises(FolderNotShared, match="s3://bucket/prefix") as refused:
            see_token(replace(token, path=tmp_path / "elsewhere/.writing" / token.path.name))
        assert exit_for(refused.value) is Exit.PERMANENT
        with pytest.raises(FolderNotShared, match="another file"):
            see_token(replace(token, content="another's"))
    assert list(tmp_path.iterdir()) == []


def node(name: str) -> Node:
    return Node(name * 8, name)


def answer(name: str, *troubles: Trouble, off_s: float = 0.0, error: str = "") -> Answer:
    now = time.time()
    facts = None if error else NodeFacts(now + off_s, troubles)
    return Answer(node(name), facts, error, now - 1, now)


def test_one_sentence_for_each_kind_with_its_nodes() -> None:
    keys = Trouble("credentials", "There are none.", "Set them.", False)
    room = Trouble("scratch:no_room", "The disk is full.", "Make room.", True)
    with pytest.raises(NodesUnfit) as unfit:
        judge([answer("a", keys), answer("b", keys, room), answer("c"), answer("d", off_s=-400)])
    said = str(unfit.value)
    assert "On a; b: There are none." in said
    assert "On b: The disk is full." in said
    assert "On d: The clock is 39" in said
    assert "Set them. Make room." in said
    assert exit_for(unfit.value) is Exit.PERMANENT


def test_what_may_pass_is_worth_another_run() -> None:
    room = Trouble("scratch:no_room", "The disk is full.", "Make room.", True)
    with pytest.raises(NodesUnavailable) as later:
        judge([answer("a", room), answer("b", error="no answer within 60 s")])
    assert exit_for(later.value) is Exit.TRANSIENT
    with pytest.raises(NodesUnfit, match="No module named"):
        judge([answer("a", error="ModuleNotFoundError: No module named 'pipeline'")])
    judge([answer("a"), answer("b", off_s=2)])


def test_an_embedded_index_and_several_nodes_are_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.embed import cluster

    monkeypatch.setattr(cluster, "nodes_that_work", lambda: [node("a"), node("b")])
    with pytest.raises(IndexNotShared, match="Name a Qdrant server") as refused:
        check_nodes(settings, planned(settings, tmp_path))
    assert exit_for(refused.value) is Exit.PERMANENT


def test_a_run_on_this_machine_alone_looks_at_no_node(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.embed.engine import Engine

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster_checks, "ray_session", None)  # would be called
    made = planned(settings, tmp_path)
    assert made.to_embed == 1
    with cluster_checks.checked_cluster(settings, made, Engine.RAY, ProgressReporter()):
        pass


def test_workers_get_paths_that_hold_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    local = for_workers(settings_for(tmp_path, state__location="st", encode__weights="w.pth"))
    assert local.state.location == str(tmp_path / "st")
    assert local.encode.weights == str(tmp_path / "w.pth")
    remote = for_workers(settings_for(tmp_path, state__location="s3://b/p"))
    assert remote.state.location == "s3://b/p"
    assert remote.encode.weights is None

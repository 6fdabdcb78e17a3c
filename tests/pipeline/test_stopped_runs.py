"""What a stopped run has committed, as the next run's plan sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.errors import PlanRefused, StateCorrupt
from pipeline.ids import asset_id, generation
from pipeline.planning.file import read_plan
from pipeline.planning.plan import check_source_and_encoders, recipe_of
from pipeline.records import Action, MediaType, ObjectOutcome, ShardReceipt, Status
from pipeline.s3 import client as s3
from pipeline.s3.listing import list_pages
from pipeline.settings import Settings
from pipeline.state.receipts import commit_receipt
from pipeline.state.store import open_store
from tests.support.known_bucket import changing_listings, half, known, planned
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server

NO_OTHERS: Mapping[str, int] = {}


@pytest.fixture
def settings(s3_server: S3Server, tmp_path: Path) -> Settings:
    return settings_for(tmp_path, s3_server.url)


def put(settings: Settings, *keys: str, body: bytes = b"1") -> None:
    client = s3.make_client(settings.source)
    for key in keys:
        client.put_object(Bucket="media", Key=key, Body=body)


def stopped_run(
    settings: Settings, *keys: str, sequence: int = 2, segments: Mapping[str, int] = NO_OTHERS
) -> None:
    """A run that committed these objects, as they are now, and got no further; of one segment each
    where `segments` does not say otherwise."""
    recipe = recipe_of(settings, check_source_and_encoders(settings))
    listed = {o.key: o for o in list_pages(s3.make_client(settings.source), "media", "")}
    outcomes = tuple(
        ObjectOutcome(
            key, asset_id("media", key), generation(listed[key], (), recipe), listed[key].etag,
            None, 1, Status.INDEXED, MediaType.IMAGE, segments.get(key, 1), {"vision": 1},
        )
        for key in keys
    )  # fmt: skip
    store = open_store(settings.state.location, settings.source)
    commit_receipt(store, ShardReceipt("stopped", sequence, 0, "d", "abc", len(keys), outcomes))


def test_what_a_stopped_run_brought_in_and_is_gone_is_to_be_removed(
    s3_server: S3Server,
    settings: Settings,
    tmp_path: Path,
) -> None:
    known(settings)
    put(settings, "1a.jpg", "5a.jpg")
    stopped_run(settings, "1a.jpg", "3.jpg", "5a.jpg")
    client = s3.make_client(settings.source)
    for key in ("1a.jpg", "5a.jpg"):
        client.delete_object(Bucket="media", Key=key)
    done = planned(settings, tmp_path)
    assert set(done.unlisted) == {asset_id("media", key) for key in ("1a.jpg", "5a.jpg")}
    assert not done.nothing_to_do
    # What lies behind the end of a short listing may well be there, and who looks after it later?
    changing_listings(s3_server, half)
    with pytest.raises(PlanRefused, match="ended early, and 2 of the objects that a stopped run"):
        planned(settings, tmp_path, allow_short_listing=True)


def test_what_was_changed_for_a_stopped_run_alone_is_embedded_again(
    settings: Settings, tmp_path: Path
) -> None:
    known(settings)
    put(settings, "3.jpg", body=b"other")
    stopped_run(settings, "3.jpg", "4.jpg")
    put(settings, "3.jpg")  # as the state knows it
    done = planned(settings, tmp_path)
    rows = {row.object.key: (row.action, row.reason) for row in read_plan(done.path)}
    assert rows == {"3.jpg": (Action.RETRY, "a stopped run made something else of it")}
    assert done.summary.to_embed == done.to_embed == 1
    assert not list(done.recovered())


def test_what_ended_otherwise_in_a_stopped_run_is_tried_again(
    settings: Settings, tmp_path: Path
) -> None:
    """`retry` with other limits: the same content, and the index has what the state does not."""
    known(settings)
    stopped_run(settings, "3.jpg", "4.jpg", segments={"3.jpg": 7})
    rows = {row.object.key: row.action for row in read_plan(planned(settings, tmp_path).path)}
    assert rows == {"3.jpg": Action.RETRY}


def test_an_object_of_two_stopped_runs_is_taken_over_once(
    settings: Settings, tmp_path: Path
) -> None:
    """The later one has it; the earlier has the first key, and another outcome."""
    known(settings)
    put(settings, "a.jpg", "b.jpg")
    stopped_run(settings, "a.jpg", "b.jpg", segments={"b.jpg": 7})
    stopped_run(settings, "b.jpg", sequence=3)
    done = planned(settings, tmp_path)
    assert [receipt.sequence for receipt in done.recovered()] == [2, 3]
    taken = [
        (receipt.sequence, outcome.key)
        for receipt in done.recovered()
        for outcome in done.taken_over(receipt)
    ]
    assert taken == [(2, "a.jpg"), (3, "b.jpg")]
    assert done.recovered_objects == 2
    assert sorted(done.leftovers(4)) == sorted(
        asset_id("media", key) for key in ("a.jpg", "b.jpg", "b.jpg")
    )
    assert list(done.leftovers(2)) == [], "what this run itself commits is none of it"
    assert done.to_embed == 0


def test_receipts_in_another_order_are_refused(settings: Settings, tmp_path: Path) -> None:
    """Read beside the listing, what came too late would be taken for gone."""
    known(settings)
    stopped_run(settings, "4.jpg", "3.jpg")
    with pytest.raises(StateCorrupt, match=r"receipts/000000\.json do not follow"):
        planned(settings, tmp_path)


def test_what_a_stopped_run_brought_in_counts_among_the_removals(
    s3_server: S3Server,
    settings: Settings,
    tmp_path: Path,
) -> None:
    """The first run was stopped, so there is no state; the next one has a wrong prefix."""
    keys = [f"{number}.jpg" for number in range(10)]
    put(settings, *keys)
    stopped_run(settings, *keys)
    wrong = settings_for(tmp_path, s3_server.url, source__prefix="1")
    with pytest.raises(PlanRefused, match=r"9 of 10 known objects \(90%\)"):
        planned(wrong, tmp_path)
    assert len(planned(wrong, tmp_path, allow_removals=True).unlisted) == 9


def test_a_manifest_does_not_decide_about_what_it_does_not_name(
    settings: Settings, tmp_path: Path
) -> None:
    """Neither removed nor forgotten: the run that brought it in has to come to its end first."""
    known(settings)
    put(settings, "1a.jpg")
    stopped_run(settings, "1a.jpg", "3.jpg")
    manifest = tmp_path / "m.csv"
    manifest.write_text("uri\ns3://media/3.jpg\n")
    update = {"bucket": "", "manifest": str(manifest)}
    partial = settings.model_copy(update={"source": settings.source.model_copy(update=update)})
    with pytest.raises(PlanRefused, match="brought in 1 objects that this source says nothing of"):
        planned(partial, tmp_path)
    manifest.write_text("uri\ns3://media/3.jpg\ns3://media/1a.jpg\n")
    done = planned(partial, tmp_path)
    assert (done.unlisted, done.summary.objects[Action.GONE], done.recovered_objects) == ((), 0, 1)

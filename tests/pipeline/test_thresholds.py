"""What stops a run before it can do harm: a listing that ends early, too many removals, secrets in
a URL. Too many denied objects are in tests/flows/test_hostile_bucket.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import (
    ListingEndedEarly,
    PlanRefused,
    SettingsError,
    StoreUnavailable,
    TooManyDenied,
)
from pipeline.planning.file import read_plan
from pipeline.records import Action
from pipeline.run.steps import check_denied
from pipeline.s3 import client as s3
from pipeline.settings import load_settings
from tests.support.known_bucket import changing_listings, half, known, planned
from tests.support.run_settings import settings_for
from tests.support.s3_server import S3Server


def miscounted(body: bytes) -> bytes:
    return body.replace(b"<KeyCount>10<", b"<KeyCount>11<")


def broken_off(body: bytes) -> bytes:
    return body[: len(body) // 2]


@pytest.mark.parametrize("how", [half, miscounted])
def test_a_listing_that_ends_early_stops_the_run(
    s3_server: S3Server,
    tmp_path: Path,
    how: Callable[[bytes], bytes],
) -> None:
    settings = settings_for(tmp_path, s3_server.url)
    known(settings)
    assert planned(settings, tmp_path).nothing_to_do
    changing_listings(s3_server, how)
    with pytest.raises(ListingEndedEarly, match="'media' ended early") as stopped:
        planned(settings, tmp_path)
    assert "--allow-short-listing" in stopped.value.remedy
    assert stopped.value.retryable


def test_an_answer_that_breaks_off_stops_the_run(s3_server: S3Server, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, s3_server.url)
    known(settings)
    changing_listings(s3_server, broken_off)
    with pytest.raises(StoreUnavailable):
        planned(settings, tmp_path, allow_short_listing=True)


def test_with_the_flag_nothing_behind_its_end_is_removed(
    s3_server: S3Server,
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path, s3_server.url, state__max_removed_share=0.5)
    known(settings)
    client = s3.make_client(settings.source)
    client.delete_object(Bucket="media", Key="2.jpg")
    client.put_object(Bucket="media", Key="1a.jpg", Body=b"1")
    changing_listings(s3_server, half)
    done = planned(settings, tmp_path, allow_short_listing=True)
    rows = {row.object.key: row.action for row in read_plan(done.path)}
    assert rows == {"1a.jpg": Action.NEW, "2.jpg": Action.GONE}
    assert done.summary.selection.ended_early


def test_too_many_removals(s3_server: S3Server, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, s3_server.url)
    known(settings)
    client = s3.make_client(settings.source)
    for number in range(3):
        client.delete_object(Bucket="media", Key=f"{number}.jpg")
    with pytest.raises(PlanRefused, match=r"3 of 10 known objects") as stopped:
        planned(settings, tmp_path)
    assert "--allow-removals" in stopped.value.remedy
    assert planned(settings, tmp_path, allow_removals=True).summary.objects[Action.GONE] == 3


def test_what_share_may_be_denied(s3_server: S3Server, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, s3_server.url, state__max_denied_share=0.1)
    known(settings)
    strict = planned(settings, tmp_path)
    check_denied(1, strict)
    with pytest.raises(TooManyDenied, match="2 objects may not be read"):
        check_denied(2, strict)
    check_denied(10, planned(settings, tmp_path, allow_denied=True))


def test_what_is_usual(s3_server: S3Server, tmp_path: Path) -> None:
    """5 % may be denied and 20 % removed; one more stops the run."""
    settings = settings_for(tmp_path, s3_server.url)
    assert (settings.state.max_denied_share, settings.state.max_removed_share) == (0.05, 0.2)
    known(settings)
    client = s3.make_client(settings.source)
    for number in range(8, 10):
        client.delete_object(Bucket="media", Key=f"{number}.jpg")
    done = planned(settings, tmp_path)
    assert done.summary.objects[Action.GONE] == 2
    for number in range(100, 132):  # forty objects, of which two may be denied
        client.put_object(Bucket="media", Key=f"{number}.jpg", Body=b"1")
    done = planned(settings, tmp_path)
    check_denied(2, done)
    with pytest.raises(TooManyDenied):
        check_denied(3, done)
    client.delete_object(Bucket="media", Key="7.jpg")
    with pytest.raises(PlanRefused):
        planned(settings, tmp_path)


SECRET = "canary-of-a-setting"


@pytest.mark.parametrize(
    "toml",
    [
        f'[source]\nendpoint_url = "http://user:{SECRET}@store"',
        f'[index]\nurl = "https://{SECRET}@qdrant"',
        f'[index]\nurl = "https://qdrant?api_key={SECRET}"',
        f'[source]\naws_secret_access_key = "{SECRET}"',
        f'api_key = "{SECRET}"',
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_and_not_repeated(tmp_path: Path, toml: str) -> None:
    (tmp_path / "s.toml").write_text(toml)
    with pytest.raises(SettingsError) as refused:
        load_settings(tmp_path / "s.toml")
    assert SECRET not in str(refused.value)
    assert SECRET not in str(refused.value.__cause__)


def test_a_key_is_not_shown_with_its_settings() -> None:
    settings = load_settings(None, {"index.api_key": SECRET})
    for shown in (repr(settings), settings.model_dump_json(), str(settings.index)):
        assert SECRET not in shown

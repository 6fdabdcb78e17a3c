"""Rebuilds of what real runs made, and the command `sensedex rebuild`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.exit_codes import Exit, exit_for
from flows.cli.main import app
from pipeline.errors import SensedexError
from pipeline.index.collections import open_collections
from pipeline.index.vector_index import VectorIndex
from pipeline.run.whole_run import run_index
from pipeline.search.request import asked
from pipeline.search.searcher import open_searcher
from pipeline.settings import Settings, load_settings
from pipeline.state.lease import hold_lease
from pipeline.state.store import open_store
from tests.encoders.small_models import clip_folder
from tests.support import media_files
from tests.support.invented_assets import SPACES, live
from tests.support.qdrant_server import StandIn, qdrant_server
from tests.support.run_settings import small_run_settings
from tests.support.s3_server import S3Server
from tests.support.small_runs import run_of

ASSETS = {f"{n}.mp4": ("g1", 2) for n in range(12)}
# A rebuild reads a collection, whichever engine filled it; Ray would be started for every run here.
settings_of = partial(small_run_settings, embed__engine="loop")


def sensedex(*words: str) -> tuple[int, str, str]:
    """(status, standard output, message and remedy) of the command, in this process."""
    done = CliRunner().invoke(app, ["rebuild", *words])
    error = done.exception
    if isinstance(error, SensedexError):
        return exit_for(error), done.stdout, f"{error.message} {error.remedy}"
    if isinstance(error, typer.TyperException):
        return Exit.USAGE, done.stdout, error.format_message()
    assert error is None or isinstance(error, SystemExit), error
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def small(tmp_path: Path) -> Any:
    """A server with a collection, its settings, and the words that name both to the command."""
    with qdrant_server() as server:
        settings = load_settings(
            None,
            {
                "index.url": server.url,
                "index.prefer_grpc": False,
                "state.location": str(tmp_path / "state"),
            },
        )
        with open_collections(settings.index) as collections:
            index = VectorIndex(collections.connection, settings.index)
            index.ensure_collection(SPACES)
            run_of(settings, index, ASSETS)
            words = ("--state", settings.state.location, "--url", server.url)
            yield server, settings, index, (*words, "--set", "index.prefer_grpc=false")


@pytest.mark.server
def test_the_command_tells_what_it_did(
    small: tuple[StandIn, Settings, VectorIndex, tuple[str, ...]],
) -> None:
    server, settings, index, words = small
    status, told, _ = sensedex(*words, "--quantization", "int8")
    assert status == Exit.OK
    for said in ("12 assets, 24 segments", "recall@10 vision 1.000", "media shows media-2 now",
                 "media-1 is kept", "--rollback", 'quantization = "int8"'):  # fmt: skip
        assert said in " ".join(told.split())
    status, told, _ = sensedex(*words, "--json")
    facts = json.loads(told)
    assert (facts["shows"], facts["previous"], facts["segments"]) == ("media-3", "media-2", 24)
    assert {recall["share"] for recall in facts["recalls"]} == {1.0}
    status, told, _ = sensedex(*words, "--rollback", "--json")
    assert json.loads(told)["shows"] == "media-2"
    status, told, _ = sensedex(*words, "--drop-old", "--yes")
    assert (status, told) == (Exit.OK, "Deleted media-1, media-3.\n")
    assert len(live(index)) == 12

    server.blunt = 4
    status, told, why = sensedex(*words)
    assert status == Exit.PERMANENT
    assert "recall@10 of" in why
    assert "is 0.8" in why
    assert "--fresh" in why
    server.blunt = 0
    with hold_lease(open_store(settings.state.location, settings.source), settings.state, "a-run"):
        status, _, why = sensedex(*words)
        assert status == Exit.TRANSIENT
        assert "a-run" in why
    assert sensedex(*words)[0] == Exit.OK
    assert len(live(index)) == 12


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--rollback", "--drop-old"), "two steps"),
        (("--distance", "euclid"), "index.distance"),
        (("--quantization", "int9"), "index.quantization"),
        (("--state", "nowhere"), "sensedex run"),
    ],
)
def test_what_is_wrong_is_named(
    words: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, why = sensedex(*words)
    assert status == Exit.USAGE
    assert says in why
    assert list(tmp_path.iterdir()) == [], "something was written"


@pytest.fixture
def pictures(s3_server: S3Server, tmp_path: Path) -> Any:
    """A bucket of four pictures, a picture to ask with, and settings for them."""
    client = s3_server.client()
    for number in range(4):
        client.put_object(Bucket="media", Key=f"{number}.jpg", Body=media_files.jpeg(number))
    asked = tmp_path / "asked.jpg"
    asked.write_bytes(media_files.jpeg(3, quality=60))
    return s3_server, asked, settings_of(tmp_path, s3_server.url)


def answers(settings: Settings, picture: Path, *over: str) -> list[tuple[str, float]]:
    with open_searcher(settings) as searcher:
        found = searcher.search(asked(image=picture, using=over))
        return [(moment.key, round(moment.score, 4)) for moment in found]


def run(settings: Settings) -> dict[str, int]:
    return dict(run_index(settings).objects_by_action)


def test_what_a_real_run_made_is_rebuilt_and_runs_go_on(
    pictures: tuple[S3Server, Path, Settings],
) -> None:
    """Searches answer as before from another collection; the next run writes to that one."""
    server, asked, settings = pictures
    place = ("--state", settings.state.location, "--set", f"index.path={settings.index.path}")
    assert run(settings) == {"new": 4}
    before = answers(settings, asked)
    assert before[0][0] == "3.jpg"
    status, told, _ = sensedex(*place, "--distance", "dot")
    assert status == Exit.OK
    assert "4 assets, 4 segments" in told
    assert "exactly" in told
    assert answers(settings, asked) == before
    assert run(settings) == {"unchanged": 4}

    server.client().put_object(Bucket="media", Key="new.jpg", Body=media_files.jpeg(77))
    assert run(settings) == {"new": 1, "unchanged": 4}
    after = answers(settings, asked)
    assert {key for key, _ in after} - {key for key, _ in before} == {"new.jpg"}
    back = json.loads(sensedex(*place, "--rollback", "--json")[1])
    assert (back["shows"], back["points"]) == ("media-1", 1)
    assert answers(settings, asked) == after


def test_another_encoder_is_made_beside_and_then_shown(
    pictures: tuple[S3Server, Path, Settings], tmp_path: Path
) -> None:
    """As docs/rebuild.md says: a state and a collection of its own, both encoders on its points."""
    server, asked, settings = pictures
    both: dict[str, Any] = {
        "encode__also": [{"encoder": "clip", "weights": str(clip_folder(tmp_path / "c", "clip"))}],
        "decode__frames_per_window": 4,
        "state__location": str(tmp_path / "next"),
    }
    run(settings)
    before = answers(settings, asked)
    run(settings_of(tmp_path, server.url, **both, index__collection="media-next"))
    assert answers(settings, asked) == before
    path = f"index.path={settings.index.path}"
    status, told, _ = sensedex("--state", both["state__location"], "--set", path)
    assert status == Exit.OK
    assert "clip_vision" in told
    assert answers(settings, asked) == before, "who asks the old vectors finds what was there"
    flipped = settings_of(tmp_path, server.url, **both)
    assert answers(flipped, asked, "clip_vision")[0][0] == "3.jpg"
    assert run(flipped) == {"unchanged": 4}

"""A bucket of ten objects that the state knows, listings of it that go wrong, and a run's plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline.ids import asset_id, generation
from pipeline.planning.plan import RunPlan, check_source_and_encoders, plan, recipe_of
from pipeline.progress import ProgressReporter
from pipeline.records import Status
from pipeline.run_options import RunOptions
from pipeline.s3 import client as s3
from pipeline.s3.listing import list_pages
from pipeline.settings import Settings
from pipeline.state.commit import commit_state
from pipeline.state.objects import StateRow, read_state
from pipeline.state.store import open_store
from tests.support.s3_server import S3Server


def known(settings: Settings) -> None:
    """Ten objects in the bucket, and a state that knows them all."""
    client = s3.make_client(settings.source)
    for number in range(10):
        client.put_object(Bucket="media", Key=f"{number}.jpg", Body=b"1")
    recipe = recipe_of(settings, check_source_and_encoders(settings))
    store = open_store(settings.state.location, settings.source)
    rows = [
        StateRow(o.key, asset_id("media", o.key), generation(o, (), recipe), o.etag, None, 1,
                 Status.INDEXED, None, 1, 0, (), 1, "runs/x.parquet", recipe.digest(),
                 bucket="media")
        for o in list_pages(client, "media", "")
    ]  # fmt: skip
    commit_state(
        store, read_state(store), iter(rows), sequence=1, run_id="r", bucket="media", prefix="",
        recipe=recipe.digest(), encoder="imagebind-demo",
    )  # fmt: skip


def changing_listings(server: S3Server, how: Callable[[bytes], bytes]) -> None:
    app = server._app

    def changed(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = b"".join(app(environ, lambda *_: None))
        whole = b"list-type" not in environ.get("QUERY_STRING", "").encode()
        body = body if whole else how(body)
        start_response(
            "200 OK", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        )
        return [body]

    server._app = changed  # type: ignore[assignment]


def half(body: bytes) -> bytes:
    """The first four objects, and that there are more; not where."""
    at = body.index(b"<Contents><Key>4.jpg") if b"<Contents><Key>4.jpg" in body else None
    assert at is not None
    end = body.rindex(b"</Contents>") + len(b"</Contents>")
    cut = body[:at] + body[end:]
    cut = cut.replace(b"<KeyCount>10<", b"<KeyCount>4<")
    return cut.replace(b"<IsTruncated>false<", b"<IsTruncated>true<")


def planned(settings: Settings, folder: Path, **options: bool) -> RunPlan:
    return plan(settings, RunOptions(**options), folder / "plan.parquet", ProgressReporter())  # type: ignore[arg-type]

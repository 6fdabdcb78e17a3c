"""`sensedex search`: a question, and the moments that answer it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group, RenderableType

from flows.cli import options as o
from flows.cli.json_output import print_json
from pipeline.records import MediaObject, MediaType

if TYPE_CHECKING:
    from pipeline.search.moments import Moment
    from pipeline.search.request import SearchRequest
    from pipeline.settings import Settings

LINK_LASTS_S = 3600


@o.with_settings
def search(
    options: o.Options,
    words: Annotated[list[str] | None, typer.Argument(help="Words.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture's file.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound's file.")] = None,
    video: Annotated[Path | None, typer.Option(help="A video's file.")] = None,
    plus: Annotated[str | None, typer.Option(help="Words to add.")] = None,
    minus: Annotated[str | None, typer.Option(help="Words to take away.")] = None,
    using: Annotated[str | None, typer.Option(help="Vectors to search: vision,audio,text.")] = None,
    media_type: Annotated[MediaType | None, typer.Option(help="Only media of this type.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many to show.")] = 10,
    links: Annotated[
        bool, typer.Option("--links", help="Print links that play for an hour.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Find moments by words, a picture, a sound, a video, or a sum of them."""
    from pipeline.search.request import asked

    request = asked(
        " ".join(words) if words else None,
        image=image,
        audio=audio,
        video=video,
        plus=plus,
        minus=minus,
        using=tuple(using.split(",")) if using else (),
        limit=limit,
        media_type=media_type,
    )
    rows, shown = answer(options.settings(), request, links=links)
    if as_json:
        print_json(rows)
    else:
        Console(highlight=False).print(shown)


def answer(
    settings: Settings, request: SearchRequest, *, links: bool
) -> tuple[list[dict[str, Any]], RenderableType]:
    """The moments as JSON values, and the same for a person."""
    from flows.cli.render import meaning_note, render_moments
    from pipeline.s3 import client as s3
    from pipeline.search.searcher import open_searcher

    with open_searcher(settings) as searcher:
        moments = searcher.search(request)
        card = searcher.card
    client = s3.make_client(settings.source) if links else None

    def play(moment: Moment) -> str:
        seconds = f"#t={moment.start_ms / 1000:g},{moment.end_ms / 1000:g}"
        at = seconds if moment.end_ms else ""
        if client is None or not moment.uri.startswith("s3:"):
            return moment.uri + at
        return s3.presign(client, _object_of(moment), LINK_LASTS_S) + at

    rows = [{**asdict(moment), "link": play(moment)} for moment in moments]
    note = meaning_note(card.name, card.meaningful)
    return rows, Group(render_moments(moments, play), *(["", note] if note else []))


def _object_of(moment: Moment) -> MediaObject:
    payload = moment.payload
    return MediaObject(
        payload["bucket"],
        payload["key"],
        payload["etag"],
        payload["size_bytes"],
        payload["last_modified"],
        version_id=payload["version_id"],
    )

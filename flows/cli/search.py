"""`sensedex search`: a question, and the moments that answer it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType

from flows.cli.console import meaning_note, render_moments
from pipeline import s3
from pipeline.moments import Moment
from pipeline.records import MediaObject
from pipeline.search import Asked, open_searcher
from pipeline.settings import Settings

LINK_LASTS_S = 3600


def answer(
    settings: Settings, asked: Asked, *, links: bool
) -> tuple[list[dict[str, Any]], RenderableType]:
    """The moments as JSON values, and the same for a person."""
    with open_searcher(settings) as searcher:
        moments = searcher.ask(asked)
        card = searcher.card
    client = s3.make_client(settings.source) if links else None

    def play(moment: Moment) -> str:
        seconds = f"#t={moment.start_ms / 1000:g},{moment.end_ms / 1000:g}"
        at = seconds if moment.end_ms else ""
        if client is None:
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

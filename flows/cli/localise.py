"""`sensedex localise`: where in a picture a sound, words or another picture is, drawn over it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli import options as o
from pipeline.errors import SettingsError
from pipeline.local_files import writing_to

out = Console(highlight=False)


@o.with_settings
def localise(
    options: o.Options,
    picture: Annotated[Path, typer.Argument(help="The picture to look in.")],
    words: Annotated[str | None, typer.Option(help="What to look for.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound to look for.")] = None,
    like: Annotated[Path | None, typer.Option(help="A picture to look for.")] = None,
    target: Annotated[Path, typer.Option("--out", help="The picture to write.")] = Path(
        "localised.png"
    ),
) -> None:
    """Draw where in a picture a sound, words or another picture is (ImageBind encoders)."""
    given = [thing for thing in (words, audio, like) if thing is not None]
    if len(given) != 1:
        raise SettingsError(
            f"{len(given)} things to look for were given.",
            remedy="Give one of --words, --audio and --like.",
        )
    settings = options.settings()
    from encoders.applications.localise import localise as draw_over
    from pipeline.search.localise import LookFor, picture_and_query

    model, upright, query = picture_and_query(settings, picture, LookFor(words, audio, like))
    drawn = draw_over(model, upright, query)
    with writing_to(target):
        drawn.save(target)
    out.print(str(target), soft_wrap=True)

"""`sensedex search`: a question, and the moments that answer it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group, RenderableType

from flows.cli import options as o
from flows.cli.json_output import print_json
from pipeline.errors import SettingsError
from pipeline.records import MediaType

if TYPE_CHECKING:
    from pipeline.search.moments import Moment
    from pipeline.search.request import SearchRequest, Term
    from pipeline.settings import Settings

FOLDED_ABOVE = 0.98


@o.with_settings
def search(
    options: o.Options,
    words: Annotated[list[str] | None, typer.Argument(help="Words.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture's file.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A sound's file.")] = None,
    video: Annotated[Path | None, typer.Option(help="A video's file.")] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(help="A moment of the collection, ASSET@TIME: films/park.mp4@1:12."),
    ] = None,
    plus: Annotated[list[str] | None, typer.Option(help="Words or ASSET@TIME to add.")] = None,
    minus: Annotated[
        list[str] | None, typer.Option(help="Words or ASSET@TIME to take away.")
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(help="Words that each moment has to answer to, beside the rest."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="A condition: type=video, tag=dog, key^=2026/, size>=10MB, date=2026-11."
        ),
    ] = None,
    using: Annotated[str | None, typer.Option(help="Vectors to search: vision,audio,text.")] = None,
    media_type: Annotated[MediaType | None, typer.Option(help="Only media of this type.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")] = 10,
    cursor: Annotated[str, typer.Option(help="Where to go on: --json gives it.")] = "",
    group: Annotated[
        bool, typer.Option("--group", help="An asset's moments together; --limit counts assets.")
    ] = False,
    fold: Annotated[
        bool, typer.Option("--fold", help="Near-duplicates as one, with their number.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every vector in full, not by the graph.")
    ] = False,
    no_words: Annotated[
        bool, typer.Option("--no-words", help="By what is meant alone, not by the very words.")
    ] = False,
    ranking: Annotated[
        str | None, typer.Option(help="share, spread or cosine (docs/query.md).")
    ] = None,
    links: Annotated[
        bool, typer.Option("--links", help="Print links that play for an hour.")
    ] = False,
    pictures: Annotated[
        bool,
        typer.Option("--pictures", help="Small pictures, where the terminal can show them."),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why each moment is there.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Find moments by words, a picture, a sound, a video, a stored moment, or a sum of them."""
    from pipeline.search.request import Ranking, Term, TermKind, request_of

    files = ((TermKind.IMAGE, image), (TermKind.SOUND, audio), (TermKind.VIDEO, video))
    try:
        terms = [Term(TermKind.WORDS, " ".join(words))] if words else []
        terms += [Term(kind, str(path)) for kind, path in files if path is not None]
        terms += [Term(TermKind.POINT, text) for text in like or ()]
        terms += [_words_or_point(text, 1.0) for text in plus or ()]
        terms += [_words_or_point(text, -1.0) for text in minus or ()]
        terms += [Term(TermKind.WORDS, text, required=True) for text in require or ()]
        chosen = None if ranking is None else Ranking(ranking)
    except ValueError as error:
        raise SettingsError(f"The search: {error}.", remedy="See docs/query.md.") from error
    request = request_of(
        terms=tuple(terms),
        using=tuple(using.split(",")) if using else (),
        where=conditions(where or (), media_type),
        limit=limit,
        cursor=cursor,
        group=group,
        words=not no_words,
        fold_above=FOLDED_ABOVE if fold else None,
        exact=exact,
        ranking=chosen,
    )
    settings = options.settings()
    found = answer(settings, request, links=links, explain=explain)
    if as_json:
        print_json(found.facts)
        return
    console = Console(highlight=False)
    if pictures:
        _show_pictures(settings, found.moments)
    console.print(found.shown)


def _show_pictures(settings: Settings, moments: Sequence[Moment]) -> None:
    """Numbered as the moments below them; where the terminal shows none, nothing."""
    from flows.cli.thumbnails import drawn, picture_of, way_of

    way = way_of()
    if way is None:
        return
    for number, moment in enumerate(moments, start=1):
        picture = picture_of(settings, moment)
        if picture is not None:
            sys.stdout.write(f"{number}  {drawn(picture, way)}\n")
    sys.stdout.flush()


def _words_or_point(text: str, weight: float) -> Term:
    """`films/park.mp4@1:12` is a stored moment; words hardly end in a time."""
    from pipeline.search.request import Term, TermKind
    from pipeline.search.stored import asset_and_time

    asset, at_ms = asset_and_time(text)
    is_point = asset != text and " " not in asset and at_ms >= 0
    return Term(TermKind.POINT if is_point else TermKind.WORDS, text, weight)


def conditions(where: list[str] | tuple[str, ...], media_type: MediaType | None) -> tuple[Any, ...]:
    """Of `--where` and `--media-type`. Raises SettingsError that names what is wrong."""
    from pipeline.index.conditions import Condition, parse_condition

    try:
        found = [parse_condition(text) for text in where]
    except ValueError as error:
        raise SettingsError(
            f"--where: {error}.", remedy="docs/query.md lists fields and signs."
        ) from error
    if media_type is not None:
        found.append(Condition("media_type", equals=str(media_type)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a search came to: as JSON values, as records, and for a person."""

    facts: dict[str, Any]
    moments: tuple[Moment, ...]
    shown: RenderableType


def answer(
    settings: Settings, request: SearchRequest, *, links: bool, explain: bool = False
) -> Answered:
    """Raises what a search raises, and CredentialsMissing for links without."""
    from flows.cli.playing import Player
    from flows.cli.render import meaning_note, render_moments
    from pipeline.search.searcher import open_searcher

    with open_searcher(settings) as searcher:
        found = searcher.answer(request)
        card = searcher.card
    player = Player(settings.source, signed=links)
    rows = [
        {**asdict(moment), "cosines": moment.cosines, **player.facts(moment)}
        for moment in found.moments
    ]
    facts = {
        "moments": rows,
        "cursor": found.cursor,
        "ranking": str(found.ranking),
        "notes": list(found.notes),
    }
    notes = [meaning_note(card.name, card.meaningful)]
    notes += [f"[yellow]{note}[/yellow]" for note in found.notes]
    notes = [note for note in notes if note]
    shown = render_moments(found.moments, player.line, explain=explain)
    return Answered(facts, found.moments, Group(shown, *(["", *notes] if notes else [])))

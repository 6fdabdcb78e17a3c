"""`sensedex rebuild`: another collection from the embeddings that are kept, and the alias on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from flows.cli import options as o
from flows.cli.json_output import print_json
from flows.cli.log_format import with_log_format
from flows.json_lines import json_lines
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.index.collections import Collections
    from pipeline.rebuild.alias import RollbackResult
    from pipeline.rebuild.copy import CopyProgress
    from pipeline.rebuild.prepare import OnRebuild, RebuildProgress
    from pipeline.rebuild.rebuild import RebuildResult
    from pipeline.settings import Settings

LINE_EVERY_S = 5.0
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@o.with_settings
@with_log_format
def rebuild(
    options: o.Options,
    quantization: Annotated[
        str | None, typer.Option(help="index.quantization: none, int8, binary, product or turbo")
    ] = None,
    distance: Annotated[str | None, typer.Option(help="index.distance: cosine or dot")] = None,
    shards: Annotated[int | None, typer.Option(help="index.shards, on a cluster")] = None,
    recall: Annotated[
        float, typer.Option(min=0, max=1, help="Recall@10 that the new collection must reach.")
    ] = 0.98,
    queries: Annotated[
        int, typer.Option(min=1, help="Stored vectors to ask with, of each name.")
    ] = 100,
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait for a run to end.")] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what a stopped rebuild made; begin anew.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Flip even if assets vanish for readers.")
    ] = False,
    new_vectors: Annotated[
        bool, typer.Option("--new-vectors", help="Flip even if readers have to change encoders.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Show the collection before the last rebuild again.")
    ] = False,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Delete the collections that are no longer shown.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    as_json: o.Json = False,
) -> None:
    """Build another collection from the embeddings that are kept, and flip the alias to it."""
    if rollback and drop_old:
        raise typer.BadParameter("--rollback and --drop-old are two steps")
    given = {"quantization": quantization, "distance": distance, "shards": shards}
    given = {name: value for name, value in given.items() if value is not None}
    chosen = options.settings(**{f"index__{name}": value for name, value in given.items()})
    if "index.url" in options.given:
        given["url"] = options.given["index.url"]
    from pipeline.index.collections import open_collections
    from pipeline.rebuild.alias import roll_back
    from pipeline.rebuild.prepare import RebuildOptions, RebuildProgress
    from pipeline.rebuild.rebuild import rebuild as build

    _check_something_is_there(chosen)
    with open_collections(chosen.index) as collections:
        if drop_old:
            _drop_old(chosen, collections, yes=yes, as_json=as_json)
            return
        with _progress(err if as_json or json_lines() else out) as on_progress:
            if rollback:

                def copied(now: CopyProgress) -> None:
                    on_progress(RebuildProgress("bringing it up to date", now))

                back = roll_back(chosen, collections, copied)
            else:
                how = RebuildOptions(
                    recall, queries, fresh, allow_missing, new_vectors, float(wait)
                )
                done = build(chosen, how, collections, on_progress)
    if rollback:
        _show_back(back, as_json=as_json)
    else:
        _show_done(done, given, as_json=as_json)


def _check_something_is_there(settings: Settings) -> None:
    from pipeline.report.read import read_status

    if read_status(settings).sequence == 0:  # before a folder is made for a collection
        raise SettingsError(
            f"Nothing is indexed by the state in {settings.state.location}.",
            remedy="`sensedex run` comes first; or name another state with --state.",
        )


def _show_done(done: RebuildResult, given: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        from pipeline import codec

        print_json(codec.to_json(done))
        return
    went_on = "went on with" if done.went_on else "made"
    out.print(
        f"{went_on} {done.shows} in {done.place}: {done.assets} assets, {done.segments} segments "
        f"({done.points_loaded} loaded now), {done.seconds:.1f} s",
        markup=False,
        soft_wrap=True,
    )
    for recall in done.recalls:
        asked = f"{recall.queries} queries"
        out.print(f"  recall@10  {recall.vector_name}  {recall.share:.3f}  ({asked})", markup=False)
    if done.searched_exactly:
        out.print("  Local mode always searches exactly: these figures cannot be lower.")
    if done.left_out:
        out.print(
            f"{done.left_out} assets are left out: their last good embeddings are another "
            "encoder's. `sensedex failures` names them.",
            style="yellow",
        )
    kept = f"; {done.previous} is kept" if done.previous else ""
    out.print(f"[bold]{done.alias}[/bold] shows {done.shows} now{kept}.")
    if done.previous:
        out.print(
            "[dim]`sensedex rebuild --rollback` goes back, `--drop-old` deletes what is kept.[/dim]"
        )
    if given:
        fields = ", ".join(
            f"{name} = {value}" if isinstance(value, int) else f'{name} = "{value}"'
            for name, value in given.items()
        )
        out.print(f"Later commands read sensedex.toml: set {fields} under [index] there.",
                  markup=False, soft_wrap=True)  # fmt: skip


def _show_back(back: RollbackResult, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(back))
        return
    loaded = f", with {back.points} segments that were indexed since" if back.points else ""
    out.print(f"[bold]{back.alias}[/bold] shows {back.shows} again{loaded}; {back.kept} is kept.")
    if not back.same_spaces:
        out.print(
            "Its vectors are other ones: go back to the settings and the state that filled it.",
            style="yellow",
        )


def _drop_old(settings: Settings, collections: Collections, *, yes: bool, as_json: bool) -> None:
    from pipeline.rebuild.alias import drop, old_collections

    names = old_collections(settings, collections)
    if names and not yes:
        err.print(f"{', '.join(names)}: no alias shows them, and no way back is left after this.")
        typer.confirm("Delete?", abort=True, err=True)
    drop(settings, collections, names)
    if as_json:
        print_json({"deleted": names})
    else:
        out.print(f"Deleted {', '.join(names)}." if names else "There is nothing to delete.")


@contextmanager
def _progress(console: Console) -> Iterator[OnRebuild]:
    """A bar in a terminal, a line every few seconds elsewhere."""
    if not console.is_terminal:
        yield _lines(console)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} files, {task.fields[points]} segments"),
        TimeElapsedColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("", total=0, points=0)

        def show(now: RebuildProgress) -> None:
            bar.update(
                task,
                description=f"{now.phase} {now.detail}",
                completed=now.copied.files,
                total=now.copied.of_files,
                points=now.copied.points,
            )

        yield show


def _lines(console: Console) -> Callable[[RebuildProgress], None]:
    last_phase, last_at = "", 0.0

    def show(now: RebuildProgress) -> None:
        nonlocal last_phase, last_at
        moment = time.monotonic()
        if now.phase == last_phase and moment - last_at < LINE_EVERY_S:
            return
        last_phase, last_at = now.phase, moment
        copied = now.copied
        files = f"{copied.files}/{copied.of_files} files" if copied.of_files else ""
        console.print(f"{now.phase} ... {now.detail or files}", style="dim", soft_wrap=True)

    return show

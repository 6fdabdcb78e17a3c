"""`sensedex demo`: a bucket of real media, indexed and searched, on this machine alone.

The same flow, graph, protocol and search as in production; only the S3 server is a small one on
this machine, and Qdrant is the client's local mode.
"""

from __future__ import annotations

import csv
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.rule import Rule

from flows.cli.demo_again import BUCKET, command_that_serves, demo_settings, leave_note
from flows.cli.demo_bucket import Sync, demo_files, sync_bucket
from flows.cli.demo_environment import demo_environment
from flows.cli.demo_server import DemoServer, demo_server, only_one
from flows.cli.progress_bars import live_progress
from flows.cli.render import licence_note, meaning_note, render_moments, render_report
from flows.log_redirect import quiet_logs
from pipeline.errors import SettingsError
from pipeline.records import MediaType
from pipeline.report.html import write_report_html
from pipeline.run.preflight import check_settings
from pipeline.run_options import RunOptions
from pipeline.search.moments import Moment, format_span
from pipeline.search.request import SearchRequest, asked
from pipeline.search.searcher import open_searcher
from pipeline.settings import Settings

AMONG = {
    MediaType.IMAGE: "the pictures",
    MediaType.AUDIO: "the sounds",
    MediaType.VIDEO: "the videos",
}


@dataclass(frozen=True, slots=True)
class Example:
    """A search whose right answer is known: which object, and where in it. `media_type` is the only
    type of media that may answer, where there is one."""

    kind: str
    query: str
    media_type: MediaType | None
    expected_key: str
    expected_start_ms: int
    expected_end_ms: int


def demo(
    console: Console,
    *,
    folder: Path = Path(".sensedex/demo"),
    media: Path | None = None,
    weights: str | None = None,
    encoder: str | None = None,
    fresh: bool = False,
    examples: bool = True,
) -> int:
    """Index `media` (the project's own by default) and search it. Returns the exit status."""
    started = time.perf_counter()
    infra = demo_files()
    media = media or infra / "media"
    if not media.is_dir():
        raise SettingsError(
            f"There is no demo media in {media}.",
            remedy="Name a folder of media with --media.",
        )
    bucket_folder = folder / "s3"
    if fresh and folder.exists():
        with only_one(bucket_folder):
            shutil.rmtree(folder)
    with demo_environment(folder), demo_server(bucket_folder) as server:
        console.print(Rule("[bold]1. A bucket", align="left"))
        queries = infra / "queries.jsonl" if media == infra / "media" else None
        settings = demo_settings(server.url, folder, weights, encoder, queries)
        leave_note(folder, weights, encoder)
        sync = sync_bucket(settings.source, media)
        _tell_bucket(console, server, sync, bucket_folder)

        console.print(Rule("[bold]2. The flow `index`", align="left"))
        console.print(licence_note(check_settings(settings)))
        _run(console, settings, server, folder)

        if examples and (infra / "queries" / "queries.tsv").is_file() and media == infra / "media":
            console.print(Rule("[bold]3. Searches", align="left"))
            wrong = _search_examples(console, settings, infra, started)
            if wrong:
                return 1
        _what_next(console, folder, media)
    return 0


def _tell_bucket(console: Console, server: DemoServer, sync: Sync, folder: Path) -> None:
    deleted = f", {sync.deleted} deleted" if sync.deleted else ""
    console.print(
        f"SeaweedFS, an S3 server, on {server.url} with its data in {folder}.\n"
        f"Bucket [bold]{BUCKET}[/bold]: {sync.objects} objects, {sync.bytes / 1e6:.1f} MB; "
        f"{sync.put} put with boto3{deleted}, in {sync.seconds:.1f} s."
    )


def _run(console: Console, settings: Settings, server: DemoServer, folder: Path) -> None:
    console.print(
        "[dim]Prefect starts a server of its own for this (about 15 s), then Ray and the encoder "
        "(about 10 s); all of it ends with this command.[/dim]"
    )
    with quiet_logs(folder / "engines.log"), live_progress(console) as on_progress:
        from flows.index import run_in_flow

        gets_before = server.object_gets(BUCKET)
        report = run_in_flow(settings, RunOptions(), on_progress)
        gets = server.object_gets(BUCKET) - gets_before
    new = report.objects_by_action.get("new", 0)
    changed = report.objects_by_action.get("changed", 0)
    unchanged = report.objects_by_status.get("unchanged", 0)
    removed = report.objects_by_status.get("removed", 0)
    console.print(
        f"\n[bold]{new} new, {changed} changed, {removed} removed, {unchanged} unchanged[/bold]; "
        f"the server counted {gets} GETs of objects."
    )
    console.print(render_report(report))
    note = meaning_note(report.encoder, report.meaningful)
    if note:
        console.print(f"\n{note}")
    if report.segments:
        page = folder / "report.html"
        write_report_html(report, page)
        console.print(f"The same with plots: {page}")


def read_examples(infra: Path) -> list[Example]:
    """The rows of queries.tsv: kind, query (a file beside it, or words), and the right answer."""
    with (infra / "queries" / "queries.tsv").open(encoding="utf-8", newline="") as file:
        return [
            Example(
                row["kind"],
                row["query"],
                MediaType(row["media_type"]) if row["media_type"] else None,
                row["key"],
                int(row["start_ms"]),
                int(row["end_ms"]),
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]


def _search_examples(console: Console, settings: Settings, infra: Path, started: float) -> int:
    """Run the example searches; the number of examples whose own source is not found first.

    Words have no source. What they find is shown, and measured elsewhere: in the report of the run,
    and by `make eval`.
    """
    wrong = 0
    with open_searcher(settings) as searcher:
        for number, example in enumerate(read_examples(infra)):
            moments = searcher.search(_request(example, infra))
            if number == 0:
                seconds = time.perf_counter() - started
                console.print(f"[dim]The first answer came {seconds:.0f} s after the start.[/dim]")
            words = example.kind == "words"
            shown = f'"{example.query}"' if words else f"queries/{example.query}"
            among = f" among {AMONG[example.media_type]}" if example.media_type else ""
            console.print(f"\n[bold]By {_article(example.kind)}{among}:[/bold] {shown}")
            console.print(render_moments(moments, lambda m: _path_of(infra, m.key, m.start_ms)))
            place = next((i for i, m in enumerate(moments, 1) if _is_right(m, example)), None)
            wrong += place != 1 and not words
            console.print(_verdict(example, place))
    return wrong


def _verdict(example: Example, place: int | None) -> str:
    span = format_span(example.expected_start_ms, example.expected_end_ms)
    wanted = f"{example.expected_key} {span}".strip()
    if example.kind == "words":
        found = f"comes at place {place}" if place else "is not among them"
        colour = "green" if place == 1 else "yellow"
        return f"[{colour}]What was meant, {wanted}, {found}.[/{colour}]"
    if place == 1:
        return f"[green]The first hit is its source, {wanted}.[/green]"
    return f"[bold red]The first hit should be {wanted}.[/bold red]"


def _request(example: Example, infra: Path) -> SearchRequest:
    if example.kind == "words":
        return asked(words=example.query, limit=3, media_type=example.media_type)
    path = infra / "queries" / example.query
    if example.kind == "sound":
        return asked(audio=path, limit=3)
    return asked(image=path, limit=3)


def _article(kind: str) -> str:
    return kind if kind == "words" else f"a {kind}"


def _is_right(moment: Moment, example: Example) -> bool:
    """The right object, and a moment that overlaps the right one."""
    return (
        moment.key == example.expected_key
        and moment.start_ms <= example.expected_end_ms
        and moment.end_ms >= example.expected_start_ms
    )


def _path_of(infra: Path, key: str, start_ms: int) -> str:
    path = infra / "media" / key
    shown = os.path.relpath(path)
    return f"{shown}#t={start_ms // 1000}" if start_ms else shown


def _what_next(console: Console, folder: Path, media: Path) -> None:
    console.print(Rule("[bold]What next", align="left"))
    console.print(
        "[bold]sensedex demo[/bold]                   again: nothing is new, nothing is fetched\n"
        f"put a file into {os.path.relpath(media)}, then the demo again: only that is indexed\n"
        "[bold]sensedex init[/bold]                   writes sensedex.toml, for your own bucket\n"
        "[bold]sensedex doctor[/bold]                 looks at what a run needs\n"
        "[bold]sensedex plan[/bold]                   what a run would do, and writes nothing\n"
        "[bold]sensedex run[/bold]                    does it\n"
        "[bold]sensedex search a dog[/bold]           finds the moments; so do --image, --audio\n"
        f"[dim]Everything of the demo is in {folder}; `rm -r {folder}` forgets it.[/dim]\n\n"
        "Search it in a browser, and play what is found:\n"
        f"[bold]{command_that_serves(folder)}[/bold]"
    )

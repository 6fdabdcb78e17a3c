"""`sensedex verify`: whether bucket, state, Parquet and Qdrant agree; `--repair` mends them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from flows.cli import options as o
from flows.cli.exit_codes import Exit
from flows.cli.json_output import print_json
from flows.cli.log_format import told_progress, with_log_format

if TYPE_CHECKING:
    from pipeline.report.record import RunReport
    from pipeline.run_options import RunOptions
    from pipeline.settings import Settings
    from pipeline.verify.audit import AuditOptions
    from pipeline.verify.findings import FindingRow, VerifyReport
    from pipeline.verify.repair import Round

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
STATUS = {
    "agree": Exit.OK,
    "disagree": Exit.SOME_FAILED,
    "stale": Exit.TRANSIENT,
    "busy": Exit.TRANSIENT,
}
STYLE = {"agree": "bold green", "disagree": "bold red", "stale": "yellow", "busy": "yellow"}


@o.with_settings
@with_log_format
def verify(
    options: o.Options,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Mend it: from Parquet; what Parquet has not, by a run."),
    ] = False,
    sample: Annotated[
        int,
        typer.Option(min=0, help="Segments to compare by payload and vector; all ids always are."),
    ] = 10_000,
    seed: Annotated[
        int | None, typer.Option(help="Of the sample, to take the same one again.")
    ] = None,
    recall_queries: Annotated[
        int,
        typer.Option(
            min=0, help="Stored vectors of each name to ask a server with, for its recall; 0 none."
        ),
    ] = 100,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Examples of each finding.")] = 3,
    hits: Annotated[
        int,
        typer.Option(
            min=0,
            help="In place of the comparison: so many windows are fetched, decoded and encoded "
            "again, and held against their stored vectors.",
        ),
    ] = 0,
    as_json: o.Json = False,
) -> None:
    """Prove that bucket, state, Parquet and Qdrant agree. Writes nothing without --repair."""
    from pipeline.run.preflight import check_settings
    from pipeline.verify.audit import AuditOptions

    if hits and repair:
        raise typer.BadParameter("--hits proves, and --repair mends: two steps")
    settings = options.settings()
    check_settings(settings)
    if hits:
        from flows.cli.verify_hits import prove_hits

        raise typer.Exit(prove_hits(settings, hits, seed, limit, as_json=as_json))
    audit = AuditOptions(sample, seed, limit, recall_queries)
    rounds = _repaired(settings, audit) if repair else (_audited(settings, audit),)
    report = rounds[-1].report
    if as_json:
        facts = report.to_json()
        print_json({**facts, "rounds": [r.to_json() for r in rounds]} if repair else facts)
    else:
        out.print(render_rounds(rounds) if repair else render_verify(report))
    raise typer.Exit(STATUS[report.verdict])


def _audited(settings: Settings, options: AuditOptions) -> Round:
    from pipeline.progress import ProgressReporter
    from pipeline.verify.audit import verify as audit
    from pipeline.verify.repair import Round

    with told_progress(err) as (on_progress, on_event):
        return Round(audit(settings, options, ProgressReporter(on_progress, on_event)))


def _repaired(settings: Settings, options: AuditOptions) -> tuple[Round, ...]:
    """Ray and an encoder come only where Parquet has lost something, or the bucket has
    moved on."""
    from flows.log_redirect import quiet_logs
    from pipeline.progress import ProgressReporter
    from pipeline.verify.repair import repair_round, rounds_of

    with quiet_logs(Path(".sensedex/engines.log")), told_progress(err) as told:
        on_progress, on_event = told

        def run(asked: RunOptions) -> RunReport:
            err.print("[dim]An ordinary run ...[/dim]")
            from pipeline.run.whole_run import run_index

            return run_index(settings, asked, on_progress, on_event=on_event)

        return tuple(
            rounds_of(
                lambda: repair_round(settings, options, ProgressReporter(on_progress, on_event)),
                run,
            )
        )


def render_verify(report: VerifyReport) -> RenderableType:
    """A verify report for a terminal."""
    from flows.cli.render import render_recall, shown
    from pipeline.verify.findings import VERDICTS, Verdict

    lines: list[RenderableType] = []
    if report.verdict is not Verdict.BUSY:
        lines += [_parties(report), ""]
    if report.findings:
        lines += [_findings(report.findings), ""]
    if recall := render_recall(report.recall):
        lines += [*recall, ""]
    style = STYLE[report.verdict]
    lines.append(f"[{style}]{VERDICTS[report.verdict]}[/{style}]")
    if report.writer is not None:
        lines.append(f"At work: {escape(shown(report.writer))}. Verify again when it has ended.")
    elif report.verdict is Verdict.STALE:
        lines.append("`sensedex run` brings it up to date.")
    elif report.verdict is Verdict.DISAGREE:
        lines.append("`sensedex verify --repair` mends it; docs/verify.md explains each name.")
    return Group(*lines)


def _parties(report: VerifyReport) -> RenderableType:
    counts = report.counts
    left_out = sum(counts.not_selected.values())
    causes = ", ".join(f"{count:,} {cause}" for cause, count in counts.objects_by_cause.items())
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row(
        "bucket",
        f"{counts.listed:,} objects listed" + (f", {left_out:,} left out" if left_out else ""),
    )
    table.add_row("state", f"{causes or 'empty'}; {counts.segments:,} segments")
    table.add_row(
        "Parquet",
        f"{counts.parquet_segments:,} of these segments in {counts.parquet_files:,} files, "
        f"{_size(counts.parquet_bytes)}",
    )
    others = counts.points_of_others
    table.add_row(
        "Qdrant",
        f"{counts.live_segments:,} live segments, {counts.anchors:,} anchors, "
        f"{counts.points:,} points in all"
        + (f", {others:,} of another bucket or prefix, not judged" if others else ""),
    )
    if counts.kept_objects:
        table.add_row("", f"{counts.kept_objects:,} failed objects still shown by older content")
    table.add_row("sample", _sample(report))
    return table


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


def _sample(report: VerifyReport) -> str:
    counts = report.counts
    if not counts.sampled_segments:
        return "no payload and no vector compared"
    kept_as = ", ".join(sorted(set(counts.precisions.values())))
    what = f"{counts.sampled_segments:,} segments compared by payload and vector ({kept_as})"
    differing = {"payload_differs", "vector_differs"} & {row.name for row in report.findings}
    if 0 < counts.undetected_share < 1 and not differing:
        what += f"; of all, fewer than {counts.undetected_share:.2%} can differ (95 %)"
    return f"{what}, seed {report.seed}" if counts.undetected_share else what


def _findings(rows: Sequence[FindingRow]) -> RenderableType:
    from flows.cli.render import shown

    table = Table("found", "objects", "points", "what", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for column in table.columns[1:3]:
        column.justify = "right"
    for row in rows:
        colour = "red" if row.meaning.kind == "fault" else "yellow"
        objects = f"{row.objects:,}" if row.objects else ""
        points = f"{row.points:,}" if row.points else ""
        table.add_row(f"[{colour}]{row.name}[/{colour}]", objects, points, row.meaning.says)
        for example in row.examples:
            told = " ".join(part for part in (example.key, example.detail) if part)
            table.add_row("", "", "", f"[dim]  {escape(shown(told))}[/dim]")
    return table


def render_rounds(rounds: Sequence[Round]) -> RenderableType:
    """The rounds of a repair for a terminal."""
    lines: list[RenderableType] = []
    for number, done in enumerate(rounds, start=1):
        if number == len(rounds) and not done.repaired:
            break
        if done.report.findings:
            lines += [f"[bold]Audit {number}[/bold]", _findings(done.report.findings)]
        lines += [f"  {deed}" for deed in _deeds(done)] + [""]
    return Group(*lines, render_verify(rounds[-1].report))


def _deeds(done: Round) -> list[str]:
    deeds = []
    if done.deleted_points:
        deeds.append(f"{_many(done.deleted_points, 'point')} deleted.")
    if done.reloaded_objects:
        deeds.append(
            f"{_many(done.reloaded_objects, 'object')}, "
            f"{_many(done.reloaded_segments, 'segment')}, loaded again from Parquet, "
            "without an encoder."
        )
    if done.removed_objects:
        gone = _many(done.removed_objects, "failed object")
        deeds.append(f"{gone} taken out: nothing has the older content whole.")
    if done.run_objects is not None:
        what = ", ".join(f"{count:,} {action}" for action, count in done.run_objects.items())
        deeds.append(f"An ordinary run: {what}.")
    return deeds


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"

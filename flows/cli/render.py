"""Records as a person reads them in a terminal. Pure: a record in, something rich can print out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from encoders.card import EncoderCard
from encoders.precision import fall_back_lines
from flows.cli.render_estimate import render_comparison
from pipeline.planning.diff import PlanSummary
from pipeline.progress import Stage
from pipeline.records import PlanRow
from pipeline.report.pace import pace_of
from pipeline.report.read import RunStatus
from pipeline.report.record import FailureRow, RunReport
from pipeline.search.moments import Moment, format_span
from pipeline.search.recall import SearchRecall
from pipeline.served_recall import ServedRecall, recall_sentences

STATUS_STYLE = {
    "indexed": "green",
    "unchanged": "dim",
    "partial": "yellow",
    "rejected": "red",
    "failed": "bold red",
    "denied": "red",
    "removed": "magenta",
}
FAILURES_SHOWN = 20


def shown(key: str) -> str:
    """A key as text that cannot steer the terminal: control characters are written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in key)


def render_report(report: RunReport) -> RenderableType:
    """A run's report for a terminal."""
    objects = Table("objects", "", box=None, pad_edge=False, title_justify="left")
    for status, count in sorted(report.objects_by_status.items(), key=lambda x: -x[1]):
        style = STATUS_STYLE.get(str(status), "")
        objects.add_row(Text(str(status), style=style), str(count))
    objects.add_row("[bold]all[/bold]", f"[bold]{report.objects}[/bold]")
    segments = Table("segments", "", box=None, pad_edge=False)
    for modality, count in report.segments_by_modality.items():
        segments.add_row(modality, str(count))
    segments.add_row("[bold]points[/bold]", f"[bold]{report.segments}[/bold]")
    side = Table.grid(padding=(0, 5))
    side.add_row(objects, *((segments, _stage_table(report)) if report.segments else ()))
    parts: list[RenderableType] = [side]
    if report.media_seconds:
        live = "unknown" if report.points_in_index is None else report.points_in_index
        parts.append(
            f"\n{report.media_seconds:.0f} media-seconds at "
            f"[bold]{report.media_seconds_per_second:.1f} a second[/bold]; "
            f"{live} live segments in the collection."
        )
    if report.segments_missing:
        many = report.segments_missing
        parts.append(
            f"[red]The collection lacks {many} {'segment' if many == 1 else 'segments'}[/red] that "
            "the state knows: `sensedex verify` names them, --repair loads them again."
        )
    parts += [f"[yellow]{escape(line)}[/yellow]" for line in fall_back_lines(report.precisions)]
    if report.search:
        parts.append(_search_line(report.search))
    parts += render_recall(report.recall)
    if comparison := render_comparison(report):
        parts += ["", *comparison]
    parts.append(_phases(report))
    if (pace := pace_of(report)) is not None:
        parts.append(f"[dim]{escape(pace.sentence)}[/dim]")
    if report.failures:
        parts += ["", render_failures(report.failures)]
    return Group(*parts)


def _search_line(recalls: Sequence[SearchRecall]) -> str:
    parts = [f"{r.what}@{r.k} {r.share:.2f} ({r.low:.2f} to {r.high:.2f})" for r in recalls]
    return f"{recalls[0].queries} labelled searches, recall: {', '.join(parts)}."


def render_recall(recall: ServedRecall | None) -> list[RenderableType]:
    """What an index finds, in sentences; the proposal stands out."""
    if recall is None:
        return []
    style = "yellow" if recall.short else ""
    return [Text(shown(sentence), style=style) for sentence in recall_sentences(recall)]


def _stage_table(report: RunReport) -> Table:
    table = Table("stage", "busy s", "items", "a second", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for stage in report.stages:
        rate = f"{stage.items_per_second:.0f}"
        table.add_row(stage.name, f"{stage.busy_seconds:.1f}", f"{stage.items} {stage.unit}", rate)
    return table


def _phases(report: RunReport) -> str:
    parts = [f"{name} {seconds:.1f} s" for name, seconds in report.seconds_by_phase.items()]
    return (
        f"[dim]Where the time went, {report.wall_seconds:.1f} s in all: {', '.join(parts)}.[/dim]"
    )


def render_failures(failures: Sequence[FailureRow]) -> RenderableType:
    """Objects that were rejected or failed, with the remedy for each."""
    table = Table("key", "status", "code", "what to do", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for failure in failures[:FAILURES_SHOWN]:
        table.add_row(
            escape(shown(failure.key)),
            Text(str(failure.status), style=STATUS_STYLE.get(str(failure.status), "")),
            failure.code,
            escape(f"{shown(failure.message)} {failure.remedy}"),
        )
    left = len(failures) - FAILURES_SHOWN
    return Group(table, f"[dim]and {left} more: sensedex failures[/dim]") if left > 0 else table


def render_plan(summary: PlanSummary, rows: Iterable[PlanRow], limit: int) -> RenderableType:
    """A plan for a terminal: counts by action, and the first `limit` objects."""
    counts = Table("action", "objects", "MB", "media-seconds known", box=None, pad_edge=False)
    for column in counts.columns[1:]:
        column.justify = "right"
    for action, count in sorted(summary.objects.items()):
        known = summary.known_media_ms.get(action, 0)
        counts.add_row(
            str(action),
            str(count),
            f"{summary.bytes.get(action, 0) / 1e6:.1f}",
            f"{known / 1000:.0f}" if known else "",
        )
    table = Table("action", "key", "bytes", "why", box=None, pad_edge=False)
    listed = list(rows)
    several = len({row.object.bucket for row in listed}) > 1
    count = 0
    for count, row in enumerate(listed, start=1):
        if count <= limit:
            name = row.object.uri if several else row.object.key
            why = row.reason + (f" (+{len(row.sidecars)} sidecar)" if row.sidecars else "")
            table.add_row(str(row.action), escape(shown(name)), str(row.object.size_bytes), why)
    more = f"[dim]and {count - limit} more; --limit shows them, --json all[/dim]"
    left_out = ", ".join(f"{n} by {why}" for why, n in summary.selection.not_selected.items())
    return Group(
        counts,
        "",
        *([table] if count else []),
        *([more] if count > limit else []),
        *(f"\n{escape(shown(note))}" for note in summary.notes),
        f"\nLeft out of the listing: {left_out or 'nothing'}.",
    )


def render_moments(
    moments: Sequence[Moment],
    play: Callable[[Moment], str] | None = None,
    *,
    explain: bool = False,
) -> RenderableType:
    """Moments for a terminal, the best first; `play` makes the line under each."""
    if not moments:
        return "[dim]nothing found[/dim]"
    lines: list[RenderableType] = []
    for number, moment in enumerate(moments, start=1):
        span = format_span(moment.start_ms, moment.end_ms)
        copies = f" [dim]and {moment.copies} like it[/dim]" if moment.copies else ""
        lines.append(
            f"{number}  {moment.score:.3f}  [bold]{span:<13}[/bold] {escape(shown(moment.key))} "
            f"[dim]cosine {moment.cosine:.3f} by {moment.vector_name}[/dim]{copies}"
        )
        # On a line of its own and never cut: a shortened link plays nothing.
        link = play(moment) if play else moment.uri
        lines.append(Text("   " + shown(link), style="cyan", overflow="fold"))
        if explain:
            lines += [Text("   " + shown(line), style="dim") for line in why_lines(moment)]
    return Group(*lines)


def why_lines(moment: Moment) -> list[str]:
    """Why a moment is there: each cosine with what it is worth in this collection, and words."""
    lines = []
    for one in moment.why:
        above = f", above {one.share:.4%} of the collection" if one.share is not None else ""
        asked = f"{one.asked}: " if one.asked else ""
        lines.append(f"{asked}{one.vector_name} {one.cosine:.3f}{above}")
    if moment.words:
        lines.append(f"holds {', '.join(moment.words)}")
    if moment.end_ms:
        lines.append(f"best at {moment.best_ms / 1000:.1f} s")
    if moment.copy_keys:
        lines.append(f"like it: {', '.join(moment.copy_keys)}")
    return lines


def render_status(status: RunStatus) -> RenderableType:
    """The state of an index for a terminal."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("state", status.location)
    table.add_row("last run", f"{status.run_id or 'none yet'} (sequence {status.sequence})")
    table.add_row("bucket", status.bucket or "none yet")
    table.add_row("encoder", status.encoder or "none yet")
    table.add_row("collection", status.collection)
    for name, count in sorted(status.objects_by_status.items()):
        table.add_row(f"  {name}", str(count))
    table.add_row("segments", str(status.segments))
    table.add_row("media-seconds", f"{status.media_seconds:.0f}")
    table.add_row("writing now", status.lease_holder or "nobody")
    if status.unfinished_runs:
        table.add_row(
            "unfinished runs", f"{status.unfinished_runs}: the next run goes on from there"
        )
    return table


def licence_note(cards: Iterable[EncoderCard]) -> str:
    """What the vectors are made by, and on whose terms."""
    lines = [f"{card.name}: {card.title}.\nLicence: {card.licence}" for card in cards]
    return f"[dim]{escape(chr(10).join(lines))}[/dim]"


def meaning_note(encoder: str, meaningful: bool) -> str:
    """The plain word about an encoder that was never trained."""
    if meaningful:
        return ""
    return (
        f"[yellow]The vectors of {encoder} carry no meaning: its weights are seeded, not trained.\n"
        "It finds a picture, sound or text again by an example of it, not by what it shows.\n"
        "With --weights imagebind_huge.pth, words find pictures and sounds.[/yellow]"
    )


STAGES_SHOWN = (Stage.DECODE, Stage.ENCODE, Stage.WRITE, Stage.LOAD)

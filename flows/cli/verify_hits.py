"""`sensedex verify --hits N`: that hits are true, window by window."""

from __future__ import annotations

import secrets

from rich.console import Console
from rich.markup import escape

from flows.cli.exit_codes import Exit
from flows.cli.json_output import print_json
from flows.cli.progress_bars import live_progress
from flows.cli.render import shown
from pipeline import codec
from pipeline.errors import SettingsError
from pipeline.progress import ProgressReporter
from pipeline.search.moments import format_time
from pipeline.settings import Settings
from pipeline.verify.audit import opened_if_there
from pipeline.verify.hits import HitsReport, verify_hits

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def prove_hits(
    settings: Settings, count: int, seed: int | None, limit: int, *, as_json: bool
) -> Exit:
    """The exit status: 3 where a vector is not what its bytes give, 5 where the bucket has moved
    on. Raises SettingsError where nothing is indexed."""
    with opened_if_there(settings) as index:
        if index is None or not index.exists():
            raise SettingsError(
                f"There is no collection {settings.index.collection!r} yet.",
                remedy="`sensedex run` makes it; or name another one with --collection.",
            )
        chosen = secrets.randbits(32) if seed is None else seed
        with live_progress(err) as on_progress:
            reporter = ProgressReporter(on_progress)
            report = verify_hits(settings, index.points(), count, chosen, reporter)
    if as_json:
        print_json({**codec.to_json(report), "seed": chosen})
    else:
        _show(report, chosen, limit)
    if report.false:
        return Exit.SOME_FAILED
    return Exit.TRANSIENT if report.stale else Exit.OK


def _show(report: HitsReport, seed: int, limit: int) -> None:
    proved = report.vectors - len(report.false)
    least = ", ".join(f"{name} {cosine:.4f}" for name, cosine in report.smallest.items())
    out.print(
        f"{report.windows} windows, seed {seed}: {proved} of {report.vectors} vectors proved"
        + (f"; the smallest cosines: {least}." if least else ".")
    )
    for check in report.false[:limit]:
        out.print(
            f"[red]false[/red]  {escape(shown(check.key))} {format_time(check.start_ms)} "
            f"{check.vector_name}: cosine {check.cosine:.4f}, at least {check.least}"
        )
    for stale in report.stale[:limit]:
        out.print(
            f"[yellow]stale[/yellow]  {escape(shown(stale.key))} {format_time(stale.start_ms)} "
            f"({stale.why})"
        )
    if report.stale:
        out.print(f"{len(report.stale)} are stale: `sensedex run` brings the index up to date.")

"""Estimates of a run, by its plan and a calibration, and the calibration that it leaves behind."""

from __future__ import annotations

from pipeline.embed.engine import Engine, usable_cores
from pipeline.errors import StateCorrupt
from pipeline.estimate.calibration import (
    calibration_of_run,
    keep_calibration,
    merged,
    read_calibration,
)
from pipeline.estimate.estimate import Machines, estimate, money
from pipeline.estimate.records import Calibration, Estimate, Range
from pipeline.models.spaces import spaces_of
from pipeline.planning.plan import RunPlan
from pipeline.progress import ProgressReporter, Stage
from pipeline.report.record import OutcomeTotals
from pipeline.settings import Settings

EMBEDDED = "embed and load"


def expected(
    settings: Settings,
    planned: RunPlan,
    calibration: Calibration | None,
    machines: Machines | None = None,
) -> Estimate | None:
    """None where there is nothing to embed, or nothing to go by."""
    if calibration is None or not planned.to_embed:
        return None
    return estimate(
        planned.work,
        calibration,
        settings.prices,
        sidecars=planned.sidecars_to_read,
        values_per_window=sum(space.dimension for space in spaces_of(planned.cards)),
        machines=machines,
    )


def kept_calibration(planned: RunPlan) -> Calibration | None:
    """That of the last run or probe with this recipe; one that cannot be read is none, since no run
    is to fail for it."""
    try:
        return read_calibration(planned.state.store, planned.recipe.digest())
    except StateCorrupt:
        return None


def calibrate_by_run(
    planned: RunPlan, totals: OutcomeTotals, reporter: ProgressReporter, engine: Engine, run_id: str
) -> None:
    """Keep what this run took for the estimate of the next one."""
    wall_s = reporter.seconds.get(EMBEDDED, 0.0)
    cores, gpus = machines_of(reporter, engine)
    made = calibration_of_run(
        f"run {run_id}",
        planned.recipe.digest(),
        totals.samples.samples(),
        decode_s=totals.decode_s,
        encode_s=reporter.latest.of(Stage.ENCODE).busy_seconds,
        windows=totals.segments,
        wall_s=wall_s,
        start_s=reporter.wall_seconds - wall_s,
        cores=cores,
        gpus=gpus,
    )
    if made is not None:
        keep_calibration(planned.state.store, merged(made, kept_calibration(planned)))


def machines_of(reporter: ProgressReporter, engine: Engine) -> tuple[int, int]:
    """(cores, GPUs) that a run works with: this machine's, or those that its actors hold."""
    devices = {tower.device for tower in reporter.latest.of(Stage.ENCODE).precisions}
    encoders = reporter.workers.get(Stage.ENCODE, 1)
    gpus = encoders if any(kind and not kind.startswith("CPU") for kind in devices) else 0
    if engine is Engine.LOOP:
        return usable_cores(), gpus
    return reporter.workers.get(Stage.DECODE, 1) + (0 if gpus else encoders), gpus


def money_of(
    settings: Settings,
    planned: RunPlan,
    totals: OutcomeTotals,
    reporter: ProgressReporter,
    engine: Engine,
) -> float | None:
    """What the run has cost by the prices of the settings; None where none is set."""
    hours = reporter.wall_seconds / 3600
    stored = totals.segments * 4.0 * sum(space.dimension for space in spaces_of(planned.cards))
    cores, gpus = machines_of(reporter, engine)
    paid = money(
        Range(hours, hours, hours),
        cores,
        gpus,
        planned.to_embed + planned.sidecars_to_read,
        Range(stored, stored, stored),
        settings.prices,
    )
    return None if paid is None else paid.likely

"""A probe: some of the objects that a run would embed are embedded, for a minute, and thrown away.

The run's own stages do it, in this process, so that what they take here is what is measured. Each
media type goes by itself: what is known afterwards is the cost of each, whatever their mixture.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.embed.engine import usable_cores
from pipeline.embed.job import EmbedJob
from pipeline.embed.local import receipts_in_loop
from pipeline.errors import SettingsError
from pipeline.estimate.calibration import type_cost
from pipeline.estimate.records import Calibration, TypeCost
from pipeline.estimate.work import sample_of, type_by_suffix
from pipeline.models.spaces import spaces_of
from pipeline.planning.diff import TO_EMBED
from pipeline.planning.file import read_plan
from pipeline.planning.plan import RunPlan
from pipeline.progress import ProgressReporter, Stage
from pipeline.records import MediaType, PlanRow
from pipeline.settings import Settings
from pipeline.state.receipts import RunFolder

PROBE_S = 60.0
MOST_OBJECTS: Mapping[MediaType, int] = {
    MediaType.IMAGE: 256,
    MediaType.AUDIO: 64,
    MediaType.VIDEO: 32,
}
STARTED = "start the decoder and the encoder"


def probe(
    settings: Settings,
    planned: RunPlan,
    folder: Path,
    say: Callable[[str], None],
    seconds: float = PROBE_S,
) -> Calibration:
    """Embeds samples of the plan's objects into `folder`. An object that is begun is finished, so
    that one long film takes longer than `seconds`.

    Raises SettingsError where there is nothing to embed, or none of it can be.
    """
    samples = sampled(read_plan(planned.path))
    if not samples:
        raise SettingsError(
            "There is nothing to embed, so nothing to measure.",
            remedy="`sensedex plan` without --probe goes by the last run.",
        )
    types: dict[str, TypeCost] = {}
    start_s = 0.0
    for number, (kind, rows) in enumerate(sorted(samples.items())):
        say(f"probing {kind}: up to {len(rows)} objects")
        place = folder / str(kind)
        own = settings.model_copy(
            update={"state": settings.state.model_copy(update={"location": str(place)})}
        )
        share_s = seconds / (len(samples) - number)
        began = time.monotonic()
        measured = _measured(own, planned, rows, share_s)
        seconds -= time.monotonic() - began
        if measured is not None:
            types[str(kind)], started_s = measured
            start_s = max(start_s, started_s)
    if not types:
        raise SettingsError(
            "None of the objects that were tried could be embedded.",
            remedy="`sensedex run` on a few of them says of each what is wrong.",
        )
    source = f"a probe of {sum(len(cost.samples) for cost in types.values())} objects"
    recipe = planned.recipe.digest()
    return Calibration(source, recipe, usable_cores(), 0, start_s, types)


def sampled(rows: Iterable[PlanRow]) -> dict[MediaType, list[PlanRow]]:
    """Of each type as many rows as a probe may need, in no order, each with the same chance."""
    chance = random.Random(0)
    kept: dict[MediaType, list[PlanRow]] = {}
    seen: dict[MediaType, int] = {}
    for row in rows:
        if row.action not in TO_EMBED:
            continue
        kind = type_by_suffix(row.object.key)
        some = kept.setdefault(kind, [])
        seen[kind] = seen.get(kind, 0) + 1
        if len(some) < MOST_OBJECTS[kind]:
            some.append(row)
        elif (place := chance.randrange(seen[kind])) < len(some):
            some[place] = row
    for some in kept.values():
        chance.shuffle(some)
    return kept


def _measured(
    settings: Settings, planned: RunPlan, rows: Sequence[PlanRow], seconds: float
) -> tuple[TypeCost, float] | None:
    """Their cost, and what the start took; None where not one of them could be embedded."""
    reporter = ProgressReporter()
    alone = [replace(row, shard=number) for number, row in enumerate(rows)]
    spaces = spaces_of(planned.cards)
    job = EmbedJob(settings, RunFolder(1, "probe"), spaces, {row.shard: 1 for row in alone})
    outcomes = [
        outcome
        for receipt in receipts_in_loop(job, _until(alone, reporter, seconds), reporter)
        for outcome in receipt.outcomes
    ]
    reporter.record_phase("embed")
    encode_s = reporter.latest.of(Stage.ENCODE).busy_seconds
    try:
        cost = type_cost(map(sample_of, outcomes), encode_s, reporter.seconds["embed"])
    except ValueError:
        return None
    return cost, reporter.seconds.get(STARTED, 0.0)


def _until(
    rows: Sequence[PlanRow], reporter: ProgressReporter, seconds: float
) -> Iterator[PlanRow]:
    """The rows, until the time since the encoder was there is over."""
    end = None
    for row in rows:
        if end is None and STARTED in reporter.seconds:
            end = time.monotonic() + seconds
        if end is not None and time.monotonic() > end:
            return
        yield row

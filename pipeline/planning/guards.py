"""Refuse a plan that would remove too much."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.errors import PlanRefused
from pipeline.planning.diff import PlanSummary
from pipeline.records import Action


def check_removals(
    summary: PlanSummary,
    max_share: float,
    unlisted: Collection[str] = (),
    unknown: int = 0,
    *,
    allowed: bool = False,
) -> None:
    """Raises PlanRefused where a larger share than `max_share` of what is in the index would go: of
    what the state knows, and of the `unknown` objects that a stopped run brought in beside, of
    which those `unlisted` are no longer there."""
    gone = summary.objects[Action.GONE] + len(unlisted)
    known = sum(summary.objects.values()) - summary.objects[Action.NEW] + unknown
    if not allowed and gone > max_share * known:
        raise PlanRefused(
            f"The plan would remove {gone} of {known} known objects ({gone / known:.0%}); "
            f"state.max_removed_share allows {max_share:.0%}.",
            remedy="Check source.bucket, source.prefix and the filters; if it is meant so, run "
            "with --allow-removals.",
        )

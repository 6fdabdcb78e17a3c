"""Find what stopped runs have committed: it is taken over, not embedded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.errors import PlanRefused
from pipeline.planning.diff import Ending, PlanSummary
from pipeline.records import Action, PlanRow, ShardReceipt, Status
from pipeline.state.objects import CurrentState
from pipeline.state.receipts import open_receipts


class UnfinishedRuns:
    """What stopped runs have committed, as the plan passes by: what is `unlisted` so far, and how
    much of it all the state does not know."""

    def __init__(self, committed: set[str]) -> None:
        self.unlisted = committed
        self._new = 0

    @property
    def unknown(self) -> int:
        return self._new + len(self.unlisted)

    def seen(self, rows: Iterator[PlanRow]) -> Iterator[PlanRow]:
        for row in rows:
            if row.asset_id in self.unlisted:
                self.unlisted.remove(row.asset_id)
                self._new += row.action is Action.NEW
            yield row

    def check(self, summary: PlanSummary) -> None:
        """Raises PlanRefused: when this run has written its state, nobody looks after what stopped
        runs have left, and of what lies behind a listing's end it is not known what to do."""
        if summary.selection.ended_early and self.unlisted:
            raise PlanRefused(
                f"The listing ended early, and {len(self.unlisted)} of the objects that a stopped "
                "run has brought in are not in it.",
                remedy="Run once with a whole listing, without --allow-short-listing.",
            )


def recoverable(
    state: CurrentState,
) -> tuple[dict[str, tuple[str, ShardReceipt]], dict[str, set[Ending]]]:
    """By asset, the generation that an unfinished run committed last, and the receipt it is in; and
    all that became of it in such runs."""
    found = {}
    committed: dict[str, set[Ending]] = {}
    for receipt in open_receipts(state.store, state.sequence):
        for outcome in receipt.outcomes:
            ending = (outcome.generation, outcome.status, outcome.segments)
            committed.setdefault(outcome.asset_id, set()).add(ending)
            # What may pass another time is tried again, not taken over; what was denied, too: the
            # run may have been stopped for it.
            passes = outcome.failure is not None and outcome.failure.retryable
            if not passes and outcome.status is not Status.DENIED:
                found[outcome.asset_id] = (outcome.generation, receipt)
    return found, committed


def is_recovered(
    row: PlanRow,
    candidates: Mapping[str, tuple[str, ShardReceipt]],
    recovered: dict[str, ShardReceipt],
) -> bool:
    """Whether a stopped run has committed this very generation; its receipt is put into
    `recovered`."""
    if row.action not in (Action.NEW, Action.CHANGED):
        return False
    candidate = candidates.get(row.asset_id)
    if candidate is None or candidate[0] != row.generation:
        return False
    recovered[row.asset_id] = candidate[1]
    return True

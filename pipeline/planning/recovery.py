"""Find what stopped runs have committed: it is taken over, not embedded again.

The receipts of stopped runs are read beside the listing, as it goes by: each run committed its
objects in the order of bucket and key, as it had listed them. So nothing of them stays in memory
but a bit an object that is taken over, and the ids of those that are nowhere else.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass

from pipeline.errors import PlanRefused, StateCorrupt
from pipeline.planning.diff import Ending, PlanSummary
from pipeline.records import Action, ObjectOutcome, Place, PlanRow, ShardReceipt, Status
from pipeline.state.objects import CurrentState
from pipeline.state.receipts import ReceiptPlace, places_of_receipts, receipt_at
from pipeline.state.store import Store

NO_ENDINGS: Set[Ending] = frozenset()


@dataclass(frozen=True, slots=True)
class _Committed:
    """An outcome, and where it stands: the number of it in a receipt that has so many."""

    outcome: ObjectOutcome
    object: Place
    receipt: ReceiptPlace
    number: int
    of: int


class StoppedRuns:
    """What runs after the state's have committed. Is asked in the order of bucket and key: first
    for the `endings` of an object, then whether the row of it is `taken_over`; `finish` says that
    no more come. Outcomes that name no bucket are of `bucket`.
    """

    def __init__(
        self,
        state: CurrentState,
        bucket: str = "",
        is_gone: Callable[[str, str], bool] = lambda _bucket, _key: True,
    ) -> None:
        self.objects = 0
        self.unlisted: list[str] = []
        self.kept = 0
        self.taken_objects = 0
        self._taken: dict[ReceiptPlace, bytearray] = {}
        self._new = 0
        self._is_gone = is_gone
        self._groups = _by_place(state, bucket)
        self._next = next(self._groups, None)

    @property
    def unknown(self) -> int:
        """How many objects of them the state does not know."""
        return self._new + len(self.unlisted)

    def endings(self, place: Place) -> Set[Ending]:
        """All that became of the object in such runs."""
        found = self._at(place)
        return NO_ENDINGS if found is None else frozenset(_ending(one.outcome) for one in found)

    def taken_over(self, row: PlanRow) -> bool:
        """Whether a stopped run has committed this very generation, and nobody need embed it."""
        found = self._at(row.object.place)
        if found is None:
            return False
        self._step()
        self._new += row.action is Action.NEW
        if row.action not in (Action.NEW, Action.CHANGED):
            return False
        passed = [one for one in found if _may_be_taken(one.outcome)]
        if not passed or passed[-1].outcome.generation != row.generation:
            return False
        last = passed[-1]
        self._taken.setdefault(last.receipt, bytearray(last.of))[last.number] = 1
        self.taken_objects += 1
        return True

    def finish(self, summary: PlanSummary) -> None:
        """After the last row. Raises PlanRefused: when this run has written its state, nobody looks
        after what stopped runs have left, and of what lies behind a listing's end it is not known
        what to do."""
        while self._next is not None:
            self._pass_unlisted()
        if self.kept:
            raise PlanRefused(
                f"A stopped run has brought in {self.kept} objects that this source says nothing "
                "of, and that may still be there.",
                remedy="Run once with the source of that run, so that it comes to its end.",
            )
        if summary.selection.ended_early and self.unlisted:
            raise PlanRefused(
                f"The listing ended early, and {len(self.unlisted)} of the objects that a stopped "
                "run has brought in are not in it.",
                remedy="Run once with a whole listing, without --allow-short-listing.",
            )

    def taken(self) -> dict[ReceiptPlace, bytes]:
        """Of each receipt of which something is taken over, a byte an outcome: 1 where it is."""
        return {place: bytes(self._taken[place]) for place in sorted(self._taken)}

    def _at(self, place: Place) -> list[_Committed] | None:
        while self._next is not None and self._next[0] < place:
            self._pass_unlisted()
        return self._next[1] if self._next is not None and self._next[0] == place else None

    def _pass_unlisted(self) -> None:
        if self._next is not None:
            if self._is_gone(*self._next[0]):
                self.unlisted.append(self._next[1][0].outcome.asset_id)
            else:
                self.kept += 1
            self._step()

    def _step(self) -> None:
        self.objects += 1
        self._next = next(self._groups, None)


def outcomes_in(receipt: ShardReceipt, taken: bytes | None) -> tuple[ObjectOutcome, ...]:
    """Those that are taken over of a receipt."""
    return tuple(itertools.compress(receipt.outcomes, taken or b""))


def committed_assets(state: CurrentState, before_token: int) -> Iterator[str]:
    """The ids of what stopped runs before that one have committed; of each run that had it."""
    for place in _places(state):
        if place.sequence < before_token:
            yield from (o.asset_id for o in receipt_at(state.store, place.name).outcomes)


def _places(state: CurrentState) -> Iterator[ReceiptPlace]:
    """Of the receipts of runs after the state's, but for event runs with an increment in it."""
    finished = state.in_increments()
    for place in places_of_receipts(state.store, state.sequence):
        if place.sequence not in finished:
            yield place


def _by_place(state: CurrentState, bucket: str) -> Iterator[tuple[Place, list[_Committed]]]:
    """The outcomes of each object, those of the oldest run first."""
    places = _places(state)
    runs = [
        _of_run(state.store, list(some), bucket)
        for _, some in itertools.groupby(places, lambda place: (place.sequence, place.run_id))
    ]
    merged = heapq.merge(*runs, key=lambda one: (one.object, one.receipt.sequence))
    for place, some in itertools.groupby(merged, lambda one: one.object):
        yield place, list(some)


def _of_run(store: Store, places: list[ReceiptPlace], bucket: str) -> Iterator[_Committed]:
    """Raises StateCorrupt where its keys do not follow one another: what comes too late would be
    taken for an object that is no longer listed."""
    before = ("", "")
    for place in places:
        receipt = receipt_at(store, place.name)
        for number, outcome in enumerate(receipt.outcomes):
            of = (outcome.bucket or bucket, outcome.key)
            if of < before:
                raise StateCorrupt(
                    f"The keys of {place.name} do not follow those before it.",
                    remedy=f"Remove {place.name} and run again: its objects are embedded anew.",
                )
            before = of
            yield _Committed(outcome, of, place, number, len(receipt.outcomes))


def _ending(outcome: ObjectOutcome) -> Ending:
    return outcome.generation, outcome.status, outcome.segments


def _may_be_taken(outcome: ObjectOutcome) -> bool:
    """What may pass another time is tried again, not taken over; what was denied, too: the run may
    have been stopped for it."""
    passes = outcome.failure is not None and outcome.failure.retryable
    return not passes and outcome.status is not Status.DENIED

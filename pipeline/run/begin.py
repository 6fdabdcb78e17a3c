"""The beginning of a run under its lease: on which state, and what of its plan event runs have
overtaken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from pipeline.errors import Transient
from pipeline.models.spaces import spaces_of
from pipeline.planning.file import read_plan
from pipeline.planning.plan import RunPlan
from pipeline.records import Action, ObjectOutcome, Place, PlanRow, VectorSpace
from pipeline.settings import Settings
from pipeline.state.lease import LeaseHandle
from pipeline.state.objects import CurrentState, StateRow, read_state
from pipeline.state.receipts import RunFolder
from pipeline.state.run_leases import wait_for_earlier_events
from pipeline.state.store import Store


class StateMoved(Transient):
    """Another run wrote the state between this run's plan and its lease."""

    default_code = "state_moved"


@dataclass(frozen=True, slots=True)
class Run:
    """One run that holds the lease. `state` is what it began with, increments of earlier event
    runs in it. `overtaken` are the rows of objects that such have changed since the plan: the run
    leaves them alone."""

    settings: Settings
    store: Store
    lease: LeaseHandle
    folder: RunFolder
    spaces: tuple[VectorSpace, ...]
    state: CurrentState
    overtaken: Mapping[Place, StateRow]

    @property
    def bucket(self) -> str:
        """Of outcomes that name none."""
        return self.state.bucket or self.settings.source.name

    def not_overtaken(self, outcomes: Iterable[ObjectOutcome]) -> tuple[ObjectOutcome, ...]:
        """Those that this run is to make true."""
        return tuple(o for o in outcomes if (o.bucket or self.bucket, o.key) not in self.overtaken)

    def gone(self, planned: RunPlan) -> Iterator[PlanRow]:
        """What it is to take out of the index and the state, in the order of bucket and key."""
        for row in read_plan(planned.path):
            if row.action is Action.GONE and row.object.place not in self.overtaken:
                yield row


def start(settings: Settings, planned: RunPlan, lease: LeaseHandle) -> Run:
    """Begin to write, once no event run with a lower token is at work. The state must still be the
    one that was planned against, but for what event runs have added to it. Raises StateMoved."""
    token = lease.fencing_token
    wait_for_earlier_events(planned.state.store, token)
    now = read_state(planned.state.store)
    if now.base != planned.state.base:
        raise StateMoved(
            "Another run wrote the state while this one was planning.", remedy="Run again."
        )
    earlier = tuple(one for one in now.increments if one.sequence < token)
    state, seen = replace(now, increments=earlier), planned.state.in_increments()
    rows = iter(()) if earlier == planned.state.increments else state.increment_rows()
    overtaken = {row.place: row for row in rows if row.sequence not in seen}
    return began(settings, planned, lease, state, overtaken)


def began(
    settings: Settings,
    planned: RunPlan,
    lease: LeaseHandle,
    state: CurrentState,
    overtaken: Mapping[Place, StateRow],
) -> Run:
    """The run, with its plan in the store; from then on it is found, should it be stopped."""
    store, folder = planned.state.store, RunFolder(lease.fencing_token, lease.run_id)
    store.put_file(folder.plan, planned.path)
    return Run(settings, store, lease, folder, spaces_of(planned.cards), state, overtaken)

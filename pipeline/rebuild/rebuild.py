"""A rebuild, step by step: begin -> copy -> lease -> catch up -> gate -> flip.

The copy needs no lease: runs go on meanwhile, and write to the collection that the alias shows.
Under the lease, at the end, comes over what they changed; then the alias flips in one operation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from pipeline.errors import LeaseHeld, Transient
from pipeline.index.collections import Collections
from pipeline.rebuild.copy import CopyProgress, fill, take_out_extras
from pipeline.rebuild.gate import (
    Recall,
    check_complete,
    check_nothing_lost,
    check_recall,
    check_vectors,
    measure_recall,
    sample_vectors,
)
from pipeline.rebuild.live_set import live_plan
from pipeline.rebuild.prepare import (
    OnRebuild,
    Rebuild,
    RebuildOptions,
    begin,
    check_same_shape,
    shape_of,
)
from pipeline.rebuild.record import (
    Phase,
    keep_record,
    receipts_of,
    reread,
)
from pipeline.settings import Settings
from pipeline.state.lease import LeaseHandle
from pipeline.state.objects import read_state
from pipeline.state.run_leases import hold_both_leases

LEASE_EVERY_S = 2.0


class RebuildOvertaken(Transient):
    """Another rebuild of the same alias was faster."""

    default_code = "rebuild_overtaken"


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """What a rebuild did."""

    alias: str
    place: str
    shows: str
    previous: str | None
    assets: int
    segments: int
    left_out: int
    points_loaded: int
    went_on: bool
    recalls: tuple[Recall, ...]
    searched_exactly: bool
    seconds: float


def rebuild(
    settings: Settings,
    options: RebuildOptions,
    collections: Collections,
    on_progress: OnRebuild = lambda _: None,
) -> RebuildResult:
    """All of it. Raises GateRefused, LeaseHeld, IndexUnavailable, IndexMismatch, StateCorrupt,
    SettingsError; whatever stops it, the alias shows what it did, and the next one goes on."""
    started = time.perf_counter()
    work = begin(settings, options, collections, on_progress)
    copy(work)
    recalls, previous = finish(work)
    return RebuildResult(
        work.record.alias,
        work.record.place,
        work.record.target,
        previous,
        work.plan.assets,
        work.plan.segments,
        work.plan.left_out,
        work.points,
        work.went_on,
        recalls,
        collections.connection.local,
        round(time.perf_counter() - started, 3),
    )


def copy(work: Rebuild) -> None:
    """Load what is not in yet, then build the graph. Needs no lease, may be stopped anywhere."""
    work.say("copying")
    _fill(work)
    work.collections.build_graph(work.record.target)
    _wait_built(work)


def finish(work: Rebuild) -> tuple[tuple[Recall, ...], str | None]:
    """Under the lease: bring over what changed meanwhile, pass the gate, flip. The recalls, and
    what the alias showed before."""
    options, record = work.options, work.record
    with _lease(work) as own:
        if reread(work.store, record).phase is not Phase.COPYING:
            raise RebuildOvertaken(
                f"Another rebuild has finished {record.target!r} in the meantime.",
                remedy="Nothing is left to do; or run it again for another collection.",
            )
        now = work.collections.behind(record.alias)
        if now == record.target:  # it was killed after the flip, before it wrote that down
            work.record = keep_record(work.store, replace(record, phase=Phase.SHOWN))
            return (), record.previous
        state = read_state(work.store)
        if state.version != work.plan.state.version:
            work.say("bringing over what runs have changed")
            work.plan = live_plan(work.store, state)
            check_same_shape(record, shape_of(work.settings.index, work.plan))
            _fill(work)
        take_out_extras(work.target, work.plan)
        check_complete(work.target, work.plan)
        same_spaces = True if now is None else _check_for_readers(work, now)
        if now is not None and same_spaces:  # the same vectors: what was measured of them holds
            work.target.keep_metadata(work.index(now).metadata())
        _wait_built(work)
        work.say("measuring recall")
        asked = sample_vectors(work.store, work.plan, options.queries, record.number)
        recalls = measure_recall(work.target, asked)
        check_recall(recalls, options.min_recall)
        ready = replace(
            record,
            previous=now,
            state_sequence=state.newest,
            same_spaces=same_spaces,
            recall=min((recall.share for recall in recalls), default=None),
        )
        keep_record(work.store, ready)
        own.confirm()
        work.collections.show(record.alias, record.target)
        work.record = keep_record(work.store, replace(ready, phase=Phase.SHOWN))
    return recalls, now


def _fill(work: Rebuild) -> None:
    def seen(copied: CopyProgress) -> None:
        work.copied = copied
        work.say("copying")

    record = work.record
    done = receipts_of(work.store, record)
    loaded = fill(
        work.target,
        work.store,
        work.plan,
        receipt_name=record.file_receipt,
        done=done,
        on_copied=seen,
    )
    work.points += loaded.points


def _wait_built(work: Rebuild) -> None:
    work.collections.wait_built(
        work.record.target, lambda seen: work.say("building the graph", str(seen))
    )


def _check_for_readers(work: Rebuild, shown: str) -> bool:
    """That who reads by the alias now will go on finding what there is. Whether the collection
    that it shows holds the same vectors as the new one."""
    index = work.settings.index
    if not work.options.allow_missing:
        check_nothing_lost(work.index(shown), work.target)
    if work.options.new_vectors:
        return False
    return check_vectors(work.collections, index, shown, work.plan)


@contextmanager
def _lease(work: Rebuild) -> Iterator[LeaseHandle]:
    """Wait for a run that is at work as long as was asked for. Raises LeaseHeld."""
    until = time.monotonic() + work.options.wait_s
    after = work.plan.state.newest
    name = f"rebuild-{work.record.target}"
    with ExitStack() as stack:
        while True:
            try:
                lease = hold_both_leases(work.store, work.settings.state, name, after_token=after)
                own = stack.enter_context(lease)
                break
            except LeaseHeld as error:
                if time.monotonic() >= until:
                    raise LeaseHeld(
                        error.message,
                        remedy="All is copied but what that run changes. Run `sensedex rebuild` "
                        "again when it has ended, or with --wait SECONDS.",
                    ) from error
                work.say("waiting for a run to end")
                time.sleep(LEASE_EVERY_S)
        yield own

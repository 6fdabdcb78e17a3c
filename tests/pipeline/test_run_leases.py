"""The leases of whole runs and of event runs: side by side, and no token twice."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import LeaseHeld
from pipeline.settings import StateSettings
from pipeline.state import run_leases
from pipeline.state.lease import EVENTS_LEASE, LEASE, hold_lease, read_lease
from pipeline.state.run_leases import (
    hold_both_leases,
    hold_events_lease,
    hold_run_lease,
    wait_for_earlier_events,
)
from pipeline.state.store import FolderStore

SETTINGS = StateSettings()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def test_both_are_held_at_once_and_the_later_has_the_higher_token(store: FolderStore) -> None:
    tokens = []
    for _ in range(2):
        with hold_run_lease(store, SETTINGS, "whole") as whole:
            tokens.append(whole.fencing_token)
            for _ in range(2):
                with hold_events_lease(store, SETTINGS, "events") as events:
                    tokens.append(events.fencing_token)
                    whole.confirm()
                    events.confirm()
                    with (
                        pytest.raises(LeaseHeld, match="events"),
                        hold_events_lease(store, SETTINGS, "other"),
                    ):
                        pass
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("first", [hold_run_lease, hold_events_lease])
def test_two_that_take_the_same_token_at_once_end_with_two(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, first: Any
) -> None:
    """Between the reading of the other's lease and the taking of its own, the other takes its."""
    other = EVENTS_LEASE if first is hold_run_lease else LEASE
    real, met = run_leases.hold_lease, []

    def hold(*args: Any, **more: Any) -> Any:
        if not met:
            met.append(stack.enter_context(real(store, SETTINGS, "other", file=other)))
        return real(*args, **more)

    with ExitStack() as stack:
        monkeypatch.setattr(run_leases, "hold_lease", hold)
        with first(store, SETTINGS, "first") as lease:
            assert lease.fencing_token > met[0].fencing_token


def test_a_whole_run_waits_for_event_runs_that_began_before_it(store: FolderStore) -> None:
    events = hold_events_lease(store, SETTINGS, "events")
    token = events.__enter__().fencing_token
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            events.__exit__(None, None, None)

    wait_for_earlier_events(store, token + 1, wait)
    assert len(waits) == 3
    with hold_events_lease(store, SETTINGS, "later", after_token=token + 1):
        wait_for_earlier_events(store, token + 1, wait)  # it has a higher one
    assert len(waits) == 3


def test_who_needs_both_keeps_both_out(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    events = hold_events_lease(store, SETTINGS, "events")
    events.__enter__()
    monkeypatch.setattr(run_leases.time, "sleep", lambda _: events.__exit__(None, None, None))
    with hold_both_leases(store, SETTINGS, "repair") as lease:
        lease.confirm()
        for hold in (hold_run_lease, hold_events_lease):
            with pytest.raises(LeaseHeld, match="repair"), hold(store, SETTINGS, "other"):
                pass
    with hold_lease(store, SETTINGS, "next"), hold_events_lease(store, SETTINGS, "next-events"):
        pass
    assert read_lease(store, EVENTS_LEASE) is not None

"""A run whose concurrency slot Prefect's server has forgotten, as it does in a restart."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from prefect._internal.concurrency.cancellation import CancelledError
from prefect.concurrency import _leases

from flows.slots import RENEW, run_outlives_its_slot

LEASE_S = 1.0  # renewed at three quarters of it


def test_prefect_still_has_the_function_that_is_replaced() -> None:
    assert callable(getattr(_leases, RENEW))


@pytest.mark.usefixtures("prefect_running")
def test_prefect_stops_a_run_that_lost_its_slot() -> None:
    """What this is for; where it fails, Prefect has mended it, and flows/slots.py may go."""
    with pytest.raises(CancelledError):
        _run_for(20)


@pytest.mark.usefixtures("prefect_running")
def test_ours_goes_on_and_says_it_once() -> None:
    said: list[str] = []
    with run_outlives_its_slot(said.append):
        _run_for(4)
    assert len(said) == 1
    assert "under its own lease" in said[0]
    assert getattr(_leases, RENEW).__module__ == _leases.__name__


def _run_for(seconds: float) -> None:
    """As Prefect's engine does around a flow: here with a lease that the server never lent."""
    with _leases.maintain_concurrency_lease(uuid4(), LEASE_S, raise_on_lease_renewal_failure=True):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.05)

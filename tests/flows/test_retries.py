"""Which scheduled runs are tried again."""

from __future__ import annotations

import pytest

from flows.retries import DELAYS_S, tried_again
from pipeline.embed.ray_session import RayDied
from pipeline.errors import BucketNotFound, IndexUnavailable, LeaseHeld, SensedexError
from pipeline.settings import StateSettings
from pipeline.state.lease import LeaseLost


class Runs:
    """Fails with these errors, one a call, and then is done."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.calls = 0
        self.waited: list[float] = []
        self.said: list[str] = []

    def run(self) -> str:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"

    def tried_again(self) -> str:
        return tried_again(self.run, self.said.append, wait=self.waited.append)


def test_what_may_pass_is_tried_again() -> None:
    runs = Runs(LeaseHeld("Run x writes."), IndexUnavailable("Qdrant is away."))
    assert runs.tried_again() == "done"
    assert runs.waited == list(DELAYS_S)
    assert runs.said[0] == "Run x writes. Trying again in 30 s (1 of 2)."


def test_the_last_error_is_what_ends_it() -> None:
    runs = Runs(*(LeaseHeld(f"{number}") for number in range(5)))
    with pytest.raises(LeaseHeld, match="2"):
        runs.tried_again()
    assert runs.calls == 3


@pytest.mark.parametrize("error", [BucketNotFound("x"), LeaseLost("x"), RayDied("x"), KeyError()])
def test_what_cannot_pass_in_this_process_is_not(error: SensedexError | KeyError) -> None:
    runs = Runs(error)
    with pytest.raises(type(error)):
        runs.tried_again()
    assert runs.calls == 1


def test_the_lease_of_a_dead_machine_is_free_by_the_last_try() -> None:
    assert sum(DELAYS_S) > StateSettings().lease_ttl_s

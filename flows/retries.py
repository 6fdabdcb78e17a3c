"""Try a scheduled run again, where the class of what stopped it says that this can help."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.embed.ray_session import RayDied
from pipeline.errors import Transient

T = TypeVar("T")
# Beyond the retries of single steps. The second is longer than a lease (state.lease_ttl_s) that
# nobody renews: what a dead machine held is free by then.
DELAYS_S = (30.0, 150.0)


def tried_again(
    run: Callable[[], T],
    say: Callable[[str], None],
    *,
    delays_s: Sequence[float] = DELAYS_S,
    wait: Callable[[float], None] = time.sleep,
) -> T:
    """What `run` returns. What is committed is kept, so each try goes on from the last.

    Raises what the last try raised. Ray can be started once a process: a run whose session died
    ends, and the next one has a new process.
    """
    for number, delay_s in enumerate(delays_s, start=1):
        try:
            return run()
        except RayDied:
            raise
        except Transient as error:
            if not error.retryable:
                raise
            say(f"{error} Trying again in {delay_s:.0f} s ({number} of {len(delays_s)}).")
            wait(delay_s)
    return run()

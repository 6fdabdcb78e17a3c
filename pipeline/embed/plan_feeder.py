"""One actor of Ray's that hands the planned objects of a run to its decoders, some at a time.

It reads the plan that the run has stored, on the driver's node: what is lost with that is the run
itself. Import it as late as Ray (`pipeline.embed.ray_start` says why).
"""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa
import ray

from pipeline.embed.cluster import own_node, pinned_to
from pipeline.embed.job import EmbedJob
from pipeline.lazy_pandas import make_arrays_without_pandas
from pipeline.planning.file import PlanFile


class PlanFeeder:
    """For the driver, which starts the actor; `handle` is what decoders ask, by `rows_for`."""

    def __init__(self, job: EmbedJob) -> None:
        feeder: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Feeder)
        self.handle: Any = feeder.options(scheduling_strategy=pinned_to(own_node())).remote(job)


def rows_for(feeder: Any, first: int, count: int) -> pa.Table:
    """Rows of the plan, in the columns of `planning.file.plan_table`."""
    return cast("pa.Table", ray.get(feeder.rows.remote(first, count)))


class _Feeder:
    def __init__(self, job: EmbedJob) -> None:
        make_arrays_without_pandas()
        # Nobody tells the actor before it ends: a copy must not lie about after it.
        with job.open_store().local_copy(job.run.plan) as path:
            self._plan = PlanFile(path)

    def rows(self, first: int, count: int) -> pa.Table:
        return self._plan.rows(first, count)

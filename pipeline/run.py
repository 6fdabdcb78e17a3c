"""One run, step by step, in the order of the protocol (docs/architecture.md).

    lease -> plan -> embed (data, receipts) -> load (upsert, count, flip, sweep) -> retire -> state

Each step is a function that a plain script can call; `flows.index` calls them as Prefect tasks.
Killed between any two, the next run finds what is committed and goes on from there.
"""

from __future__ import annotations

import heapq
import itertools
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from encoders.card import EncoderCard
from encoders.catalogue import card_for
from encoders.modality import Modality
from pipeline import s3
from pipeline.errors import StateCorrupt
from pipeline.ids import Recipe
from pipeline.lease import Lease, still_held
from pipeline.listing import SelectionCounts, select
from pipeline.load import LoadReceipt, load_shard, retire
from pipeline.parquet import read_segments
from pipeline.plan import (
    PlanSummary,
    RetryPolicy,
    check_removals,
    cut_into_shards,
    plan_rows,
    read_plan,
    summarize,
    write_plan,
)
from pipeline.qdrant import VectorIndex
from pipeline.receipts import RunFolder, commit_load, open_receipts, read_loads
from pipeline.records import Action, ObjectOutcome, PlanRow, ShardReceipt, Status, VectorSpace
from pipeline.report import RunReport, StageTime, Tally
from pipeline.settings import Settings
from pipeline.state import commit_state, merge_state, read_state
from pipeline.store import Store, open_store

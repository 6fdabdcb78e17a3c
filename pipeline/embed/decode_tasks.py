"""Cuts a plan into the tasks of a graph's decoders: which rows of the plan's file each has.

The graph is given these ranges, not the rows: of 10^7 objects the rows would be some gigabytes in
Ray's object store before the first is decoded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.planning.file import read_sizes

# Small objects go to a decoder many at a time, large ones alone: no worker is left with all.
OBJECTS_PER_TASK = 16
BYTES_PER_TASK = 32 * 2**20
# Of a large plan, more: for each task Ray keeps some kilobytes in the driver until the end. What a
# decoder loses with its node is one of them, at most.
MOST_OBJECTS_PER_TASK = 2048
MOST_BYTES_PER_TASK = 2**30
TASKS_PER_DECODER = 32


@dataclass(frozen=True, slots=True)
class DecodeTask:
    """`count` rows of the plan's file, from row `first`; those that are in no shard are skipped."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class TaskSize:
    """Of a task, at most; a larger object is a task by itself."""

    objects: int
    size_bytes: int


def task_size(objects: int, size_bytes: int, decoders: int) -> TaskSize:
    """Such that each decoder gets some dozens of tasks, and the plan is not cut into too many."""
    tasks = decoders * TASKS_PER_DECODER
    return TaskSize(
        min(max(objects // tasks, OBJECTS_PER_TASK), MOST_OBJECTS_PER_TASK),
        min(max(size_bytes // tasks, BYTES_PER_TASK), MOST_BYTES_PER_TASK),
    )


def size_of_plan(path: Path, shards: Collection[int]) -> tuple[int, int]:
    """(objects, bytes) of these shards."""
    objects = size_bytes = 0
    wanted = np.fromiter(shards, np.int32)
    for numbers, sizes in read_sizes(path):
        chosen = np.isin(numbers, wanted)
        objects += int(chosen.sum())
        size_bytes += int(sizes[chosen].sum())
    return objects, size_bytes


def decode_tasks(path: Path, shards: Collection[int], most: TaskSize) -> Iterator[DecodeTask]:
    """The rows of these shards in their order, each in one task. Raises StateCorrupt."""
    wanted = np.fromiter(shards, np.int32)
    first = row = objects = size = 0
    for numbers, sizes in read_sizes(path):
        chosen = np.isin(numbers, wanted)
        others = ~chosen & (numbers >= 0)
        for mine, another, bytes_of in zip(
            chosen.tolist(), others.tolist(), sizes.tolist(), strict=True
        ):
            full = objects >= most.objects or (mine and size + bytes_of > most.size_bytes)
            if objects and (another or full):
                yield DecodeTask(first, row - first)
                objects = size = 0
            if mine:
                if not objects:
                    first = row
                objects += 1
                size += bytes_of
            row += 1
    if objects:
        yield DecodeTask(first, row - first)

"""Memory, disk and nodes that a collection needs, by formula. Pure.

The constants are bytes that a real server (1.19.0) takes; `tests/bench/size.py` sets them
beside one, and docs/operations.md says what each is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

PAYLOAD_BYTES = 900.0
PAYLOAD_INDEX_BYTES = 700.0
GRAPH_BYTES_PER_LINK = 8.75  # of hnsw_m, for one vector: 140 for 16
ID_BYTES = 60.0
# Of a collection, whatever its points: buffers, its parts' own files in memory.
COLLECTION_BYTES = 160e6
# A segment of the collection lies on disk twice while its graph is built anew.
DISK_FREE_SHARE = 1 / 3
# Searches, requests on their way, and what the system needs.
MEMORY_FREE_SHARE = 0.2
GB = 1e9


class Quantization(StrEnum):
    """As `index.quantization`."""

    NONE = "none"
    INT8 = "int8"
    TURBO = "turbo"
    PRODUCT = "product"
    BINARY = "binary"


QUANTIZED_BYTES_PER_VALUE = {
    Quantization.NONE: 0.0,
    Quantization.INT8: 1.0,
    Quantization.TURBO: 0.5,
    Quantization.PRODUCT: 0.25,  # x16 of float32
    Quantization.BINARY: 0.125,
}


@dataclass(frozen=True, slots=True)
class Collection:
    """What it holds: `values_per_point` is the sum of the dimensions of a point's vectors."""

    points: float
    values_per_point: int
    vectors_per_point: int = 2
    datatype: Literal["float32", "float16"] = "float32"
    quantization: Quantization = Quantization.NONE
    on_disk: bool = False
    on_disk_payload_indexes: bool = False
    hnsw_m: int = 16
    replicas: int = 1

    def __post_init__(self) -> None:
        if self.points <= 0 or self.values_per_point <= 0 or self.vectors_per_point <= 0:
            raise ValueError("a collection needs points, and points vectors")
        if self.replicas < 1:
            raise ValueError("there is one copy at least")
        if self.on_disk and self.quantization is Quantization.NONE and self.points > 10**7:
            raise ValueError(
                "vectors on disk without quantization are read for every candidate: at so many "
                "points no search ends in time"
            )

    @property
    def vector_bytes(self) -> float:
        """Of a point, in full."""
        return self.values_per_point * (4.0 if self.datatype == "float32" else 2.0)

    @property
    def quantized_bytes(self) -> float:
        return self.values_per_point * QUANTIZED_BYTES_PER_VALUE[self.quantization]

    @property
    def graph_bytes(self) -> float:
        return self.vectors_per_point * self.hnsw_m * GRAPH_BYTES_PER_LINK


def memory_bytes(one: Collection) -> float:
    """What should be in memory, all copies together: graph, ids, the payload's indexes, and the
    vectors that every search reads."""
    read = one.quantized_bytes if one.quantization is not Quantization.NONE else one.vector_bytes
    if one.quantization is not Quantization.NONE and not one.on_disk:
        read += one.vector_bytes
    indexes = 0.0 if one.on_disk_payload_indexes else PAYLOAD_INDEX_BYTES
    of_points = one.points * (read + one.graph_bytes + indexes + ID_BYTES)
    return one.replicas * (of_points + COLLECTION_BYTES)


def stored_bytes(one: Collection) -> float:
    """What lies on disk, all copies together, without what is to be left free."""
    kept = one.vector_bytes + one.quantized_bytes + one.graph_bytes + PAYLOAD_BYTES
    return one.points * one.replicas * (kept + PAYLOAD_INDEX_BYTES + ID_BYTES)


@dataclass(frozen=True, slots=True)
class Size:
    """All copies together, with what is to be left free; nodes of so much memory and disk each."""

    memory_gb: float
    disk_gb: float
    nodes: int
    shards: int


def size(one: Collection, node_memory_gb: float, node_disk_gb: float) -> Size:
    """How many nodes hold it: each copy of a shard is on another one. Two shards for each node that
    there may ever be, and not more than one for a million points.

    Raises ValueError for a node of nothing.
    """
    if node_memory_gb <= 0 or node_disk_gb <= 0:
        raise ValueError("a node needs memory and a disk")
    memory_gb = memory_bytes(one) / (1 - MEMORY_FREE_SHARE) / GB
    disk_gb = stored_bytes(one) / (1 - DISK_FREE_SHARE) / GB
    nodes = max(
        math.ceil(memory_gb / node_memory_gb), math.ceil(disk_gb / node_disk_gb), one.replicas
    )
    shards = max(1, min(2 * nodes, int(one.points // 10**6)))
    return Size(memory_gb, disk_gb, nodes, shards)

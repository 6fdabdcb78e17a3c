"""Nodes, hours and money of a first run, by formula: the table of docs/scale.md.

    python -m tests.bench.scale_costs

Nothing is measured here. `MEASURED` has what other benchmarks measured and docs/performance.md
states; `ASSUMED` is anybody's to change: what a GPU does has not been measured, and prices are
those that somebody wrote down on the day that is named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PRICES_OF = "2026-11-28"

MEASURED: Mapping[str, tuple[float, str]] = {
    "picture_cpu_s": (0.0077, "CPU-s a picture of 640x480: 5.6 ms in the sandbox, 2.1 ms its GET"),
    "media_cpu_s": (0.087, "CPU-s a second of 1080p H.264, exact sampling"),
    "client_cpu_s": (0.000113, "CPU-s of ours a point that is loaded, gRPC"),
    "server_cpu_s": (0.000263, "CPU-s of Qdrant a point that is written, without its graph"),
    "graph_cpu_s": (0.000975, "CPU-s of Qdrant a point whose graph is built"),
    "writer_cpu_s": (1 / 5600, "CPU-s of a writer a window"),
    "driver_cpu_s": (0.00018, "CPU-s of the driver an object, by simulation"),
    "receipt_bytes": (418.0, "bytes of receipts an object"),
}
ASSUMED: Mapping[str, tuple[float, str]] = {
    "gpu_tflops": (121.0, "bf16 TFLOP/s of the GPU's data sheet"),
    "gpu_share": (0.4, "of that, reached"),
    "window_tflop": (0.35, "TFLOP a window of ImageBind-huge's vision tower"),
    "node_cores": (16, "cores of a node beside its GPU"),
    "node_price": (1.30, "USD an hour of such a node"),
    "qdrant_cores": (8, "cores of a Qdrant node"),
    "qdrant_price": (0.50, "USD an hour of such a node"),
    "get_price": (0.0000004, "USD a GET"),
    "put_price": (0.000005, "USD a PUT or a page of a listing"),
    "within_h": (12.0, "hours that the run may take"),
}
WINDOW_S = 2.0
PUTS_A_SHARD = 3
SHARD_OBJECTS = 256


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be indexed: objects, each of so many windows, and the CPU that they take."""

    name: str
    objects: float
    windows: float
    decode_cpu_s: float
    qdrant_nodes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """`binds` is what the hours are made of."""

    work: Work
    nodes: int
    hours: float
    binds: str
    usd_nodes: float
    usd_qdrant: float
    usd_requests: float

    @property
    def usd(self) -> float:
        return self.usd_nodes + self.usd_qdrant + self.usd_requests


def value(name: str) -> float:
    return {**MEASURED, **ASSUMED}[name][0]


def pictures(objects: float, qdrant_nodes: int) -> Work:
    cpu_s = objects * value("picture_cpu_s")
    return Work(f"{objects:,.0f} pictures", objects, objects, cpu_s, qdrant_nodes)


def video(hours: float, qdrant_nodes: int) -> Work:
    seconds = hours * 3600
    cpu_s = seconds * value("media_cpu_s")
    return Work(f"{hours:,.0f} hours of 1080p", hours, seconds / WINDOW_S, cpu_s, qdrant_nodes)


WORKS = (pictures(1e6, 1), pictures(1e7, 3), pictures(1e8, 6), video(1e4, 3))


def cost(work: Work) -> Cost:
    """The fewest nodes by which it is done within the hours that it may take, as far as nodes help:
    Qdrant's nodes are given, and the driver is one."""
    gpu_s = work.windows * value("window_tflop") / (value("gpu_tflops") * value("gpu_share"))
    cpu_s = work.decode_cpu_s + work.windows * value("client_cpu_s")
    of_a_node = {"GPUs": gpu_s, "decoding": cpu_s / value("node_cores")}
    binding = max(of_a_node, key=of_a_node.__getitem__)
    server_cpu_s = work.windows * (value("server_cpu_s") + value("graph_cpu_s"))
    fixed = {
        "Qdrant": server_cpu_s / (work.qdrant_nodes * value("qdrant_cores")),
        "the driver": work.objects * value("driver_cpu_s"),
    }
    nodes = max(1, math.ceil(of_a_node[binding] / (value("within_h") * 3600)))
    seconds = {binding: of_a_node[binding] / nodes, **fixed}
    binds = max(seconds, key=seconds.__getitem__)
    hours = seconds[binds] / 3600
    shards = work.objects / SHARD_OBJECTS
    puts = shards * PUTS_A_SHARD + work.objects / 1000
    return Cost(
        work,
        nodes,
        hours,
        binds,
        nodes * hours * value("node_price"),
        work.qdrant_nodes * hours * value("qdrant_price"),
        work.objects * value("get_price") + puts * value("put_price"),
    )


def table(costs: Sequence[Cost]) -> str:
    lines = [
        "| | windows | nodes | hours | what binds | Qdrant nodes | USD: nodes | Qdrant | requests "
        "| together |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in costs:
        lines.append(
            f"| {one.work.name} | {one.work.windows:,.0f} | {one.nodes} | {one.hours:.1f} | "
            f"{one.binds} | {one.work.qdrant_nodes} | {one.usd_nodes:,.0f} | "
            f"{one.usd_qdrant:,.0f} | {one.usd_requests:,.0f} | {one.usd:,.0f} |"
        )
    return "\n".join(lines)


def inputs(given: Mapping[str, tuple[float, str]]) -> str:
    lines = ["| input | value | |", "| --- | ---: | --- |"]
    lines += [f"| `{name}` | {amount:.7g} | {what} |" for name, (amount, what) in given.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"{inputs(MEASURED)}\n\n{inputs(ASSUMED)}\n\n{table([cost(work) for work in WORKS])}")

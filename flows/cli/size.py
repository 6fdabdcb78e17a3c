"""`sensedex size`: memory, disk and nodes that a collection of so many points needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table

from flows.cli import options as o
from flows.cli.json_output import print_json
from pipeline.estimate.compare import figure
from pipeline.index.size import Collection, Quantization, Size, size

WINDOW_S = 2.0
FLOAT_BYTES = 4
out = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Layout:
    """A way to keep the vectors, and what it is called in `[index]`."""

    datatype: str
    quantization: Quantization
    on_disk: bool

    @property
    def words(self) -> str:
        if self.quantization is Quantization.NONE:
            return f"{self.datatype}, in memory"
        return f"{self.quantization}, and {self.datatype} on disk"


LAYOUTS = (
    Layout("float32", Quantization.NONE, False),
    Layout("float16", Quantization.NONE, False),
    Layout("float32", Quantization.INT8, True),
    Layout("float16", Quantization.INT8, True),
    Layout("float16", Quantization.TURBO, True),
)


def size_command(
    points: Annotated[float, typer.Option("--points", help="Segments, as in 1e8.", min=1)],
    dimension: Annotated[
        int, typer.Option("--dimension", help="Numbers of a vector.", min=1)
    ] = 1024,
    vectors: Annotated[
        int, typer.Option("--vectors", help="Vectors of a segment: picture and sound are 2.", min=1)
    ] = 2,
    replicas: Annotated[int, typer.Option("--replicas", help="Copies of each shard.", min=1)] = 1,
    node_memory_gb: Annotated[
        float, typer.Option("--node-memory-gb", help="Memory of a Qdrant node.", min=1)
    ] = 64,
    node_disk_gb: Annotated[
        float, typer.Option("--node-disk-gb", help="Disk of a Qdrant node.", min=1)
    ] = 1000,
    as_json: o.Json = False,
) -> None:
    """Say what memory, disk and nodes a collection needs, by ways to keep its vectors."""
    sizes: list[tuple[Layout, Size]] = []
    for layout in LAYOUTS:
        collection = Collection(
            points,
            dimension * vectors,
            vectors,
            "float16" if layout.datatype == "float16" else "float32",
            layout.quantization,
            layout.on_disk,
            replicas=replicas,
        )
        sizes.append((layout, size(collection, node_memory_gb, node_disk_gb)))
    facts: dict[str, Any] = {
        "points": points,
        "hours_of_video": points * WINDOW_S / 3600,
        "parquet_gb": points * dimension * vectors * FLOAT_BYTES / 1e9,
        "layouts": [{**asdict(layout), **asdict(found)} for layout, found in sizes],
    }
    if as_json:
        print_json(facts)
    else:
        out.print(_shown(facts, sizes, node_memory_gb, node_disk_gb))


def _shown(
    facts: dict[str, Any],
    sizes: list[tuple[Layout, Size]],
    node_memory_gb: float,
    node_disk_gb: float,
) -> RenderableType:
    table = Table("vectors", "memory GB", "disk GB", "nodes", "shards", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for layout, found in sizes:
        table.add_row(
            layout.words,
            figure(found.memory_gb),
            figure(found.disk_gb),
            str(found.nodes),
            str(found.shards),
        )
    return Group(
        f"{facts['points']:,.0f} segments: {figure(facts['hours_of_video'])} hours of video in "
        f"windows of 2 s, or as many pictures; {figure(facts['parquet_gb'])} GB of Parquet.",
        "",
        table,
        "",
        f"[dim]Nodes of {node_memory_gb:,.0f} GB and a disk of {node_disk_gb:,.0f} GB. All copies "
        "together; a fifth of the memory and a third of the disk are left free. "
        "Whether a quantization finds enough, `sensedex rebuild` measures before it is used "
        "(docs/operations.md).[/dim]",
    )

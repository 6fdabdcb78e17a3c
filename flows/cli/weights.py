"""`sensedex weights`: fetch a checkpoint when asked to, and write it as safetensors."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from encoders.errors import WeightsError
from flows.cli import options as o
from flows.cli.json_output import print_json
from pipeline.local_files import writing_to

app = typer.Typer(help="Checkpoints: fetch one, or convert one.", no_args_is_help=True)
out = Console(highlight=False)


class Dtype(StrEnum):
    """How a converted checkpoint's numbers are kept."""

    FLOAT32 = "float32"
    BF16 = "bf16"


@app.command()
@o.with_settings
def get(
    options: o.Options,
    address: Annotated[str, typer.Argument(help="s3://bucket/key or https://...")],
    sha256: Annotated[str, typer.Option(help="Digest that it must have, 64 hex digits.")],
    as_json: o.Json = False,
) -> None:
    """Fetch weights into the cache, check their digest, and print their path."""
    from pipeline.models.weights import fetch_weights

    settings = options.settings()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(address, total=None)
        path = fetch_weights(
            address,
            sha256,
            settings.source,
            lambda done, total: progress.update(task, completed=done, total=total or None),
        )
    if as_json:
        print_json({"path": str(path), "sha256": sha256})
    else:
        out.print(str(path), soft_wrap=True)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A .pth, .pth.tar or .safetensors")],
    target: Annotated[Path, typer.Argument(help="The .safetensors to write; must not exist.")],
    dtype: Annotated[Dtype, typer.Option(help="bf16 halves the file.")] = Dtype.FLOAT32,
    as_json: o.Json = False,
) -> None:
    """Write a checkpoint as safetensors, which nothing can hide code in."""
    if target.suffix != ".safetensors" or target.exists():
        problem = "exists already" if target.exists() else "does not end in .safetensors"
        raise WeightsError(f"{target} {problem}.", remedy="Name another file to write.")
    import torch

    from encoders.digest import file_digest
    from encoders.weights import read_state_dict, to_safetensors

    state = read_state_dict(source)
    with writing_to(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        to_safetensors(state, target, torch.bfloat16 if dtype is Dtype.BF16 else torch.float32)
    facts = {
        "path": str(target),
        "tensors": len(state),
        "parameters": sum(tensor.numel() for tensor in state.values()),
        "bytes": target.stat().st_size,
        "digest": file_digest(target),
    }
    if as_json:
        print_json(facts)
        return
    out.print(
        f"{target}: {facts['tensors']} tensors, {facts['parameters']:,} parameters, "
        f"{int(str(facts['bytes'])) / 1e6:,.1f} MB, {facts['digest']}",
        soft_wrap=True,
    )

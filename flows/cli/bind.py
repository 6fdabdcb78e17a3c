"""`sensedex bind`: train a modality or a domain onto an ImageBind encoder, by pairs of pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from encoders.modality import Modality
from flows.cli import options as o
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.settings_embedding import DecodeSettings

out = Console(highlight=False)
# The mean cosine between different things at which a network says the same of everything.
COLLAPSED = 0.98
LEARNED_BY = 3  # epochs: untrained networks do so, too


def bind(
    pairs: Annotated[Path, typer.Option(help="CSV or Parquet: image, and text, audio, ...")],
    target: Annotated[Path, typer.Option("--out", help="The .safetensors to write.")],
    start: Annotated[str, typer.Option("--from", help="Encoder to begin with.")] = "sensedex-mini",
    weights: o.Weights = None,
    modality: Annotated[
        list[Modality] | None,
        typer.Option(help="Those to bind; all of the table's by default."),
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="Pairs to measure on; those of the training by default.")
    ] = None,
    freeze: Annotated[list[Modality] | None, typer.Option(help="Towers to leave alone.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    batch: Annotated[int, typer.Option(min=2)] = 128,
    learning_rate: Annotated[float, typer.Option(min=0.0)] = 3e-4,
    temperature: Annotated[
        float | None, typer.Option(help="Fixed; learned from 0.07 by default.")
    ] = None,
    seed: int = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was stopped.")] = False,
    file: o.SettingsFile = None,
) -> None:
    """Train by pairs with pictures alone; modalities then find each other, too (docs/bind.md)."""
    if target.suffix != ".safetensors":
        raise SettingsError(
            f"--out {target} does not end in .safetensors.", remedy="Name such a file."
        )
    start_from = {"encode.encoder": start, "encode.weights": weights, "encode.precision": "fp32"}
    settings = o.settings_from(file, start_from)
    import torch

    from encoders.bind.augment import Augmentation
    from encoders.bind.checkpoint import resume_training, save_training
    from encoders.bind.evaluate import evaluate
    from encoders.bind.inputs import Inputs
    from encoders.bind.pairs import read_pairs
    from encoders.bind.train import BindSettings, Training
    from encoders.digest import file_digest
    from encoders.weights import to_safetensors
    from pipeline.models.spaces import load_imagebind

    table = read_pairs(pairs)
    modalities = tuple(modality or dict.fromkeys(pair.modality for pair in table))
    table = [pair for pair in table if pair.modality in modalities]
    measured = table if held_out is None else read_pairs(held_out)
    model = load_imagebind(settings, only=(Modality.VISION, *modalities)).model
    scales = {} if temperature is None else dict.fromkeys(modalities, 1 / temperature)
    chosen = BindSettings(
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        frozen=tuple(freeze or ()),
        scales=scales,
        learn_scales=temperature is None,
        seed=seed,
    )
    training = Training(model, chosen, modalities)
    state = target.with_suffix(".training")
    if resume and state.is_file():
        resume_training(training, state)
        out.print(f"Going on after epoch {training.done_epochs}.")
    inputs = Inputs(
        model.config.image_size, partial(load_sound, decode=settings.decode), Augmentation()
    )
    out.print(f"{len(table)} pairs of pictures with {', '.join(modalities)}, {epochs} epochs.")
    for epoch in training.epochs(table, inputs):
        save_training(training, state)
        losses = ", ".join(f"{m} {loss:.3f}" for m, loss in epoch.loss.items())
        out.print(f"epoch {epoch.number}: loss {losses}; {epoch.seconds:.0f} s")
        collapsed = [m for m, alike in epoch.alike.items() if alike > COLLAPSED]
        if collapsed and epoch.number >= LEARNED_BY:
            out.print(
                f"  [yellow]the vectors of {', '.join(collapsed)} are all alike: "
                "lower --learning-rate[/yellow]"
            )
        for retrieval in evaluate(model, measured, inputs):
            out.print(f"  {retrieval}")
    to_safetensors(model.state_dict(), target, torch.float32)
    state.unlink()
    out.print(f"{target}: {file_digest(target)}", soft_wrap=True)
    out.print(f"Use it: sensedex run --encoder {start} --weights {target}", soft_wrap=True)


def load_sound(path: Path, decode: DecodeSettings) -> NDArray[np.int16]:
    """(samples,) of 16 kHz mono. Raises MediaRejected where it is not media, SettingsError where
    there is no sound in it."""
    import numpy as np

    from pipeline.media.sandbox.client import decode_in_child
    from pipeline.media.window import Window

    windows = [item for item in decode_in_child(path, decode) if isinstance(item, Window)]
    pieces = [window.sound for window in windows if window.sound is not None]
    if not pieces:
        raise SettingsError(f"{path} has no sound.", remedy="Leave its pair out.")
    return np.concatenate(pieces)

"""From a card to a network with its weights on a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from encoders.catalogue import card_for, shipped_weights
from encoders.errors import WeightsError
from encoders.modality import Modality
from encoders.protocol import Encoder

if TYPE_CHECKING:  # commands that load no model must not wait for torch
    import torch

Precision = Literal["auto", "fp32", "bf16", "int8"]


def load_encoder(
    name: str,
    weights: Path | None = None,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    seed: int = 0,
    threads: int | None = None,
    only: Sequence[Modality] = (),
) -> Encoder:
    """Build the network with its weights on a device; `only` leaves other senses' towers out.

    `auto` is bf16 on a GPU and on a CPU that multiplies bf16 itself, else fp32; int8 is for CPUs.
    Raises UnknownEncoder, and WeightsError that names the file and the tensor.
    """
    card = card_for(name, weights, seed=seed)
    weights = weights or shipped_weights(card)
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    place = torch.device(device if device != "auto" else _best_device())
    chosen = _precision(precision, place)
    senses = tuple(m for m in card.modalities if m in only) if only else card.modalities
    if card.family == "imagebind":
        from encoders.imagebind.load import build_imagebind

        return build_imagebind(card, weights, place, chosen, seed, senses)
    if weights is None:  # card_for has said so already; this tells the type checker
        raise WeightsError(f"{name} needs its weights.", remedy=card.needs)
    if chosen == "int8":
        raise WeightsError(
            f"{name} has no int8 form.", remedy="Choose fp32 or bf16; ImageBind has one."
        )
    dtype = torch.bfloat16 if chosen == "bf16" else torch.float32
    if card.family == "frozen-in-time":
        from encoders.frozen_in_time.load import build_frozen_in_time

        return build_frozen_in_time(card, weights, place, dtype)
    if card.family == "clip":
        from encoders.pretrained.clip import build_clip

        return build_clip(card, weights, place, dtype)
    from encoders.pretrained.pe_av import build_pe_av

    return build_pe_av(card, weights, place, dtype)


def check_weights(name: str, weights: Path | None) -> None:
    """Compare a checkpoint's names and shapes with the network's, before anything is started.

    Reads a header, or maps the file; no tensor is loaded. Raises as `load_encoder` does.
    """
    if weights is None:
        return
    card = card_for(name, weights)
    if card.family == "imagebind":
        from encoders.imagebind.load import check_imagebind

        check_imagebind(card, weights)
    elif card.family == "frozen-in-time":
        from encoders.frozen_in_time.load import check_frozen_in_time

        check_frozen_in_time(weights)


def _precision(precision: Precision, device: torch.device) -> Precision:
    if precision not in get_args(Precision):
        raise WeightsError(
            f"There is no precision {precision!r}.", remedy=f"Give {get_args(Precision)}."
        )
    if precision == "int8" and device.type != "cpu":
        raise WeightsError("int8 runs on a CPU alone.", remedy="Choose bf16 on a GPU.")
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" or has_fast_bf16() else "fp32"


def has_fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 itself; where not, bf16 is several times slower than fp32
    (docs/performance.md)."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"

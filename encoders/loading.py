"""From a card to a network with its weights on a device."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from encoders.card import EncoderCard
from encoders.catalogue import card_for, shipped_weights
from encoders.errors import WeightsError
from encoders.modality import Modality
from encoders.precision import FULL, Precision, TowerPrecision
from encoders.protocol import Encoder

if TYPE_CHECKING:  # commands that load no model must not wait for torch
    import torch


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
    """Build the network with its weights on a device; `only` leaves other modalities' towers out.

    `auto` is bf16 on a GPU and on a CPU that multiplies bf16 itself, else fp32; int8 is for CPUs.
    What is less than fp32 is proved on this kind of device first, once, and a tower that fails
    stays in fp32: `encoder.precisions` says which (`encoders/precision_proof.py`).
    Raises UnknownEncoder, and WeightsError that names the file and the tensor.
    """
    card = card_for(name, weights, seed=seed)
    weights = weights or shipped_weights(card)
    import torch

    from encoders.precision_proof import in_full, load_proven

    if threads is not None:
        torch.set_num_threads(threads)
    place = _place(device)
    chosen = _chosen(card, precision, place)
    modalities = _built(card, only)

    def build(precision: str, exact: Collection[Modality]) -> Encoder:
        return _build(card, weights, place, precision, seed, modalities, exact)

    if chosen != FULL:
        return load_proven(card, place, chosen, modalities, build)
    encoder = build(FULL, ())
    encoder.precisions = in_full(card, modalities)
    return encoder


def expected_precisions(
    card: EncoderCard,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    only: Sequence[Modality] = (),
) -> tuple[TowerPrecision, ...]:
    """What each tower would run in by the proofs that are kept; a cosine of None is still to be
    proved, by the first load. Nothing is loaded. Raises WeightsError as `load_encoder` does."""
    from encoders.precision_proof import known_precisions

    place = _place(device)
    return known_precisions(card, place, _chosen(card, precision, place), _built(card, only))


def _build(
    card: EncoderCard,
    weights: Path | None,
    place: torch.device,
    precision: str,
    seed: int,
    modalities: Sequence[Modality],
    exact: Collection[Modality],
) -> Encoder:
    """The network in that precision, the `exact` towers in float32."""
    import torch

    if card.family == "imagebind":
        from encoders.imagebind.load import build_imagebind

        return build_imagebind(card, weights, place, precision, seed, modalities, exact)
    if weights is None:  # card_for has said so already; this tells the type checker
        raise WeightsError(f"{card.name} needs its weights.", remedy=card.needs)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    if card.family == "frozen-in-time":
        from encoders.frozen_in_time.load import build_frozen_in_time

        return build_frozen_in_time(card, weights, place, dtype, exact)
    if card.family == "clip":
        from encoders.pretrained.clip import build_clip

        return build_clip(card, weights, place, dtype, exact)
    from encoders.pretrained.pe_av import build_pe_av

    return build_pe_av(card, weights, place, dtype, exact)


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


def _built(card: EncoderCard, only: Sequence[Modality]) -> tuple[Modality, ...]:
    """Only ImageBind's network can be built without some of its towers."""
    if not only or card.family != "imagebind":
        return card.modalities
    return tuple(m for m in card.modalities if m in only)


def _place(device: str) -> torch.device:
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def _chosen(card: EncoderCard, precision: Precision, device: torch.device) -> str:
    """The precision that is meant on this device. Raises WeightsError where it has none such."""
    from encoders.processor import has_fast_bf16

    if precision not in get_args(Precision):
        raise WeightsError(
            f"There is no precision {precision!r}.", remedy=f"Give {get_args(Precision)}."
        )
    if precision == "int8" and device.type != "cpu":
        raise WeightsError("int8 runs on a CPU alone.", remedy="Choose bf16 on a GPU.")
    if precision == "int8" and card.family != "imagebind":
        raise WeightsError(
            f"{card.name} has no int8 form.", remedy="Choose fp32 or bf16; ImageBind has one."
        )
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" or has_fast_bf16() else FULL
